"""§4.1: augmentation of whole batches, with independent parameters for every image and every patch.

Each augmentation is two functions: draw_* draws the parameters of all images or patches at once, and apply_* is a pure
function of given parameters. The numbers are those of torchvision's operations, image by image and patch by patch.
B images, C channels, N patches, P pixels a side; n = B * N patches in a row.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from relvit_lab.common.compute.host import one_thread, to_device
from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.method.colour import HUE_AT, ORDERS, grey_of, jitter_, jitter_plan
from relvit_lab.method.resample import axis_weights, resample

CROPS = ("resized", "padded", "none")
PATCH_CROP = 1.15  # the window of a patch crop has the side round(P / 1.15)
STRENGTH = 0.4  # of brightness, contrast, saturation: a factor in 1 - 0.4 .. 1 + 0.4
HUE = 0.1  # of a turn, either way
JITTER_PROBABILITY, GREY_PROBABILITY = 0.8, 0.2

# A CPU is held up by its memory: parts small enough to stay in the cache, with what is computed on the way, are faster.
PART = 2**18  # numbers (1 MiB) in a part; the result does not depend on it
PHOTOGRAPH = 128  # pixels: on a CPU, larger images are cropped one by one, in 8 bits: several times as fast


class Windows(NamedTuple):
    """What is cut out of each image, in pixels, and whether it is mirrored then. Each (B,)."""

    top: Tensor  # int64, as the next three; negative where a window reaches into the zeros around the image
    left: Tensor
    height: Tensor
    width: Tensor
    flip: Tensor  # bool


class PatchChanges(NamedTuple):
    """What happens to each patch."""

    top: Tensor  # (n,) int64: where the window of the crop begins; its side is window_side(P)
    left: Tensor
    jitter: Tensor  # (n,) bool: whether the four operations are applied
    order: Tensor  # (n,) int64: their order is colour.ORDERS[order]
    factors: Tensor  # (n, 4) float32: by what, for colour.OPERATIONS by index; hue in turns
    grey: Tensor  # (n,) bool: whether the patch turns grey, last


def image_augment(
    images: Tensor,
    size: int,
    windows: Windows,
    *,
    crop: str,
    finish: Callable[[Tensor], object] | None = None,
) -> Tensor:
    """Images (B, C, H, W) uint8 to (B, 3, size, size) float32 in [0, 1], each cut to its window, resized and mirrored.

    windows, crop: as draw_windows gives the first for the second. One channel becomes three. finish changes images
    (b, 3, size, size) in place: it is called on parts of the batch while they are in the cache. Nothing is drawn here.
    Raises RelvitError for other shapes or dtypes.
    """
    if images.dim() != 4 or images.shape[1] not in (1, 3) or images.dtype != torch.uint8:
        raise RelvitError(
            "images have the shape (B, C, H, W) with 1 or 3 channels and the dtype uint8, "
            f"not {tuple(images.shape)} and {images.dtype}"
        )
    b, _, h, w = images.shape
    unchanged = crop == "none" and (h, w) == (size, size) and not windows.flip.any()
    padding = largest_shift(max(h, w)) if crop == "padded" else 0
    out = images.new_empty(b, 3, size, size, dtype=torch.float32)
    with one_thread(images.device):
        if crop == "resized" and images.device.type == "cpu" and min(h, w) > PHOTOGRAPH:
            for i, window in enumerate(zip(*(values.tolist() for values in windows))):
                out[i] = cut_window(images[i], size, *window)  # (1,size,size) or (3,size,size) -> (3,size,size)
                out[i].div_(255)
                if finish is not None:
                    finish(out[i : i + 1])
            return out
        windows = Windows(*(to_device(values, images.device) for values in windows))
        for part in _parts(b, images[:1].numel(), images.device):
            pixels = images[part].float().div_(255)
            if not unchanged:
                pixels = apply_windows(pixels, size, Windows(*(values[part] for values in windows)), padding)
            out[part] = pixels  # (b,1,size,size) or (b,3,size,size) -> (b,3,size,size)
            if finish is not None:
                finish(out[part])
    return out


def patch_augment(
    patches: Tensor,
    *,
    generator: torch.Generator | None = None,
    crop: bool = True,
    jitter: bool = True,
    grey: bool = True,
    changes: PatchChanges | None = None,
) -> Tensor:
    """Patches (B, N, 3, P, P) float to the same shape and dtype; every patch has its own parameters and order.

    crop: a random window of side round(P / 1.15), resized to P (bilinear). jitter: with probability 0.8 brightness,
    contrast, saturation (each 0.4) and hue (0.1), in random order. grey: with probability 0.2.
    Patches in [0, 1] stay there. Others are clamped to it where torchvision clamps them: after brightness, contrast and
    saturation. Recipe "released" does that to normalised patches.
    changes: as draw_patch_changes returns them for B * N patches; drawn where None, on the generator's device (None:
    the CPU, which costs a GPU no waiting). Raises RelvitError for other shapes.
    """
    if patches.dim() != 5 or patches.shape[2] != 3 or patches.shape[3] != patches.shape[4]:
        raise RelvitError(f"patches have the shape (B, N, 3, P, P), not {tuple(patches.shape)}")
    if not patches.is_floating_point():
        raise RelvitError(f"patches are floats in [0, 1] here, not {patches.dtype}: divide by 255 first")
    flat = patches.flatten(0, 1)  # (B,N,3,P,P) -> (n,3,P,P)
    with one_thread(patches.device):
        if changes is None:
            changes = draw_patch_changes(len(flat), patches.shape[-1], generator)
        return apply_patch_changes(flat, changes, crop=crop, jitter=jitter, grey=grey).view(patches.shape)


def _parts(count: int, numbers: int, device: torch.device) -> Iterator[slice]:
    """Slices of `count` images or patches of `numbers` numbers each: parts of about PART numbers on a CPU, else one."""
    step = max(1, PART // max(1, numbers) if device.type == "cpu" else count)
    return (slice(start, start + step) for start in range(0, count, step))


# Whole images


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator, device=_drawn_on(generator)) * (high - low) + low


def _drawn_on(generator: torch.Generator | None) -> torch.device | str:
    return "cpu" if generator is None else generator.device


def _below(end: Tensor, generator: torch.Generator | None) -> Tensor:
    """A whole number in 0..end - 1 for each entry of `end` (in float64, so that rounding never gives `end`)."""
    return (torch.rand(end.shape, generator=generator, device=end.device, dtype=torch.float64) * end).long()


def draw_windows(
    batch: int,
    height: int,
    width: int,
    *,
    crop: str,
    flip: bool,
    generator: torch.Generator | None = None,
    scale: tuple[float, float] = (0.08, 1),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Windows:
    """The windows of image_augment for images of height x width, on the generator's device (None: the CPU).

    crop: "resized" is RandomResizedCrop (bilinear, antialias) with `scale` and `ratio`; "padded" shifts the image by up
    to largest_shift of its sides, zeros coming in, and resizes where the size differs; "none" only resizes. flip:
    whether to mirror each image with probability 1/2. Raises RelvitError for an unknown crop.
    """
    zero = torch.zeros(batch, dtype=torch.int64, device=_drawn_on(generator))
    window = (zero, zero, zero + height, zero + width)
    if crop == "resized":
        window = draw_resized_crops(batch, height, width, generator, scale, ratio)
    elif crop == "padded":
        most = (largest_shift(height), largest_shift(width))
        top, left = (_below(zero + 2 * shift + 1, generator) - shift for shift in most)
        window = (top, left, zero + height, zero + width)
    elif crop != "none":
        raise RelvitError(f"unknown crop {crop!r}: {nearest(crop, CROPS)}")
    mirrored = _uniform((batch,), 0, 1, generator) < (0.5 if flip else 0)
    return Windows(*window, mirrored)


def largest_shift(side: int) -> int:
    """How far a padded crop shifts an image at most, in pixels: 4, as the released code at 32 and 64; less below 32."""
    return min(4, side // 8)


def draw_resized_crops(
    batch: int,
    height: int,
    width: int,
    generator: torch.Generator | None = None,
    scale: tuple[float, float] = (0.08, 1),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """RandomResizedCrop's windows: top, left, height, width, (B,) int64 each.

    The area is uniform in `scale` (of the image's), the aspect log-uniform in `ratio`. Of ten tries, all drawn at once,
    the first that fits counts; where none does, the largest central window of an allowed aspect.
    """
    for name, (low, high) in (("scale", scale), ("ratio", ratio)):
        if not 0 < low <= high:
            raise RelvitError(f"{name} is (smallest, largest) with 0 < smallest <= largest, not ({low}, {high})")
    area = height * width * _uniform((batch, 10), *scale, generator).double()
    aspect = _uniform((batch, 10), math.log(ratio[0]), math.log(ratio[1]), generator).double().exp()
    h, w = (area / aspect).sqrt().round().long(), (area * aspect).sqrt().round().long()  # (B,10)
    fits = (h > 0) & (h <= height) & (w > 0) & (w <= width)
    first = fits.byte().argmax(dim=1, keepdim=True)
    none = ~fits.any(dim=1)
    h = torch.where(none, min(height, round(width / ratio[0])), h.gather(1, first)[:, 0])  # (B,10) -> (B,)
    w = torch.where(none, min(width, round(height * ratio[1])), w.gather(1, first)[:, 0])
    top = torch.where(none, (height - h) // 2, _below(height - h + 1, generator))
    left = torch.where(none, (width - w) // 2, _below(width - w + 1, generator))
    return top, left, h, w


def apply_windows(images: Tensor, size: int, windows: Windows, padding: int = 0, antialias: bool = True) -> Tensor:
    """Crop each image to its window, resize that to size x size, mirror it where asked.

    images: (B, C, H, W) float. Windows may reach `padding` pixels beyond them, where there are zeros.
    Returns (B, C, size, size) float.
    """
    weights = []
    for side, start, length in (
        (images.shape[-2], windows.top, windows.height),
        (images.shape[-1], windows.left, windows.width),
    ):
        # The zeros have weights as all pixels have, but nothing to add to the sum.
        padded = axis_weights(start + padding, length, size, side + 2 * padding, antialias)
        weights.append(padded[..., padding : padding + side])
    wy, wx = weights
    # To mirror is to take the rows of wx in reverse. (torch.lerp by 0 or 1 is exact, and ten times as fast as where.)
    wx = torch.lerp(wx, wx.flip(-2), windows.flip.to(wx.dtype)[:, None, None])
    return resample(images, wy, wx)


def cut_window(image: Tensor, size: int, top: int, left: int, height: int, width: int, flip: bool) -> Tensor:
    """apply_windows for one photograph, in 8 bits: (C, H, W) uint8 to (C, size, size) uint8.

    The numbers are those of torchvision on 8-bit images: those of floats, rounded, give or take one grey level.
    """
    window = image[None, :, top : top + height, left : left + width]
    window = window.flip(-1) if flip else window.contiguous()  # which F.interpolate does much more slowly
    return F.interpolate(window, (size, size), mode="bilinear", antialias=True)[0]


# Single patches


def window_side(patch: int) -> int:
    """The side of the window that a patch crop takes: 3, 7, 12, 14, 28 for P = 4, 8, 14, 16, 32. P = 2 has no crop."""
    return max(1, round(patch / PATCH_CROP))


def draw_patch_changes(count: int, patch: int, generator: torch.Generator | None = None) -> PatchChanges:
    """The parameters of patch_augment for `count` patches, on the generator's device (None: the CPU)."""

    def below(end: int) -> Tensor:
        return torch.randint(end, (count,), generator=generator, device=_drawn_on(generator))

    def uniform(low: float, high: float) -> Tensor:
        return _uniform((count,), low, high, generator)

    places = patch - window_side(patch) + 1
    return PatchChanges(
        top=below(places),
        left=below(places),
        jitter=uniform(0, 1) < JITTER_PROBABILITY,
        order=below(len(ORDERS)),
        factors=torch.stack([*(uniform(1 - STRENGTH, 1 + STRENGTH) for _ in range(3)), uniform(-HUE, HUE)], dim=1),
        grey=uniform(0, 1) < GREY_PROBABILITY,
    )


def apply_patch_changes(
    patches: Tensor, changes: PatchChanges, *, crop: bool = True, jitter: bool = True, grey: bool = True
) -> Tensor:
    """Crop, jitter and grey patches (n, 3, P, P) float as `changes` says. Returns the same shape and dtype.

    The parameters are planned on the host, where the sizes of the groups are known without asking the GPU.
    """
    changes = PatchChanges(*(values.cpu() for values in changes))
    if not jitter:
        changes = changes._replace(jitter=torch.zeros_like(changes.jitter))
    if not grey:
        changes = changes._replace(grey=torch.zeros_like(changes.grey))
    out = torch.empty_like(patches)
    for part in _parts(len(patches), patches[:1].numel(), patches.device):
        out[part] = _changed(patches[part], PatchChanges(*(values[part] for values in changes)), crop)
    return out


def _changed(patches: Tensor, changes: PatchChanges, crop: bool) -> Tensor:
    """One part of apply_patch_changes. The patches are sorted by what jitter_ asks for, and put back in the end."""
    n, _, p, _ = patches.shape
    group = torch.where(changes.jitter, HUE_AT[changes.order], 4)  # where in its order hue comes; 4: no jitter
    hue_at = list(itertools.accumulate(group.bincount(minlength=5).tolist(), initial=0))
    rows = group.argsort()
    back = torch.empty_like(rows).scatter_(0, rows, torch.arange(n))  # the inverse permutation
    changes = PatchChanges(*(values[rows] for values in changes))
    jittered = slice(0, hue_at[4])
    steps, turns = jitter_plan(changes.order[jittered], changes.factors[jittered].to(patches.dtype))
    rows, back, top, left, grey, steps, turns = (
        to_device(values, patches.device)
        for values in (rows, back, changes.top, changes.left, changes.grey.to(patches.dtype), steps, turns)
    )

    x = patches.index_select(0, rows)
    x = x.flatten(1).t().contiguous().view(3, p, p, n)  # (n,3,P,P) -> (n,3*P*P) -> (3*P*P,n) -> (3,P,P,n)
    if crop:
        x = _crop(x, top, left)
    jitter_(x[..., jittered], steps, turns, hue_at[:5])
    x = torch.lerp(x, grey_of(x), grey)  # (3,P,P,n) (P,P,n) (n,): lerp by 0 or 1
    x = x.view(3 * p * p, n).t().contiguous()  # (3,P,P,n) -> (3*P*P,n) -> (n,3*P*P)
    return x.index_select(0, back).view(n, 3, p, p)


def _crop(x: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """The window of each patch, resized to the patch's side: (3, P, P, n) to the same shape."""
    p = x.shape[1]
    side = window_side(p)
    if side == p:
        return x
    # The windows are few (2 to 5 an axis), so all are looked at, and each patch takes its own (lerp by 0 or 1).
    for axis, start in ((1, top), (2, left)):
        window = x.narrow(axis, 0, side)
        for offset in range(1, p - side + 1):
            window = torch.lerp(window, x.narrow(axis, offset, side), (start == offset).to(x.dtype))
        x = window
    zero = torch.zeros((), device=x.device)
    weights = axis_weights(zero, zero + side, p, side).to(x.dtype)  # (P,side), the same for all
    with torch.autocast(x.device.type, enabled=False):
        x = weights @ x.flatten(2)  # (P,side) (3,side,side*n) -> (3,P,side*n)
        x = weights @ x.unflatten(2, (side, -1))  # (P,side) (3,P,side,n) -> (3,P,P,n)
    return x
