"""§4 (data sets): fewer images or fewer labels, drawn the same way every time."""

from typing import TypeVar

import torch

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.randomness import generator
from relvit_lab.data.base import Files, Split

Images = TypeVar("Images", Split, Files)


def subset(split: Images, images: int, key: object) -> Images:
    """`images` random images of the split in their old order, fixed by `key` alone: the same for every seed and method,
    and of arrays and files.

    A smaller subset of the same key lies within a larger one. The whole split where it has no more. Raises RelvitError
    for images < 1.
    """
    if images < 1:
        raise RelvitError(f"a subset needs at least one image, not {images}")
    if images >= len(split):
        return split
    index = torch.randperm(len(split), generator=generator("subset", key))[:images]
    if isinstance(split, Split):
        return _take(split, index)
    places = index.sort().values.tolist()
    return Files(tuple(split.names[n] for n in places), tuple(split.labels[n] for n in places))


def label_subset(split: Split, fraction: float, seed: int) -> Split:
    """`fraction` (0 < fraction <= 1) of each class's images, at least one, in their old order.

    For one seed a smaller fraction lies within a larger one. Raises RelvitError for other fractions.
    """
    if not 0 < fraction <= 1:
        raise RelvitError(f"label_fraction is {fraction}, but must be above 0 and at most 1")
    if fraction == 1:
        return split
    chosen = []
    for label in split.labels.unique().tolist():
        members = (split.labels == label).nonzero().squeeze(1)  # (n_k,1) -> (n_k,)
        order = torch.randperm(len(members), generator=generator("labels", seed, label)).to(members.device)
        chosen.append(members[order[: max(1, round(fraction * len(members)))]])
    return _take(split, torch.cat(chosen))


def _take(split: Split, index: torch.Tensor) -> Split:
    index = index.to(split.labels.device).sort().values
    return Split(split.images[index], split.labels[index])
