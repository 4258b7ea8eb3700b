"""Files that are whole or not there, regular ones of a sensible size, and locks that die with their holder."""

import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from relvit_lab.common.errors import RelvitError

MOST = 64 * 2**20  # bytes of a file that is read whole


def write_whole(path: Path, content: bytes | str | Callable[[Path], object]) -> None:
    """Put a file in place at once: whatever happens, the old one is there or the new one.

    content: its bytes, its text, or a function that fills the file at the path that it is given. Raises OSError.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        if callable(content):
            content(partial)
        else:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def open_regular(path: Path, most: int, links: bool = True) -> BinaryIO:
    """Open a file of which nobody knows what it is, without waiting for anybody. links: whether one may lead to it.

    Raises OSError where it cannot be opened, for what is no regular file, and for more than `most` bytes.
    """
    if not links and path.is_symlink():
        raise OSError(f"{path.name} is a link")
    flags = [getattr(os, f"O_{name}", 0) for name in ("NONBLOCK", "BINARY", *(() if links else ("NOFOLLOW",)))]
    file = os.fdopen(os.open(path, os.O_RDONLY | sum(flags)), "rb")
    about = os.fstat(file.fileno())
    if stat.S_ISREG(about.st_mode) and about.st_size <= most:
        return file
    file.close()
    what = f"{about.st_size:,} bytes large" if stat.S_ISREG(about.st_mode) else "no regular file"
    raise OSError(f"{path.name} is {what}")


def read_regular(path: Path, most: int = MOST) -> bytes:
    """All of a file. Raises OSError as open_regular."""
    with open_regular(path, most) as file:
        return file.read(most)


@contextmanager
def locked(path: Path, timeout: float = -1, waiting: Callable[[], object] | None = None) -> Iterator[bool]:
    """Holds the lock in the file at path. Yields whether it does: False where another had it for `timeout` seconds (-1:
    as long as it takes). waiting: called once where it takes more than a second. Raises OSError."""
    from filelock import FileLock, Timeout  # late: not needed to look at data that are there

    lock = FileLock(path)

    def acquire(seconds: float) -> bool:
        try:
            lock.acquire(timeout=seconds, poll_interval=0.1)
        except Timeout:
            return False
        return True

    held = acquire(1 if waiting else timeout)
    if waiting and not held:
        waiting()
        held = acquire(timeout)
    try:
        yield held
    finally:
        if held:
            lock.release()


def one_at_a_time(path: Path, doing: str, progress: bool | None) -> AbstractContextManager[bool]:
    """Holds a lock while a data set is prepared: others wait and use the result. doing: what its holder does, for who
    waits. progress: False says nothing."""
    said = f"waiting for another process that {doing} ..."
    return locked(path, waiting=None if progress is False else partial(print, said, file=sys.stderr))


def sha256(file: Path) -> str:
    """Of a file's bytes, as 64 hexadecimal digits. Raises RelvitError where it cannot be read."""
    try:
        with file.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as error:
        raise RelvitError(f"{file} cannot be read ({error.strerror or error}): make it readable") from None
