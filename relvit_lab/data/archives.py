"""§4 (data sets): archives unpacked so that nothing in them can reach out of their folder, or fill the disk."""

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from relvit_lab.data.base import bar

MOST_BYTES = 4 * 2**30  # unpacked; ten times the largest archive of ours
MOST_MEMBERS = 500_000
COPY = 2**20  # bytes at once

Member = tuple[str, str, int, Callable[[], IO[bytes] | None]]
"""Its name, "file", "folder" or another kind, size, and what opens it."""


def unpack(archive: Path, folder: Path, progress: bool | None = None) -> None:
    """A .zip, .tar or .tar.gz into `folder`, which holds nothing but what was unpacked into it before.

    Raises RuntimeError for anything in it but files and folders, for a name that leads out of `folder`, and for more
    than MOST_BYTES or MOST_MEMBERS; what tarfile and zipfile raise where it is damaged. Whatever was unpacked before
    that stays: the folder is the caller's to remove.
    """
    members = _zipped if zipfile.is_zipfile(archive) else _tarred
    size = count = 0
    for name, kind, length, opened in bar(None, f"unpacking {archive.name}", progress, members(archive)):
        if kind not in ("file", "folder"):
            raise RuntimeError(f"{archive.name} holds {name!r}, a {kind}: only files and folders are unpacked")
        target = _target(folder, name, archive)
        size, count = size + length, count + 1
        if size > MOST_BYTES or count > MOST_MEMBERS:
            raise RuntimeError(f"{archive.name} is no such data set: it unpacks to more than any has")
        if kind == "folder":
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        source = opened()
        assert source is not None  # tarfile has none of a folder
        with source, target.open("wb") as copy:  # neither module reads on beyond `length`
            shutil.copyfileobj(source, copy, COPY)


def _target(folder: Path, name: str, archive: Path) -> Path:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts[:1]):  # ":": a Windows drive
        raise RuntimeError(f"{archive.name} holds {name!r}, which leads out of its folder")
    return folder.joinpath(*path.parts)


def _zipped(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            mode = member.external_attr >> 16  # of a Unix file system; 0 where it was made on another
            plain = not stat.S_IFMT(mode) or stat.S_ISREG(mode) or stat.S_ISDIR(mode)
            kind = "link or device" if not plain else "folder" if member.is_dir() else "file"
            yield member.filename, kind, member.file_size, partial(opened.open, member)


def _tarred(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive) as opened:
        for member in opened:
            kind = "folder" if member.isdir() else "file" if member.isreg() else "link or device"
            yield member.name, kind, member.size, partial(opened.extractfile, member)
