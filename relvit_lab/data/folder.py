"""§4 (data sets): images in a folder, one folder a class (torchvision's ImageFolder layout)."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.words import some
from relvit_lab.data.base import Files, FileSet, Info
from relvit_lab.data.walk import LAYOUT, Walk, class_folders, left_out

IMAGE_SIZE = 64  # where the caller names none
TEST_SHARE = 0.2  # of each class, where the folder has no splits

WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "traindata", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval", "evaluation", "valset"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "testdata", "tst"), "test"),
}
SHORT = {"tr": "train", "va": "val", "te": "test"}
TOGETHER = ("trainval", "trainvalid", "trainvalidation")
AROUND = {  # that stand before or after such a word, and mean nothing
    "set", "sets", "data", "dataset", "image", "images", "img", "imgs", "picture", "pictures", "photo", "photos",
    "split", "splits", "seg", "folder", "dir", "files", "the", "my", "final", "subset",
}  # fmt: skip

Listing = tuple[dict[str, list[str]], dict[str, list[str]], str, tuple[str, ...]]
"""{class: names relative to root, with /} of the training and of the test images, which split those are, notes."""


def describe(root: Path, name: str) -> Info:
    """Without reading anything. Photographs: they may be flipped."""
    return Info(name, IMAGE_SIZE, paper=False, backbone="vit_nano", flip=True, files=True)


def files(root: Path, name: str) -> FileSet:
    """The images under root, by the layout of their folders. Classes are the folders' names, sorted.

    Raises RelvitError for another layout, a class without images, and splits with different classes.
    """
    try:
        train, test, test_split, notes = _list_images(root)
    except OSError as error:
        raise RelvitError(f"{root} cannot be read: {error.strerror or error}") from error
    classes = tuple(sorted(train))

    def labelled(part: dict[str, list[str]]) -> Files:
        labels = tuple(label for label, c in enumerate(classes) for _ in part[c])
        return Files(tuple(name for c in classes for name in part[c]), labels)

    return FileSet(name, root, labelled(train), labelled(test), classes, test_split=test_split, notes=notes)


def _list_images(root: Path) -> Listing:
    folders = class_folders(root)
    if not folders:
        raise RelvitError(f"{root} holds no folders of images: {LAYOUT} is needed")
    found = splits(root, folders)
    if found:
        others = [name for name in folders if name not in found.values()]
        return _given_splits(root, {split: _down(root, name) for split, name in found.items()}, others)
    inner = {name: class_folders(root / name) for name in folders}
    deeper = [name for name in folders if "train" in kinds_of(inner[name]).values()]
    if len(deeper) > 1:
        raise RelvitError(f"{root}: {some(deeper)} hold a train folder each: {LAYOUT} is needed")
    if len(folders) == 1 and inner[folders[0]]:
        deeper = folders
    if deeper:
        raise RelvitError(f"{root}: the data set seems to be a level further down: take {root / deeper[0]}")
    return _hashed_splits(root)


def _down(root: Path, name: str) -> str:
    """A split's folder, or the one in it that holds its classes: unpacked archives hold seg_train/seg_train/<class>."""
    inner = class_folders(root / name)
    again = len(inner) == 1 and list(kinds_of(inner).values()) == list(kinds_of([name]).values()) != []
    return f"{name}/{inner[0]}" if again and class_folders(root / name / inner[0]) else name


def _given_splits(root: Path, found: dict[str, str], others: list[str]) -> Listing:
    """found: {"train": its folder, ...}, others: the names of further folders."""
    train, test_split = found["train"], "test" if "test" in found else "val"
    test = found[test_split]
    notes: tuple[str, ...] = ()
    if {"val", "test"} <= found.keys():
        val = found["val"]
        if class_folders(root / test):
            notes = (f"folder: the numbers are on {test}; {val} is left aside",)
        else:  # many public sets keep the labels of their test images back
            notes = (f"folder: {test} has no class folders, so the numbers are on {val}",)
            test_split, test = "val", val
    if others:
        notes += (f"folder: beside {' and '.join(found.values())}, {some(others)} is left aside",)
    walks = {"train": Walk(root), test_split: Walk(root)}
    parts = {split: walk.by_class(found[split]) for split, walk in walks.items()}
    if twice := walks["train"].seen.keys() & walks[test_split].seen.keys():
        one, other = (walks[split].seen[min(twice)] for split in ("train", test_split))
        raise RelvitError(
            f"{root}: the same files are in {train} and {test} ({len(twice):,}, such as {one} and {other}), so the "
            "numbers would be on training images: take them out of one of the two"
        )
    if parts["train"].keys() != parts[test_split].keys():
        ours, theirs = parts["train"].keys(), parts[test_split].keys()
        odd = [
            f"{some(sorted(a - b))} only in {where}"
            for a, b, where in ((ours, theirs, train), (theirs, ours, test))
            if a - b
        ]
        raise RelvitError(f"{root}: {train} and {test} need the same class folders, but {'; '.join(odd)}")
    return parts["train"], parts[test_split], test_split, notes + left_out(*walks.values())


