"""Tiny-ImageNet: its two lists and its annotations, and what is said where one of them lacks something."""

import dataclasses

import pytest
import torch
from dataset_fixtures import WNIDS, build, photo

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.data import tiny_imagenet
from relvit_lab.data.images import decode_image


@pytest.fixture
def root(tmp_path, monkeypatch):
    build("tiny_imagenet", tmp_path, monkeypatch)
    return tmp_path / "tiny-imagenet-200"


def refused(root, *words):
    for call in (data.load, data.fetch):
        with pytest.raises(RelvitError) as error:
            call("tiny_imagenet", root.parent)
        for word in (*words, f"remove {root} and fetch the set anew"):
            assert word in str(error.value)


def edit(path, change):
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def test_listing(root):
    mine = tiny_imagenet.SOURCE.files(root.parent)
    assert mine.classes == ("Egyptian cat", "goldfish", "reel", "convertible")  # in the order of wnids.txt
    assert mine.train.labels == tuple(n for n in range(4) for _ in range(6))
    for name, label in zip(mine.train.names, mine.train.labels):
        assert name.startswith(f"train/{WNIDS[label]}/images/{WNIDS[label]}_") and (root / name).is_file()
    assert len(set(mine.train.names)) == 24
    assert mine.test.names == tuple(f"val/images/val_{n}.JPEG" for n in range(12))
    assert mine.test.labels == tuple(n * 7 % 4 for n in range(12)) and mine.val is None


def test_loading(root):
    mine = data.load("TinyImageNet", root.parent, progress=False)
    listed = tiny_imagenet.SOURCE.files(root.parent)
    assert mine.name == "tiny_imagenet" and mine.test_split == "val" and mine.image_size == 64
    assert mine.centre is None and mine.mean == (0.4802, 0.4481, 0.3975) and mine.std == (0.2770, 0.2691, 0.2821)
    for image, name in zip(mine.train.images, listed.train.names):
        assert torch.equal(image, torch.from_numpy(decode_image(root / name, 64).copy()))
    assert mine.test.labels.tolist() == list(listed.test.labels)
    assert "24 training, 12 val images, where 100,000 training, 10,000 val are published" in mine.notes[0]


def test_the_published_counts_give_no_note(root, monkeypatch):
    info = dataclasses.replace(tiny_imagenet.INFO, images={"training": 24, "val": 12})
    monkeypatch.setattr(tiny_imagenet, "INFO", info)
    assert data.load("tiny_imagenet", root.parent, progress=False).notes == ()
    (root / "train" / WNIDS[0] / "images" / f"{WNIDS[0]}_3.JPEG").unlink()
    assert "23 training" in data.load("tiny_imagenet", root.parent, progress=False).notes[0]


def test_two_classes_of_one_name_are_told_apart(root):
    edit(root / "words.txt", lambda lines: [*lines[:-1], f"{WNIDS[3]}\treel, another one"])
    found = tiny_imagenet.SOURCE.files(root.parent)
    assert found.classes == ("Egyptian cat", "goldfish", f"reel ({WNIDS[2]})", f"reel ({WNIDS[3]})")


@pytest.mark.parametrize("name", ["wnids.txt", "words.txt", "val/val_annotations.txt"])
def test_lists_that_are_missing_or_damaged(root, name):
    content = (root / name).read_bytes()
    (root / name).write_bytes(b"\xff\xfe\x00\x81")
    refused(root, str(root / name), "no text")
    (root / name).write_bytes(b"")
    refused(root, str(root / name))
    (root / name).unlink()
    refused(root, f"{root / name} is missing")
    (root / name).write_bytes(content)
    assert "there already" in data.fetch("tiny_imagenet", root.parent)


def test_a_line_is_missing(root):
    annotations = root / "val" / "val_annotations.txt"
    whole = annotations.read_text()
    edit(annotations, lambda lines: lines[:3] + lines[4:])
    refused(root, "has no line for 1 of 12 images: val_3.JPEG")
    annotations.write_text(whole[: whole.index("val_3.JPEG") + 12])  # cut short
    refused(root, "line 4", "no image with a class of wnids.txt")
    annotations.write_text(whole)
    edit(annotations, lambda lines: [*lines, lines[0]])
    refused(root, "line 13 names an image twice")
    annotations.write_text(whole.replace(WNIDS[0], "n99999999"))
    refused(root, "line 1 ", "n99999999")
    annotations.write_text(whole)
    edit(root / "words.txt", lambda lines: lines[:-1])
    refused(root, f"words.txt has no line for {WNIDS[3]}")


def test_wrong_class_lists(root):
    whole = (root / "wnids.txt").read_text()
    (root / "wnids.txt").write_text(whole + WNIDS[0] + "\n")
    refused(root, f"names twice {WNIDS[0]}")
    (root / "wnids.txt").write_text(whole + "../../elsewhere\n")
    refused(root, "no WordNet ids: ../../elsewhere")
    (root / "wnids.txt").write_text(whole + "n00000001\n")
    refused(root, "no training images of 1 of 5 classes: n00000001")


def test_images_that_are_missing_or_cut_short(root):
    (root / "val" / "images" / "val_11.JPEG").rename(root / "aside")
    refused(root, "lacks 1 of 12 images: val_11.JPEG")
    (root / "aside").rename(root / "val" / "images" / "val_11.JPEG")
    folder = root / "train" / WNIDS[1] / "images"
    picture = folder / f"{WNIDS[1]}_5.JPEG"
    content = photo(15)
    assert picture.read_bytes() == content
    picture.write_bytes(content[: len(content) // 2])
    with pytest.raises(RelvitError, match=picture.name):
        data.load("tiny_imagenet", root.parent, progress=False)
    picture.write_bytes(content)
    for path in folder.iterdir():
        path.unlink()
    (folder / "._x.JPEG").touch()  # what macOS leaves is no image
    refused(root, f"no training images of 1 of 4 classes: {WNIDS[1]}")
    (folder / "._x.JPEG").unlink()
    folder.rmdir()
    refused(root, f"no training images of 1 of 4 classes: {WNIDS[1]}")
