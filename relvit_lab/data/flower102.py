"""§4 (data sets): Flower-102. The paper scores it on val (1,020 images); the test images are 6,149."""

import shutil
from pathlib import Path
from typing import Any

from relvit_lab.common.errors import RelvitError
from relvit_lab.data.base import Files, FileSet, Info, Source, count_note, summary
from relvit_lab.data.download import files_once, obtain, obtain_archive
from relvit_lab.data.wnids import image_names, some

ROOT = "flowers-102"  # as torchvision's Flowers102 has it
ADDRESS = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
MD5 = {
    "102flowers.tgz": "52808999861908f626f3c1f4e79d11fa",
    "imagelabels.mat": "e0620be6f572b9609742df49c70aed4d",
    "setid.mat": "a5357ecc9cb78c4bef273ce3793fc85c",
}
KEYS = {"training": "trnid", "val": "valid", "test": "tstid"}  # of setid.mat
INFO = Info(
    "flower102", image_size=224, paper=True, backbone="vit_s_32", flip=True, files=True, has_val=True,
    title="Flower-102", images={"training": 1_020, "val": 1_020, "test": 6_149},
)  # fmt: skip
OTHERWISE = f"; or put {', '.join(MD5)} there"


def files(data_dir: Path, progress: bool | None = None) -> FileSet:
    """1,020 training, 1,020 val and 6,149 test images in data_dir/flowers-102, downloaded where that is missing.

    Raises RelvitError where there is no network for that, where labels or splits are not the published ones (MD5), or
    where images are missing.
    """
    return _once(data_dir, progress)[0]


def fetch(data_dir: Path, progress: bool | None = None) -> str:
    """Download and verify, or verify what is there. Returns what is where, with notes. Raises RelvitError."""
    return summary(*_once(data_dir, progress))


def list_files(root: Path) -> FileSet:
    """What is in the unpacked folder; no image is opened. RelvitError as `files`."""
    from torchvision.datasets import Flowers102

    labels = _mat(root / "imagelabels.mat")["labels"].tolist()
    places = _mat(root / "setid.mat")
    there = set(image_names(root / "jpg"))
    splits, lost = {}, []
    for split, key in KEYS.items():
        numbers = places[key].tolist()  # of images, from 1
        names = [f"image_{number:05}.jpg" for number in numbers]
        lost += [name for name in names if name not in there]
        splits[split] = Files(tuple(f"jpg/{name}" for name in names), tuple(labels[n - 1] - 1 for n in numbers))
    if lost:
        raise RelvitError(
            f"{root / 'jpg'} lacks {len(lost):,} of {sum(map(len, splits.values())):,} images: {some(lost)}"
        )
    notes = count_note(INFO.name, {split: len(part) for split, part in splits.items()}, INFO.images)
    return FileSet(
        INFO.name, root, splits["training"], splits["test"], tuple(Flowers102.classes), splits["val"], notes=notes
    )


def _mat(path: Path) -> dict[str, Any]:
    """The arrays of a MATLAB file, once its MD5 is right: a wrong label or split would go unnoticed."""
    from scipy.io import loadmat
    from torchvision.datasets.utils import check_integrity

    if not check_integrity(path, MD5[path.name]):
        raise RelvitError(f"{path} is {'damaged: its MD5 is another' if path.is_file() else 'missing'}")
    return loadmat(path, squeeze_me=True)


def _once(data_dir: Path, progress: bool | None) -> tuple[FileSet, bool]:
    def get(folder: Path) -> None:
        images, *others = MD5
        obtain_archive(ADDRESS + images, MD5[images], folder, data_dir, progress, under=ROOT)
        for name in others:
            file = obtain(ADDRESS + name, MD5[name], folder / ROOT, data_dir)
            if file.parent == data_dir:  # the user's own
                shutil.copyfile(file, folder / ROOT / name)

    return files_once(INFO.name, data_dir / ROOT, list_files, get, OTHERWISE, progress)


SOURCE = Source(INFO, fetch=fetch, files=files, kept_in=(ROOT,))
