"""The CPU beside a device: what it draws goes over, and how many threads it works with."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device | str) -> Tensor:
    """Parameters drawn on the host go to the images' device. From pinned memory this never waits for the GPU."""
    if torch.device(device).type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


@contextmanager
def one_thread(device: torch.device) -> Iterator[int]:
    """Each operation on a CPU with one thread inside; does nothing for other devices. Gives how many there would be: so
    many may work beside one another, each on images of its own.

    Several threads meet after each of some hundred short operations. On two cores, augmenting in cache-sized parts,
    that gained 5 to 40 % with nothing else running, and lost a factor of 3 to 7 as soon as another program ran.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu":
        yield 1
        return
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
