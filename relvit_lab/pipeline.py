"""§4.1 and §3.2.1: from stored uint8 images to what the backbone sees.

    image augment -> patches, or mega-patches -> patch augment -> permute -> back to an image; normalise

(With recipe "released" normalising comes before the patches.) Everything happens on the batch, on its device.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from relvit_lab.augment import image_augment, patch_augment
from relvit_lab.patches import draw_cuts, draw_permutations, grid_side, mega_patches, patchify, permute, unpatchify
from relvit_lab.randomness import generator
from relvit_lab.resample import one_thread


class Batch(NamedTuple):
    """What goes through the model: images (B, 3, H, W) float, normalised; labels (B,) int64; the permutation (B, N)
    of their patches (token t holds patch p[t]), or None where they were not shuffled."""

    images: Tensor
    labels: Tensor
    permutation: Tensor | None = None


@dataclass(frozen=True)
class Pipeline:
    """The path of a stage's images. Sizes in pixels; mean and std for images in [0, 1].

    centre: images larger than that are looked at in their middle square of that side only, except for resized crops.
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

    def normalise(self, images: Tensor) -> Tensor:
        return self._normalise_(images.clone())

    def _normalise_(self, images: Tensor) -> Tensor:
        mean, std = (_by_channel(values, images.device) for values in (self.mean, self.std))
        return images.sub_(mean).div_(std)

    def train(self, images: Tensor, labels: Tensor, draws: torch.Generator | None = None) -> Batch:
        """A training batch from images (B, C, H, W) uint8, each image and each patch with its own random parameters."""
        with one_thread(images.device):
            return self._train(images, labels, draws)

    def _train(self, images: Tensor, labels: Tensor, draws: torch.Generator | None) -> Batch:
        if self.crop != "resized":
            images = self._middle(images)
        works_on_patches = self.mega_patches is not None or self.patch_augment or self.shuffle
        at_once = self._normalise_ if self.recipe == "released" or not works_on_patches else None
        x = image_augment(images, self.image_size, crop=self.crop, flip=self.flip, generator=draws, finish=at_once)
        if self.mega_patches is not None:
            x = self._mega(x, draws)
        permutation = None
        if self.patch_augment or self.shuffle:
            patches = patchify(x, self.patch_size)  # (B,3,H,W) -> (B,N,3,P,P)
            if self.patch_augment:
                patches = patch_augment(patches, generator=draws)
            if self.shuffle:
                permutation = draw_permutations(*patches.shape[:2], generator=draws, device=patches.device)
                patches = permute(patches, permutation)
            x = unpatchify(patches)
        if at_once is None:
            self._normalise_(x)
        return Batch(x, labels, permutation)

    def evaluate(self, images: Tensor, labels: Tensor, first: int = 0) -> Batch:
        """Images as they are, or the middle of them: no augmentation, no shuffle. `first` is the index in its split of
        the first image: the cuts of mega-patches are fixed by an image's index."""
        x = image_augment(self._middle(images), self.image_size, crop="none", flip=False)
        if self.mega_patches is not None:
            own = [generator("mega-patch cuts", self.mega_patches, first + i) for i in range(len(x))]
            side, shared = grid_side(x, self.patch_size), self.recipe == "released"
            cuts = torch.cat([draw_cuts(1, self.mega_patches, side, draws, shared) for draws in own])
            x = self._mega(x, cuts=cuts)
        return Batch(self._normalise_(x), labels)

    def _middle(self, images: Tensor) -> Tensor:
        side = images.shape[-1]
        if self.centre is None or side <= self.centre:
            return images
        start = round((side - self.centre) / 2)  # as torchvision's CenterCrop
        return images[..., start : start + self.centre, start : start + self.centre]

    def _mega(self, x: Tensor, draws: torch.Generator | None = None, cuts: Tensor | None = None) -> Tensor:
        """With the released code's two departures in its recipe: no antialias, one set of cuts for both axes."""
        released = self.recipe == "released"
        x, _ = mega_patches(x, self.mega_patches, self.patch_size, draws, cuts, not released, shared_cuts=released)
        return x


@cache
def _by_channel(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """(3,1,1), made once for each device: making it anew would wait for a GPU at every batch."""
    return torch.tensor(values, device=device).view(3, 1, 1)
