"""Whatever a person has as an image (a file, an array, a tensor ...) as the square that patches are cut from."""

import operator
from typing import NamedTuple

from torch import Tensor

from relvit_lab.common.errors import RelvitError
from relvit_lab.data import given_image
from relvit_lab.show.photographs import photograph

USUAL = 224  # the side that large images are brought to, in pixels, rounded down to whole patches
LARGEST = 384  # a square of whole patches up to this side is left as it is
GRID = 32  # patches a side at most: more could neither be seen nor dragged


class Square(NamedTuple):
    """An image ready to be cut, and what was done to it."""

    image: Tensor  # (3, S, S) float32 in [0, 1], S a multiple of the patch
    note: str  # "" where nothing was changed


def square_image(image: object = None, patch: int = 16) -> Square:
    """Crop an image to its centre and resize it, where needed, to a square of whole patches.

    image: what given_image takes: a path, bytes, an upload, a PIL image, an array, a tensor; None for a photograph that
    comes with scikit-learn. patch: P.
    A square of whole patches stays as it is, up to 384 pixels and 32 patches a side; others get about 224 pixels a side
    (bilinear, antialias). Raises RelvitError, with what would do, for anything else.
    """
    patch = whole(patch, "patch (P, the side of a patch in pixels)", least=1)
    if image is None:
        image = photograph(_fitting(USUAL, patch))
    given = given_image.given_image(image)
    width, height = given_image.size(given)
    short = min(height, width)
    if short < patch:
        raise RelvitError(f"an image of {width} x {height} pixels has no room for a patch of {patch}: try {short}")
    fits = height == width and short % patch == 0 and short <= min(LARGEST, GRID * patch)
    side = short if fits else _fitting(min(short, USUAL), patch)
    pixels = given_image.square(given, side)
    pixels = pixels if pixels.is_floating_point() else pixels / 255
    done = ["cropped to its centre"] if height != width else []
    done += [f"resized to {side} x {side}"] if side != short else []
    note = f"The image of {width} x {height} pixels was {' and '.join(done)}." if done else ""
    return Square(pixels, note)


def whole(value: object, name: str, least: int | None = None, most: int | None = None) -> int:
    """A whole number, be it Python's, numpy's or a tensor's, within the limits that are given, `most` beside `least`
    only. Raises RelvitError for all else."""
    try:
        number = operator.index(value)
    except (TypeError, ValueError):
        number = None
    fits = number is not None and not isinstance(value, bool)
    if not fits or (least is not None and number < least) or (most is not None and number > most):
        limits = "" if least is None else f" from {least} up" if most is None else f" from {least} to {most}"
        raise RelvitError(f"{name} is a whole number{limits}, not {value!r}")
    return number


def _fitting(side: int, patch: int) -> int:
    """The largest whole number of patches within `side` pixels, at least one and at most GRID."""
    return min(max(1, side // patch), GRID) * patch
