"""§4 (data sets): Flower-102. The paper scores it on val (1,020 images); the test images are 6,149."""

from pathlib import Path
from typing import Any

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.words import some
from relvit_lab.data.base import Files, FileSet, Info, count_note
from relvit_lab.data.download import file_source, obtain_archive, obtain_into
from relvit_lab.data.wnids import image_names

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


def list_files(root: Path) -> FileSet:
    """What is in the unpacked folder; no image is opened. Raises RelvitError where labels or splits are not the
    published ones (MD5), or where images are missing."""
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


def _get(part: Path, data_dir: Path, progress: bool | None) -> None:
    images, *others = MD5
    obtain_archive(ADDRESS + images, MD5[images], part, data_dir, progress, under=ROOT)
    for name in others:
        obtain_into(ADDRESS + name, MD5[name], part / ROOT, data_dir)


SOURCE = file_source(INFO, ROOT, list_files, _get, f"; or put {', '.join(MD5)} there")
