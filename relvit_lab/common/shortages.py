"""What the system says of a machine's files, and what it runs out of (disk, memory, open files), in words that say what
to do."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relvit_lab.common.errors import RelvitError

GO_ON = "the same command goes on from the last checkpoint"
NO_MEMORY = (
    "there is not enough memory: take a smaller batch_size or a smaller backbone, or end other programs; "
    f"with the same settings {GO_ON}"
)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)
"""What the system says of a disk, by kind: errors of the network have other numbers."""


def explain(error: OSError) -> str:
    """What the system says of a file, in one line: the path, the reason, what to do."""
    files = (error.filename, error.filename2)
    names = dict.fromkeys(os.fsdecode(name) for name in files if isinstance(name, str | bytes))
    path = " -> ".join(names)
    reason = error.strerror or str(error) or type(error).__name__
    said = f"{path}: {reason}" if path else reason
    if error.errno in FULL:
        return f"{said}: free some space, or name a folder on another disk, and give the same command again"
    if error.errno in CLOSED:
        return f"{said}: take a folder that is yours (or have its owner open it), and give the same command again"
    if error.errno in ABSENT:
        return f"{said}: it can be neither read nor made there; check the path, or name another"
    return said


def of_the_disk(error: BaseException | None) -> OSError | None:
    """The error of this machine's files among an exception and its causes; None where there is none, for example where
    the network failed (a socket may be refused permission, too, but has no file's name)."""
    while error is not None:
        if isinstance(error, OSError):
            if error.errno in FULL or (error.errno in (*CLOSED, *ABSENT) and error.filename):
                return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def write_explained(path: Path) -> Iterator[None]:
    """What the system says about a write to a path, as RelvitError."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            advice = f"there is no space left: free some, and {GO_ON}"
            if error.errno == errno.ENOSPC and _no_inodes(path):
                advice = f"the disk can hold no further file (no inodes are left): delete some, and {GO_ON}"
        elif error.errno in CLOSED:
            advice = "it cannot be written: give a run_dir that can"
        else:
            advice = shortage(error) or "writing failed"
        raise RelvitError(f"{path}: {advice} ({error.strerror or error})") from None


@contextmanager
def shortages_explained() -> Iterator[None]:
    """Memory, files and threads that are not there, as RelvitError; other errors pass."""
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        said = shortage(error)
        if said is None:
            raise
        raise RelvitError(said) from error


def shortage(error: BaseException) -> str | None:
    """What is lacking and what to do, in a line; None for an error that is of something else."""
    said = str(error)
    if isinstance(error, OSError):
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return f"too many files are open: raise the limit (ulimit -n 4096), and {GO_ON}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" for {error.filename}" if error.filename else ""
            return f"there is no space left on the disk{where}: free some, and {GO_ON}"
        return NO_MEMORY if error.errno == errno.ENOMEM else None
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return NO_MEMORY
    if isinstance(error, RuntimeError) and ("can't allocate memory" in said or "out of memory" in said):
        return NO_MEMORY
    if isinstance(error, RuntimeError) and "can't start new thread" in said:
        return f"no further thread may be started: raise the limit (ulimit -u), and {GO_ON}"
    return None


def _no_inodes(path: Path) -> bool:
    try:
        found = os.statvfs(path if path.is_dir() else path.parent)
    except (OSError, AttributeError):  # none such on Windows
        return False
    return found.f_files > 0 and found.f_favail == 0 and found.f_bavail > 0
