"""A thousand test images of CIFAR-10, in one PNG file of the package: notebook 09 needs no network and no data set.

`python -m relvit_lab.lessons.what_it_learned.images [DATA_DIR]` writes assets/cifar10_thousand.png anew. They are
test images, so that no model was trained on any of them, and no probe on what its model had seen.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.data import Split
from relvit_lab.data.cifar import CLASSES_10
from relvit_lab.train import assets

FILE = assets.FOLDER / "cifar10_thousand.png"
EACH = 100  # images of each class: the first in the order of the test images
ROW = 20  # images in a row of the sheet


def thousand(file: Path = FILE) -> Split:
    """Images (1000, 3, 32, 32) uint8 and labels (1000,): a hundred of each class, in turns: 0 to 9, 0 to 9, ..."""
    sheet = np.asarray(Image.open(file).convert("RGB"))  # (H,W,3)
    side = sheet.shape[1] // ROW
    tiles = sheet.reshape(-1, side, ROW, side, 3).transpose(0, 2, 4, 1, 3)  # (rows,S,ROW,S,3) -> (rows,ROW,3,S,S)
    count = len(tiles) * ROW
    images = torch.from_numpy(np.ascontiguousarray(tiles)).view(count, 3, side, side)
    turns = torch.arange(count).view(len(CLASSES_10), -1).T.flatten()  # class by class -> in turns
    return Split(images[turns], torch.arange(count) % len(CLASSES_10))


def write_sheet(data_dir: str | Path = "data", file: Path = FILE, each: int = EACH) -> Path:
    """The first `each` test images of each class, a class after the other. Raises RelvitError where there are fewer."""
    test = data.load("cifar10", data_dir).test
    chosen = [test.images[test.labels == label][:each] for label in range(len(CLASSES_10))]
    if min(map(len, chosen)) < each or each * len(CLASSES_10) % ROW:
        raise RelvitError(f"a sheet has {each} test images of each class, and whole rows of {ROW}: there are fewer")
    tiles = torch.cat(chosen)  # (n,3,S,S)
    side = tiles.shape[-1]
    rows = tiles.view(-1, ROW, 3, side, side).permute(0, 3, 1, 4, 2)  # -> (rows,S,ROW,S,3)
    Image.fromarray(rows.reshape(-1, ROW * side, 3).numpy()).save(file, "PNG", optimize=True)
    return file


if __name__ == "__main__":
    print(write_sheet(*sys.argv[1:2]))
