"""§4 (data sets): CIFAR-10 and CIFAR-100 in the files of torchvision's classes, which know their addresses and MD5s."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from relvit_lab.data.arrays import array_source
from relvit_lab.data.base import Normalisation, Source, Split
from relvit_lab.data.download import obtain_archive

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

CLASSES_10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLASSES_100 = tuple((Path(__file__).parent / "class_names" / "cifar100.txt").read_text(encoding="utf-8").split())
"""The fine labels, in their order; here too because an .npz has no names."""


def _torchvision(name: str) -> "type[CIFAR10]":
    from torchvision import datasets

    return getattr(datasets, name)


def _fault(kind: str, folder: Path) -> str:
    from torchvision.datasets.utils import check_integrity

    theirs = _torchvision(kind)
    files = [*theirs.train_list, *theirs.test_list, (theirs.meta["filename"], theirs.meta["md5"])]
    if not (folder / theirs.base_folder).is_dir():
        return f"there is no {theirs.base_folder}"
    wrong = [name for name, md5 in files if not check_integrity(folder / theirs.base_folder / name, md5)]
    return f"{theirs.base_folder}/{wrong[0]} is missing or damaged" if wrong else ""


def _get(kind: str, folder: Path, data_dir: Path, progress: bool | None) -> None:
    theirs = _torchvision(kind)
    obtain_archive(theirs.url, theirs.tgz_md5, folder, data_dir, progress)


def _split(kind: str, folder: Path, train: bool) -> Split:
    whole = _torchvision(kind)(folder, train=train)
    images = torch.from_numpy(whole.data).permute(0, 3, 1, 2).contiguous()  # (n,H,W,C) -> (n,C,H,W)
    return Split(images, torch.tensor(whole.targets))


def _source(own: str, classes: tuple[str, ...], normalisation: Normalisation, at_224: Normalisation) -> Source:
    count = len(classes)
    kind = f"CIFAR{count}"
    return array_source(
        f"cifar{count}", f"CIFAR-{count}", 50_000, 10_000, classes, (own,), normalisation, at_224,
        partial(_fault, kind), partial(_get, kind), partial(_split, kind),
    )  # fmt: skip


CIFAR_10 = _source(
    "cifar-10-batches-py", CLASSES_10,
    ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)), ((0.4914, 0.4822, 0.4465), (0.2413, 0.2378, 0.2564)),
)  # fmt: skip
CIFAR_100 = _source(
    "cifar-100-python", CLASSES_100,
    ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2761)), ((0.5070, 0.4865, 0.4409), (0.2622, 0.2513, 0.2714)),
)  # fmt: skip
