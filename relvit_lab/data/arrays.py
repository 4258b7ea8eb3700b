"""§4 (data sets): the sets of 32 x 32 colour images that are stored as arrays, from an .npz or torchvision's files."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from relvit_lab.common.errors import RelvitError
from relvit_lab.data import npz
from relvit_lab.data.base import Dataset, Info, Source, Split, count_note, make_dataset
from relvit_lab.data.download import download_once


@dataclass(frozen=True)
class ArraySet:
    """What such a set is, and how its own files are had.

    normalisation: (mean, std); at_224: as in Source. fault(folder), and get(folder, data_dir, progress), as in
    download_once. split(folder, train): a split from verified files. own: the files or folders of data_dir that these
    are.
    """

    info: Info
    classes: tuple[str, ...]
    normalisation: tuple[tuple[float, float, float], tuple[float, float, float]]
    at_224: tuple[tuple[float, float, float], tuple[float, float, float]]
    fault: Callable[[Path], str]
    get: Callable[[Path, Path, bool | None], None]
    split: Callable[[Path, bool], Split]
    own: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.info.name

    def source(self) -> Source:
        kept_in = (f"{self.name}.npz", *self.own)
        return Source(self.info, partial(read, self), partial(fetch, self), kept_in=kept_in, at_224=self.at_224)


def info_at_32(name: str, title: str, training: int, test: int) -> Info:
    """Of the paper's sets of 32 px. flip: the released code mirrors every set, house numbers too."""
    images = {"training": training, "test": test}
    return Info(name, image_size=32, paper=True, backbone="vit_s_4", flip=True, title=title, images=images)


def read(this: ArraySet, data_dir: Path, image_size: int, progress: bool | None) -> Dataset:
    """From data_dir/<name>.npz where that is present, else from torchvision's files, downloaded where they are missing.

    Images keep their 32 pixels. Raises RelvitError where there is no network for that, or where the .npz holds
    something else.
    """
    packed = _packed(this, data_dir)
    if packed.is_file():
        train, test = _from_npz(this, packed)
    else:
        fetch(this, data_dir, progress)
        train, test = this.split(data_dir, True), this.split(data_dir, False)
    found = {"training": len(train), "test": len(test)}
    notes = count_note(packed.name if packed.is_file() else this.name, found, this.info.images)
    return make_dataset(this.name, train, test, this.classes, this.normalisation, notes=notes)


def fetch(this: ArraySet, data_dir: Path, progress: bool | None = None) -> str:
    """Download and verify, or verify what is there. Returns one line that says which. Raises RelvitError."""
    packed = _packed(this, data_dir)
    if packed.is_file():
        _from_npz(this, packed)
        return f"{this.name} is there already: {packed}"
    otherwise = f"; or put {packed.name} with {', '.join(npz.KEYS)} there"

    def get(folder: Path) -> None:
        this.get(folder, data_dir, progress)

    fresh = download_once(this.name, data_dir, this.fault, get, otherwise, progress)
    return f"{this.name} is {'now in' if fresh else 'there already:'} {data_dir}"


def _packed(this: ArraySet, data_dir: Path) -> Path:
    return data_dir / f"{this.name}.npz"


def _from_npz(this: ArraySet, path: Path) -> tuple[Split, Split]:
    images, labels = npz.read_arrays(path)
    most = len(this.classes) - 1
    splits = []
    for key in ("train", "test"):
        x, y = images[f"x_{key}"], labels[f"y_{key}"]
        if x.shape[1:] != (3, 32, 32) or y.dtype.kind not in "iu" or y.min() < 0 or y.max() > most:
            raise RelvitError(
                f"{path} is not {this.info.title}: x_{key}, y_{key} are not 32 x 32 colour images labelled 0 to {most}"
            )
        splits.append(Split(x, torch.from_numpy(y.astype("int64"))))
    return splits[0], splits[1]
