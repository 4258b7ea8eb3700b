"""§4 (data sets), §4.1: the pixels of one image file, whatever its format, mode and orientation.

All that reads an image reads it here: data sets, explorers, Trained.transform (the latter two by given_image.py).
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

    Source = Path | bytes | Image.Image

FORMATS = (  # no others are opened: EPS and WMF run programs, others hold no pictures
    "JPEG", "MPO", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "QOI", "TGA", "ICO", "ICNS",
    "PCX", "SGI", "DDS", "BLP", "MSP", "XBM",
)  # fmt: skip
MOST_PIXELS = 2**27  # decoded, as RGB, they take 0.4 GB
MOST_ASPECT = 100  # of the longer side to the shorter
STRIP = 16  # of longer ones only the middle is looked at: resized whole, 1 x 90 pixels at 224 would be 224 x 20,160
DEPTHS = (8, 10, 12, 14, 16, 24, 32)  # bits that cameras and scanners fill


def decode_image(source: "Source", size: int) -> np.ndarray:
    """One image as uint8 (3, size, size): torchvision's Resize(size) and CenterCrop(size) of the upright RGB image.

    source: a path, a file's bytes, or a PIL image, which is left as it is. A JPEG is decoded at its full resolution,
    as a browser does (show/in_page/pixels.js gives the same pixels). Raises nearly anything for a damaged file, as
    decode_window does, and ValueError for more than MOST_PIXELS or a side MOST_ASPECT times the other.
    """
    from PIL import Image

    with upright(source) as image:
        width, height = image.size
        short = min(width, height)
        if max(width, height) > STRIP * short:
            left, top = (max(0, (side - STRIP * short) // 2) for side in (width, height))
            image = image.crop((left, top, width - left, height - top))
            width, height = image.size
        image = _rgb(image)
        wide, high = (size * side // short for side in (width, height))
        image = image.resize((wide, high), Image.Resampling.BILINEAR)  # Pillow's filters are antialiased
        left, top = round((wide - size) / 2), round((high - size) / 2)
        pixels = np.asarray(image.crop((left, top, left + size, top + size)))
    return pixels.transpose(2, 0, 1)  # (H,W,C) -> (C,H,W)


def decode_window(path: Path, size: int, window: Callable[[int, int], tuple[int, int, int, int, bool]]) -> np.ndarray:
    """A part of one image as uint8 (3, size, size): cropped, resized (bilinear, antialiased), mirrored where asked.

    window(height, width) of the upright RGB image, at its full resolution -> (top, left, height, width, mirrored).
    """
    from PIL import Image

    with upright(path) as image:
        image = _rgb(image)
        top, left, height, width, mirrored = window(image.height, image.width)
        image = image.crop((left, top, left + width, top + height))  # resize(box=...) would mix in pixels around it
        image = image.resize((size, size), Image.Resampling.BILINEAR)
        if mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = np.asarray(image)
    return pixels.transpose(2, 0, 1)  # (H,W,C) -> (C,H,W)


def upright_size(source: "Source") -> tuple[int, int]:
    """(width, height) as a person sees the image; of a file only the head is read. Raises as decode_image."""
    with _opened(source) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112) in (5, 6, 7, 8) and image.format != "TIFF"  # Pillow turns those itself
        return (height, width) if turned else (width, height)


@contextmanager
def upright(source: "Source") -> Iterator["Image.Image"]:
    """The image turned as its EXIF data say, in the mode of its file, its first frame of several; within the bounds."""
    from PIL import ImageOps

    with _opened(source) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise ValueError(f"{width:,} x {height:,} pixels are more than {MOST_PIXELS:,}: shrink it first")
        if max(width, height) > MOST_ASPECT * min(width, height):
            raise ValueError(f"{width:,} x {height:,} pixels are a strip, not a picture: crop it first")
        yield ImageOps.exif_transpose(image)


@contextmanager
def _opened(source: "Source") -> Iterator["Image.Image"]:
    from PIL import Image

    if isinstance(source, Image.Image):
        yield source
        return
    if not Image.OPEN.keys() >= set(FORMATS) - {"MPO", "AVIF"}:
        Image.init()  # loads the formats
    try:
        known = [name for name in FORMATS if name in Image.OPEN]
        opened = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=known)
    except Image.DecompressionBombError:
        raise ValueError(f"it has more than {MOST_PIXELS:,} pixels: shrink it first") from None
    with opened:
        yield opened


def _rgb(image: "Image.Image") -> "Image.Image":
    """Transparency is dropped: what lies under it is shown."""
    from PIL import Image

    if image.mode == "F" or image.mode.startswith("I"):  # convert() would cut all above 255 off
        return Image.fromarray(_levels(np.asarray(image))).convert("RGB")
    if image.mode == "LAB":
        return _from_lab(image)
    if image.mode == "La":
        image = image.convert("LA")
    elif image.mode == "RGBa" or image.mode == "PA" or (image.mode == "P" and "transparency" in image.info):
        image = image.convert("RGBA")
    return image.convert("RGB")


def _levels(values: np.ndarray) -> np.ndarray:
    """Grey values of more than 8 bits as uint8, by the number of bits that they fill; floats in [0, 1] or [0, 255]."""
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if not (low >= 0 and high <= 255):  # not a number fails too
            raise ValueError(f"its floats lie in [{low:.4g}, {high:.4g}], not in [0, 1] or [0, 255]")
        scale = 255 if high <= 1 else 1
        return _by_rows(values, lambda part: np.rint(part * scale))
    bits = next((bits for bits in DEPTHS if high < 2**bits), None)
    if low < 0 or bits is None:
        raise ValueError(f"its values lie in [{low}, {high}], which is no range of grey levels")
    return _by_rows(values, lambda part: part.astype(np.int64) * 255 // (2**bits - 1))


def _by_rows(values: np.ndarray, levels: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """uint8 of an image (H, W), a few rows at a time: the wider numbers in between take eight times the memory."""
    found = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), 64):
        found[top : top + 64] = levels(values[top : top + 64])
    return found


def _from_lab(image: "Image.Image") -> "Image.Image":
    from PIL import ImageCms

    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(*profiles, "LAB", "RGB").apply(image)
