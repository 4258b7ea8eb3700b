"""What the tokens of a trained model hold: their neighbours, their variance, and what can be read from them.

n images of N patches, D dimensions, L blocks. All models are asked about the same images, in eval mode.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relvit_lab.common.feature_classifiers import knn_accuracy, linear_accuracy
from relvit_lab.method.patches import patchify
from relvit_lab.train.trained import Trained

BATCH = 250
KNN = 20


@torch.no_grad()
def features(trained: Trained, images: Tensor) -> Tensor:
    """What comes out of the backbone: (n, 1 + N, D), the CLS token first. images: (n, C, H, W) uint8."""
    model = trained.model
    return torch.cat([model.backbone.forward_features(trained.transform(some)) for some in images.split(BATCH)])


@torch.no_grad()
def layers(trained: Trained, images: Tensor) -> list[Tensor]:
    """The tokens before the first block and after each: L + 1 of (n, 1 + N, D), before the last norm.

    images: (n, C, H, W) uint8.
    """
    blocks, seen = trained.model.backbone.blocks, []
    hooks = [blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))]
    hooks += [block.register_forward_hook(lambda _, __, z: seen.append(z)) for block in blocks]
    try:
        features(trained, images)
    finally:
        for hook in hooks:
            hook.remove()
    return [torch.cat(seen[k :: len(hooks)]) for k in range(len(hooks))]  # batch by batch -> place by place


# Neighbours


class Shared(NamedTuple):
    """What tokens share with their nearest, in %: mean and standard error over the tokens that were asked.

    place, label: of the neighbours, how many lie at the same place, or in an image of the same class. pixels: how much
    the patches differ (root mean square), where two patches drawn blindly differ by 100.
    """

    place: tuple[float, float]
    label: tuple[float, float]
    pixels: tuple[float, float]


def neighbours(tokens: Tensor, images: Tensor, labels: Tensor, k: int = 10, ask: int = 500, seed: int = 0) -> Shared:
    """What `ask` tokens, one in each of as many images, share with their k nearest tokens of other images.

    tokens: (n, N, D). images: (n, C, H, W) uint8. labels: (n,).
    """
    n, count, _ = tokens.shape
    draws = torch.Generator().manual_seed(seed)
    image = torch.randperm(n, generator=draws)[:ask]
    place = torch.randint(count, (len(image),), generator=draws)
    unit = F.normalize(tokens, dim=2)
    alike = torch.einsum("qd,npd->qnp", unit[image, place], unit)  # (ask,n,N)
    alike[torch.arange(len(image)), image] = -torch.inf
    found = alike.flatten(1).topk(k).indices  # (ask,k)
    others, places = found // count, found % count
    patches = patchify(images.float(), images.shape[-1] // math.isqrt(count)).flatten(2)  # (n,N,C*P*P)
    own = patches[image, place][:, None]  # (ask,1,C*P*P)
    blindly = torch.randint(n, found.shape, generator=draws), torch.randint(count, found.shape, generator=draws)

    def apart(places: tuple[Tensor, Tensor]) -> Tensor:
        return (own - patches[places]).square().mean((1, 2)).sqrt()  # (ask,)

    return Shared(
        _mean_error((places == place[:, None]).float().mean(1)),
        _mean_error((labels[others] == labels[image][:, None]).float().mean(1)),
        _mean_error(apart((others, places)) / apart(blindly).mean()),
    )


def _mean_error(values: Tensor) -> tuple[float, float]:
    """Mean and standard error in %."""
    return 100 * float(values.mean()), 100 * float(values.std() / math.sqrt(len(values)))


# Variance


class Shares(NamedTuple):
    """What the variance of tokens goes with, in %; the three sum to 100. place: the mean of all tokens at one place.
    image: the mean of one image's tokens. rest: neither, so what this patch of this image adds to both."""

    place: float
    image: float
    rest: float


def shares(tokens: Tensor) -> Shares:
    """Analysis of variance of tokens (n, N, D): two ways, images and places."""
    mean = tokens.mean((0, 1))
    whole = (tokens - mean).square().sum(2).mean()
    place, image = ((tokens.mean(way) - mean).square().sum(1).mean() / whole for way in (0, 1))
    return Shares(*(100 * float(share) for share in (place, image, 1 - place - image)))


def colours(tokens: Tensor, painted: Tensor) -> Tensor:
    """Tokens as red, green and blue: how far they lie along the first three principal components of other tokens.

    tokens: (n, N, D), which the components are taken from. painted: (m, N, D). Returns (m, N, 3) in [0, 1]; each colour
    runs from the 2nd to the 98th percentile of `tokens`.
    """
    mean = tokens.mean((0, 1))
    flat = (tokens - mean).flatten(0, 1)  # (n*N,D)
    axes = torch.linalg.eigh(flat.T @ flat).eigenvectors[:, -3:].flip(1)  # (D,3), the largest first
    axes = axes * axes.sum(0).sign()  # either sign would do: always the same one
    low, high = (flat @ axes).quantile(torch.tensor([0.02, 0.98]), dim=0)  # (3,) each
    return (((painted - mean) @ axes - low) / (high - low)).clamp(0, 1)


# What can be read from frozen features


class Probed(NamedTuple):
    """Class accuracies in %. error: the standard error of either, from the number of images alone."""

    knn: float
    linear: float

    def error(self, images: int) -> tuple[float, float]:
        return tuple(100 * math.sqrt(p / 100 * (1 - p / 100) / images) for p in self)


def probed(features: Tensor, labels: Tensor) -> Probed:
    """k-NN (k = 20) and linear probe on features (n, D): each half of the images is tested once, by the other half."""
    half = len(labels) // 2
    first, second = (features[:half], labels[:half]), (features[half:], labels[half:])
    ways = ((*first, *second), (*second, *first))
    return Probed(sum(knn_accuracy(*way, KNN) for way in ways) / 2, sum(linear_accuracy(*way) for way in ways) / 2)


def lens(layers: Iterable[Tensor], norm: nn.Module, head: nn.Module, target: Tensor) -> list[float]:
    """The answer layer by layer: SpRel accuracy in % where the head reads each of the layers, behind the last norm.

    layers: (n, 1 + N, D) each, CLS first, as `layers` gives them. target: (N, N).
    """
    said = (head(norm(z[:, 1:])).argmax(1) for z in layers)  # (n,9,N,N) -> (n,N,N)
    return [100 * (each == target).float().mean().item() for each in said]


@torch.no_grad()
def sprel_by_layer(trained: Trained, images: Tensor) -> list[float]:
    """`lens` for a model with a head for SpRel: L + 1 numbers in %. images: (n, C, H, W) uint8."""
    model = trained.model
    (task,) = (one for one in model.tasks if one.name == "sprel")
    return lens(layers(trained, images), model.backbone.norm, model.heads["sprel"], model.targets(task))
