"""§4 (data sets): images in a folder, one folder a class (torchvision's ImageFolder layout)."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from relvit_lab.data.base import Dataset, Info, Split, bar, make_dataset
from relvit_lab.errors import RelvitError

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SIZE = 64  # where the caller names none
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
LAYOUT = "train/<class>/<image> with val/ or test/ beside train/, or <class>/<image> alone"
TEST_SHARE = 0.2  # of each class, where the folder has no splits
MANY_BROKEN = 5  # so many broken images are named before giving up


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


def read(root: Path, name: str, image_size: int = IMAGE_SIZE, progress: bool | None = None) -> Dataset:
    """The images under root: RGB, turned as their EXIF says, the short side resized to image_size, the middle cropped.

    Classes are the folders' names, sorted. Raises RelvitError for another layout, a class without images, splits with
    different classes, and, by name, for images that cannot be read.
    """
    listing = list_images(root)
    classes = sorted(listing.train)
    train, test = (
        [(name, n) for n, c in enumerate(classes) for name in part[c]] for part in (listing.train, listing.test)
    )
    labels = torch.tensor([label for _, label in train + test])
    images = torch.from_numpy(_decode_all(root, [name for name, _ in train + test], image_size, progress))
    cut = len(train)
    splits = Split(images[:cut], labels[:cut]), Split(images[cut:], labels[cut:])
    return make_dataset(name, *splits, classes, test_split=listing.test_split, notes=listing.notes)


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


def _decode_all(root: Path, names: list[str], size: int, progress: bool | None) -> np.ndarray:
    """(n, 3, size, size) uint8. Threads: Pillow decodes and resizes outside Python's lock."""
    from PIL import Image

    Image.init()  # loads its formats, which threads must not do at once
    try:
        images = np.empty((len(names), 3, size, size), np.uint8)
    except MemoryError:
        need = len(names) * 3 * size * size / 2**30
        raise RelvitError(f"{root}: {len(names):,} images of {size} x {size} take {need:.0f} GiB: too much") from None

    def decode(index: int) -> str | None:
        try:
            images[index] = decode_image(root / names[index], size)
        except Exception as error:  # a damaged file can make Pillow raise nearly anything
            return f"{root / names[index]} ({str(error) or type(error).__name__})"

    broken = []
    workers = ThreadPoolExecutor(min(16, max(4, os.cpu_count() or 1)))
    try:
        for problem in bar(workers.map(decode, range(len(names))), len(names), "reading images", progress):
            if problem:
                broken.append(problem)
            if len(broken) == MANY_BROKEN:
                break
    finally:
        workers.shutdown(cancel_futures=True)
    if broken:
        more = "\n(there may be more)" if len(broken) == MANY_BROKEN else ""
        raise RelvitError("cannot read these images; mend or remove them:\n" + "\n".join(broken) + more)
    return images


def decode_image(path: Path, size: int) -> np.ndarray:
    """One image as uint8 (3, size, size): torchvision's Resize(size) and CenterCrop(size) of the upright RGB image.

    Photographs of four times the size and more are decoded at a lower resolution first (at least twice the size).
    """
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        image.draft(None, (2 * size, 2 * size))
        image = _rgb(ImageOps.exif_transpose(image))
        width, height = image.size
        short = min(width, height)
        wide, high = (size * side // short for side in (width, height))
        image = image.resize((wide, high), Image.Resampling.BILINEAR)  # Pillow's filters are antialiased
        left, top = round((wide - size) / 2), round((high - size) / 2)
        pixels = np.asarray(image.crop((left, top, left + size, top + size)))
    return pixels.transpose(2, 0, 1)  # (H,W,C) -> (C,H,W)


def _rgb(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits a pixel; convert() would cut all above 255 off
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("its pixels are floats, of which the range is not known")
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
