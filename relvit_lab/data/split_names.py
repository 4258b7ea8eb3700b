"""§4 (data sets): which of a data set's folders are its splits: train, val and test by all their usual names."""

import re
from collections.abc import Sequence
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.data.walk import LAYOUT, class_folders

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
            f"{' and '.join(names.values())} is a class, give its folder another name)"
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
