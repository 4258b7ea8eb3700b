"""§4 (data sets): the sets of 32 x 32 colour images that are stored as arrays, from an .npz or torchvision's files."""

from collections.abc import Callable
from pathlib import Path

import torch

from relvit_lab.common.errors import RelvitError
from relvit_lab.data import npz
from relvit_lab.data.base import Dataset, Info, Normalisation, Source, Split, count_note, make_dataset
from relvit_lab.data.download import Getter, download_once


def array_source(
    name: str, title: str, training: int, test: int, classes: tuple[str, ...], own: tuple[str, ...],
    normalisation: Normalisation, at_224: Normalisation,
    fault: Callable[[Path], str], get: Getter, split: Callable[[Path, bool], Split],
) -> Source:  # fmt: skip
    """The entry of such a set: of data_dir/<name>.npz where that is present, else of torchvision's files, downloaded
    where they are missing.

    training, test: how many images were published. own: the files or folders of data_dir that torchvision's are.
    at_224: as in Source. fault, get: as in download_once. split(data_dir, train): a split from verified files. They are
    flipped: the released code mirrors every set, house numbers too.
    """
    images = {"training": training, "test": test}
    info = Info(name, image_size=32, paper=True, backbone="vit_s_4", flip=True, title=title, images=images)
    packed = f"{name}.npz"

    def read(data_dir: Path, image_size: int, progress: bool | None) -> Dataset:
        """Images keep their 32 pixels. Raises RelvitError where the .npz holds something else, and as `fetch`."""
        given = data_dir / packed
        if given.is_file():
            splits = _from_npz(given, title, len(classes))
        else:
            fetch(data_dir, progress)
            splits = split(data_dir, True), split(data_dir, False)
        found = {"training": len(splits[0]), "test": len(splits[1])}
        notes = count_note(packed if given.is_file() else name, found, images)
        return make_dataset(name, *splits, classes, normalisation, notes=notes)

    def fetch(data_dir: Path, progress: bool | None = None) -> str:
        """Raises RelvitError where files are missing and there is no network."""
        if (data_dir / packed).is_file():
            _from_npz(data_dir / packed, title, len(classes))
            return f"{name} is there already: {data_dir / packed}"
        otherwise = f"; or put {packed} with {', '.join(npz.KEYS)} there"
        fresh = download_once(name, data_dir, fault, get, otherwise, progress)
        return f"{name} is {'now in' if fresh else 'there already:'} {data_dir}"

    return Source(info, read, fetch, kept_in=(packed, *own), at_224=at_224)


def _from_npz(path: Path, title: str, classes: int) -> tuple[Split, Split]:
    images, labels = npz.read_arrays(path)
    most = classes - 1
    splits = []
    for key in ("train", "test"):
        x, y = images[f"x_{key}"], labels[f"y_{key}"]
        if x.shape[1:] != (3, 32, 32) or y.dtype.kind not in "iu" or y.min() < 0 or y.max() > most:
            raise RelvitError(
                f"{path} is not {title}: x_{key}, y_{key} are not 32 x 32 colour images labelled 0 to {most}"
            )
        splits.append(Split(x, torch.from_numpy(y.astype("int64"))))
    return splits[0], splits[1]
