"""ImageNet-100: Kaggle's layout, an ImageNet folder with a class list, and instructions where neither is there."""

import json
import shutil

import pytest
import torch
from dataset_fixtures import WNIDS, build, photo

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.data import imagenet100
from relvit_lab.data.images import decode_image


@pytest.fixture
def root(tmp_path, monkeypatch):
    build("imagenet100", tmp_path, monkeypatch)
    return tmp_path / "imagenet100"


@pytest.fixture
def imagenet(root):
    """train and val elsewhere, with more classes, and linked to; no class list."""
    whole = root.parent / "elsewhere"
    for wnid in WNIDS:
        (place,) = root.glob(f"train.X*/{wnid}")
        shutil.copytree(place, whole / "train" / wnid)
        shutil.copytree(root / "val.X" / wnid, whole / "val" / wnid)
    for split in ("train", "val"):
        (whole / split / "n00000001").mkdir()
        (whole / split / "n00000001" / "a.JPEG").write_bytes(photo(3))
    shutil.rmtree(root)
    root.mkdir()
    for split in ("train", "val"):
        (root / split).symlink_to(whole / split, target_is_directory=True)
    return root


def refused(root, *words):
    for call in (data.load, data.fetch):
        with pytest.raises(RelvitError) as error:
            call("imagenet100", root.parent)
        for word in words:
            assert word in str(error.value)


def test_kaggles_layout(root):
    mine = imagenet100.files(root.parent)
    assert mine.classes == ("Egyptian cat", "goldfish", "reel", "convertible")  # in the order of Labels.json
    assert mine.train.labels == tuple(n for n in range(4) for _ in range(6))
    for name, label in zip(mine.train.names, mine.train.labels):
        assert name.startswith(f"train.X{label + 1}/{WNIDS[label]}/") and (root / name).is_file()
    assert mine.test.labels == tuple(n for n in range(4) for _ in range(3))
    assert all(name.startswith(f"val.X/{WNIDS[n]}/") for name, n in zip(mine.test.names, mine.test.labels))


def test_loading(root):
    mine = data.load("ImageNet-100", root.parent, progress=False)
    listed = imagenet100.files(root.parent)
    assert mine.name == "imagenet100" and mine.test_split == "val" and mine.val is None
    assert (mine.image_size, mine.centre) == (256, 224)
    assert mine.mean == (0.4595, 0.4520, 0.3900) and mine.std == (0.2547, 0.2385, 0.2548)
    for image, name in zip(mine.train.images[:8], listed.train.names):
        assert torch.equal(image, torch.from_numpy(decode_image(root / name, 256).copy()))
    assert "4 classes, 24 training, 12 val images, where 100 classes, 130,000" in mine.notes[0]
    assert f"4 classes have other than 1,300 training images: {WNIDS[0]} 6" in mine.notes[1]
    assert f"4 classes have other than 50 val images: {WNIDS[0]} 3" in mine.notes[2]
    told = data.fetch("imagenet100", root.parent)
    assert f"there already: {root} (24 training, 12 val images)" in told and mine.notes[1] in told


def test_an_imagenet_folder_and_a_class_list(imagenet):
    listed = (WNIDS[2], WNIDS[0])
    (imagenet / "imagenet100.txt").write_text(f"{listed[0]}\n{listed[1]} my cat\n")
    mine = imagenet100.files(imagenet.parent)
    assert mine.classes == ("reel", "my cat")  # timm knows the first
    assert mine.train.labels == (0,) * 6 + (1,) * 6
    assert all(name.startswith(f"train/{listed[label]}/") for name, label in zip(mine.train.names, mine.train.labels))
    (imagenet / "Labels.json").write_text(json.dumps({WNIDS[1]: "goldfish, Carassius auratus"}))
    assert imagenet100.files(imagenet.parent).classes == ("goldfish",)
    assert len(data.load("imagenet100", imagenet.parent, image_size=32, progress=False).train) == 6


