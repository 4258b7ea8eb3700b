"""§4 (data sets), at laptop scale: scikit-learn's 8 x 8 handwritten digits. Not one of the paper's."""

from pathlib import Path

import torch

from relvit_lab.data.base import Dataset, Info, Source, Split, make_dataset

TRAIN = 1297  # of 1,797


def read(data_dir: Path, image_size: int, progress: bool | None) -> Dataset:
    """The digits inside scikit-learn: one channel, 8 x 8, values 0..16 scaled to 0..255."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).mul(255 / 16).round().to(torch.uint8).view(-1, 1, 8, 8)  # (n,64) -> (n,1,8,8)
    labels = torch.from_numpy(labels).long()
    train, test = Split(images[:TRAIN], labels[:TRAIN]), Split(images[TRAIN:], labels[TRAIN:])
    note = f"digits: training images come from the first {len(train):,}, test images from the last {len(test)}"
    return make_dataset("digits", train, test, map(str, range(10)), notes=(note,))


# no flip: a mirrored digit is another sign
SOURCE = Source(Info("digits", image_size=8, paper=False, backbone="vit_nano", flip=False), read)
