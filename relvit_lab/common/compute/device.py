"""Where a stage computes, and at which precision.

The loop talks to a Device. One device needs nothing more; of several, each in a process of its own that torchrun has
started, every process has a distributed.Devices, which does the same for its share of each batch.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, dtype, nn

from relvit_lab.common.compute.processor import auto_precision
from relvit_lab.common.errors import RelvitError, first_line, nearest
from relvit_lab.common.randomness import WHOLE, Share

Value = TypeVar("Value")
NAMES = "auto, cpu, cuda, cuda:N or mps"
KINDS = ("auto", "cpu", "cuda", "mps")
MEANT = {"gpu": "cuda", "nvidia": "cuda", "0": "cuda", "1": "cuda", "metal": "mps", "apple": "mps"}


@dataclass(frozen=True)
class Device:
    """A device and the precision of its forward passes ("float32", or "bf16" by autocast).

    share: the part of every batch that it has. is_main: whether it writes and reports.
    """

    torch: torch.device
    precision: str
    share: Share = WHOLE

    @property
    def is_main(self) -> bool:
        return self.share.rank == 0

    def autocast(self) -> AbstractContextManager:
        if self.precision == "bf16":
            return torch.autocast(self.torch.type, dtype=torch.bfloat16)
        return nullcontext()

    @property
    def sums(self) -> dtype:
        """In which means over many images are summed: float64, which Apple's GPUs do not have."""
        return torch.float32 if self.torch.type == "mps" else torch.float64

    @property
    def waits(self) -> bool:
        """Whether reading a value waits for the device, so that the loop should do it rarely."""
        return self.torch.type != "cpu"

    @property
    def description(self) -> str:
        if self.torch.type == "cuda":
            return torch.cuda.get_device_name(self.torch)
        if self.torch.type == "mps":
            return "mps"
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' if threads > 1 else ''})"

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as it is called in training. It shares the given one's weights, which may change by this call."""
        return model

    def backward(self, loss: Tensor, batch: int) -> None:
        """The gradients of the mean over a batch of so many images, from the mean over this device's share of them."""
        loss.backward()

    def means(self, values: dict[str, Tensor], batch: int) -> dict[str, Tensor]:
        """Means over a batch of so many images, from those over this device's share of them."""
        return values

    def summed(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sums over all devices."""
        return values

    def from_main(self, get: Callable[[], Value]) -> Value:
        """What `get` gives, in the main process where there are several."""
        return get()

    def agree(self, asked: int | None) -> int | None:
        """What any device asks for (a signal's number), the same on all of them; None: nothing."""
        return asked

    def end(self, error: BaseException | None = None) -> None:
        """After a run, however it ended. Raises LostPeer where the error only says that another process has failed."""


def one_device(name: str, precision: str) -> Device:
    """The device of that name, for this process alone; auto and precision as pick_device (choose_device.py) takes them.
    Raises RelvitError."""
    kind = name.partition(":")[0].lower()
    if kind not in KINDS:
        raise RelvitError(f"unknown device '{name}': {nearest(kind, KINDS, MEANT)}; cuda:1 for the second of several")
    if kind == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name.lower())
        if device.type == "cpu" and device.index:
            raise ValueError("there is one CPU: its cores work together")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = first_line(error)
        raise RelvitError(f"device '{name}' cannot be used here ({reason}): take {NAMES}") from None
    return Device(device, auto_precision(device) if precision == "auto" else precision)
