"""§4 (data sets): one process prepares a data set, others wait for it and use the result."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone(path: Path, doing: str, progress: bool | None) -> Iterator[None]:
    """Holds a lock, in the file at path, that dies with this process. `doing`: what its holder does, for who waits."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        if progress is not False:
            print(f"waiting for another process that {doing} ...", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
