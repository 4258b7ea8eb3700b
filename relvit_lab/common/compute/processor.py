"""What a processor can multiply, and the precision that follows from it."""

import functools
from pathlib import Path

import torch


@functools.cache
def cpu_flags() -> frozenset[str]:
    """What the processor can do, in the system's words; nothing where it does not say (macOS, Windows)."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.partition(":")[2].split())


def multiplies_bf16(flags: frozenset[str]) -> bool:
    """Whether a processor has bf16 matrix products of its own: AMX, or AVX512_BF16 (2.2 times for ViT-S/4 on an AMD
    EPYC, benchmarks/bf16_step.py). Without them bf16 is slower than float32."""
    return bool(flags & {"amx_bf16", "avx512_bf16"})


def auto_precision(device: torch.device) -> str:
    """What `precision auto` stands for on a device: "bf16" or "float32"."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "float32"
    return "bf16" if device.type == "cpu" and multiplies_bf16(cpu_flags()) else "float32"
