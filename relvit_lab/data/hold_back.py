"""Training images held back as test images: to choose settings on them, and leave the test images alone."""

from pathlib import Path

import numpy as np

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import write_whole
from relvit_lab.common.paths import resolve


def hold_back(name: str, images: int, data_dir: str | Path = "data") -> Path:
    """Write data_dir/<name>_held_back.npz: the training images without the last `images` of them as x_train, and those
    as x_test. The test images are not in it. Returns its path.

    Raises RelvitError where nothing would be left to train on, and for a set of photographs, whose sizes differ.
    """
    info = data.describe(name, data_dir)
    if info.files:
        raise RelvitError(f"{info.name} lies in image files: hold_back is for data sets that are stored as arrays")
    train = data.load(name, data_dir).train
    if not 1 <= images < len(train):
        raise RelvitError(f"{info.name} has {len(train):,} training images: hold back 1 to {len(train) - 1:,} of them")
    path = resolve(data_dir) / f"{Path(info.name).stem}_held_back.npz"
    x, y = train.images.numpy(), train.labels.numpy()

    def save(partial: Path) -> None:
        with partial.open("wb") as file:  # to a name savez adds .npz
            np.savez(file, x_train=x[:-images], y_train=y[:-images], x_test=x[-images:], y_test=y[-images:])

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, save)
    return path
