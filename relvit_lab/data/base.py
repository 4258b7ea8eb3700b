"""§4 (data sets): what every data set is here, whatever it was read from."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError

Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]
"""The mean and the standard deviation of images in [0, 1], by channel."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images (n, C, H, W) uint8, C 1 or 3 and H = W, and labels (n,) int64 in 0..K-1, on the CPU."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Files:
    """A split that lies in files: their names relative to a root, with /, and their labels in 0..K-1."""

    names: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class FileSet:
    """A data set of image files, listed but not opened: what is packed (packed.py) or read file by file.

    normalisation: where it is known; None: computed from the training images, once. The rest as in Dataset.
    """

    name: str
    root: Path
    train: Files
    test: Files
    classes: tuple[str, ...]
    val: Files | None = None
    normalisation: Normalisation | None = None
    test_split: str = "test"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Dataset:
    """The splits and what a run must know about them.

    mean and std are three floats for images in [0, 1] (three equal ones for one channel). test_split ("test" or "val")
    says which split `test` is; val is a further one, where there is one beside the test images. digest changes when an
    image or a label does. notes: what a person should be told. centre: the side, in stored pixels, of the middle square
    that evaluation looks at (None: all of the image). files: the training images as files, where each is to be
    cropped anew from its original (data_source "files"); train.images is then not used for training.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    test_split: str
    digest: str
    notes: tuple[str, ...] = ()
    val: Split | None = None
    centre: int | None = None
    files: FileSet | None = None

    @property
    def image_size(self) -> int:
        return self.train.images.shape[-1]

    @property
    def channels(self) -> int:
        return self.train.images.shape[1]


@dataclass(frozen=True)
class Info:
    """What is known of a data set before its images are read.

    name: in ids and on command lines. image_size: the side of its images. paper: whether §4 uses it. backbone: the one
    of Table 2, or vit_nano. flip: whether a mirrored image is still of its class. files: whether it lies in image files
    (else in arrays). has_val: whether it has validation images beside the test images. title: as people write its name;
    None: as `name`. images: how many were published, by split ("training", "val", "test"); {} where that is not known.
    """

    name: str
    image_size: int
    paper: bool
    backbone: str
    flip: bool
    files: bool = False
    has_val: bool = False
    title: str | None = field(default=None, compare=False)
    images: Mapping[str, int] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Source:
    """An entry of the registry: a set stored as arrays has `read`, one of image files has `files`.

    read(data_dir, image_size, progress) -> Dataset. files(data_dir, progress) -> FileSet. Both download what is missing
    where they can. fetch(data_dir, progress) downloads what is missing, verifies what is there, and returns what
    to tell a person, a line or more; None where there is nothing to download. kept_in: the files or folders of data_dir
    that it is read from, an .npz that replaces the others first; none where it comes with the installation. at_224: the
    normalisation of its small images upscaled to 224 px, which the released code has.
    """

    info: Info
    read: Callable[[Path, int, bool | None], Dataset] | None = None
    fetch: Callable[[Path, bool | None], str] | None = None
    files: Callable[[Path, bool | None], FileSet] | None = None
    kept_in: tuple[str, ...] = ()
    at_224: Normalisation | None = None

    @property
    def name(self) -> str:
        return self.info.name


def make_dataset(
    name: str, train: Split, test: Split, classes: Iterable[str], normalisation: Normalisation | None = None,
    test_split: str = "test", notes: tuple[str, ...] = (),
) -> Dataset:  # fmt: skip
    """A Dataset with its digest and, where `normalisation` is None, the mean and std of its training images. Raises
    RelvitError where a split is not as Split says, or a label is none of the classes."""
    classes = tuple(classes)
    for what, split in (("training", train), (test_split, test)):
        _check_split(f"{name}: the {what}", split, len(classes))
    mean, std = normalisation or mean_std(train.images)
    notes += class_note(name, classes) + (blank_note(name, train.images) or blank_note(name, test.images))
    return Dataset(name, train, test, classes, mean, std, test_split, digest(train, test), notes)


def _check_split(which: str, split: Split, classes: int) -> None:
    images, labels = split.images, split.labels
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, 3) or shape[2] != shape[3]:
        raise RelvitError(f"{which} images are {images.dtype} {shape}, not uint8 (n, C, H, H) with 1 or 3 channels")
    if labels.dtype != torch.int64 or labels.shape != shape[:1] or not len(labels):
        found = f"{labels.dtype} {tuple(labels.shape)}"
        raise RelvitError(f"{which} labels are {found}, not int64 (n,) for n = {shape[0]} images, at least 1")
    if labels.min() < 0 or labels.max() >= classes:
        found = f"{labels.min()} to {labels.max()}"
        raise RelvitError(f"{which} labels are {found}, not 0 to {classes - 1}: there are {classes} classes")


def count_note(name: str, found: Mapping[str, int], published: Mapping[str, int]) -> tuple[str, ...]:
    """Both are {split: images}. () where they agree, else a note: a reduced set looks the same as a damaged copy."""
    if dict(found) == dict(published):
        return ()
    return (f"{name}: {_words(found)} images, where {_words(published)} are published",)


def summary(found: FileSet, fresh: bool) -> str:
    """What is where, on one line, with how many images; then the notes. fresh: it was downloaded just now."""
    splits = {"training": found.train, "val": found.val, found.test_split: found.test}
    counts = {split: len(files) for split, files in splits.items() if files is not None}
    place = f"{found.name} is {'now in' if fresh else 'there already:'} {found.root} ({_words(counts)} images)"
    return "\n".join((place, *found.notes))


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in counts.items())


def class_note(name: str, classes: Sequence[str]) -> tuple[str, ...]:
    """() or a note where there is nothing to tell apart."""
    if len(classes) > 1:
        return ()
    alone = f"{Path(name).name}: one class only ({classes[0]})"
    return (f"{alone}, so accuracy says nothing; pretext tasks need no classes",)


def blank_note(name: str, images: Tensor) -> tuple[str, ...]:
    """() or a note where uint8 images (n, C, H, W) have next to no content. Up to 64 of them are looked at."""
    seen = images[:: (len(images) - 1) // 64 + 1].double() / 255
    deviation = seen.std(correction=0)
    if deviation * 255 >= 2:
        return ()
    found = f"mean {seen.mean():.4f}, standard deviation {deviation:.4f}, where white is 1"
    return (f"{Path(name).name}: the images are all but empty ({found}): were they divided by 255 twice?",)


def mean_std(images: Tensor) -> Normalisation:
    """Mean and (population) standard deviation by channel of uint8 images (n, C, H, W), as three floats each in [0, 1].

    The sums are exact: whole numbers in float64. A channel that is all one value gets one grey level as its std.
    """
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for chunk in images.split(1024):
        values = chunk.double()
        total += values.sum((0, 2, 3))
        squares += values.square().sum((0, 2, 3))
    return from_sums(total, squares, images.numel() // images.shape[1])


def from_sums(total: Tensor, squares: Tensor, pixels: int) -> Normalisation:
    """The same from the sums of so many pixels and of their squares, by channel, (C,) float64."""
    mean = total / pixels
    std = (squares / pixels - mean.square()).clamp(min=1).sqrt()
    three = [(values / 255).expand(3).tolist() for values in (mean, std)]  # (1,) or (3,) -> (3,)
    return tuple(three[0]), tuple(three[1])


def digest(*splits: Split, pixels: str = "") -> str:
    """sha256 of the splits' shapes, labels and images, as 64 hexadecimal digits. pixels: stands for all images."""
    state = hashlib.sha256(pixels.encode())
    for split in splits:
        state.update(repr(tuple(split.images.shape)).encode())
        state.update(split.labels.contiguous().numpy().data)
        if not pixels:
            state.update(split.images.contiguous().numpy().data)
    return state.hexdigest()


def bar(total: int | None, what: str, progress: bool | None = None, items: Iterable | None = None) -> Any:
    """A progress bar (tqdm's) over `items`, or one to be told by its `update(n)` how many more images are done.

    progress: True shows it at once, None after two seconds, False never.
    """
    from tqdm import tqdm

    terminal = sys.stderr is not None and sys.stderr.isatty()
    interval = 0.1 if terminal else 5  # a log keeps every refresh
    return tqdm(
        items, total=total, desc=what, unit=" images", delay=0 if progress else 2, mininterval=interval,
        disable=progress is False,
    )  # fmt: skip
