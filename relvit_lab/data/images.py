"""§4 (data sets), §4.1: the pixels of one image file, whatever its format, mode and orientation."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


def decode_image(path: Path, size: int) -> np.ndarray:
    """One image as uint8 (3, size, size): torchvision's Resize(size) and CenterCrop(size) of the upright RGB image.

    Photographs of four times the size and more are decoded at a lower resolution first (at least twice the size).
    Raises nearly anything for a damaged file, as decode_window does.
    """
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        image.draft(None, (2 * size, 2 * size))
        image = _rgb(ImageOps.exif_transpose(image))
        width, height = image.size
        short = min(width, height)
        wide, high = (size * side // short for side in (width, height))
        image = image.resize((wide, high), Image.Resampling.BILINEAR)  # Pillow's filters are antialiased
        left, top = round((wide - size) / 2), round((high - size) / 2)
        pixels = np.asarray(image.crop((left, top, left + size, top + size)))
    return pixels.transpose(2, 0, 1)  # (H,W,C) -> (C,H,W)


def decode_window(path: Path, size: int, window: Callable[[int, int], tuple[int, int, int, int, bool]]) -> np.ndarray:
    """A part of one image as uint8 (3, size, size): cropped, resized (bilinear, antialiased), mirrored where asked.

    window(height, width) of the upright RGB image, at its full resolution -> (top, left, height, width, mirrored).
    """
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        image = _rgb(ImageOps.exif_transpose(image))
        top, left, height, width, mirrored = window(image.height, image.width)
        image = image.crop((left, top, left + width, top + height))  # resize(box=...) would mix in pixels around it
        image = image.resize((size, size), Image.Resampling.BILINEAR)
        if mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = np.asarray(image)
    return pixels.transpose(2, 0, 1)  # (H,W,C) -> (C,H,W)


def _rgb(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits a pixel; convert() would cut all above 255 off
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("its pixels are floats, of which the range is not known")
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
