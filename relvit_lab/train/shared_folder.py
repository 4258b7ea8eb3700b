"""The run folder of several processes that train together (common/compute/distributed.py)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from relvit_lab.common.compute.device import Device
from relvit_lab.train.stage_folder import RunFolder


def folder_of(device: Device, path: Path) -> RunFolder:
    """The run folder at a path, which one process writes, however many there are."""
    return RunFolder(path) if device.share.world == 1 else SharedFolder(path, device)


class SharedFolder(RunFolder):
    """A run folder of several processes: the main one holds and writes it, and what it reads all get."""

    def __init__(self, path: Path, devices: Device):
        super().__init__(path)
        self.devices = devices

    @contextmanager
    def lock(self, wait: bool = False) -> Iterator[None]:
        if not self.devices.is_main:
            yield
            return
        with super().lock(wait):
            yield

    def clear(self) -> None:
        if self.devices.is_main:
            super().clear()

    def write(self, name: str, content: bytes | Callable[[Path], object]) -> None:
        if self.devices.is_main:
            super().write(name, content)

    def result(self) -> dict | None:
        return self.devices.from_main(super().result)

    def fresh_since(self) -> int | None:
        return self.devices.from_main(super().fresh_since)

    def is_older(self, moment: int) -> bool:
        return self.devices.from_main(partial(RunFolder(self.path).is_older, moment))

    def begin_fresh(self, moment: int) -> None:
        if self.devices.is_main:
            super().begin_fresh(moment)

    def checkpoint(self, stage_id: str) -> dict | None:
        return self.devices.from_main(partial(super().checkpoint, stage_id))
