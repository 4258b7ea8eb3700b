"""Files that are whole or not there, and locks that die with their holder."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from relvit_lab.common.errors import RelvitError


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


@contextmanager
def one_at_a_time(path: Path, doing: str, progress: bool | None) -> Iterator[None]:
    """Holds a lock while a data set is prepared: others wait and use the result. doing: what its holder does, for who
    waits. progress: False says nothing."""

    def say() -> None:
        if progress is not False:
            print(f"waiting for another process that {doing} ...", file=sys.stderr)

    with locked(path, waiting=say):
        yield


def sha256(file: Path) -> str:
    """Of a file's bytes, as 64 hexadecimal digits. Raises RelvitError where it cannot be read."""
    try:
        with file.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as error:
        raise RelvitError(f"{file} cannot be read ({error.strerror or error}): make it readable") from None
