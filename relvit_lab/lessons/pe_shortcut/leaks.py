"""§4.3, taken further: images that hold nothing but a leak. Whatever a model without PE learns on them about position,
it read off the leak.

The images are noise, 8 x 8 pixels, one channel; patches of 2 make a grid of 4 x 4. Importing this module adds a data
set for each kind of image to data.DATASETS.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from relvit_lab import data
from relvit_lab.common.randomness import generator
from relvit_lab.data import Dataset, Info, Source, Split, make_dataset
from relvit_lab.method.augment import draw_windows, image_augment
from relvit_lab.method.relations import spatial_relations
from relvit_lab.train.experiment import Experiment

SIDE, PATCH = 8, 2  # pixels; patches of 2 are too small for the patch crop, so noise is the same in training and after
TRAIN, TEST = 1024, 256  # images
EPOCHS = 6


@dataclass(frozen=True)
class Leak:
    """One way in which position gets into a token. title: for pictures. images: a name of `noise_images`."""

    title: str
    images: str
    pos_embed: bool = False


LEAKS = {
    "none": Leak("nothing: noise, no PE", "plain"),
    "pe": Leak("positional embeddings", "plain", pos_embed=True),
    "padded": Leak("zero borders of a padded crop", "padded"),
    "vignette": Leak("darker corners (a vignette)", "vignette"),
    "edges": Leak("smooth images: edges go on", "smooth"),
}


def noise_images(kind: str, count: int, draws: torch.Generator) -> Tensor:
    """(count, 1, 8, 8) uint8 noise. kind: plain; padded, shifted by up to a pixel with zeros coming in, as a padded
    crop does; vignette, darker towards the corners; or smooth, with no edges between neighbouring patches."""
    if kind == "smooth":
        coarse = torch.rand(count, 1, 4, 4, generator=draws)
        fine = torch.nn.functional.interpolate(coarse, size=SIDE, mode="bicubic", align_corners=True)
        return fine.clamp(0, 1).mul(255).round().byte()
    images = torch.randint(64, 192, (count, 1, SIDE, SIDE), dtype=torch.uint8, generator=draws)
    if kind == "padded":
        windows = draw_windows(count, SIDE, SIDE, crop="padded", flip=False, generator=draws)
        shifted = image_augment(images, SIDE, windows, crop="padded")  # (count,3,8,8)
        return shifted[:, :1].mul(255).round().byte()
    if kind == "vignette":
        away = torch.linspace(-1, 1, SIDE).square()
        return (images * (1 - 0.35 * (away[:, None] + away[None, :]))).byte()  # (8,1) (1,8) -> (8,8)
    return images


def read(kind: str, data_dir: Path, image_size: int, progress: bool | None) -> Dataset:
    """The data set of one kind: labels say nothing, for only the pretext tasks are trained on it."""
    splits = []
    for part, count in (("train", TRAIN), ("test", TEST)):
        images = noise_images(kind, count, generator("noise", kind, part))
        splits.append(Split(images, torch.arange(count) % 2))
    return make_dataset(f"noise_{kind}", *splits, ("a", "b"), ((0.5,) * 3, (0.25,) * 3))


for _kind in dict.fromkeys(leak.images for leak in LEAKS.values()):
    _info = Info(f"noise_{_kind}", image_size=SIDE, paper=False, backbone="vit_nano", flip=False)
    data.DATASETS.add(Source(_info, partial(read, _kind)))


def experiment(name: str, **fields: object) -> Experiment:
    """Pre-training on SpRel and AbsPos, on images that hold only this leak. name: a key of LEAKS."""
    leak = LEAKS[name]
    return Experiment(
        dataset=f"noise_{leak.images}", patch_size=PATCH, tasks="sprel,abspos", pos_embed=leak.pos_embed,
        stop_after="pretrain", preset="demo", epochs=EPOCHS, train_images=TRAIN, test_images=TEST, image_crop="none",
        **fields,
    )  # fmt: skip


def floors(side: int = SIDE // PATCH) -> dict[str, float]:
    """What a model that knows no place can reach on a grid of that side, in %.

    AbsPos: 1 of N. SpRel: it can see that a patch is itself (the diagonal, 1 of N), and elsewhere answers one class.
    """
    target = spatial_relations(side)
    apart = target[~torch.eye(side * side, dtype=torch.bool)]
    share = 1 / side**2
    return {"SpRel": 100 * (share + float(apart.bincount().max()) / target.numel()), "AbsPos": 100 * share}


def kinds_of_token(side: int, window: int, stride: int, padding: int) -> Tensor:
    """The tokens of a blank image, side x side pixels of 1, cut by sliding windows with zeros around: (n, n) int64, the
    same number where two tokens hold the same, numbered from 0 in the order in which they are met."""
    tokens = torch.nn.functional.unfold(torch.ones(1, 1, side, side), window, stride=stride, padding=padding)[0].T
    met: dict[tuple, int] = {}
    kinds = [met.setdefault(tuple(token), len(met)) for token in tokens.tolist()]
    n = math.isqrt(len(kinds))
    return torch.tensor(kinds).view(n, n)
