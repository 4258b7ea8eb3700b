"""A folder of images as a data set: decoding against torchvision, layouts, odd and broken images."""

import numpy as np
import pytest
import torch
from PIL import Image

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.data.base import Files
from relvit_lab.data.folder import files
from relvit_lab.data.images import decode_image, upright, upright_size


def photo(width=20, height=16, seed=0):
    """A smooth random picture: JPEG keeps it nearly as it is."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def tree(root, names, **options):
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(seed=seed, **options).save(path)
    return root


def refused(root, *words):
    with pytest.raises(RelvitError) as error:
        data.load(root, image_size=8, progress=False)
    for word in words:
        assert word in str(error.value)


@pytest.fixture
def given(tmp_path):
    names = [f"{split}/{c}/{n}.png" for split in ("train", "test") for c in ("cat", "ant") for n in range(3)]
    return tree(tmp_path / "set", names)


@pytest.mark.parametrize("split", ["test", "val"])
def test_given_splits_equal_torchvision(given, split):
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

    (given / "test").rename(given / split)
    mine = data.load(given, image_size=8)
    assert mine.test_split == split and mine.classes == ("ant", "cat") and mine.notes == ()
    for ours, name in ((mine.train, "train"), (mine.test, split)):
        theirs = ImageFolder(given / name, Compose([Resize(8), CenterCrop(8), PILToTensor()]))
        assert torch.equal(ours.images, torch.stack([image for image, _ in theirs]))
        assert ours.labels.tolist() == [label for _, label in theirs]


@pytest.mark.parametrize(
    "width, height", [(8, 8), (1, 1), (1, 30), (31, 7), (9, 8), (8, 13), (8, 11), (11, 8), (70, 33), (3, 2), (333, 200)]
)
def test_odd_sizes_equal_torchvision(tmp_path, width, height):
    from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

    picture = photo(width, height)
    picture.save(tmp_path / "a.png")
    expected = pil_to_tensor(center_crop(resize(picture, 8), 8))
    assert np.array_equal(decode_image(tmp_path / "a.png", 8), expected)


def test_a_large_photograph_is_decoded_at_its_full_resolution(tmp_path):
    photo(640, 480).save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as whole:
        whole.load()
        whole.save(tmp_path / "a.png")
    assert np.array_equal(decode_image(tmp_path / "a.jpg", 32), decode_image(tmp_path / "a.png", 32))


def test_default_size(given):
    assert data.load(given).image_size == 64
    assert data.describe(given) == data.Info(str(given), 64, paper=False, backbone="vit_nano", flip=True, files=True)


def modes():
    colours = photo(8, 8)
    grey = np.asarray(colours.convert("L"))
    transparent = colours.convert("P")
    transparent.info["transparency"] = bytes(range(256))
    return {
        "grey.jpg": (colours.convert("L"), colours.convert("L").convert("RGB"), 12),
        "cmyk.jpg": (colours.convert("CMYK"), colours, 25),
        "palette.png": (colours.convert("P"), colours.convert("P").convert("RGB"), 0),
        "clear.png": (transparent, colours.convert("P").convert("RGB"), 0),
        "alpha.png": (colours.convert("RGBA"), colours, 0),
        "black.png": (colours.convert("1"), colours.convert("1").convert("RGB"), 0),
        "deep.png": (Image.fromarray(grey.astype(np.uint16) * 257), colours.convert("L").convert("RGB"), 0),
        "deep.tiff": (Image.fromarray(grey.astype(np.int32) * 257), colours.convert("L").convert("RGB"), 0),
        "CAPITAL.BMP": (colours, colours, 0),
        "moving.GIF": (colours.quantize(32), colours.quantize(32).convert("RGB"), 0),
        "browser.jfif": (colours.convert("L"), colours.convert("L").convert("RGB"), 12),
    }


@pytest.mark.parametrize("name", modes())
@pytest.mark.filterwarnings("error")
def test_modes(tmp_path, name):
    picture, expected, tolerance = modes()[name]
    picture.save(tmp_path / name)
    found = decode_image(tmp_path / name, 8).astype(int)
    assert np.abs(found - np.asarray(expected).transpose(2, 0, 1)).max() <= tolerance


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_of_a_turned_image(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo(10, 8).save(tmp_path / f"a.{ending}", exif=exif)
    with upright(tmp_path / f"a.{ending}") as turned:
        assert upright_size(tmp_path / f"a.{ending}") == turned.size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, orientation):
    from PIL import ImageOps

    picture = photo(10, 8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as saved:
        upright = ImageOps.exif_transpose(saved)
    assert (upright.size == picture.size) == (orientation < 5)  # the test's own picture is turned
    upright.info.clear()
    upright.save(tmp_path / "b.png")
    assert np.array_equal(decode_image(tmp_path / "a.png", 8), decode_image(tmp_path / "b.png", 8))
    if orientation == 3:
        halfway = picture.rotate(180)
        halfway.save(tmp_path / "c.png")
        assert np.array_equal(decode_image(tmp_path / "a.png", 8), decode_image(tmp_path / "c.png", 8))


def test_split_by_hash(tmp_path):
    names = [f"{c}/{n}.png" for c, count in (("a", 20), ("b", 10), ("c", 2)) for n in range(count)]
    one = data.load(tree(tmp_path / "one", names), image_size=8)
    assert one.train.labels.bincount().tolist() == [16, 8, 1]
    assert one.test.labels.bincount().tolist() == [4, 2, 1]
    assert one.test_split == "test" and "80/20" in one.notes[0]
    assert files(tmp_path / "one", "one").test == Files(  # for good: other images would be another data set
        ("a/0.png", "a/15.png", "a/19.png", "a/8.png", "b/0.png", "b/3.png", "c/1.png"), (0, 0, 0, 0, 1, 1, 2)
    )
    two = tree(tmp_path / "two", names)  # the same elsewhere, beside things that are no images
    (two / ".ipynb_checkpoints").mkdir()
    (two / "__MACOSX").mkdir()
    (two / "a" / "._0.png").write_text("resource fork")
    (two / "a" / "notes.txt").write_text("no image")
    (two / "README").write_text("no class")
    assert data.load(two, image_size=8).digest == one.digest
    tests = {image.numpy().tobytes() for image in one.test.images}
    assert not any(image.numpy().tobytes() in tests for image in one.train.images)


def test_images_deeper_down_and_linked(tmp_path):
    root = tree(tmp_path / "set", ["a/x/1.png", "a/2.png", "b/1.png", "b/y/z/2.png"])
    tree(tmp_path, ["linked/3.png", "linked/4.png", "more/5.png", "more/6.png"])
    (root / "c").symlink_to(tmp_path / "linked", target_is_directory=True)
    (root / "b" / "more").symlink_to(tmp_path / "more", target_is_directory=True)
    mine = data.load(root, image_size=8)
    assert mine.classes == ("a", "b", "c")
    assert (mine.train.labels.bincount() + mine.test.labels.bincount()).tolist() == [2, 4, 2]


def test_test_without_labels_gives_way_to_val(given):
    tree(given, ["val/ant/0.png", "val/cat/0.png"])
    both = data.load(given, image_size=8)
    assert both.test_split == "test" and "val is left aside" in both.notes[0]
    for folder in ("ant", "cat"):
        for image in (given / "test" / folder).iterdir():
            image.rename(given / "test" / f"{folder}{image.name}")
        (given / "test" / folder).rmdir()
    mine = data.load(given, image_size=8)
    assert mine.test_split == "val" and len(mine.test) == 2 and "on val" in mine.notes[0]


def test_broken_images_are_all_named(given):
    picture = given / "train" / "cat" / "photo.jpg"
    photo(64, 64).save(picture)
    data.load(given, image_size=8)
    picture.write_bytes(picture.read_bytes()[:-200])
    (given / "test" / "ant" / "empty.png").touch()
    (given / "test" / "cat" / "text.webp").write_text("no image")
    refused(given, str(picture), "empty.png", "text.webp", "mend or remove")


def test_many_broken_images_stop_early(given):
    for n in range(50):
        (given / "train" / "cat" / f"x{n:02}.png").touch()
    refused(given, "x00.png", "x04.png", "may be more")
    with pytest.raises(RelvitError) as error:
        data.load(given)
    assert "x05.png" not in str(error.value)


def test_layouts_that_cannot_be_read(tmp_path):
    refused(tmp_path, str(tmp_path), "no folders of images")
    refused(tree(tmp_path / "flat", ["1.png", "2.png"]), "no folders of images", "<class>")
    refused(tree(tmp_path / "train only", ["train/a/1.png"]), "neither val nor test")
    refused(tree(tmp_path / "test only", ["test/a/1.png"]), "no train")
    refused(tree(tmp_path / "one", ["a/1.png", "b/1.png", "b/2.png"]), "class a has one image")
    refused(tree(tmp_path / "deeper", ["set/train/a/1.png", "set/val/a/1.png"]), str(tmp_path / "deeper" / "set"))
    refused(tree(tmp_path / "loose", ["train/1.png", "val/a/1.png"]), "train holds no class folders")


def test_a_class_without_images(given):
    (given / "test" / "bee").mkdir()
    refused(given, "no images in class folder bee", str(given / "test"))


def test_one_class_is_noted(tmp_path):
    root = tmp_path / "one"
    tree(root / "only", [f"{i}.png" for i in range(9)])
    notes = data.load(root, tmp_path / "data", progress=False).notes
    assert any("one class only (only)" in note for note in notes)


def test_unequal_classes(given):
    tree(given, ["train/bee/1.png", "test/dog/1.png"])
    refused(given, "bee only in train", "dog only in test")


def test_progress_bar(given, capsys):
    data.load(given, image_size=8, progress=True)
    assert "packing images" in capsys.readouterr().err
    for progress in (None, False):
        data.load(given, image_size=8, progress=progress)
        assert capsys.readouterr().err == ""


# -- which folders are splits, and which files are whose -------------------------------------------------------------


@pytest.mark.parametrize(
    "train, test, split",
    [
        ("TRAINING", "Validate", "val"), ("train-set", "eval", "val"), ("Training Images", "Testing Images", "test"),
        ("train2017", "val2017", "val"), ("birdsTrain", "birdsTest", "test"), ("01_train", "02_dev", "val"),
        ("traindata", "testset", "test"), ("my-Train", "my-Evaluation", "val"), ("trn", "tst", "test"),
        ("tr", "TE", "test"),
    ],
)  # fmt: skip
def test_splits_are_known_by_all_their_names(given, train, test, split):
    expected = data.load(given, image_size=8, progress=False)
    (given / "train").rename(given / train)
    (given / "test").rename(given / test)
    mine = data.load(given, image_size=8, progress=False)
    assert (mine.classes, mine.test_split, mine.notes) == (("ant", "cat"), split, ())
    assert torch.equal(mine.train.images, expected.train.images) and torch.equal(mine.test.images, expected.test.images)


def test_a_split_in_a_folder_of_its_own_name(given):
    """As archives unpack: seg_train/seg_train/<class>."""
    expected = data.load(given, image_size=8, progress=False)
    for split in ("train", "test"):
        (given / split).rename(given / "moved")
        (given / f"seg_{split}").mkdir()
        (given / "moved").rename(given / f"seg_{split}" / f"seg_{split}")
    mine = data.load(given, image_size=8, progress=False)
    assert mine.classes == expected.classes and torch.equal(mine.train.images, expected.train.images)


def test_tr_and_te_beside_others_are_classes(tmp_path):
    root = tree(tmp_path / "languages", [f"{name}/{n}.png" for name in ("de", "te", "tr") for n in range(3)])
    assert data.load(root, image_size=8, progress=False).classes == ("de", "te", "tr")


@pytest.mark.parametrize("other", ["Valid", "validation", "dev_set", "eval"])
def test_validation_images_beside_test_images_are_named(given, other):
    tree(given, [f"{other}/ant/0.png", f"{other}/cat/0.png", "raw/x.png"])
    notes = data.load(given, image_size=8, progress=False).notes
    assert f"{other} is left aside" in notes[0] and "raw is left aside" in notes[1]


@pytest.mark.parametrize(
    "folders, words",
    [
        (("Train", "training", "Test"), ["Train, training", "all look like the train split"]),
        (("cat_train", "cat_test", "dog_train", "dog_test"), ["all look like"]),
        (("Testing", "validation"), ["Testing", "no train"]),
        (("train_val", "test"), ["train_val seems to hold training and validation images", "name it train"]),
        (("trainval", "test"), ["name it train"]),
        (("ant", "bee", "test"), ["test beside ant, bee", "no train"]),
        (("TRAIN_SET",), ["neither val nor test"]),
        (("a/Training", "a/Eval"), ["take", "further down"]),
        (("archive/PetImages/cat", "archive/PetImages/dog"), ["take", "archive/PetImages"]),
        (("ant/train", "ant/test", "bee/train", "bee/test"), ["ant, bee hold a train folder each"]),
    ],
)
def test_splits_that_cannot_be_told_are_refused(tmp_path, folders, words):
    names = [f"{folder}/{c}/{n}.png" for folder in folders for c in ("x", "y") for n in range(2)]
    root = tree(tmp_path / "set", names)
    refused(root / "archive" if folders[0].startswith("archive") else root, *words)


def test_words_that_are_no_splits(tmp_path):
    names = ("bullet_train", "steam train", "train", "contest", "trainer", "devil", "Valencia")
    mine = data.load(tree(tmp_path / "set", [f"{c}/{n}.png" for c in names for n in range(3)]), image_size=8)
    assert mine.classes == tuple(sorted(names))


@pytest.mark.parametrize("odd", ["@eaDir", "#Recycle", "$Recycle.bin", "LOST+FOUND", "@Recently-Snapshot", ".cache"])
def test_folders_of_the_system_are_no_classes(given, odd):
    expected = data.load(given, image_size=8, progress=False).digest
    tree(given, [f"{odd}/x/0.png", f"train/{odd}/0.png", f"test/cat/{odd}/0.png/SYNOPHOTO_THUMB_M.jpg"])
    mine = data.load(given, image_size=8, progress=False)
    assert mine.digest == expected and mine.notes == ()


@pytest.mark.parametrize("link", ["again", "train/again", "train/cat/up", "train/cat/again/self", "train/cat/b/c/up"])
@pytest.mark.parametrize("to", ["", "train", "train/cat"])
def test_links_upwards_add_nothing(given, link, to):
    if not str(given / link).startswith(str(given / to) + "/"):
        pytest.skip("this one does not lead up")
    expected = data.load(given, image_size=8, progress=False).digest
    (given / link).parent.mkdir(parents=True, exist_ok=True)
    (given / link).symlink_to(given / to, target_is_directory=True)
    mine = data.load(given, image_size=8, progress=False)
    assert mine.digest == expected and mine.notes == ()


@pytest.mark.parametrize("link", ["hard", "soft", "folder"])
def test_one_file_is_one_image(given, link):
    def again(old, new):
        if link == "folder":
            (given / new).parent.mkdir(exist_ok=True, parents=True)
            (given / new).with_suffix("").symlink_to((given / old).parent, target_is_directory=True)
        else:
            (given / new).hardlink_to(given / old) if link == "hard" else (given / new).symlink_to(given / old)

    expected = len(data.load(given, image_size=8, progress=False).train)
    (given / "train" / "cat" / "deep").mkdir()
    (given / "train" / "cat" / "deep" / "own").mkdir()
    again("train/cat/deep/own/../../0.png" if link == "folder" else "train/cat/0.png", "train/cat/deep/own/twice.png")
    assert len(data.load(given, image_size=8, progress=False).train) == expected
    again("train/cat/1.png", "test/cat/mine.png")
    refused(given, "same files are in train and test", "train/cat/")
    (given / "test/cat/mine").unlink() if link == "folder" else (given / "test/cat/mine.png").unlink()
    again("train/cat/1.png", "train/ant/mine.png")
    refused(given, "same file in two classes", "train/ant/", "train/cat/")


def test_a_pipe_is_left_out_and_waits_for_nobody(given):
    import os

    expected = data.load(given, image_size=8, progress=False).digest
    os.mkfifo(given / "train" / "cat" / "camera.png")
    os.mkfifo(given / "pipe.png")
    mine = data.load(given, image_size=8, progress=False)
    assert mine.digest == expected and "no regular files" in mine.notes[0]


def test_what_is_left_out_is_counted(given):
    for name in ("train/cat/a.heic", "train/ant/b.HEIC", "test/cat/clip.mp4", "test/ant/README", "train/cat/Thumbs.db"):
        (given / name).write_text("x")
    tree(given, ["train/loose.png", "test/other.jpg", "above.png", "train/cat/fine.TIFF", "train/cat/fine.j2k"])
    mine = data.load(given, image_size=8, progress=False)
    note = mine.notes[-1]
    for part in ("2 .heic", "1 .mp4", "1 without an ending", "3 images beside", "train/loose.png", "above.png"):
        assert part in note
    assert ".db" not in note and len(mine.train) == 8
    (given / "train" / "bee").mkdir()
    (given / "train" / "bee" / "raw.cr2").write_text("x")
    refused(given, "no images in class folder bee", ".cr2")


@pytest.mark.parametrize("grey, noted", [(0, True), (1, True), (255, True), (None, False)])
def test_images_without_content_are_noted(tmp_path, grey, noted):
    root = tree(tmp_path / "set", [f"{c}/{n}.png" for c in "ab" for n in range(4)])
    for file in root.rglob("*.png"):
        if grey is not None:
            Image.new("RGB", (9, 9), (grey,) * 3).save(file)
    notes = " ".join(data.load(root, image_size=8, progress=False).notes)
    assert ("all but empty" in notes and f"mean {(grey or 0) / 255:.4f}" in notes) == noted


def test_one_class_is_enough_for_pretraining_only(tmp_path):
    from relvit_lab import Experiment, run

    tree(tmp_path / "set", [f"cat/{n}.png" for n in range(6)])
    own = {"dataset": tmp_path / "set", "preset": "smoke", "image_size": 16}
    for given_fields in ({}, {"scenario": "supervised"}, {"scenario": "downstream_only"}):
        with pytest.raises(RelvitError, match=r"one class \(cat\)"):
            list(run(Experiment(**own, **given_fields)))
    assert next(run(Experiment(**own, stop_after="pretrain"))).classes == ("cat",)
