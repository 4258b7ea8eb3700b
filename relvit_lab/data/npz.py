"""§4 (data sets): a data set of one's own in one .npz with x_train, y_train, x_test and y_test."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.words import some
from relvit_lab.data.base import Dataset, Info, Split, make_dataset

KEYS = ("x_train", "y_train", "x_test", "y_test")
NAMES = {  # what people call them, in lower case; the second is MedMNIST's
    "x": ("x_{0}", "{0}_images", "{0}_x", "images_{0}", "x{0}", "{0}_data", "data_{0}"),
    "y": ("y_{0}", "{0}_labels", "{0}_y", "labels_{0}", "y{0}", "{0}_targets", "targets_{0}"),
}
VALIDATION = ("val", "valid", "validation", "dev")
CLASS_NAMES = ("classes", "class_names", "label_names", "target_names", "names")
FORM = "images as (n, H, W), (n, H, W, 1 or 3) or (n, 1 or 3, H, W)"


def describe(path: Path, name: str) -> Info:
    """From the header of x_train alone. Grey images are not flipped: they are mostly signs. RelvitError as `read`."""
    with _opened(path) as archive:
        shape, _ = _header(archive, _members(archive, path, _of_test(archive))["x_train"], path)
        _, channels, side = _layout(shape, f"{path}: x_train")
    return Info(name, side, paper=False, backbone="vit_nano", flip=channels == 3)


def read(path: Path, name: str) -> Dataset:
    """The data set in the file. Its classes are the labels as they stand there, sorted; by name where labels are places
    in an array of text, one of CLASS_NAMES. Without test images, validation images stand in for them.

    Images are uint8, or floats in [0, 1]; labels whole numbers or strings. Nothing is unpickled and every byte is
    checked against the file's checksums. Raises RelvitError, with the path, where anything is not so.
    """
    with _opened(path) as archive:
        of_test = _of_test(archive)
    images, labels = read_arrays(path, of_test)
    values, train, test = _number(labels, path)
    splits = Split(images["x_train"], train), Split(images["x_test"], test)
    grey = images["x_train"].shape[1] == 1
    notes: tuple[str, ...] = (f"{path.name}: grey images, so none is flipped",) if grey else ()
    with _opened(path) as archive:
        there, used = _arrays(archive), {*_members(archive, path, of_test).values()}
        names, found = _class_names(archive, values, path)
        held_out = {kind: [_named(archive, kind, split) for split in VALIDATION if split != of_test] for kind in "xy"}
        known = {*used, *held_out["x"], *held_out["y"], found}
    if val := [*filter(None, held_out["x"])]:
        notes += (f"{path.name}: the numbers are on the {of_test} images; {some(val)} is left aside",)
    if others := [array for array in there if array not in known]:
        reason = f"beside {', '.join(KEYS)} only the names of all classes are read"
        notes += (f"{path.name}: {some(others)} left aside: {reason}",)
    test_split = "test" if of_test == "test" else "val"
    return make_dataset(name, *splits, names or map(str, values), test_split=test_split, notes=notes)


def read_arrays(path: Path, of_test: str = "test") -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """{x_train, x_test}: uint8 (n, C, H, W); {y_train, y_test}: (n,) as they stand in the file. of_test: the split that
    is taken for the test images. Errors as `read`."""
    with _opened(path) as archive:
        arrays = {key: _array(archive, name, path) for key, name in _members(archive, path, of_test).items()}
    images = {key: _images(arrays[key], f"{path}: {key}") for key in ("x_train", "x_test")}
    labels = {key: _labels(arrays[key], f"{path}: {key}") for key in ("y_train", "y_test")}
    for split in ("train", "test"):
        x, y = len(images[f"x_{split}"]), len(labels[f"y_{split}"])
        if x != y:
            raise RelvitError(f"{path}: x_{split} has {x} images, but y_{split} has {y} labels")
    train, test = images["x_train"].shape[1:], images["x_test"].shape[1:]
    if train != test:
        raise RelvitError(
            f"{path}: images of x_train have (channels, height, width) {tuple(train)}, of x_test {tuple(test)}: "
            "both need the same"
        )
    return images, labels


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The file as a zip. A damaged one can make zipfile and NumPy raise nearly anything, and all of it ends here."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except RelvitError:
        raise
    except Exception as error:
        why = f"{str(error) or type(error).__name__}. It may have been cut short: copy it or make it again"
        if _is_one_array(path):
            why = f"it holds one array, as numpy.save writes it. Write {', '.join(KEYS)} to one file with numpy.savez"
        raise RelvitError(f"{path} cannot be read as an .npz: {why}") from error


def _is_one_array(path: Path) -> bool:
    """Whether a file is of numpy.save."""
    with path.open("rb") as file:
        return file.read(6) == b"\x93NUMPY"


def _header(archive: zipfile.ZipFile, name: str, path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an array, held against the size of its member: a damaged header must not cost memory."""
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = parse(stream)
        start = stream.tell()
    if dtype.hasobject:
        raise RelvitError(
            f"{path}: {name} is an array of Python objects, and those are never read from files. "
            f"Save it as a plain array: {FORM}, labels as (n,)"
        )
    if start + math.prod(shape) * dtype.itemsize != member.file_size:
        raise ValueError(f"{name} has not the length that its header says")
    if math.prod(shape) == 0:
        raise RelvitError(f"{path}: {name} is empty (shape {shape})")
    return shape, dtype


