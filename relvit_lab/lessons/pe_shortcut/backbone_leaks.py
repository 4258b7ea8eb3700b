"""§4.1, §4.2: which pixels a token of each backbone comes from, and where position can be read from images without
content.

B images, N tokens on a grid of side x side, D dimensions. The measurement: a backbone with fresh weights, images in
which there is nothing to see, and a linear readout of each token's place (AbsPos). What it reads above 1 in N cannot
come from the images.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.randomness import generator
from relvit_lab.data.imagenet100 import NORMALISATION
from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.model import RelViT

# -- Where tokens come from, before any attention -------------------------------------------------------------------


class Step(NamedTuple):
    """Windows of `window` entries, one every `stride`, along one axis; `padding` zeros at both ends. counted: False
    for a mean over those entries alone that are no padding."""

    window: int
    stride: int
    padding: int = 0
    counted: bool = True


POOLING = Step(3, 2, 1, counted=False)  # T2T's 14 x 14 tokens to the 7 x 7 of the tasks: model.pool
STEPS = {
    "ViT-S/32": (Step(32, 32),),
    "Swin-T": (Step(4, 4), Step(2, 2), Step(2, 2), Step(2, 2)),  # patches of 4 pixels, merged two by two three times
    "T2T-ViT-14": (Step(7, 4, 2), Step(3, 2, 1), Step(3, 2, 1), POOLING),  # three soft splits
}
"""How the pixels of an image of 224 become the 7 x 7 tokens of the tasks, attention left aside."""


def sources(steps: Sequence[Step], side: int) -> Tensor:
    """Where the tokens come from, along one axis: (n, side) float64, [t, x] the share of pixel x in what token t holds.

    Every window gives each of its entries the same share. A row sums to 1, less the share of the zeros outside. Windows
    are square, so in the image token (r, c) has the share [r, y] * [c, x] of pixel (y, x). side: of the image, in
    pixels. Raises RelvitError where a window is larger than what it slides over.
    """
    shares = torch.eye(side, dtype=torch.float64)  # pixels hold themselves
    for step in steps:
        room = len(shares) + 2 * step.padding - step.window
        if room < 0:
            raise RelvitError(f"windows of {step.window} do not fit on {len(shares)} entries: take a larger side")
        starts = range(-step.padding, room - step.padding + 1, step.stride)
        rows = []
        for start in starts:
            held = shares[max(0, start) : start + step.window]  # (entries inside, side)
            rows.append(held.sum(0) / (step.window if step.counted else len(held)))
        shares = torch.stack(rows)  # (n,side)
    return shares


def zeros(steps: Sequence[Step], side: int) -> Tensor:
    """The share of zeros from outside the image in each token: (n, n) float64."""
    inside = sources(steps, side).sum(1)  # (n,)
    return (1 - inside[:, None] * inside[None, :]).clamp_min(0)  # (n,1) (1,n) -> (n,n)


def reach(steps: Sequence[Step], side: int, place: int) -> tuple[int, int]:
    """The first pixel that a token's windows span along one axis, and the one after the last; both may lie outside.

    place: of the token along this axis, from 0. side: of the image, in pixels.
    """
    sides = [side]
    for step in steps:
        sides.append((sides[-1] + 2 * step.padding - step.window) // step.stride + 1)
    first = last = place
    for step, below in zip(reversed(steps), reversed(sides[:-1])):
        first, last = first * step.stride - step.padding, last * step.stride - step.padding + step.window - 1
        if not step.counted:  # what lies outside is no part of it
            first, last = max(first, 0), min(last, below - 1)
    return first, last + 1


# -- Images in which there is nothing to see ------------------------------------------------------------------------

GRAIN = 0.1  # of grainy images: the width of the range in which pixels vary around the grey
KINDS = {"grey": 12, "grainy": 32, "noise": 12}
"""Kinds of image, and how many of each are enough to tell chance from a leak."""


def content_free(kind: str, count: int, side: int, seed: int = 0) -> Tensor:
    """(count, 3, side, side) float in [0, 1]. kind: grey, one level for each image, spread over the whole range;
    grainy, grey with a little noise; noise, every value by itself. Raises RelvitError for another."""
    if kind not in KINDS:
        raise RelvitError(f"unknown kind of image '{kind}': {nearest(kind, KINDS)}")
    draws = generator("content-free", kind, seed)
    if kind == "noise":
        return torch.rand(count, 3, side, side, generator=draws)
    levels = (torch.randperm(count, generator=draws) + torch.rand(count, generator=draws)) / count  # (count,)
    grey = levels[:, None, None, None].expand(-1, 3, side, side)  # (count,1,1,1) -> (count,3,side,side)
    if kind == "grey":
        return grey
    return (grey + GRAIN * (torch.rand(count, 3, side, side, generator=draws) - 0.5)).clamp(0, 1)


# -- Backbones, and ways to close T2T's leaks -----------------------------------------------------------------------


def without_embeddings(backbone: nn.Module) -> None:
    """Set E_pos, CLS's row included, to zero."""
    with torch.no_grad():
        backbone.pos_embed.zero_()


