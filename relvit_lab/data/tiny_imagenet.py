"""§4 (data sets): Tiny-ImageNet, 200 classes of 64 x 64 pixels. The labels of its test images were never published."""

from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.words import some
from relvit_lab.data.base import Files, FileSet, Info, count_note
from relvit_lab.data.download import file_source, obtain_archive
from relvit_lab.data.wnids import check_wnids, class_files, image_names, read_lines, short_names

ROOT = "tiny-imagenet-200"
URL = "https://cs231n.stanford.edu/tiny-imagenet-200.zip"  # 248,100,043 bytes
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
NORMALISATION = (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)
INFO = Info(
    "tiny_imagenet", image_size=64, paper=True, backbone="vit_s_8", flip=True, files=True, title="Tiny-ImageNet",
    images={"training": 100_000, "val": 10_000},
)  # fmt: skip


def list_files(root: Path) -> FileSet:
    """What is in the unpacked folder; nothing is opened but its text files. Raises RelvitError, by name, where a class,
    an image or an annotation is missing."""
    wnids = read_lines(root / "wnids.txt")
    check_wnids(wnids, root / "wnids.txt")
    train = class_files(root, wnids, {wnid: [f"train/{wnid}/images"] for wnid in wnids}, "training")
    val = _val(root, wnids)
    notes = count_note("tiny_imagenet", {"training": len(train), "val": len(val)}, INFO.images)
    return FileSet(
        INFO.name, root, train, val, _classes(root, wnids), normalisation=NORMALISATION, test_split="val", notes=notes
    )


def _val(root: Path, wnids: list[str]) -> Files:
    """In the order of val_annotations.txt: <file> TAB <wnid> TAB <box>."""
    path = root / "val" / "val_annotations.txt"
    label = {wnid: number for number, wnid in enumerate(wnids)}
    annotated: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), 1):
        name, wnid = (*line.split("\t"), "")[:2]
        if wnid not in label or name in annotated:
            why = "names an image twice" if name in annotated else "has no image with a class of wnids.txt"
            raise RelvitError(f"{path}: line {number} {why}: {line[:60]!r}")
        annotated[name] = label[wnid]
    there = set(image_names(root / "val" / "images"))
    if lost := sorted(annotated.keys() - there):
        raise RelvitError(f"{root / 'val' / 'images'} lacks {len(lost)} of {len(annotated)} images: {some(lost)}")
    if extra := sorted(there - annotated.keys()):
        raise RelvitError(f"{path} has no line for {len(extra)} of {len(there)} images: {some(extra)}")
    if not annotated:
        raise RelvitError(f"{path} is empty")
    return Files(tuple(f"val/images/{name}" for name in annotated), tuple(annotated.values()))


def _classes(root: Path, wnids: list[str]) -> tuple[str, ...]:
    """From words.txt: <wnid> TAB <synonyms>, of far more than these classes."""
    words = dict(line.partition("\t")[::2] for line in read_lines(root / "words.txt"))
    if lost := [wnid for wnid in wnids if not words.get(wnid)]:
        raise RelvitError(f"{root / 'words.txt'} has no line for {some(lost)}")
    return short_names({wnid: words[wnid] for wnid in wnids})


def _get(part: Path, data_dir: Path, progress: bool | None) -> None:
    obtain_archive(URL, MD5, part, data_dir, progress)


SOURCE = file_source(INFO, ROOT, list_files, _get, f"; or put {ROOT}.zip there")
