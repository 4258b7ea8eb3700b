"""§4 (data sets): images in a folder, one folder a class (torchvision's ImageFolder layout)."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.data.base import Files, FileSet, Info

IMAGE_SIZE = 64  # where the caller names none
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
LAYOUT = "train/<class>/<image> with val/ or test/ beside train/, or <class>/<image> alone"
TEST_SHARE = 0.2  # of each class, where the folder has no splits


@dataclass(frozen=True)
class Listing:
    """Relative names (with /) by class for both splits."""

    train: dict[str, list[str]]
    test: dict[str, list[str]]
    test_split: str
    notes: tuple[str, ...]


def describe(root: Path, name: str) -> Info:
    """Without reading anything. Photographs: they may be flipped."""
    return Info(name, IMAGE_SIZE, paper=False, backbone="vit_nano", flip=True, files=True)


def files(root: Path, name: str) -> FileSet:
    """The images under root, by the layout of their folders. Classes are the folders' names, sorted.

    Raises RelvitError for another layout, a class without images, and splits with different classes.
    """
    listing = list_images(root)
    classes = tuple(sorted(listing.train))
    train, test = (
        Files(
            tuple(name for c in classes for name in part[c]),
            tuple(label for label, c in enumerate(classes) for _ in part[c]),
        )
        for part in (listing.train, listing.test)
    )
    return FileSet(name, root, train, test, classes, test_split=listing.test_split, notes=listing.notes)


def list_images(root: Path) -> Listing:
    """Which image is where, without opening any."""
    try:
        return _list_images(root)
    except OSError as error:
        raise RelvitError(f"{root} cannot be read: {error.strerror or error}") from error


def _list_images(root: Path) -> Listing:
    folders = _folders(root)
    if not folders:
        raise RelvitError(f"{root} holds no folders of images: {LAYOUT} is needed")
    if "train" in folders:
        return _given_splits(root, folders)
    if set(folders) <= {"val", "test"}:
        raise RelvitError(f"{root} has {' and '.join(folders)} but no train: {LAYOUT} is needed")
    for folder in folders:
        if "train" in _folders(root / folder):
            raise RelvitError(f"{root}: the data set seems to be a level further down, in {root / folder}")
    return _hashed_splits(root, folders)


def _given_splits(root: Path, folders: list[str]) -> Listing:
    notes = ()
    test_split = "test" if "test" in folders else "val"
    if test_split not in folders:
        raise RelvitError(
            f"{root} has train but neither val nor test. Add one, or give {root / 'train'} as the data set: "
            "it is then split for you"
        )
    if "val" in folders and test_split == "test":
        if _folders(root / "test"):
            notes = ("folder: the numbers are on test; val is left aside",)
        else:  # many public sets keep the labels of their test images back
            test_split = "val"
            notes = ("folder: test has no class folders, so the numbers are on val",)
    train, test = _by_class(root, "train"), _by_class(root, test_split)
    if train.keys() != test.keys():
        odd = [
            f"{', '.join(sorted(a - b)[:5])} only in {where}"
            for a, b, where in ((train.keys(), test.keys(), "train"), (test.keys(), train.keys(), test_split))
            if a - b
        ]
        raise RelvitError(f"{root}: train and {test_split} need the same class folders, but {'; '.join(odd)}")
    return Listing(train, test, test_split, notes)


def _hashed_splits(root: Path, folders: list[str]) -> Listing:
    """In each class, the fifth of the images whose names hash lowest: the same on every machine, in any order."""
    train, test = {}, {}
    for name, images in _by_class(root, "").items():
        if len(images) < 2:
            raise RelvitError(f"{root}: class {name} has one image, but needs two or more to be split for testing")
        ranked = sorted(images, key=lambda image: hashlib.sha256(image.encode("utf-8", "surrogateescape")).digest())
        count = max(1, round(TEST_SHARE * len(images)))
        test[name], train[name] = sorted(ranked[:count]), sorted(ranked[count:])
    counts = [sum(map(len, part.values())) for part in (train, test)]
    note = (
        f"folder: no splits in it, so each class was split 80/20 by a hash of the file names ({counts[0]:,} training "
    )
    return Listing(train, test, "test", (f"{note}and {counts[1]:,} test images)",))


def _by_class(root: Path, split: str) -> dict[str, list[str]]:
    """{class: sorted names relative to root} of one split ("" where there is none)."""
    base = root / split
    found = {name: _images_under(base / name, root) for name in _folders(base)}
    if not found:
        raise RelvitError(f"{base} holds no class folders: {LAYOUT} is needed")
    empty = [name for name, images in found.items() if not images]
    if empty:
        raise RelvitError(
            f"{base}: no images in class folder {', '.join(empty[:5])} (known endings: {' '.join(EXTENSIONS)})"
        )
    return found


def _folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if _shown(entry.name) and entry.is_dir())


def _images_under(folder: Path, root: Path) -> list[str]:
    """As ImageFolder: at any depth, links followed."""
    names = []
    for place, inner, files in os.walk(folder, followlinks=True, onerror=_raise):
        inner[:] = filter(_shown, inner)
        names += [Path(place, file) for file in files if _shown(file) and file.lower().endswith(EXTENSIONS)]
    return sorted(name.relative_to(root).as_posix() for name in names)


def _shown(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _raise(error: OSError) -> None:
    raise error
