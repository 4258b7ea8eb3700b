"""§4 (data sets): downloads that leave all or nothing, whoever else downloads and however they end."""

import contextlib
import http.client
import io
import os
import shutil
import socket
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from relvit_lab.errors import RelvitError

SILENCE = 30  # seconds without a byte after which a connection counts as dead
FAILURES = (
    OSError,
    RuntimeError,
    EOFError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    http.client.HTTPException,
)


def download_once(
    name: str,
    data_dir: Path,
    whole: Callable[[Path], bool],
    get: Callable[[Path], None],
    otherwise: str = "",
    progress: bool | None = None,
) -> bool:
    """Bring a data set into data_dir if it is not there. True where it had to be downloaded.

    whole(folder) verifies that all is there. get(folder) downloads into an empty folder; what it leaves there is moved
    into data_dir only once it is whole. One process downloads, others wait for it and use the result. `otherwise` is
    the end of the RelvitError of a failed download: what else the user can do.
    """
    part = data_dir / f".{name}.part"
    try:
        if whole(data_dir):  # before any lock: the folder may be read-only
            return False
        data_dir.mkdir(parents=True, exist_ok=True)
        with _alone(data_dir / f".{name}.lock", name, progress):
            if whole(data_dir):  # another process was faster
                return False
            shutil.rmtree(part, ignore_errors=True)  # of a download that was killed
            part.mkdir()
            try:
                with _patience(), _quiet(progress is False):
                    get(part)
                if not whole(part):
                    raise RuntimeError("the downloaded files fail their check")
                _move(part, data_dir)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except FAILURES as error:
        raise RelvitError(
            f"{name} is not whole in {data_dir} and could not be downloaded ({str(error) or type(error).__name__}). "
            "Where there is network, fetch it ahead: "
            f"python -m relvit_lab fetch {name} --data-dir {data_dir}{otherwise}"
        ) from error
    return True


@contextlib.contextmanager
def _alone(path: Path, name: str, progress: bool | None) -> Iterator[None]:
    """Holds a lock that dies with this process."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        if progress is not False:
            print(f"waiting for another process that downloads {name} ...", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """torchvision sets no time limit: a firewall that swallows packets would hold a job for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _quiet(quiet: bool) -> Iterator[None]:
    """torchvision's bar cannot be switched off otherwise."""
    with contextlib.redirect_stderr(io.StringIO()) if quiet else contextlib.nullcontext():
        yield


def _move(part: Path, folder: Path) -> None:
    """Each thing in `part` into folder, at once; what is in its way (it was not whole) goes with `part`."""
    aside = part / ".aside"
    names = os.listdir(part)
    aside.mkdir()
    for name in names:
        if (folder / name).exists():
            os.replace(folder / name, aside / name)
        os.replace(part / name, folder / name)
