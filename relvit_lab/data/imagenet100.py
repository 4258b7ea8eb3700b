"""§4 (data sets): ImageNet-100, from its copy on Kaggle or out of an ImageNet folder. Neither is free to download."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.words import some
from relvit_lab.data.base import Files, FileSet, Info, Source, count_note, summary
from relvit_lab.data.wnids import check_wnids, class_files, image_names, read_lines, short_names

ROOT = "imagenet100"
KAGGLE = "ambityga/imagenet100"
LIST = Path(__file__).parent / "class_names" / "imagenet100.txt"  # the classes of the copy on Kaggle, in its order
NORMALISATION = (0.4595, 0.4520, 0.3900), (0.2547, 0.2385, 0.2548)
EACH = {"training": 1_300, "val": 50}  # images a class
CLASSES = 100
INFO = Info(
    "imagenet100", image_size=224, paper=True, backbone="vit_s_32", flip=True, files=True, title="ImageNet-100",
    images={"training": 130_000, "val": 5_000},
)  # fmt: skip


def files(data_dir: Path, progress: bool | None = None) -> FileSet:
    """130,000 training and 5,000 val images in data_dir/imagenet100.

    Raises RelvitError that says where to get them and where to put them, or which classes are without images.
    """
    root = data_dir / ROOT
    try:
        return list_files(root)
    except OSError as error:
        raise RelvitError(f"{root} cannot be read: {error.strerror or error}") from error


def fetch(data_dir: Path, progress: bool | None = None) -> str:
    """Verify what is there. Returns what is where, with notes. Raises RelvitError as `files`, with what to do."""
    return summary(files(data_dir, progress), fresh=False)


def list_files(root: Path) -> FileSet:
    """From train.X1, train.X2, ... and val.X as on Kaggle, or from train and val as in ImageNet; nothing is opened."""
    train, val = _folders(root, "train"), _folders(root, "val")
    if not train and not val:
        raise RelvitError(*instructions(root))
    path, names = _classes(root)
    wnids = tuple(names)
    check_wnids(wnids, path)
    try:
        parts = {"training": _split(root, wnids, train, "training"), "val": _split(root, wnids, val, "val")}
    except RelvitError as error:
        raise RelvitError(f"{error}. The classes are those of {path}.", *instructions(root)) from None
    counts = {split: len(part) for split, part in parts.items()}
    notes = count_note(INFO.name, {"classes": len(wnids), **counts}, {"classes": CLASSES, **INFO.images})
    for split, part in parts.items():
        notes += _odd_classes(wnids, part, split)
    if path == LIST:
        notes += (f"{INFO.name}: no class list in {root}, so the classes are those of Kaggle's {KAGGLE}",)
    return FileSet(
        INFO.name, root, parts["training"], parts["val"], short_names(names), normalisation=NORMALISATION,
        test_split="val", notes=notes,
    )  # fmt: skip


def instructions(root: Path) -> list[str]:
    """What to fetch from where, and where to put it, line by line."""
    return f"""{root} is to hold ImageNet-100, which takes an account to download. Either
1. Kaggle's {KAGGLE} (www.kaggle.com/datasets/{KAGGLE}), unpacked so that {root} holds
   train.X1, train.X2, train.X3, train.X4, val.X and Labels.json:
     kaggle datasets download {KAGGLE}
     unzip imagenet100.zip -d {root}
   or, where they are elsewhere already: ln -s /where/they/are {root}
2. or an ImageNet (ILSVRC 2012) folder with train/<wnid>/ and val/<wnid>/, of which the same 100 classes are used, or
   those that {root / "imagenet100.txt"} lists, a line each (<wnid> <name>):
     mkdir -p {root}
     ln -s /where/imagenet/is/train /where/imagenet/is/val {root}
and check it: python -m relvit_lab fetch {INFO.name} --data-dir {root.parent}""".split("\n")


def _folders(root: Path, split: str) -> list[str]:
    """train, or train.X1 to train.X4; val, or val.X."""
    if not root.is_dir():
        return []
    found = [path.name for path in root.iterdir() if path.is_dir()]
    return sorted(name for name in found if name == split or name.startswith(f"{split}.X"))


def _split(root: Path, wnids: Sequence[str], folders: Sequence[str], split: str) -> Files:
    if not folders:
        raise RelvitError(f"{root} has no {'val or val.X' if split == 'val' else 'train or train.X1 to train.X4'}")
    flat = [name for name in folders if image_names(root / name)]
    if flat:
        raise RelvitError(
            f"{root / flat[0]} holds images outside class folders: sort them into {flat[0]}/<wnid>/ first"
        )
    return class_files(root, wnids, {wnid: [f"{folder}/{wnid}" for folder in folders] for wnid in wnids}, split)


def _classes(root: Path) -> tuple[Path, dict[str, str]]:
    """The class list in use, and {wnid: name}, in its order."""
    labels, lines = root / "Labels.json", root / "imagenet100.txt"
    if labels.is_file():
        return labels, _from_json(labels)
    path = lines if lines.is_file() else LIST
    listed = [line.split(maxsplit=1) for line in read_lines(path)]
    check_wnids([wnid for wnid, *_ in listed], path)  # before a dict hides those that are there twice
    return path, _named({wnid: "".join(name) for wnid, *name in listed})


def _from_json(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the text, or of its encoding
        raise RelvitError(f"{path} is damaged ({error}): copy it again") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise RelvitError(f'{path} is no class list: {{"<wnid>": "<name>", ...}} is needed')
    return found


def _named(names: dict[str, str]) -> dict[str, str]:
    """With timm's names for those of ImageNet's classes that have none."""
    if all(names.values()):
        return names
    from timm.data import ImageNetInfo

    known = ImageNetInfo()
    words = {known.index_to_label_name(n): known.index_to_description(n) for n in range(known.num_classes())}
    return {wnid: name or words.get(wnid, wnid) for wnid, name in names.items()}


def _odd_classes(wnids: Sequence[str], part: Files, split: str) -> tuple[str, ...]:
    """() or a note that names the classes with other than the published number of images."""
    counts = Counter(part.labels)
    odd = [f"{wnid} {counts[n]:,}" for n, wnid in enumerate(wnids) if counts[n] != EACH[split]]
    if not odd:
        return ()
    return (f"{INFO.name}: {len(odd)} classes have other than {EACH[split]:,} {split} images: {some(odd)}",)


SOURCE = Source(INFO, fetch=fetch, files=files, kept_in=(ROOT,))
