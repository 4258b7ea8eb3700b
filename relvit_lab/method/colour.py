"""§4.1: colour jitter and grey-scale for many patches at once, each with its own factors and order of operations.

Here the patches lie last, (3, ..., n), so that one number per patch, (n,), meets whole rows of memory. The numbers
are torchvision's adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue and rgb_to_grayscale.
torch.where and comparisons that give bool are 6 to 25 times slower on a CPU than arithmetic; hence none on pixels.
"""

import itertools

import torch
from torch import Tensor

OPERATIONS = ("brightness", "contrast", "saturation", "hue")
ORDERS = torch.tensor(list(itertools.permutations(range(4))))  # (24,4) indices into OPERATIONS
_, _CONTRAST, _SATURATION, _HUE = range(4)
HUE_AT = (ORDERS == _HUE).int().argmax(dim=1)  # (24,): where in the order hue comes, 0..3
OTHERS = ORDERS[ORDERS != _HUE].view(24, 3)  # (24,4) -> (24,3): the order of the other three
GREY_WEIGHTS = (0.2989, 0.587, 0.114)


def grey_of(x: Tensor) -> Tensor:
    """The luminance of (3, ..., n): (..., n)."""
    red, green, blue = GREY_WEIGHTS
    return (x[0] * red).add_(x[1], alpha=green).add_(x[2], alpha=blue)


def jitter_plan(order: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """What jitter_ needs, computed where the parameters are.

    order: (n,) int64: patch i does ORDERS[order[i]]. factors: (n, 4), for OPERATIONS by index; hue in turns.
    Returns steps (3, 3, n), what blend_ takes at the first, second and third of the operations that are not hue, and
    the turns of hue, (n,).
    """
    operation = OTHERS[order]  # (n,3)
    factor = factors.gather(1, operation)
    rest = 1 - factor
    steps = torch.stack([factor, rest * (operation == _CONTRAST), rest * (operation == _SATURATION)])  # (3,n,3)
    return steps.permute(2, 0, 1).contiguous(), factors[:, _HUE].contiguous()  # (3,n,3) -> (3,3,n)


def jitter_(x: Tensor, steps: Tensor, turns: Tensor, hue_at: list[int]) -> None:
    """The four operations, in place, on patches that are sorted by where in their order hue comes.

    x: (3, ..., n) float. steps, turns: of jitter_plan. hue_at: 5 bounds; hue is operation k (from 0) of the patches
    hue_at[k] to hue_at[k + 1].

    Sorted, every patch goes through hue once, by far the longest of the four, and none is moved for it. The other three
    are one formula, blend_, which does a different one of them to each patch.
    """
    for place in range(4):
        these = slice(hue_at[place], hue_at[place + 1])
        adjust_hue_(x[..., these], turns[these])
        if place < 3:
            blend_(x, *steps[place])


def blend_(x: Tensor, factor: Tensor, to_mean: Tensor, to_grey: Tensor) -> None:
    """Brightness, contrast or saturation, in place: x * factor + (1 - factor) * (black, mean grey, or grey), clamped.

    x: (3, ..., n). factor: (n,). to_mean, to_grey: (n,), 1 - factor where it is contrast, where saturation, else 0.
    """
    grey = grey_of(x)
    mean = grey.flatten(0, -2).mean(dim=0)  # (...,n) -> (n,)
    x.mul_(factor).add_(grey.mul_(to_grey).add_(mean * to_mean)).clamp_(0, 1)


def adjust_hue_(x: Tensor, turns: Tensor) -> None:
    """Turn the hue, in place. x: (3, ..., n) float; turns: (n,) in -0.5..0.5.

    As in HSV with value v = max, chroma c = max - min and hue h, a channel is v - c * w(h), where w is 0 for a third of
    the circle around the channel's own hue, 1 for a third opposite to it, and linear between. So only h is computed.
    Beyond [0, 1], as torchvision: a channel with w = 0 keeps v, the others are clamped. (Where v is exactly 0 and c is
    not, torchvision's division gives NaN; this does not.)
    """
    red, green, blue = x
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = high - low
    # In sixths of a turn from red: |h| = (green + blue - red - low) / c + 1, up to 3; green before blue is positive.
    h = (green + blue).sub_(red).sub_(low).add_(chroma).div_(chroma.clamp(min=1e-30))
    h.copysign_(green - blue).add_(turns * 6)
    h.sub_((h / 6).round_(), alpha=6)  # back to -3..3
    beyond = high - high.clamp(0, 1)
    own = torch.empty_like(high)
    for channel, w in (
        (red, h.abs().sub_(1)),
        (green, (h + 1).abs_().neg_().add_(2)),  # 2 minus the distance from magenta, green's opposite
        (blue, (h - 1).abs_().neg_().add_(2)),  # likewise from yellow
    ):
        torch.le(w, 0, out=own)  # 1.0 where w is 0, without a detour over bool
        torch.addcmul(high, chroma, w.clamp_(0, 1), value=-1, out=channel)
        channel.clamp_(0, 1).addcmul_(beyond, own)
