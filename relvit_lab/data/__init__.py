"""§4 (data sets): images and labels by name, from a folder, or from an .npz.

A further set is one entry: a `Source` with its `Info` and a function that reads it, added to DATASETS.
"""

from pathlib import Path

from relvit_lab.data import cifar10, digits, folder, npz, packed
from relvit_lab.data.base import Dataset, Info, Source, Split, make_dataset
from relvit_lab.data.subsets import label_subset, subset
from relvit_lab.errors import RelvitError, nearest
from relvit_lab.paths import resolve
from relvit_lab.registry import Registry

__all__ = [
    "DATASETS", "Dataset", "Info", "Source", "Split", "describe", "fetch", "label_subset", "load", "make_dataset",
    "subset",
]  # fmt: skip

DATASETS: Registry[Source] = Registry("data set", (digits.SOURCE, cifar10.SOURCE))


def load(
    name: str | Path, data_dir: str | Path = "data", image_size: int | None = None, progress: bool | None = None
) -> Dataset:
    """A data set with uint8 images on the CPU, by a registered name, a folder of images, or an .npz.

    image_size is the side to which the photographs of a folder are brought (default 64); images that are stored as
    arrays keep theirs. progress: True shows a bar at once, None where it takes more than two seconds, False never.
    Relative paths are taken from the project root, then from data_dir. Raises RelvitError.
    """
    if image_size is not None and (isinstance(image_size, bool) or int(image_size) != image_size or image_size < 1):
        raise RelvitError(f"image_size is {image_size!r}, but must be a whole number of pixels, 1 or more")
    found = _find(name, data_dir)
    if isinstance(found, Source):
        return found.read(resolve(data_dir), image_size or found.info.image_size, progress)
    if found.is_dir():
        fileset = folder.files(found, str(name))
        return packed.load(fileset, resolve(data_dir), image_size or folder.IMAGE_SIZE, progress)
    return npz.read(found, str(name))


def describe(name: str | Path, data_dir: str | Path = "data") -> Info:
    """What is known of a data set without reading its images. Raises RelvitError where there is none of that name."""
    found = _find(name, data_dir)
    if isinstance(found, Source):
        return found.info
    return folder.describe(found, str(name)) if found.is_dir() else npz.describe(found, str(name))


def fetch(name: str | Path, data_dir: str | Path = "data", progress: bool | None = None) -> str:
    """Download a data set ahead of a run and verify it. Returns one line that says what is where, or RelvitError."""
    found = _find(name, data_dir)
    if isinstance(found, Path):
        return f"nothing to download: {found} is on this machine"
    if found.fetch is None:
        return f"nothing to download: {found.name} comes with the installation"
    return found.fetch(resolve(data_dir), progress)


def _find(name: str | Path, data_dir: str | Path) -> Source | Path:
    """The entry of that name, else the folder or .npz of that path."""
    if name in DATASETS:
        return DATASETS.get(name)
    if str(name).strip():  # "" would be the project root
        tried = dict.fromkeys((resolve(name), resolve(data_dir) / name))
    else:
        tried = {}
    for path in tried:
        if path.is_dir() or (path.suffix == ".npz" and path.is_file()):
            return path
        if path.is_file():
            raise RelvitError(f"{path} is no data set: a folder of images or an .npz is needed")
    places = " or ".join(map(str, tried))
    message = f"unknown data set '{name}': {nearest(name, DATASETS.names())}"
    raise RelvitError(f"{message}; and there is no folder or .npz at {places}" if places else message)
