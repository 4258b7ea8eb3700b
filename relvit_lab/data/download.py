"""§4 (data sets): downloads that leave all or nothing, whoever else downloads and however they end. Archives are
unpacked so that nothing in them can reach out of their folder, or fill the disk."""

import contextlib
import http.client
import io
import os
import shutil
import socket
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import one_at_a_time, sha256
from relvit_lab.common.shortages import explain, of_the_disk
from relvit_lab.data.base import FileSet, Info, Source, bar, summary

SILENCE = 30  # seconds without a byte after which a connection counts as dead
# By the MD5 that a source gives, for another file of that MD5 can be made: of CIFAR-10, CIFAR-100, SVHN's two files
# and Flower-102's images, as other public loaders have them. Of the rest we know none.
SHA256 = {
    "c58f30108f718f92721af3b95e74349a": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "eb9058c3a382ffc7106e4002c42a8d85": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    "e26dedcc434d2e4c54c9b2d4a06d8373": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    "eb5a983be6a315427106f1b164d9cef3": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    "52808999861908f626f3c1f4e79d11fa": "2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
}
FAILURES = (
    OSError, RuntimeError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, http.client.HTTPException,
)  # fmt: skip
MOST_BYTES = 4 * 2**30  # of an archive, unpacked; ten times the largest of ours
MOST_MEMBERS = 500_000
COPY = 2**20  # bytes at once

Getter = Callable[[Path, Path, bool | None], None]  # (an empty folder to download into, data_dir, progress)
Member = tuple[str, str, int, Callable[[], IO[bytes] | None]]
"""Its name, "file", "folder" or another kind, size, and what opens it."""


def download_once(
    name: str, data_dir: Path, fault: Callable[[Path], str], get: Getter, otherwise: str = "",
    progress: bool | None = None,
) -> bool:  # fmt: skip
    """Bring a data set into data_dir if it is not there. True where it had to be downloaded.

    fault(folder) says what is not as it should be ("": all is). What `get` leaves in its folder is moved into data_dir
    only once all of it is there. One process downloads, others wait for it and use the result. `otherwise` is the end
    of the RelvitError of a failed download: what else the user can do.
    """
    part = data_dir / f".{name}.part"
    missing = ""
    try:
        missing = fault(data_dir)
        if not missing:  # before any lock: the folder may be read-only
            return False
        data_dir.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(data_dir / f".{name}.lock", f"downloads {name}", progress):
            if not fault(data_dir):  # another process was faster
                return False
            shutil.rmtree(part, ignore_errors=True)  # of a download that was killed
            part.mkdir()
            try:
                # torchvision's bar cannot be switched off otherwise
                quiet = contextlib.redirect_stderr(io.StringIO()) if progress is False else contextlib.nullcontext()
                with _patience(), quiet:
                    get(part, data_dir, progress)
                if wrong := fault(part):
                    raise RuntimeError(f"the downloaded files fail their check: {wrong}")
                _move(part, data_dir)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except FAILURES as error:
        if disk := of_the_disk(error):  # no fault of the network
            raise RelvitError(f"{explain(disk)} (data_dir says where {name} is kept)") from error
        raise RelvitError(
            f"{name} is not whole in {data_dir}{f' ({missing})' if missing else ''} and could not be downloaded "
            f"({_words(error)}). Where there is network, fetch it ahead: {_command(name, data_dir)}{otherwise}"
        ) from error
    return True


def file_source(info: Info, folder: str, list_files: Callable[[Path], FileSet], get: Getter, otherwise: str) -> Source:
    """The entry of a data set of image files that lie in data_dir/<folder>, downloaded where that is missing.

    list_files(root) raises RelvitError where something is missing. `get` and `otherwise` are as in download_once. A
    folder that is there is never replaced: people keep their own things in such.
    """

    def fault(place: Path) -> str:
        if not (place / folder).is_dir():
            return f"there is no {folder}"
        try:
            list_files(place / folder)
        except RelvitError as error:
            return str(error)
        return ""

    def once(data_dir: Path, progress: bool | None) -> tuple[FileSet, bool]:
        root = data_dir / folder
        try:
            there = root.is_dir()
            fresh = not there and download_once(info.name, data_dir, fault, get, otherwise, progress)
            return list_files(root), fresh
        except OSError as error:
            raise RelvitError(f"{root} cannot be read: {_words(error)}") from error
        except RelvitError as error:
            if not there:
                raise
            raise RelvitError(
                f"{error}. Mend it, or remove {root} and fetch the set anew: {_command(info.name, data_dir)}"
            ) from error

    def files(data_dir: Path, progress: bool | None = None) -> FileSet:
        return once(data_dir, progress)[0]

    def fetch(data_dir: Path, progress: bool | None = None) -> str:
        return summary(*once(data_dir, progress))

    return Source(info, fetch=fetch, files=files, kept_in=(folder,))


def obtain(url: str, md5: str, folder: Path, data_dir: Path) -> Path:
    """The file of that address, with that MD5: from data_dir where someone put it there, else downloaded into `folder`.

    Its SHA-256, too, where one is known. Raises RuntimeError, with the reason, where neither is to be had.
    """
    from torchvision.datasets.utils import download_url

    name = url.rsplit("/", 1)[-1]
    given = data_dir / name
    kind, digest = ("SHA-256", SHA256[md5]) if md5 in SHA256 else ("MD5", md5)
    if _is_whole(given, md5):
        return given
    try:
        download_url(url, folder, name)
        if not _is_whole(folder / name, md5):
            raise RuntimeError(f"what came from {url} is cut short or something else: its {kind} is not {digest}")
    except FAILURES as error:
        damaged = f"{given} is damaged, its {kind} is not {digest}; and " if given.is_file() else ""
        raise RuntimeError(f"{damaged}{_words(error)}") from error
    return folder / name


def obtain_into(url: str, md5: str, folder: Path, data_dir: Path) -> None:
    """`obtain`, with a copy in `folder` of a file that lies in data_dir."""
    file = obtain(url, md5, folder, data_dir)
    if file.parent != folder:
        shutil.copyfile(file, folder / file.name)


def obtain_archive(url: str, md5: str, folder: Path, data_dir: Path, progress: bool | None, under: str = "") -> None:
    """`obtain`, unpacked into folder/under. A downloaded archive is then removed; one in data_dir is the user's."""
    archive = obtain(url, md5, folder, data_dir)
    unpack(archive, folder / under, progress)
    if archive.parent == folder:
        archive.unlink()


def _is_whole(file: Path, md5: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    return check_integrity(file, md5) and (md5 not in SHA256 or sha256(file) == SHA256[md5])


def _command(name: str, data_dir: Path) -> str:
    return f"python -m relvit_lab fetch {name} --data-dir {data_dir}"


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """torchvision sets no time limit: a firewall that swallows packets would hold a job for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _move(part: Path, folder: Path) -> None:
    """Each thing in `part` into folder, at once; what is in its way (it was not whole) goes with `part`."""
    aside = part / ".aside"
    names = os.listdir(part)
    aside.mkdir()
    for name in names:
        if (folder / name).exists():
            os.replace(folder / name, aside / name)
        os.replace(part / name, folder / name)


# -- archives ---------------------------------------------------------------------------------------------------------


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
