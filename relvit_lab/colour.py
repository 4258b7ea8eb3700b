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
_HUE = OPERATIONS.index("hue")
HUE_AT = (ORDERS == _HUE).int().argmax(dim=1)  # (24,): where in the order hue comes, 0..3
OTHERS = ORDERS[ORDERS != _HUE].view(24, 3)  # (24,4) -> (24,3): the order of the other three
GREY_WEIGHTS = (0.2989, 0.587, 0.114)


def grey_of(x: Tensor) -> Tensor:
    """The luminance of (3, ..., n): (..., n)."""
    red, green, blue = GREY_WEIGHTS
    return (x[0] * red).add_(x[1], alpha=green).add_(x[2], alpha=blue)


def jitter_(x: Tensor, order: Tensor, factors: Tensor, hue_at: tuple[int, ...]) -> None:
    """The four operations, in place, on patches sorted by where in their order hue comes.

    x: (3, ..., n) float. order: (n,) int64: patch i does ORDERS[order[i]]. factors: (n, 4), for OPERATIONS by index.
    hue_at: five bounds; patches hue_at[k] to hue_at[k + 1] have hue at place k.

    With the sorting every patch goes through hue, by far the longest of the four, once, and no patch is moved. The
    other three are one formula, `blend_`, which does a different one of them to each patch.
    """
    operation = OTHERS.to(order.device)[order]  # (n,3)
    factor = factors.gather(1, operation)
    rest = 1 - factor
    to_mean, to_grey = rest * (operation == 1), rest * (operation == 2)  # (n,3), 0 where it is another operation
    factor, to_mean, to_grey = (values.t().contiguous() for values in (factor, to_mean, to_grey))  # (n,3) -> (3,n)
    hue = factors[:, _HUE].contiguous()
    for place in range(4):
        sorted_in = slice(hue_at[place], hue_at[place + 1])
        adjust_hue_(x[..., sorted_in], hue[sorted_in])
        if place < 3:
            blend_(x, factor[place], to_mean[place], to_grey[place])


def blend_(x: Tensor, factor: Tensor, to_mean: Tensor, to_grey: Tensor) -> None:
    """Brightness, contrast or saturation, in place: x * factor + (1 - factor) * (black, mean grey, or grey), clamped.

    x: (3, ..., n). factor: (n,). to_mean, to_grey: (n,), 1 - factor where it is contrast or saturation, else 0.
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
