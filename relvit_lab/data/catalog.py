"""§4 (data sets): which data set a name or a path means, the one name that it goes by, and whether it has changed."""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.paths import expanded, places, project_root, resolve
from relvit_lab.common.registry import Registry
from relvit_lab.data import cifar, digits, flower102, folder, imagenet100, packed, svhn, tiny_imagenet
from relvit_lab.data.base import FileSet, Source

DATASETS: Registry[Source] = Registry(
    "data set",
    (
        digits.SOURCE, cifar.CIFAR_10, cifar.CIFAR_100, svhn.SOURCE, flower102.SOURCE, tiny_imagenet.SOURCE,
        imagenet100.SOURCE,
    ),
)  # fmt: skip
SPELLINGS = {  # other names that people write, in the form of _plain
    "flowers102": "flower102", "oxfordflowers102": "flower102", "oxford102flowers": "flower102",
    "tinyimagenet200": "tiny_imagenet", "streetviewhousenumbers": "svhn",
}  # fmt: skip
NPZ = ".npz"


def find(name: str | Path, data_dir: str | Path = "data") -> Source | Path:
    """The entry of that name however it is spelt, else the folder or .npz of that path, absolute and without links.

    A relative path is looked for in the working directory, in the project root, then in data_dir. Raises RelvitError.
    """
    if entry := _entry(name):
        return entry
    # "" would be the working directory
    tried = list(dict.fromkeys((*places(name), resolve(data_dir) / expanded(name)))) if str(name).strip() else []
    for path in tried:
        if _is_data(path):
            return path.resolve()
        if os.path.exists(path):
            raise RelvitError(f"{path} is no data set: a folder of images or an .npz is needed")
    message = f"unknown data set '{name}': {nearest(name, DATASETS.names())}"
    raise RelvitError(
        f"{message}; and there is no folder or .npz at {' or '.join(map(str, tried))}" if tried else message
    )


def identity(name: str | Path, data_dir: str | Path = "data") -> str:
    """What stands for a data set in ids: the same however its path is spelt, and wherever one is.

    A registered set's name; else the path, relative to the project root, or to data_dir, where it lies in one of them,
    as / separates it. Nothing is opened, so it says nothing of what the set holds: `stamp` does. Raises RelvitError.
    """
    found = find(name, data_dir)
    return found.name if isinstance(found, Source) else _short(found, data_dir)


def spelling(name: str | Path, data_dir: str | Path = "data") -> str:
    """The `identity`, as long as `find` knows the data set by it from here; else its absolute path."""
    found, short = find(name, data_dir), identity(name, data_dir)
    return short if isinstance(found, Source) or find(short, data_dir) == found else str(found)


def of_files(name: str) -> bool:
    """Whether a data set lies in image files, else in arrays; it need not be on this machine."""
    entry = _entry(name)
    return entry.info.files if entry else not name.lower().endswith(NPZ)


def stamp(name: str | Path, data_dir: str | Path = "data") -> str | None:
    """A digest of the path, size and time of all files that the data set is read from: 16 hexadecimal digits.

    While it is the same, so is the data; where it differs the data may have changed, and `load(...).digest` says
    whether it has. Cheap: no image is opened, and nothing is downloaded. None where the data is not on this machine,
    or not whole. Raises RelvitError for an unknown name.
    """
    found, data_dir = find(name, data_dir), resolve(data_dir)
    try:
        if isinstance(found, Path):
            return _of_images(folder.files(found, str(name))) if found.is_dir() else _of_files([found])
        if not found.kept_in:
            return _hash("comes with the installation")
        there = [path for path in (data_dir / part for part in found.kept_in) if path.exists()]
        if not there:
            return None
        if found.files is not None:
            return _of_images(found.files(data_dir, False))
        first = there[0]  # an .npz is preferred to torchvision's own files
        return _of_files([first] if first.suffix == NPZ else [file for path in there for file in _under(path)])
    except (OSError, RelvitError):
        return None


def _entry(name: str | Path) -> Source | None:
    if isinstance(name, str) and name in DATASETS:
        return DATASETS.get(name)
    plain = _plain(name)
    for entry in DATASETS:
        if plain and plain in (_plain(entry.name), *(other for other, own in SPELLINGS.items() if own == entry.name)):
            return entry
    return None


def _plain(name: str | Path) -> str:
    """ "CIFAR-100" and "cifar_100" -> "cifar100". "" for what can only be a path."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w -]+", name):
        return ""
    return re.sub(r"[\W_]", "", name).lower()


def _is_data(path: Path) -> bool:
    return os.path.isdir(path) or (path.suffix.lower() == NPZ and os.path.isfile(path))  # False for what is no name


def _short(path: Path, data_dir: str | Path) -> str:
    """The path relative to the project root, or to data_dir, if it is found again by that; else as it is."""
    root = project_root().resolve()
    for base in (root, resolve(data_dir).resolve()):
        if path.is_relative_to(base) and path != base:
            short = path.relative_to(base)
            if base == root or not _is_data(root / short):
                return f"./{short.as_posix()}" if _entry(short.as_posix()) else short.as_posix()
    return path.as_posix()


def _of_images(files: FileSet) -> str:
    return _hash(files.root.resolve(), packed.listing_digest(files))


def _of_files(files: Iterable[Path]) -> str:
    about = [(file.resolve(), file.stat()) for file in files]
    return _hash(*(f"{path} {found.st_size} {found.st_mtime_ns}" for path, found in about))


def _under(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _hash(*parts: object) -> str:
    text = "\n".join(map(str, parts))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