def _arrays(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _named(archive: zipfile.ZipFile, kind: str, split: str) -> str | None:
    """The name in the file of the images ("x") or labels ("y") of a split; None where there is none."""
    there = _arrays(archive)
    if f"{kind}_{split}" in there:
        return f"{kind}_{split}"
    forms = [form.format(split) for form in NAMES[kind]]
    return next((name for form in forms for name in there if name.lower() == form), None)


def _of_test(archive: zipfile.ZipFile) -> str:
    """ "test", or where there are no such images one of VALIDATION."""
    return next((split for split in ("test", *VALIDATION) if _named(archive, "x", split)), "test")


def _members(archive: zipfile.ZipFile, path: Path, of_test: str = "test") -> dict[str, str]:
    """What KEYS are called in the file, by any of their usual names."""
    found = {}
    for key in KEYS:
        kind, split = key.split("_")
        name = _named(archive, kind, of_test if split == "test" else split)
        if name is None:
            present = ", ".join(name.removesuffix(".npy") for name in archive.namelist()) or "nothing"
            raise RelvitError(f"{path} has no {key}: it needs {', '.join(KEYS)}, and has {present}")
        found[key] = name
    return found


def _class_names(archive: zipfile.ZipFile, values: list, path: Path) -> tuple[list[str], str | None]:
    """What the classes are called, by an array of text in which the labels `values` are places, and its name; else
    [], None."""
    found = next((name for name in _arrays(archive) if name.lower() in CLASS_NAMES), None)
    if found is None or not isinstance(values[0], int):
        return [], None
    try:
        names = _array(archive, found, path)
    except RelvitError:  # of Python objects, or empty
        return [], None
    if names.ndim != 1 or names.dtype.kind not in "US" or values[0] < 0 or values[-1] >= len(names):
        return [], None
    texts = [str(text) for text in (np.char.decode(names, "utf-8", "replace") if names.dtype.kind == "S" else names)]
    called = [texts[value] for value in values]
    return (called, found) if len(set(called)) == len(called) else ([], None)


def _array(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    _header(archive, name, path)
    with archive.open(f"{name}.npy") as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read(1)  # zipfile compares the checksum where a read meets the end
    return array


def _layout(shape: tuple[int, ...], what: str) -> tuple[str, int, int]:
    """("grey" | "last" | "first", channels, side) of an array of images."""
    if len(shape) not in (3, 4):
        raise RelvitError(f"{what} has shape {shape}, but {FORM} are needed")
    if len(shape) == 3:
        layout, channels, (height, width) = "grey", 1, shape[1:]
    else:
        first, last = shape[1] in (1, 3), shape[3] in (1, 3)
        if first and last:
            raise RelvitError(f"{what} has shape {shape}: which axis holds the channels is ambiguous")
        if not first and not last:
            alpha = ": leave the fourth channel out, x[..., :3]" if shape[3] == 4 else f": {FORM} are needed"
            raise RelvitError(f"{what} has shape {shape}, and no axis with 1 or 3 channels{alpha}")
        layout, channels = ("first", shape[1]) if first else ("last", shape[3])
        height, width = shape[2:] if first else shape[1:3]
    if height != width:
        raise RelvitError(
            f"{what} has images of {height} x {width} pixels, but they must be square: crop or resize them first "
            "(images in a folder are cropped for you)"
        )
    return layout, channels, height


def _images(array: np.ndarray, what: str) -> Tensor:
    """uint8 (n, C, H, W) from any of the accepted forms."""
    layout, _, _ = _layout(array.shape, what)
    if array.dtype.kind == "f":
        array = _from_floats(array, what)
    elif array.dtype != np.uint8:
        fits = array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 255
        to_do = f"save {what.split()[-1]}.astype('uint8')" if fits else "bring them to 0..255 and save them as uint8"
        raise RelvitError(f"{what} is {array.dtype}, but images are uint8 (0..255) or floats in [0, 1]: {to_do}")
    images = torch.from_numpy(array)
    if layout == "grey":
        images = images.unsqueeze(1)  # (n,H,W) -> (n,1,H,W)
    elif layout == "last":
        images = images.permute(0, 3, 1, 2)  # (n,H,W,C) -> (n,C,H,W)
    return images.contiguous()


def _from_floats(array: np.ndarray, what: str) -> np.ndarray:
    levels = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), 1024):  # by pieces: a float copy of the whole may not fit
        piece = array[start : start + 1024]
        if not (piece.min() >= 0 and piece.max() <= 1):  # false for NaN too
            raise RelvitError(f"{what} has floats outside [0, 1] (or NaN){_advice(array)}")
        levels[start : start + 1024] = np.rint(piece * 255)
    return levels


