"""Files of which nobody knows what they are: regular ones of a sensible size are opened, pipes and devices not."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

MOST = 64 * 2**20  # bytes of a file that is read whole


def open_regular(path: Path, most: int, links: bool = True) -> BinaryIO:
    """Open a file to be read, without waiting for anybody. links: whether it may be reached through one.

    Raises OSError where it cannot be, for what is no regular file, and for more than `most` bytes.
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