def test_without_a_class_list_kaggles_is_taken(imagenet, monkeypatch):
    refused(imagenet, "no training images of 99 of 100 classes", "class_names", "kaggle datasets download")
    lines = imagenet100.LIST.read_text().splitlines()
    wnids = [line.split()[0] for line in lines]
    assert len(set(wnids)) == 100 and wnids[:2] == ["n01968897", "n01770081"] and wnids[-1] == "n01514668"
    for wnid in wnids:
        for split in ("train", "val"):
            folder = imagenet / split / wnid
            folder.mkdir(exist_ok=True)
            (folder / "1.JPEG").write_bytes(photo(6))
    mine = imagenet100.files(imagenet.parent)
    assert len(mine.classes) == len(set(mine.classes)) == 100
    assert mine.classes[0] == "chambered nautilus" and mine.classes[24] == "goldfish"
    assert mine.notes[-1].startswith("imagenet100: no class list in")


def test_the_names_of_kaggles_list_are_imagenets():
    from timm.data import ImageNetInfo

    known = ImageNetInfo()
    names = {known.index_to_label_name(n): known.index_to_description(n).split(",")[0] for n in range(1000)}
    for line in imagenet100.LIST.read_text().splitlines():
        wnid, name = line.split(maxsplit=1)
        assert names[wnid] == name


def test_instructions(tmp_path):
    folder = tmp_path / "sets"
    refused(
        folder / "imagenet100",
        "kaggle.com/datasets/ambityga/imagenet100",
        f"unzip imagenet100.zip -d {folder / 'imagenet100'}",
        f"ln -s /where/imagenet/is/train /where/imagenet/is/val {folder / 'imagenet100'}",
        f"python -m relvit_lab fetch imagenet100 --data-dir {folder}",
    )
    assert not folder.exists()


def test_what_is_missing_is_named(root):
    shutil.move(root / "val.X", root / "aside")
    refused(root, f"{root} has no val or val.X", "val.X and Labels.json:")
    shutil.move(root / "aside", root / "val.X")
    shutil.rmtree(root / "train.X3")
    refused(root, f"no training images of 1 of 4 classes: {WNIDS[2]}", "train.X3")
    shutil.rmtree(root / "train.X1")
    refused(root, f"no training images of 2 of 4 classes: {WNIDS[0]}, {WNIDS[2]}")
    for folder in root.glob("train.X*"):
        shutil.rmtree(folder)
    refused(root, "has no train or train.X1 to train.X4")


def test_an_empty_class_folder(root):
    for path in (root / "val.X" / WNIDS[3]).iterdir():
        path.unlink()
    refused(root, f"no val images of 1 of 4 classes: {WNIDS[3]}")


def test_validation_images_outside_class_folders(imagenet):
    (imagenet / "imagenet100.txt").write_text(f"{WNIDS[0]}\n")
    (imagenet / "val" / "ILSVRC2012_val_00000001.JPEG").write_bytes(photo(6))
    refused(imagenet, "holds images outside class folders", "val/<wnid>/")


def test_damaged_class_lists(root):
    labels = root / "Labels.json"
    whole = labels.read_text()
    for content in (whole[:-5], "", "\x00"):
        labels.write_text(content)
        refused(root, f"{labels} is damaged")
    labels.write_bytes(b"\xff\xff")
    refused(root, f"{labels} is damaged")
    for content in ('["n02124075"]', '{"n02124075": 1}'):
        labels.write_text(content)
        refused(root, f"{labels} is no class list")
    labels.write_text("{}")
    refused(root, f"{labels} is empty")
    labels.write_text(json.dumps({"../../x": "x"}))
    refused(root, "no WordNet ids: ../../x")
    labels.unlink()
    (root / "imagenet100.txt").write_text(f"{WNIDS[0]}\n{WNIDS[0]} twice\n")
    refused(root, f"imagenet100.txt names twice {WNIDS[0]}")


def test_an_image_cut_short(root):
    picture = root / "val.X" / WNIDS[0] / "ILSVRC2012_val_00000002.JPEG"
    picture.write_bytes(photo(7)[:200])
    with pytest.raises(RelvitError, match=picture.name):
        data.load("imagenet100", root.parent, image_size=32, progress=False)
