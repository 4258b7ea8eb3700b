"""Which device a run takes: the one that it names, the best there is, or under torchrun one for each process."""

import torch

from relvit_lab.common.compute.device import Device, one_device
from relvit_lab.common.process import processes


def pick_device(name: str = "auto", precision: str = "auto") -> Device:
    """auto: an NVIDIA GPU where there is one, else the CPU; bf16 where processor.auto_precision says so. Under torchrun
    each process gets a GPU of its own. Raises RelvitError."""
    if processes()[1] > 1:
        from relvit_lab.common.compute.distributed import join  # late: one device needs none of it

        return join(name, precision)
    return one_device(name, precision)


def passed_over(name: str) -> tuple[str, ...]:
    """What `device auto` does not take, though it is there."""
    if name == "auto" and not torch.cuda.is_available() and torch.backends.mps.is_available():
        return ("this Mac has a GPU: device mps takes it (we could not try it; auto stays on the CPU)",)
    return ()
