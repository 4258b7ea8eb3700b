"""Which versions trained a stage: one that goes on under another says so, and its result names them all."""

from typing import Any

import torch

from relvit_lab.train.device import Device, commit

Version = dict[str, Any]
"""{"commit", "torch", "threads" (on a CPU, else None), "precision"}: whatever of it differs, the numbers may."""


def version(device: Device) -> Version:
    """Of this process."""
    threads = torch.get_num_threads() if device.torch.type == "cpu" else None
    return {"commit": commit(), "torch": str(torch.__version__), "threads": threads, "precision": device.precision}


def going_on(before: list[Version], now: Version, notes: list[str]) -> list[Version]:
    """The versions of a stage, in their order, that goes on under `now`; a change is put into the notes. before: as the
    checkpoint has them, [] where it is of a time before they were kept."""
    if before and before[-1] == now:
        return before
    if before:
        last = before[-1]
        changed = [name for name in now if name != "precision" and last.get(name) != now[name]]  # that has its own note
        if changed:
            was, own = (", ".join(f"{name} {one.get(name)}" for name in changed) for one in (last, now))
            notes.append(f"begun with {was}, going on with {own}: the numbers may differ; fresh=True starts anew")
    return [*before, now]


def several(versions: list[Version]) -> dict[str, list[Version]]:
    """The part of a result's environment that names them, where there was more than one."""
    return {"versions": versions} if len(versions) > 1 else {}