def _hashed_splits(root: Path) -> Listing:
    """In each class, the fifth of the images whose names hash lowest: the same on every machine, in any order."""
    train, test = dict[str, list[str]](), dict[str, list[str]]()
    walk = Walk(root)
    for name, images in walk.by_class("").items():
        if len(images) < 2:
            raise RelvitError(f"{root}: class {name} has one image, but needs two or more to be split for testing")
        ranked = sorted(images, key=lambda image: hashlib.sha256(image.encode("utf-8", "surrogateescape")).digest())
        count = max(1, round(TEST_SHARE * len(images)))
        test[name], train[name] = sorted(ranked[:count]), sorted(ranked[count:])
    counts = [sum(map(len, part.values())) for part in (train, test)]
    note = (
        f"folder: no splits in it, so each class was split 80/20 by a hash of the file names ({counts[0]:,} training "
        f"and {counts[1]:,} test images)"
    )
    return train, test, "test", (note, *left_out(walk))


# -- which folders are splits: train, val and test by all their usual names ------------------------------------------


def splits(root: Path, folders: Sequence[str]) -> dict[str, str]:
    """{"train" | "val" | "test": its folder} of the folders in root, with train and another; {}: they are classes.

    Raises RelvitError where some look like splits and it cannot be told which is which.
    """
    kinds = kinds_of(folders)
    if not kinds:
        return {}
    found: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        found.setdefault(kind, []).append(name)
    classes = [name for name in folders if name not in kinds]
    if set(found) == {"train"} and classes and len(kinds) == 1 and not class_folders(root / found["train"][0]):
        return {}  # a train among other vehicles
    for kind, alike in found.items():
        if len(alike) > 1:
            raise RelvitError(
                f"{root}: {', '.join(alike)} all look like the {kind} split. Name one of them {kind}, and move the "
                f"others away: {LAYOUT} is needed"
            )
    names = {kind: alike[0] for kind, alike in found.items()}
    if "train" not in names:
        if both := [name for name in classes if "".join(_words(name)) in TOGETHER]:
            raise RelvitError(f"{root}: {both[0]} seems to hold training and validation images together: name it train")
        beside = f" beside {', '.join(classes[:3])}" if classes else ""
        raise RelvitError(
            f"{root} has {' and '.join(names.values())}{beside} but no train: {LAYOUT} is needed. (If "
            f"{' or '.join(names.values())} is a class, give its folder another name)"
        )
    if len(names) == 1:
        train = root / names["train"]
        raise RelvitError(
            f"{root} has {names['train']} but neither val nor test. Add one, or give {train} as the data set: it is "
            "then split for you"
        )
    return {kind: names[kind] for kind in ("train", "val", "test") if kind in names}


def kinds_of(folders: Sequence[str]) -> dict[str, str]:
    """{folder: "train" | "val" | "test"} of those that are called like a split, alone or beside one another.

    "Training_Set", "seg_test" and "val2017" are; "birds-train" is where there is "birds-test"; "bullet_train" is not.
    """
    if {"tr", "te"} <= {name.lower() for name in folders} <= SHORT.keys():  # alone: "te" and "tr" are languages, too
        return {name: SHORT[name.lower()] for name in folders}
    found: dict[str, str] = {}
    parts: dict[tuple[str, ...], dict[str, str]] = {}
    for name in folders:
        words = _words(name)
        of = {WORDS[word] for word in words if word in WORDS}
        if len(of) != 1:
            continue
        rest = tuple(word for word in words if word not in WORDS and word not in AROUND and not word.isdigit())
        if not rest:
            found[name] = of.pop()
        else:
            parts.setdefault(rest, {})[name] = of.pop()
    for together in parts.values():
        if len(set(together.values())) > 1:
            found |= together
    return {name: found[name] for name in folders if name in found}


def _words(name: str) -> list[str]:
    """ "segTrain_v2" -> ["seg", "train", "v", "2"]."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=\D)(?=\d)|(?<=\d)(?=\D)", " ", name)
    return [word for word in re.split(r"[\W_]+", spaced.lower()) if word]
