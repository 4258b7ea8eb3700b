"""What a device could reach: its maker's numbers, a matrix product measured, and the memory that was used."""

import statistics
import sys
import time

import torch

from relvit_lab.common.compute.device import Device

PEAKS = {  # dense TFLOP/s by NVIDIA's data sheets: of bf16 on tensor cores, of float32 without TF32
    "H200": {"bf16": 989.4, "float32": 67.0},
    "H100 PCIe": {"bf16": 756.0, "float32": 51.0},
    "H100": {"bf16": 989.4, "float32": 67.0},
    "A100": {"bf16": 312.0, "float32": 19.5},
    "L40S": {"bf16": 362.0, "float32": 91.6},
    "L4": {"bf16": 121.0, "float32": 30.3},
}


def peak_tflops(device: Device) -> float | None:
    """What the device's maker promises in this precision; None for one that PEAKS does not have."""
    if device.torch.type != "cuda":
        return None
    words = torch.cuda.get_device_name(device.torch).replace("-", " ")
    return next((peaks[device.precision] for name, peaks in PEAKS.items() if f"{name} " in f"{words} "), None)


def product_tflops(device: Device, rows: int, inner: int, columns: int, seconds: float = 0.3) -> float:
    """TFLOP/s of a matrix product (rows x inner) (inner x columns), the first of an MLP: what a step could reach."""
    dtype = torch.bfloat16 if device.precision == "bf16" else torch.float32
    a, b = (torch.ones(shape, dtype=dtype, device=device.torch) for shape in ((rows, inner), (inner, columns)))

    def timed(times: int) -> float:
        if device.torch.type == "cuda":
            torch.cuda.synchronize(device.torch)
        began = time.perf_counter()
        for _ in range(times):
            a @ b
        if device.torch.type == "cuda":
            torch.cuda.synchronize(device.torch)
        return (time.perf_counter() - began) / times

    timed(3)
    times = max(1, round(seconds / 5 / max(timed(1), 1e-6)))
    return 2 * rows * inner * columns / statistics.median(timed(times) for _ in range(5)) / 1e12


def peak_memory(device: Device) -> float | None:
    """MiB: of tensors on a GPU since the profile began; else of this process since its start (None on Windows)."""
    if device.torch.type == "cuda":
        return torch.cuda.max_memory_allocated(device.torch) / 2**20
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
