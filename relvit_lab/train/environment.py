"""What a stage was made with: commit, versions, machine. One that goes on under another version says so, and its result
names them all."""

import functools
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from relvit_lab.common.compute.device import Device

Version = dict[str, Any]
"""{"commit", "torch", "threads" (on a CPU, else None), "precision"}: whatever of it differs, the numbers may."""


@functools.cache
def commit() -> str | None:
    """The git commit of this library's checkout, with + where files differ from it; None outside a checkout."""

    def git(*words: str) -> str:
        folder = Path(__file__).parents[1]  # the whole package
        return subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
        return git("rev-parse", "HEAD")[:12] + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def environment(device: Device, compiled: bool = False) -> dict:
    """What a result was made with."""
    import timm

    return {
        "commit": commit(), "python": platform.python_version(), "torch": torch.__version__, "timm": timm.__version__,
        "platform": f"{sys.platform} {platform.machine()}", "device": device.description,
        "devices": device.share.world, "precision": device.precision, "compiled": compiled,
    }  # fmt: skip


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
