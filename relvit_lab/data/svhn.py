"""§4 (data sets): SVHN, photographed house numbers. Training and test images; the paper leaves its `extra` ones out."""

import shutil
from pathlib import Path

import torch

from relvit_lab.data.arrays import ArraySet, info_at_32
from relvit_lab.data.base import Split
from relvit_lab.data.download import obtain


def _fault(folder: Path) -> str:
    from torchvision.datasets.utils import check_integrity

    wrong = [name for _, name, md5 in _files() if not check_integrity(folder / name, md5)]
    return f"{wrong[0]} is missing or damaged" if wrong else ""


def _get(folder: Path, data_dir: Path, progress: bool | None) -> None:
    for url, name, md5 in _files():
        file = obtain(url, md5, folder, data_dir)
        if file.parent != folder:  # one of the two was there
            shutil.copyfile(file, folder / name)


def _files() -> list[tuple[str, str, str]]:
    """Address, name and MD5, as torchvision knows them."""
    from torchvision.datasets import SVHN

    return [tuple(SVHN.split_list[split]) for split in ("train", "test")]


def _split(folder: Path, train: bool) -> Split:
    from torchvision.datasets import SVHN

    whole = SVHN(folder, "train" if train else "test")  # (n,C,H,W); the label 10 of a zero is 0 here
    return Split(torch.from_numpy(whole.data).contiguous(), torch.from_numpy(whole.labels))


SVHN_DIGITS = ArraySet(
    info_at_32("svhn", "SVHN", 73_257, 26_032),
    tuple("0123456789"),
    ((0.4378, 0.4439, 0.4729), (0.1981, 0.2011, 0.1970)),
    ((0.4377, 0.4438, 0.4728), (0.1960, 0.1989, 0.1955)),
    _fault,
    _get,
    _split,
    ("train_32x32.mat", "test_32x32.mat"),
)
