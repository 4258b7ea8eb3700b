"""§4.1 and §3.2.1: from stored uint8 images to what the backbone sees.

    image augment -> patches, or mega-patches -> patch augment -> permute -> back to an image; normalise

(With recipe "released" normalising comes before the patches.) Everything happens on the batch, on its device.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from relvit_lab.common.compute.host import one_thread
from relvit_lab.common.randomness import drawn_for, generator
from relvit_lab.method.augment import (
    PHOTOGRAPH,
    PatchChanges,
    Windows,
    draw_patch_changes,
    draw_windows,
    image_augment,
    patch_augment,
)
from relvit_lab.method.patches import (
    draw_cuts,
    draw_permutations,
    grid_side,
    mega_patches,
    patchify,
    reordered,
    unpatchify,
)

PART = 8  # photographs whose patches a CPU takes all the way at a time: a third less time than step by step for all


class Batch(NamedTuple):
    """What goes through the model: images (B, 3, H, W) float, normalised; labels (B,) int64; the permutation (B, N)
    of their patches (token t holds patch p[t]), or None where they were not shuffled."""

    images: Tensor
    labels: Tensor
    permutation: Tensor | None = None


class Draws(NamedTuple):
    """What is drawn for a batch; None: that step is left out."""

    windows: Windows
    cuts: Tensor | None  # (B, 2, M - 1)
    changes: PatchChanges | None  # of B * N patches
    permutation: Tensor | None  # (B, N)

    def of(self, rows: slice, patches: int) -> "Draws":
        """Those of some of the images, with so many patches (N) each."""
        own = slice(rows.start * patches, rows.stop * patches)
        return Draws(
            Windows(*(values[rows] for values in self.windows)),
            None if self.cuts is None else self.cuts[rows],
            self.changes and PatchChanges(*(values[own] for values in self.changes)),
            None if self.permutation is None else self.permutation[rows],
        )


@dataclass(frozen=True)
class Pipeline:
    """The path of a stage's images. Sizes in pixels; mean and std for images in [0, 1].

    centre: images larger than that are looked at in their middle square of that side only, except for resized crops.
    patch_crop, patch_jitter: the parts of patch_augment; jitter counts the grey patches.
    """

    image_size: int
    patch_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    recipe: str = "paper"
    crop: str = "resized"
    flip: bool = True
    mega_patches: int | None = None  # M
    patch_augment: bool = False
    shuffle: bool = False
    centre: int | None = None
    patch_crop: bool = True
    patch_jitter: bool = True

    @property
    def _works_on_patches(self) -> bool:
        return self.mega_patches is not None or self.patch_augment or self.shuffle

    def normalise(self, images: Tensor) -> Tensor:
        return self._normalise_(images.clone())

    def _normalise_(self, images: Tensor) -> Tensor:
        mean, std = (_by_channel(values, images.device) for values in (self.mean, self.std))
        return images.sub_(mean).div_(std)

    def train(self, images: Tensor, labels: Tensor, draws: torch.Generator | None = None) -> Batch:
        """A training batch from images (B, C, H, W) uint8, each image and each patch with its own random parameters.

        draws: a BatchGenerator where the images are a device's share of a batch.
        """
        with one_thread(images.device) as threads:
            return self._train(images, labels, draws, threads)

    def _train(self, images: Tensor, labels: Tensor, draws: torch.Generator | None, threads: int) -> Batch:
        if self.crop != "resized":
            images = self._middle(images)
        count, (height, width), m, p = len(images), images.shape[-2:], self.mega_patches, self.patch_size
        side = self.image_size if m is None else m * p
        n = (side // p) ** 2
        batch, rows = drawn_for(count, draws)
        drawn = Draws(
            draw_windows(batch, height, width, crop=self.crop, flip=self.flip, generator=draws),
            None if m is None else draw_cuts(batch, m, self.image_size // p, draws, self.recipe == "released"),
            draw_patch_changes(batch * n, p, draws) if self.patch_augment else None,
            draw_permutations(batch, n, draws, images.device) if self.shuffle else None,
        ).of(rows, n)
        photographs = images.device.type == "cpu" and min(height, width) > PHOTOGRAPH
        if not (photographs and self._works_on_patches):
            return Batch(self._augmented(images, drawn), labels, drawn.permutation)
        x = images.new_empty(count, 3, side, side, dtype=torch.float32)

        def part(start: int) -> None:
            own = slice(start, start + PART)
            x[own] = self._augmented(images[own], drawn.of(own, n))

        with ThreadPoolExecutor(threads) as pool:  # parts do not depend on one another, nor the result on who does them
            list(pool.map(part, range(0, count, PART)))  # the list raises what a thread raised
        return Batch(x, labels, drawn.permutation)

    def _augmented(self, images: Tensor, drawn: Draws) -> Tensor:
        """Images (B, C, H, W) uint8 as they go into the model, by the given draws."""
        windows, cuts, changes, permutation = drawn
        at_once = self._normalise_ if self.recipe == "released" or not self._works_on_patches else None
        x = image_augment(images, self.image_size, windows, crop=self.crop, finish=at_once)
        if cuts is not None:
            x = self._mega(x, cuts)
        if changes is not None or permutation is not None:
            patches = patchify(x, self.patch_size)  # (B,3,H,W) -> (B,N,3,P,P)
            if changes is not None:
                jitter = self.patch_jitter
                patches = patch_augment(patches, changes=changes, crop=self.patch_crop, jitter=jitter, grey=jitter)
            if permutation is not None:
                patches = reordered(patches, permutation)
            x = unpatchify(patches)
        return x if at_once else self._normalise_(x)

    def evaluate(self, images: Tensor, labels: Tensor, first: int = 0) -> Batch:
        """Images as they are, or the middle of them: no augmentation, no shuffle. `first` is the index in its split of
        the first image: the cuts of mega-patches are fixed by an image's index."""
        images = self._middle(images)
        whole = draw_windows(len(images), *images.shape[-2:], crop="none", flip=False)
        x = image_augment(images, self.image_size, whole, crop="none")
        if self.mega_patches is not None:
            side, shared = grid_side(x, self.patch_size), self.recipe == "released"
            x = self._mega(x, _fixed_cuts(self.mega_patches, side, shared, first, len(x)))
        return Batch(self._normalise_(x), labels)

    def _middle(self, images: Tensor) -> Tensor:
        side = images.shape[-1]
        if self.centre is None or side <= self.centre:
            return images
        start = round((side - self.centre) / 2)  # as torchvision's CenterCrop
        return images[..., start : start + self.centre, start : start + self.centre]

    def _mega(self, x: Tensor, cuts: Tensor) -> Tensor:
        """The released code's departures, in its recipe: no antialias; and its cuts are the same for both axes."""
        antialias = self.recipe != "released"
        x, _ = mega_patches(x, cuts.shape[-1] + 1, self.patch_size, cuts=cuts, antialias=antialias)
        return x


@lru_cache(maxsize=1024)
def _fixed_cuts(m: int, side: int, shared: bool, first: int, count: int) -> Tensor:
    """(B, 2, M - 1), each image's by its index. Kept for the next epoch: a generator for each of 10,000 images takes
    about a second, which is more than a GPU needs to look at them all."""
    own = [generator("mega-patch cuts", m, first + i) for i in range(count)]
    return torch.cat([draw_cuts(1, m, side, draws, shared) for draws in own])


@cache
def _by_channel(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """(3,1,1), made once for each device: making it anew would wait for a GPU at every batch."""
    return torch.tensor(values, device=device).view(3, 1, 1)
