"""§4 (cost): where the time of a training step goes, measured on a few steps of a run with profile=True.

The first steps warm up, the next are timed, the last are traced (torch.profiler). All others run as ever. On a GPU the
times are between events in its own queue: nothing waits for it until the timed steps are over.
"""

import gzip
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from relvit_lab.common.compute.device import Device
from relvit_lab.common.compute.throughput import peak_memory, peak_tflops, product_tflops
from relvit_lab.common.sealed_json import NUMBER, read
from relvit_lab.method.model import RelViT
from relvit_lab.train.experiment import Stage
from relvit_lab.train.stage_folder import RunFolder

PARTS = ("data", "augmentation", "forward", "losses", "backward", "optimiser")
WARM_UP, TIMED, TRACED = 3, 8, 2  # steps, where a stage has so many left
FILE, TRACE = "profile.json", "trace.json.gz"
SHAPE = {
    "stage": str, "device": str, "precision": str, "images": int, "steps": int, "milliseconds": {"*": NUMBER},
    "images_per_second": NUMBER, "gflop_per_image": NUMBER, "tflops": NUMBER,
    "product": {"shape": list, "tflops": NUMBER, "share": NUMBER}, "peak": (dict, type(None)),
    "peak_memory_mib": (*NUMBER, type(None)),
}  # fmt: skip

Stamp: TypeAlias = "float | torch.cuda.Event"


class Profile:
    """Of the steps to come. Each goes through its parts in order: part(name) around each, then step_done()."""

    def __init__(self, device: Device, steps: int):
        """steps: how many the stage has left, at least 1."""
        self.device = device
        traced = min(TRACED, steps // 4)
        warm_up = min(WARM_UP, (steps - traced) // 3)
        self.timed_from, self.traced_from = warm_up, min(warm_up + TIMED, steps - traced)
        self.steps = self.traced_from + traced
        self.done = 0
        self.stamps: list[tuple[int, dict]] = []  # for each timed step its images, and {part: (begin, end)}
        self._times: dict[str, tuple[Stamp, Stamp]] = {}
        self._profiler: profile | None = None
        self._trace = ExitStack()
        if device.torch.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device.torch)

    def part(self, name: str) -> AbstractContextManager:
        """Around one of PARTS."""
        if self.timed_from <= self.done < self.traced_from:
            return self._timed(name)
        return record_function(name) if self.done >= self.traced_from else nullcontext()

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begin = self._stamp()
        yield
        self._times[name] = begin, self._stamp()

    def step_done(self, images: int) -> bool:
        """After a step with so many images of this device. Whether all is measured, once."""
        if self.timed_from <= self.done < self.traced_from:
            self._times["step"] = self._times["data"][0], self._stamp()
            self.stamps.append((images, self._times))
            self._times = {}
        self.done += 1
        if self.done == self.traced_from and self.steps > self.traced_from:
            gpu = [ProfilerActivity.CUDA] if self.device.torch.type == "cuda" else []
            self._profiler = self._trace.enter_context(profile(activities=[ProfilerActivity.CPU, *gpu]))
        if self.done != self.steps:
            return False
        self.close()
        return True

    def close(self) -> None:
        """End the trace, where one is being made."""
        self._trace.close()

    def _stamp(self) -> Stamp:
        if self.device.torch.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def milliseconds(self) -> tuple[int, dict[str, float]]:
        """The images of a step, and the medians over the timed ones of its parts, of the whole, and of the rest
        ("other"). A smaller last batch does not count, unless there is no other."""
        largest = max(images for images, _ in self.stamps)
        counted = [times for images, times in self.stamps if images == largest]
        steps = [{name: _between(*pair) for name, pair in times.items()} for times in counted]
        medians = {name: statistics.median(step.get(name, 0.0) for step in steps) for name in (*PARTS, "step")}
        other = statistics.median(2 * step["step"] - sum(step.values()) for step in steps)
        return largest, {**{name: medians[name] for name in PARTS}, "other": max(0.0, other), "step": medians["step"]}

    def write(self, folder: RunFolder, stage: Stage, model: RelViT) -> dict:
        """Write profile.json and the trace into the stage's folder. Returns what profile.json holds."""
        from relvit_lab.train.flops import stage_flops  # here, not above: it takes a while to import

        if self.device.torch.type == "cuda":
            torch.cuda.synchronize(self.device.torch)
        images, times = self.milliseconds()
        seconds, world = times["step"] / 1e3, self.device.share.world
        flop = stage_flops(stage).train
        rate = flop * images / seconds / 1e12
        shape = (images * (model.backbone.side**2 + 1), model.backbone.dim, 4 * model.backbone.dim)
        product, peak = product_tflops(self.device, *shape), peak_tflops(self.device)
        found = {
            "stage": stage.id, "device": self.device.description, "precision": self.device.precision, "devices": world,
            "images": images, "steps": len(self.stamps), "milliseconds": times,
            "images_per_second": world * images / seconds, "gflop_per_image": flop / 1e9, "tflops": rate,
            "product": {"shape": shape, "tflops": product, "share": rate / product},
            "peak": peak and {"tflops": peak, "share": rate / peak},
            "peak_memory_mib": peak_memory(self.device),
        }  # fmt: skip
        folder.write_json(FILE, found)
        if self._profiler is not None:
            folder.write(TRACE, partial(_write_trace, self._profiler))
        return found


def _write_trace(traced: profile, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "trace.json")
        traced.export_chrome_trace(str(plain))
        path.write_bytes(gzip.compress(plain.read_bytes()))


def _between(begin: Any, end: Any) -> float:
    """Milliseconds from one Stamp to another of its kind."""
    return 1e3 * (end - begin) if isinstance(begin, float) else begin.elapsed_time(end)


def read_profile(folder: Path) -> dict | None:
    """What a stage's profile.json holds; None where it has none. Raises RelvitError where it is damaged."""
    return read(Path(folder, FILE), SHAPE)
