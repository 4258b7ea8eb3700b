"""An image as a person has it (a path, bytes, an upload, an array, a tensor ...), read as data sets read theirs."""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.paths import places
from relvit_lab.data.images import decode_image, upright_size
from relvit_lab.method.resample import axis_weights, resample

if TYPE_CHECKING:
    from PIL import Image

    Given = Path | bytes | Image.Image | Tensor

CHANNELS = (1, 3, 4)
LONGEST = 1000  # characters of a path, at most


def given_image(image: object) -> "Given":
    """What `size` and `square` take: a path of a file, its bytes, a PIL image, or a tensor (3, H, W), uint8 or float32
    in [0, 1].

    image: a path (~ is expanded, relative ones are looked for in the working directory, then in the project; in quotes
    or with file:// before it, as file managers copy it); a file's bytes, or an open file; the value of a FileUpload, or
    one of its files; a PIL image; uint8, or float in [0, 1], as an array (H, W), (H, W, C), (C, H, W), a list of such
    rows, or a tensor (C, H, W), C 1, 3 or 4 (transparency is dropped). Raises RelvitError, with what would do, for
    anything else.
    """
    from PIL import Image

    uploads = uploaded(image)
    if uploads is not None:
        if len(uploads) != 1:
            raise RelvitError(f"one image is needed, and {len(uploads)} were uploaded" + ": take one" * bool(uploads))
        image = uploads[0]
    if isinstance(image, (str, os.PathLike)):
        return _file(image)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, io.IOBase) and image.closed:
        raise RelvitError("the file is closed: open it again, or give its path")
    if isinstance(image, io.IOBase) and image.readable():
        return image.read() if not isinstance(image, io.TextIOBase) else _refuse(image)
    if isinstance(image, Image.Image):
        return image
    return _pixels(image)


def uploaded(value: Any) -> list[bytes] | None:
    """The files of an ipywidgets FileUpload: of the widget, its value, or one entry of that; None for all else."""
    if type(value).__name__ == "FileUpload":
        value = value.value
    if isinstance(value, Mapping):  # an entry; or, in ipywidgets 7, {name: entry}
        value = [value] if "content" in value else list(value.values())
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, Mapping) and "content" in one for one in value):
        return None
    return [bytes(one["content"]) for one in value]


def size(given: "Given") -> tuple[int, int]:
    """(width, height) of the upright image. Raises RelvitError where it cannot be read."""
    if isinstance(given, Tensor):
        return given.shape[2], given.shape[1]
    with _explained(given):
        return upright_size(given)


def square(given: "Given", side: int) -> Tensor:
    """The middle square, resized (bilinear, antialiased): (3, side, side), float32 in [0, 1] for floats, else uint8.

    The pixels of a file, its bytes, its PIL image and its uint8 array are those of a data set. Raises RelvitError.
    """
    from PIL import Image

    if isinstance(given, Tensor) and given.dtype != torch.uint8:
        given = middle(given)
        if given.shape[-1] == side:
            return given.contiguous()
        weights = axis_weights(torch.tensor(0), torch.tensor(given.shape[-1]), side, given.shape[-1])
        return resample(given, weights, weights).clamp(0, 1).contiguous()
    with _explained(given):
        if isinstance(given, Tensor):
            given = Image.fromarray(given.permute(1, 2, 0).contiguous().numpy())  # (3,H,W) -> (H,W,3)
        return torch.from_numpy(decode_image(given, side).copy())


def middle(pixels: Tensor) -> Tensor:
    """The largest square in the middle of images (..., H, W)."""
    height, width = pixels.shape[-2:]
    short = min(height, width)
    top, left = round((height - short) / 2), round((width - short) / 2)  # as torchvision's CenterCrop
    return pixels[..., top : top + short, left : left + short]


@contextmanager
def _explained(given: "Given") -> Iterator[None]:
    """Whatever Pillow says of a file, as one sentence."""
    name = repr(str(given)) if isinstance(given, Path) else "what was given"
    try:
        yield
    except RelvitError:
        raise
    except MemoryError:
        raise RelvitError(f"there is not enough memory to read {name}: shrink the image first") from None
    except Exception as error:  # a damaged file can make Pillow raise nearly anything
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        if why.startswith("cannot identify image file"):
            why = "HEIC, as telephones write it: export it as JPEG" if _is_heic(given) else "of no known format"
        raise RelvitError(f"{name} is no image that can be read ({why})") from None


def _is_heic(given: "Given") -> bool:
    if isinstance(given, Path):
        with given.open("rb") as file:
            given = file.read(12)
    head = given[:12] if isinstance(given, bytes) else b""
    return head[4:8] == b"ftyp" and head[8:] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def _file(path: str | os.PathLike) -> Path:
    shown = os.fsdecode(path)
    tried = places(shown)
    for place in (*tried, *places(shown.strip(" \t\n\"'").removeprefix("file://"))):
        if os.path.isfile(place):  # False for what is no path at all, too
            return place
        if os.path.isdir(place):
            raise RelvitError(f"{shown!r} is a folder: name one image in it")
        if os.path.exists(place):
            raise RelvitError(f"{shown!r} is no regular file, and is not read")
    if len(shown) > LONGEST:
        raise RelvitError(f"a text of {len(shown):,} characters is no path: give the image as bytes or as a file")
    if "://" in shown:
        raise RelvitError(f"{shown!r} is an address, and nothing is downloaded: save the image, and give its path")
    raise RelvitError(f"no image at {shown!r} (looked for {' and '.join(map(str, tried))})")


def _pixels(image: object) -> Tensor:
    """(3, H, W) uint8, or float32 in [0, 1], from an array, a tensor, or rows."""
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
    if np.issubdtype(values.dtype, np.floating):
        if np.isnan(values).any():
            raise RelvitError("a float image lies in [0, 1]; this one holds nan (not a number)")
        low, high = float(values.min()), float(values.max())
        if not (low >= -0.01 and high <= 1.01):
            to_do = "divide by 255" if 0 <= low and 1.01 < high <= 255 else "give it as it was before it was normalised"
            raise RelvitError(f"a float image lies in [0, 1], not [{low:.2f}, {high:.2f}]: {to_do}")
        values = values.clip(0, 1).astype(np.float32)
    elif values.dtype != np.uint8:
        fits = values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 255
        to_do = "give image.astype('uint8')" if fits else "bring it to 0..255 and to uint8"
        raise RelvitError(f"an image is uint8, or float in [0, 1], not {values.dtype}: {to_do}")
    values = np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values[..., :3]
    return torch.from_numpy(np.array(values.transpose(2, 0, 1), order="C"))


def _to_array(image: object) -> np.ndarray:
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        return image.float().numpy() if image.dtype == torch.bfloat16 else image.numpy()
    if isinstance(image, tuple) and len(image) == 2 and not np.isscalar(image[0]) and np.ndim(image[1]) == 0:
        raise RelvitError("a pair (image, label) is no image: give its first part, pair[0]")
    if isinstance(image, np.ndarray):
        return image
    if isinstance(image, Sequence):
        try:
            values = np.asarray(image)
        except ValueError:
            raise RelvitError("an image's rows are all of one length") from None
        whole = values.dtype.kind == "i" and values.size and 0 <= values.min() <= values.max() <= 255
        return values.astype(np.uint8) if whole else values
    _refuse(image)


def _refuse(image: object) -> NoReturn:
    raise RelvitError(
        f"an image is a file's bytes, a PIL image, a path, an array or a tensor, not {type(image).__name__}"
    )