def without_zeros(backbone: nn.Module) -> None:
    """A T2T whose windows find, beyond the border, the pixels or tokens of the opposite border: no zeros, no border.
    E_pos is set to zero as well."""
    from relvit_lab.method.backbones.t2t import TokensToToken  # late: timm takes seconds to import

    class Wrapped(TokensToToken):
        def forward(self, images: Tensor) -> Tensor:
            x = _wrapped_split(images, Step(7, 4, 2))  # (B,3,H,W) -> (B,HW/16,147)
            for layer, step in ((self.attention1, Step(3, 2, 1)), (self.attention2, Step(3, 2, 1))):
                x = layer(x)  # -> (B,n,d)
                n = math.isqrt(x.shape[1])
                x = _wrapped_split(x.mT.unflatten(2, (n, n)), step)  # (B,d,n,n) -> (B,n/4,9d)
            return self.project(x)  # -> (B,N,D)

    without_embeddings(backbone)
    backbone.tokens_to_token.__class__ = Wrapped  # the same weights, another way to cut


def _wrapped_split(x: Tensor, step: Step) -> Tensor:
    """(B, C, H, W) to (B, N, C * window^2), as T2T's soft split, with the opposite border in place of zeros."""
    x = F.pad(x, (step.padding,) * 4, mode="circular")
    return F.unfold(x, step.window, stride=step.stride).mT


@dataclass(frozen=True)
class Case:
    """A backbone to be read. options: for create_backbone. change: what is done to the fresh backbone, if anything."""

    title: str
    backbone: str
    options: tuple[tuple[str, object], ...] = ()
    change: Callable[[nn.Module], None] | None = None


CASES = {
    "vit": Case("ViT-S/32, no PE", "vit_s_32", (("pos_embed", False),)),
    "vit_pe": Case("ViT-S/32 with PE", "vit_s_32"),
    "swin": Case("Swin-T", "swin_t"),
    "t2t": Case("T2T-ViT-14", "t2t_vit_14"),
    "t2t_zeros": Case("T2T, E_pos = 0", "t2t_vit_14", change=without_embeddings),
    "t2t_neither": Case("T2T, E_pos = 0, no zeros", "t2t_vit_14", change=without_zeros),
}


@torch.no_grad()
def tokens(case: Case, images: Tensor, seed: int = 0, batch: int = 16) -> Tensor:
    """The tasks' tokens (B, N, D) of images (B, 3, H, W), from the case's backbone with fresh weights of that seed.

    Images: float in [0, 1]; they are normalised as ImageNet-100's. batch: how many at a time.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = create_backbone(case.backbone, image_size=images.shape[-1], **dict(case.options))
    if case.change:
        case.change(backbone)
    model = RelViT(backbone).eval()
    mean, sd = (torch.tensor(values).view(3, 1, 1) for values in NORMALISATION)
    return torch.cat([model((part - mean) / sd).tokens for part in images.split(batch)])


# -- The readout ----------------------------------------------------------------------------------------------------


def read_places(tokens: Tensor, folds: int = 4, ridge: float = 0.01) -> Tensor:
    """How often a linear readout finds a token's place (AbsPos): (side, side) float, in %, by place; chance is 100 / N.

    tokens: (B, N, D), N a square, B at least folds. Ridge regression from the token to its place, one-hot, in closed
    form; each image is read with weights computed from the images of the other folds. ridge: the penalty, as a share of
    the tokens' mean variance. Scores that differ by less than 1e-6 are ties, and the first of them is the answer: what
    rounding leaves, which may go by place, is not read. Raises RelvitError for other shapes.
    """
    side = math.isqrt(tokens.shape[1]) if tokens.dim() == 3 else 0
    if side < 2 or side**2 != tokens.shape[1] or not 2 <= folds <= len(tokens):
        raise RelvitError(f"tokens (B, N, D) of a square grid, B >= {folds}, are read, not {tuple(tokens.shape)}")
    tokens = tokens.double()
    count, n, dim = tokens.shape
    floor = 1e-6 * tokens.square().mean().clamp_min(1e-12)  # so that differences as small as rounding count for nothing
    places = torch.arange(n)
    right = torch.zeros(n)
    for held in torch.arange(count).tensor_split(folds):
        known = torch.ones(count, dtype=torch.bool).index_fill(0, held, False)
        x = tokens[known].flatten(0, 1)  # (B',N,D) -> (B'N,D)
        mean = x.mean(0)
        x = x - mean
        target = (torch.eye(n, dtype=torch.float64) - 1 / n).repeat(int(known.sum()), 1)  # (B'N,N)
        spread = x.T @ x  # (D,B'N) (B'N,D) -> (D,D)
        penalty = ridge * spread.diagonal().mean() + len(x) * floor
        spread += penalty * torch.eye(dim, dtype=torch.float64)
        weights = torch.linalg.solve(spread, x.T @ target)  # (D,D) (D,N) -> (D,N)
        scores = ((tokens[held] - mean) @ weights).round(decimals=6)  # (B'',N,D) (D,N) -> (B'',N,N)
        best = scores == scores.amax(-1, keepdim=True)
        said = best.int().argmax(-1)  # the first of the best: (B'',N)
        right += (said == places).sum(0)
    return (100 * right / count).view(side, side)


def border_and_inside(places: Tensor) -> tuple[float, float]:
    """The means of a map (side, side) over the tokens of its border, and over those inside; side at least 3."""
    inside = places[1:-1, 1:-1]
    border = (places.sum() - inside.sum()) / (places.numel() - inside.numel())
    return float(border), float(inside.mean())
