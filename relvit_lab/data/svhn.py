"""§4 (data sets): SVHN, photographed house numbers. Training and test images; the paper leaves its `extra` ones out."""

from pathlib import Path

import torch

from relvit_lab.data.arrays import array_source
from relvit_lab.data.base import Split
from relvit_lab.data.download import obtain_into


def _fault(folder: Path) -> str:
    from torchvision.datasets.utils import check_integrity

    wrong = [name for _, name, md5 in _files() if not check_integrity(folder / name, md5)]
    return f"{wrong[0]} is missing or damaged" if wrong else ""


def _get(folder: Path, data_dir: Path, progress: bool | None) -> None:
    for url, _, md5 in _files():
        obtain_into(url, md5, folder, data_dir)


def _files() -> list[tuple[str, str, str]]:
    """Address, name and MD5, as torchvision knows them."""
    from torchvision.datasets import SVHN

    return [tuple(SVHN.split_list[split]) for split in ("train", "test")]


def _split(folder: Path, train: bool) -> Split:
    from torchvision.datasets import SVHN

    whole = SVHN(folder, "train" if train else "test")  # (n,C,H,W); the label 10 of a zero is 0 here
    return Split(torch.from_numpy(whole.data).contiguous(), torch.from_numpy(whole.labels))


SOURCE = array_source(
    "svhn", "SVHN", 73_257, 26_032, tuple("0123456789"), ("train_32x32.mat", "test_32x32.mat"),
    ((0.4378, 0.4439, 0.4729), (0.1981, 0.2011, 0.1970)), ((0.4377, 0.4438, 0.4728), (0.1960, 0.1989, 0.1955)),
    _fault, _get, _split,
)  # fmt: skip