def _advice(array: np.ndarray) -> str:
    """What to do about floats that are not in [0, 1]."""
    low, high = float(np.min(array)), float(np.max(array))
    if not (math.isfinite(low) and math.isfinite(high)):
        return ": it holds NaN or infinite values, so look at how it was made"
    found = f", in [{low:.3g}, {high:.3g}]"
    if low >= 0 and high <= 255:
        return f"{found}: divide by 255, or save uint8"
    if -1 <= low and high <= 1:
        return f"{found}: they seem to be scaled to [-1, 1], so save (x + 1) / 2, or uint8"
    if -20 < low < 0 and high < 20:
        return f"{found}: they seem to be standardised, so save them as they were before that (training does it itself)"
    return f"{found}: save the pixels as uint8 (0..255)"


def _labels(array: np.ndarray, what: str) -> np.ndarray:
    """(n,) from (n,) or (n, 1)."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    name = what.split()[-1]
    if array.ndim != 1:
        to_do = ""
        if array.ndim == 2 and array.dtype.kind in "iubf":
            one_hot = ((array == 0) | (array == 1)).all() and (array.sum(1) == 1).all()
            to_do = f". It is one-hot: save {name}.argmax(1)" if one_hot else ". Several labels an image cannot be used"
        raise RelvitError(f"{what} has shape {array.shape}, but one label an image is needed: (n,){to_do}")
    if array.dtype.kind not in "iubUS":
        whole = array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.rint(array)).all()
        to_do = f": save {name}.astype(int)" if whole else ""
        raise RelvitError(f"{what} is {array.dtype}, but labels are whole numbers or strings{to_do}")
    return array


def _number(labels: dict[str, np.ndarray], path: Path) -> tuple[list[int] | list[str], Tensor, Tensor]:
    """The K different labels, sorted, and both splits' labels as 0..K-1 (int64)."""
    values, train = _unique(labels["y_train"])
    place = {value: number for number, value in enumerate(values)}
    found, test = _unique(labels["y_test"])
    strangers = [value for value in found if value not in place]
    if strangers:
        shown = some([*map(repr, strangers)])
        kinds = ["text" if isinstance(one[0], str) else "numbers" for one in (values, found)]
        why = "" if len(set(kinds)) == 1 else f" (y_train holds {kinds[0]}, y_test {kinds[1]}: save both as the same)"
        raise RelvitError(f"{path}: y_test has labels that are not in y_train: {shown}{why}")
    places = torch.tensor([place[value] for value in found])
    return values, torch.from_numpy(train), places[torch.from_numpy(test)]


def _unique(labels: np.ndarray) -> tuple[list[int] | list[str], np.ndarray]:
    """The sorted values, and each label's place among them (int64)."""
    values, places = np.unique(labels, return_inverse=True)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "backslashreplace")
    return values.tolist(), places.astype(np.int64)
