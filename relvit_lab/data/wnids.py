"""§4 (data sets): class folders that are called by WordNet ids (n01440764), as ImageNet and its subsets have them."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.words import some
from relvit_lab.data.base import Files
from relvit_lab.data.walk import EXTENSIONS


def image_names(folder: Path) -> list[str]:
    """The names of the images in a folder, sorted; [] where there is no such folder. Nothing is opened."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in found if not name.startswith(".") and name.lower().endswith(EXTENSIONS))


def class_files(root: Path, wnids: Sequence[str], places: Mapping[str, Sequence[str]], split: str) -> Files:
    """The images of each class, labelled by its place in `wnids`.

    places: {wnid: folders relative to root}. Raises RelvitError that names the classes without an image.
    """
    names: list[str] = []
    labels: list[int] = []
    empty = []
    for label, wnid in enumerate(wnids):
        own = [f"{folder}/{name}" for folder in places.get(wnid, ()) for name in image_names(root / folder)]
        names += own
        labels += [label] * len(own)
        if not own:
            empty.append(wnid)
    if empty:
        raise RelvitError(f"{root} has no {split} images of {len(empty)} of {len(wnids)} classes: {some(empty)}")
    return Files(tuple(names), tuple(labels))


def short_names(long: Mapping[str, str]) -> tuple[str, ...]:
    """{wnid: "goldfish, Carassius auratus"} -> ("goldfish",); with the id where two would be called the same."""
    first = {wnid: text.split(",")[0].strip() or wnid for wnid, text in long.items()}
    times = Counter(first.values())
    return tuple(name if times[name] == 1 else f"{name} ({wnid})" for wnid, name in first.items())


def read_lines(path: Path) -> list[str]:
    """The lines that are not empty, without their ends. Raises RelvitError where there is no such text."""
    try:
        return [line.rstrip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise RelvitError(f"{path} is missing") from None
    except UnicodeDecodeError:
        raise RelvitError(f"{path} is no text: it is damaged") from None


def check_wnids(wnids: Sequence[str], path: Path) -> None:
    """Raises RelvitError where the classes of a list are none, twice there, or could lead out of their folder."""
    twice = [wnid for wnid, times in Counter(wnids).items() if times > 1]
    odd = [wnid for wnid in wnids if not (wnid.isalnum() and wnid.isascii())]
    if not wnids or twice or odd:
        why = f"names twice {some(twice)}" if twice else f"has no WordNet ids: {some(odd)}" if odd else "is empty"
        raise RelvitError(f"{path} {why}")
