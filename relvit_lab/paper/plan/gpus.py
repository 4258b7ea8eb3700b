"""A GPU of its own for each job of a sweep: a lock file for each device, freed by the system when its holder dies."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import locked

PAUSE = 0.5  # seconds between two looks for a free device


def devices() -> tuple[str, ...]:
    """The devices that a job here may use: those of RELVIT_DEVICES ("0,1,2"; empty: none) where it is set, else the
    GPUs that nvidia-smi names, less what CUDA_VISIBLE_DEVICES leaves out. A GPU goes by its UUID, which says the same
    in every process, container and job of a scheduler; its number does not."""
    if "RELVIT_DEVICES" in os.environ:
        return _words(os.environ["RELVIT_DEVICES"])
    query = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    uuids = dict(line.split(", ", 1) for line in listed.splitlines() if ", " in line)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(uuids.values())
    return tuple(uuids.get(name, name) for name in _words(visible))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


@contextlib.contextmanager
def one_device(say: Callable[[str], object] = print) -> Iterator[str | None]:
    """Hold a device that no other job of this user holds, waiting for one where all are taken; None where there is
    no GPU. The locks are on this machine (the folder for temporary files), for so are the devices.

    Raises RelvitError where somebody else has made the folder of the locks.
    """
    names, waiting = devices(), False
    if not names:
        yield None
        return
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"relvit-devices-{user}"
    try:
        folder.mkdir(0o700, exist_ok=True)
        own = not folder.is_symlink() and folder.is_dir() and user in ("user", folder.stat().st_uid)
    except OSError:
        own = False
    if not own:
        raise RelvitError(
            f"{folder}, where jobs agree on devices, is no folder of yours: remove it, or set TMPDIR to another place"
        )
    while True:
        for name in names:
            with locked(folder / f"{name.replace('/', '_').replace(':', '_')}.lock", timeout=0) as held:
                if held:
                    yield name
                    return
        if not waiting:
            say(f"all {len(names)} devices are taken by other jobs: waiting for one")
            waiting = True
        time.sleep(PAUSE)
