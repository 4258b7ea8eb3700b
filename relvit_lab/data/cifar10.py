"""§4 (data sets): CIFAR-10, from cifar10.npz in the data folder or through torchvision's class."""

from pathlib import Path

import torch

from relvit_lab.data import npz
from relvit_lab.data.base import Dataset, Info, Source, Split, make_dataset
from relvit_lab.data.download import download_once
from relvit_lab.errors import RelvitError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NORMALISATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def read(data_dir: Path, image_size: int, progress: bool | None) -> Dataset:
    """50,000 training and 10,000 test images, 32 x 32. Downloads them where they are missing.

    Raises RelvitError where there is no network for that, or where cifar10.npz holds something else.
    """
    packed = data_dir / "cifar10.npz"
    if packed.is_file():
        train, test, notes = _from_npz(packed)
    else:
        fetch(data_dir, progress)
        train, test, notes = *_from_torchvision(data_dir), ()
    return make_dataset("cifar10", train, test, CLASSES, NORMALISATION, notes=notes)


def fetch(data_dir: Path, progress: bool | None = None) -> str:
    """Download and verify, or verify what is there. Returns one line that says which. Raises RelvitError."""
    packed = data_dir / "cifar10.npz"
    if packed.is_file():
        _from_npz(packed)
        return f"cifar10 is there already: {packed}"
    otherwise = f"; or put cifar10.npz with {', '.join(npz.KEYS)} there"
    fresh = download_once("cifar10", data_dir, _whole, lambda folder: _get(folder, data_dir), otherwise, progress)
    return f"cifar10 is {'now in' if fresh else 'there already:'} {data_dir}"


def _from_npz(path: Path) -> tuple[Split, Split, tuple[str, ...]]:
    images, labels = npz.read_arrays(path)
    splits = []
    for key in ("train", "test"):
        x, y = images[f"x_{key}"], labels[f"y_{key}"]
        if x.shape[1:] != (3, 32, 32) or y.dtype.kind not in "iu" or y.min() < 0 or y.max() > 9:
            raise RelvitError(f"{path} is not CIFAR-10: x_{key}, y_{key} are not 32 x 32 colour images labelled 0 to 9")
        splits.append(Split(x, torch.from_numpy(y.astype("int64"))))
    train, test = splits
    if (len(train), len(test)) == (50_000, 10_000):
        return train, test, ()
    return train, test, (f"cifar10.npz holds {len(train):,} and {len(test):,} images, not all 50,000 and 10,000",)


def _from_torchvision(folder: Path) -> tuple[Split, Split]:
    from torchvision.datasets import CIFAR10

    splits = []
    for train in (True, False):
        whole = CIFAR10(folder, train=train)
        images = torch.from_numpy(whole.data).permute(0, 3, 1, 2).contiguous()  # (n,H,W,C) -> (n,C,H,W)
        splits.append(Split(images, torch.tensor(whole.targets)))
    return splits[0], splits[1]


def _whole(folder: Path) -> bool:
    """Whether every file is there with the MD5 that torchvision knows."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    files = [*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])]
    return all(check_integrity(folder / CIFAR10.base_folder / name, md5) for name, md5 in files)


def _get(folder: Path, data_dir: Path) -> None:
    """Into `folder`, out of an archive that someone put into data_dir, else from the network."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity, extract_archive

    archive = data_dir / CIFAR10.filename
    if check_integrity(archive, CIFAR10.tgz_md5):
        extract_archive(archive, folder)
    else:
        CIFAR10(folder, download=True)
        (folder / CIFAR10.filename).unlink(missing_ok=True)  # the archive has served


SOURCE = Source(Info("cifar10", image_size=32, paper=True, backbone="vit_s_4", flip=True), read, fetch)
