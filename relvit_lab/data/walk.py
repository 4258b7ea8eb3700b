"""§4 (data sets): the image files below a folder, each once, and what is left out there."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.words import plural, some

EXTENSIONS = (  # of the formats that images.py opens
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".avif", ".avifs", ".tif", ".tiff",
    ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".qoi",
    ".tga", ".icb", ".vda", ".vst", ".ico", ".icns", ".pcx", ".sgi", ".rgb", ".rgba", ".bw", ".dds", ".blp",
    ".msp", ".xbm",
)  # fmt: skip
LAYOUT = "train/<class>/<image> with val/ or test/ beside train/, or <class>/<image> alone"
SYSTEM = {  # folders that file systems, network drives and archivers make
    "__macosx", "__pycache__", "lost+found", "system volume information", "$recycle.bin", "$extend", "recycler",
    "recycled", "found.000", "#recycle", "#snapshot", "@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin",
    "@appstore", "@database", "@sharesnap", "@synoeastream", "@synoresource", "~snapshot", "temporary items",
    "network trash folder",
}  # fmt: skip
UNSAID = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")  # files of such: nobody misses them


class Walk:
    """Lists images below root and remembers what it saw: {(device, inode): name}, the ending of each file that is left
    out, and images that lie in no class."""

    def __init__(self, root: Path):
        self.root = root
        self.seen: dict[tuple, str] = {}
        self.others: Counter[str] = Counter()
        self.loose: list[str] = []

    def by_class(self, split: str) -> dict[str, list[str]]:
        """{class: sorted names relative to root} of the folder of one split ("" where there is none). A class folder's
        images may lie at any depth, and links are followed, as in ImageFolder. Raises RelvitError."""
        base = self.root / split
        found = {name: self._class(base / name) for name in class_folders(base)}
        if not found:
            raise RelvitError(f"{base} holds no class folders: {LAYOUT} is needed")
        if empty := [name for name, images in found.items() if not images]:
            there = f"; left out so far: {_endings(self.others)}" if self.others else ""
            raise RelvitError(
                f"{base}: no images in class folder {', '.join(empty[:5])} (known endings: {' '.join(EXTENSIONS)})"
                f"{there}"
            )
        for place in dict.fromkeys((split, "")):  # images that lie directly in a folder
            for entry in sorted(os.scandir(self.root / place), key=lambda entry: entry.name):
                if _shown(entry.name) and _is_image(entry.name) and entry.is_file():
                    self.loose.append((Path(place) / entry.name).as_posix())
        return found

    def _class(self, folder: Path) -> list[str]:
        names: list[str] = []
        own: dict[tuple, str] = {}
        for path in sorted(_files(folder)):
            name = path.relative_to(self.root).as_posix()
            if not _is_image(name):
                if path.name.lower() not in UNSAID:
                    self.others[path.suffix.lower()] += 1
                continue
            try:
                about = os.stat(path)
            except OSError:  # the image is named where it is opened
                names.append(name)
                continue
            if not stat.S_ISREG(about.st_mode):  # opening a pipe would wait for ever
                self.others["special"] += 1
                continue
            file: tuple = (about.st_dev, about.st_ino) if about.st_ino else (os.path.realpath(path),)
            if file in self.seen:
                raise RelvitError(
                    f"{self.root}: {self.seen[file]} and {name} are the same file in two classes: remove one of them"
                )
            if file not in own:
                own[file] = name
                names.append(name)
        self.seen |= own
        return sorted(names)


def class_folders(path: Path) -> list[str]:
    """The folders in a folder, sorted, without those of the system and links to what holds them."""
    if not path.is_dir():
        return []
    return sorted(
        entry.name for entry in os.scandir(path) if _shown(entry.name) and entry.is_dir() and not _leads_up(entry)
    )


def left_out(*walks: Walk) -> tuple[str, ...]:
    """() or a note on the files that no class has."""
    others: Counter[str] = sum((walk.others for walk in walks), Counter())
    loose = list(dict.fromkeys(name for walk in walks for name in walk.loose))
    said = [f"{_endings(others)} in the class folders"] if others else []
    if loose:
        said += [f"{plural(len(loose), 'image')} beside the class folders ({some(loose, 3)})"]
    return (f"folder: left out {' and '.join(said)}",) if said else ()


def _endings(others: Counter[str]) -> str:
    """ "3 .heic, 1 .txt, 2 without an ending"."""
    words = {"": "without an ending", "special": "that are no regular files"}
    return ", ".join(f"{count:,} {words.get(end, end)}" for end, count in sorted(others.items()))


def _files(folder: Path) -> Iterator[Path]:
    """All that is no folder, at any depth; a folder that links lead to twice is entered once."""
    entered: set[object] = set()
    for place, inner, files in os.walk(folder, followlinks=True, onerror=_raise):
        about = os.stat(place)
        real = (about.st_dev, about.st_ino) if about.st_ino else os.path.realpath(place)
        if real in entered:
            inner.clear()
            continue
        entered.add(real)
        inner[:] = sorted(name for name in inner if _shown(name) and not _leads_up(Path(place, name)))
        yield from (Path(place, name) for name in files if _shown(name))


def _leads_up(path: os.PathLike) -> bool:
    """Whether it is a link to a folder that it lies in itself."""
    if not os.path.islink(path):
        return False
    return Path(os.path.realpath(os.path.dirname(path))).is_relative_to(os.path.realpath(path))


def _shown(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in SYSTEM


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def _raise(error: OSError) -> None:
    raise error
