"""Where a stage computes, at which precision, and what is recorded of it."""

import functools
import platform
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from relvit_lab.errors import RelvitError


@dataclass(frozen=True)
class Device:
    """A device and the precision of its forward passes ("float32", or "bf16" by autocast)."""

    torch: torch.device
    precision: str

    def autocast(self) -> AbstractContextManager:
        if self.precision == "bf16":
            return torch.autocast(self.torch.type, dtype=torch.bfloat16)
        return nullcontext()

    @property
    def waits(self) -> bool:
        """Whether reading a value waits for the device, so that the loop should do it rarely."""
        return self.torch.type != "cpu"

    @property
    def description(self) -> str:
        if self.torch.type == "cuda":
            return torch.cuda.get_device_name(self.torch)
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' if threads > 1 else ''})"


def pick_device(name: str = "auto", precision: str = "auto") -> Device:
    """auto: the GPU where there is one, else the CPU; bf16 on a GPU that has it. Raises RelvitError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        raise RelvitError(f"device '{name}' cannot be used here ({reason}): take auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise RelvitError(f"device '{name}' is not supported: take auto, cpu, cuda or cuda:N")
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    return Device(device, precision)


@functools.cache
def commit() -> str | None:
    """The git commit of this library's checkout, with + where files differ from it; None outside a checkout."""

    def git(*words: str) -> str:
        folder = Path(__file__).parent
        return subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
        return git("rev-parse", "HEAD")[:12] + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def environment(device: Device) -> dict:
    """What a result was made with."""
    import timm

    return {
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "platform": f"{sys.platform} {platform.machine()}",
        "device": device.description,
        "precision": device.precision,
    }
