"""Whatever a person has as an image (a file, an array, a tensor ...) as the square that patches are cut from."""

import operator
import os
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.resample import axis_weights, resample
from relvit_lab.show.photographs import photograph

USUAL = 224  # the side that large images are brought to, in pixels, rounded down to whole patches
LARGEST = 384  # a square of whole patches up to this side is left as it is
CHANNELS = (1, 3, 4)
GRID = 32  # patches a side at most: more could neither be seen nor dragged


class Square(NamedTuple):
    """An image ready to be cut, and what was done to it."""

    image: Tensor  # (3, S, S) float32 in [0, 1], S a multiple of the patch
    note: str  # "" where nothing was changed


def square_image(image: object = None, patch: int = 16) -> Square:
    """Crop an image to its centre and resize it, where needed, to a square of whole patches.

    image: a PIL image; a path; uint8, or float in [0, 1], as an array (H, W), (H, W, C) or a tensor (C, H, W), C 1, 3
    or 4 (transparency is dropped); None for a photograph that comes with scikit-learn. patch: P.
    A square of whole patches stays as it is, up to 384 pixels and 32 patches a side; others get about 224 pixels a side
    (bilinear, antialias). Raises RelvitError, with what would do, for anything else.
    """
    patch = whole(patch, "patch (P, the side of a patch in pixels)", least=1)
    if image is None:
        return Square(to_pixels(photograph(_fitting(USUAL, patch))), "")
    pixels = to_pixels(image)
    height, width = pixels.shape[-2:]
    short = min(height, width)
    if short < patch:
        raise RelvitError(f"an image of {width} x {height} pixels has no room for a patch of {patch}: try {short}")
    if height == width and short % patch == 0 and short <= min(LARGEST, GRID * patch):
        return Square(pixels, "")
    top, left = (height - short) // 2, (width - short) // 2
    pixels = pixels[:, top : top + short, left : left + short]
    side = _fitting(min(short, USUAL), patch)
    if side != short:
        weights = axis_weights(torch.tensor(0), torch.tensor(short), side, short)
        pixels = resample(pixels, weights, weights).clamp(0, 1)
    done = ["cropped to its centre"] if height != width else []
    done += [f"resized to {side} x {side}"] if side != short else []
    note = f"The image of {width} x {height} pixels was {' and '.join(done)}." if done else ""
    return Square(pixels.contiguous(), note)


def whole(value: object, name: str, least: int | None = None) -> int:
    """A whole number, be it Python's, numpy's or a tensor's. Raises RelvitError for all else, and below `least`."""
    try:
        number = operator.index(value)
    except (TypeError, ValueError):
        number = None
    if number is None or isinstance(value, bool) or (least is not None and number < least):
        from_up = "" if least is None else f" from {least} up"
        raise RelvitError(f"{name} is a whole number{from_up}, not {value!r}")
    return number


def _fitting(side: int, patch: int) -> int:
    """The largest whole number of patches within `side` pixels, at least one and at most GRID."""
    return min(max(1, side // patch), GRID) * patch


def to_pixels(image: object) -> Tensor:
    """An image as square_image takes it (not None), neither cropped nor resized: (3, H, W) float32 in [0, 1].

    Raises RelvitError as square_image does.
    """
    values = _to_array(image)
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    if values.ndim == 2:
        values = values[..., None]  # (H,W) -> (H,W,1)
    elif values.ndim == 3 and values.shape[0] in CHANNELS:
        if isinstance(image, Tensor) or values.shape[2] not in CHANNELS:
            values = values.transpose(1, 2, 0)  # (C,H,W) -> (H,W,C)
    if values.ndim != 3 or values.shape[2] not in CHANNELS or 0 in values.shape:
        raise RelvitError(
            "an image has the shape (H, W), (H, W, C) or, as a tensor, (C, H, W), with 1, 3 or 4 channels, "
            f"not {tuple(values.shape)}" + (": take one image of the batch, images[0]" if values.ndim == 4 else "")
        )
    if values.dtype == np.uint8:
        values = values.astype(np.float32) / 255
    elif np.issubdtype(values.dtype, np.floating):
        low, high = float(values.min()), float(values.max())
        if not (low >= -0.01 and high <= 1.01):  # not numbers fail too
            to_do = "divide by 255" if 0 <= low and 1.01 < high <= 255 else "give it as it was before it was normalised"
            raise RelvitError(f"a float image lies in [0, 1], not [{low:.2f}, {high:.2f}]: {to_do}")
    else:
        raise RelvitError(f"an image is uint8, or float in [0, 1], not {values.dtype}")
    values = np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values[..., :3]
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)).clamp(0, 1)


def _to_array(image: object) -> np.ndarray:
    from PIL import Image, ImageOps

    if isinstance(image, (str, os.PathLike)):
        if not os.path.isfile(image):
            raise RelvitError(f"no image at {os.fspath(image)!r} (seen from {os.getcwd()})")
        try:
            with Image.open(image) as opened:
                return _to_array(opened)
        except OSError:
            raise RelvitError(f"{os.fspath(image)!r} is no image that can be read") from None
    if isinstance(image, Image.Image):
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))  # a phone's photographs say which way is up
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        return image.float().numpy() if image.dtype == torch.bfloat16 else image.numpy()
    if isinstance(image, (np.ndarray, list, tuple)):
        try:
            return np.asarray(image)
        except ValueError:
            raise RelvitError("an image's rows are all of one length") from None
    raise RelvitError(f"an image is a PIL image, a path, an array or a tensor, not {type(image).__name__}")
