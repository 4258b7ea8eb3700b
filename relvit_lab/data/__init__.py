"""§4 (data sets): images and labels by name, from a folder, or from an .npz.

A further set is one entry: a `Source` with its `Info` and a function that reads it, or lists its files, added to
DATASETS (catalog.py).
"""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.paths import resolve
from relvit_lab.common.values import is_whole
from relvit_lab.data import folder, npz, packed
from relvit_lab.data.base import Dataset, Files, FileSet, Info, Source, Split, make_dataset
from relvit_lab.data.catalog import DATASETS, find, identity, of_files, spelling, stamp
from relvit_lab.data.packed import stored_side
from relvit_lab.data.subsets import label_subset, subset

__all__ = [
    "DATASETS", "Dataset", "Info", "Source", "Split", "describe", "fetch", "identity", "label_subset", "load",
    "make_dataset", "of_files", "spelling", "stamp", "stored_side", "subset",
]  # fmt: skip

Whole = TypeVar("Whole", Dataset, FileSet)


def load(
    name: str | Path,
    data_dir: str | Path = "data",
    image_size: int | None = None,
    progress: bool | None = None,
    source: str = "packed",
    train_on: str = "train",
    train_images: int | None = None,
    test_images: int | None = None,
) -> Dataset:
    """A data set with uint8 images on the CPU, by a registered name, a folder of images, or an .npz.

    image_size is the side of the run's images, for which photographs are packed (packed.stored_side; by default the
    set's own, 64 for a folder); images that are stored as arrays keep theirs. progress: True shows a bar at once, None
    where it takes more than two seconds, False never. source "files": training crops each original anew (image files
    only). train_on "train+val": the validation images are trained on too. train_images, test_images: use a fixed subset
    of that size (`subset`, keys "train" and "test"; a further val split is cut down to test_images too); of image files
    nothing else is decoded. Relative paths are looked for in the working directory, the project root, then data_dir.
    Raises RelvitError.
    """
    if image_size is not None and (not is_whole(image_size) or image_size < 1):
        raise RelvitError(f"image_size is {image_size!r}, but must be a whole number of pixels, 1 or more")
    for what, value, known in (("source", source, ("packed", "files")), ("train_on", train_on, ("train", "train+val"))):
        if value not in known:
            raise RelvitError(f"unknown {what} '{value}': {nearest(value, known)}")
    found = find(name, data_dir)
    data_dir = resolve(data_dir)
    fileset = None
    if isinstance(found, Source):
        size = image_size or found.info.image_size
        if found.files is not None:
            fileset = found.files(data_dir, progress)
    elif found.is_dir():
        size = image_size or folder.IMAGE_SIZE
        fileset = folder.files(found, str(name))
    if train_on == "train+val" and (fileset is None or fileset.val is None):
        have = ", ".join(entry.name for entry in DATASETS if entry.info.has_val)
        raise RelvitError(f"{name} has no validation images beside its test images to train on: leave train_on out "
                          f"(only {have} has them)")  # fmt: skip
    if fileset is not None:
        if train_on == "train+val" and fileset.val is not None:
            both = Files(fileset.train.names + fileset.val.names, fileset.train.labels + fileset.val.labels)
            fileset = replace(fileset, train=both, val=None)
        return packed.load(_cut(fileset, train_images, test_images), data_dir, size, progress, source)
    if source == "files":
        raise RelvitError(f"{name} is stored as arrays: source 'files' is for image files, leave it out")
    if isinstance(found, Path):
        whole = npz.read(found, str(name))
    elif found.read is not None:
        whole = found.read(data_dir, size, progress)
    else:
        raise TypeError(f"the entry '{found.name}' has neither read nor files")
    return _cut(whole, train_images, test_images)


def describe(name: str | Path, data_dir: str | Path = "data") -> Info:
    """What is known of a data set without reading its images. Raises RelvitError where there is none of that name."""
    found = find(name, data_dir)
    if isinstance(found, Source):
        return found.info
    return folder.describe(found, str(name)) if found.is_dir() else npz.describe(found, str(name))


def fetch(name: str | Path, data_dir: str | Path = "data", progress: bool | None = None) -> str:
    """Download a data set ahead of a run and verify it. Returns what is where, in a line or more, or RelvitError."""
    found = find(name, data_dir)
    if isinstance(found, Path):
        return f"nothing to download: {found} is on this machine"
    if found.fetch is None:
        return f"nothing to download: {found.name} comes with the installation"
    return found.fetch(resolve(data_dir), progress)


def _cut(whole: Whole, train_images: int | None, test_images: int | None) -> Whole:
    """The part of a data set that a run looks at."""
    sizes = {"train": train_images, "test": test_images, "val": test_images if whole.val else None}
    parts = {split: subset(getattr(whole, split), size, split) for split, size in sizes.items() if size is not None}
    return replace(whole, **parts)
