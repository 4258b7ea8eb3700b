"""§4 (data sets): image files decoded once into a packed store: uint8 images of one size in one file, mapped, not read.

    data_dir/packed/<name>-<side>-<digest of the listing>/     what lies in it: packing.py

A store is made once and shared by all runs on that machine. It is found by the names, labels, sizes and times of the
files, so that a changed data set gets a store of its own.

What packing changes against cropping each original anew (data_source "files"): an image keeps only its middle square,
shrunk to `stored_side`. So the ends of the longer sides of photographs are never seen in training, and a crop of a
small part of an image is enlarged from the stored pixels, where the original may have had more of them.
"""

import hashlib
import os
import re
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import one_at_a_time
from relvit_lab.data.base import Dataset, Files, FileSet, Split, blank_note, class_note, digest, from_sums
from relvit_lab.data.packing import MANY_BROKEN, Job, explained, intact, pack, read_json, take_over

DECODING = 2  # counts up where images are decoded in another way: older stores are then not used


def stored_side(image_size: int) -> int:
    """The side at which photographs are packed for a run at image_size: from 224 px on there is room to crop."""
    return image_size if image_size < 224 else round(image_size * 256 / 224)


def load(
    fileset: FileSet, data_dir: Path, image_size: int, progress: bool | None = None, source: str = "packed",
    workers: int | None = None,
) -> Dataset:  # fmt: skip
    """The data set of a FileSet, packed in data_dir if it is not yet: its images (n, 3, side, side) uint8 lie in a map
    of the file, which may only be read and is not copied.

    source "files": training crops the originals, so they are packed only where their mean and std are to be computed;
    train.images are zeros otherwise. workers: threads that decode (None: a core each). Raises RelvitError for images
    that cannot be read, a full disk, and a data_dir that cannot be written.
    """
    side = stored_side(image_size)
    splits = _splits(fileset)
    if source == "files" and fileset.normalisation is not None:
        del splits["train"]
    listing, listed = _listing(fileset.root, splits)
    name = re.sub(r"[^\w.-]+", "_", Path(fileset.name).name) or "images"
    folder = data_dir / "packed" / f"{name}-{side}-{listed[:12]}"
    paths = tuple(fileset.root / file for files in splits.values() for file in files.names)
    job = Job(fileset.name, folder, paths, listing, len(fileset.train) if "train" in splits else 0, side)
    counts = {split: len(files) for split, files in splits.items()}
    about = {
        "name": fileset.name, "side": side, "counts": counts, "classes": list(fileset.classes), "listing": listed,
    }  # fmt: skip
    index = _whole(job, listed, progress) or _packed(job, about, f"{name}-{side}-*", progress, workers)
    images = map_images(job.images_file, len(job.paths), side)
    ends = np.cumsum([0, *map(len, splits.values())]).tolist()
    found = {
        split: Split(images[start:end], torch.tensor(files.labels))
        for (split, files), start, end in zip(splits.items(), ends, ends[1:])
    }
    pixels = index["digest"]
    if "train" not in found:
        nothing = torch.zeros((), dtype=torch.uint8).expand(len(fileset.train), 3, side, side)  # one byte
        found["train"] = Split(nothing, torch.tensor(fileset.train.labels))
    if source == "files":
        pixels += _listing(fileset.root, {"train": fileset.train}, times=False)[1]
    total, squares = torch.tensor(index["sums"], dtype=torch.float64)
    mean, std = fileset.normalisation or from_sums(total, squares, len(fileset.train) * side * side)
    notes = fileset.notes + class_note(fileset.name, fileset.classes) + blank_note(fileset.name, images)
    return Dataset(
        fileset.name, found["train"], found["test"], fileset.classes, mean, std, fileset.test_split,
        digest(*found.values(), pixels=pixels), notes, found.get("val"),
        centre=image_size if side > image_size else None, files=fileset if source == "files" else None,
    )  # fmt: skip


def _whole(job: Job, listing: str, progress: bool | None) -> dict | None:
    """The index of a store that is there and intact."""
    index = read_json(job.folder / "index.json")
    if index is None or index.get("listing") != listing:
        return None
    return index if intact(job, index["digest"], progress) else None


def _packed(job: Job, about: dict, like: str, progress: bool | None, workers: int | None) -> dict:
    """The index of the store, which is packed now, by this process or by another that is at it."""
    with explained(job):
        if not job.folder.exists():
            job.folder.parent.mkdir(parents=True, exist_ok=True)
            take_over(job, like)
            job.folder.mkdir(exist_ok=True)
        with one_at_a_time(job.folder / "lock", f"packs {job.name}", progress):
            index = _whole(job, about["listing"], progress)
            return index or pack(job, about, progress, workers)


def _splits(files: FileSet) -> dict[str, Files]:
    return {"train": files.train, "test": files.test} | ({"val": files.val} if files.val else {})


def listing_digest(files: FileSet) -> str:
    """A sha256 of the names, labels, sizes and times of all images. Raises RelvitError where files are missing."""
    return _listing(files.root, _splits(files))[1]


def _listing(root: Path, splits: dict[str, Files], times: bool = True) -> tuple[tuple[str, ...], str]:
    """What the file system knows of each image, in a line, and a sha256 of that and of the labels. Raises RelvitError
    where files are missing."""
    lines, missing, state = [], [], hashlib.sha256(f"{DECODING}".encode())
    for split, files in splits.items():
        state.update(f"\n{split} {len(files)} {files.labels}\n".encode())
        for name in files.names:
            try:
                about = os.stat(root / name)
            except OSError as error:
                missing.append(f"{root / name} ({error.strerror or error})")
                continue
            lines.append(f"{name} {about.st_size} {about.st_mtime_ns if times else ''}")
            state.update(f"{lines[-1]}\n".encode("utf-8", "surrogateescape"))
    if missing:
        raise RelvitError("these images of the data set cannot be read:", *missing[:MANY_BROKEN])
    return tuple(lines), state.hexdigest()


def map_images(path: Path, count: int, side: int) -> Tensor:
    """(count, 3, side, side) uint8 of the file, of which pages are read when they are first looked at.

    The map is for reading only: writing into it ends the process. (A private, writable one, as torch.from_file makes
    it, is refused by Linux where the file is larger than all memory.)
    """
    pixels = np.memmap(path, np.uint8, "r", shape=(count, 3, side, side))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(pixels)
