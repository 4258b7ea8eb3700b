"""Data sets by name: digits, the registry, digests, normalisation constants, subsets."""

import itertools

import numpy as np
import pytest
import torch
from dataset_fixtures import build, photo, write

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.data import flower102
from relvit_lab.data.base import digest, mean_std


def split(n=200, classes=5, channels=3, side=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (n, channels, side, side), generator=generator, dtype=torch.uint8)
    return data.Split(images, torch.randint(classes, (n,), generator=generator))


def test_digits():
    from sklearn.datasets import load_digits

    digits = data.load("digits")
    theirs = load_digits()
    assert digits.train.images.shape == (1297, 1, 8, 8) and digits.test.images.shape == (500, 1, 8, 8)
    assert digits.train.images.dtype == torch.uint8 and digits.train.labels.dtype == torch.int64
    images = torch.cat([digits.train.images, digits.test.images])[:, 0].numpy()
    assert np.abs(images / 255 * 16 - theirs.images).max() < 0.04
    assert images.max() == 255
    assert torch.cat([digits.train.labels, digits.test.labels]).tolist() == theirs.target.tolist()
    assert digits.classes == tuple("0123456789")
    assert (digits.image_size, digits.channels, digits.test_split) == (8, 1, "test")
    assert "1,297" in digits.notes[0] and "500" in digits.notes[0]
    assert digits.mean[0] == digits.mean[1] == digits.mean[2] == pytest.approx(images[:1297].mean() / 255)


def test_describe():
    assert data.describe("digits") == data.Info("digits", 8, paper=False, backbone="vit_nano", flip=False)
    rows = {  # Table 2's backbones
        "cifar10": (32, "vit_s_4", False, False), "cifar100": (32, "vit_s_4", False, False),
        "svhn": (32, "vit_s_4", False, False), "flower102": (224, "vit_s_32", True, True),
        "tiny_imagenet": (64, "vit_s_8", True, False), "imagenet100": (224, "vit_s_32", True, False),
    }  # fmt: skip
    assert tuple(source.name for source in data.DATASETS if source.info.paper) == tuple(rows)
    for name, (size, backbone, files, has_val) in rows.items():
        info = data.Info(name, size, paper=True, backbone=backbone, flip=True, files=files, has_val=has_val)
        assert data.describe(name) == info
        assert (data.DATASETS.get(name).files is not None) == files


@pytest.mark.parametrize(
    "spelt, name",
    [
        ("CIFAR-10", "cifar10"), ("Cifar 100", "cifar100"), ("cifar_100", "cifar100"), ("SVHN", "svhn"),
        ("flowers102", "flower102"), ("flower-102", "flower102"), ("Flowers-102", "flower102"),
        ("Oxford Flowers 102", "flower102"), ("tiny-imagenet", "tiny_imagenet"), ("TinyImageNet", "tiny_imagenet"),
        ("tiny-imagenet-200", "tiny_imagenet"), ("imagenet-100", "imagenet100"), ("ImageNet_100", "imagenet100"),
        ("Digits", "digits"),
    ],
)  # fmt: skip
def test_spellings(spelt, name, tmp_path):
    (tmp_path / spelt).mkdir()  # what is a data set's name is not looked up as a folder
    assert data.describe(spelt, tmp_path).name == name


def test_a_path_is_no_spelling(tmp_path):
    folder = tmp_path / "cifar-10"
    folder.mkdir()
    for path in (folder, str(folder), "./cifar-10"):
        assert data.describe(path, tmp_path).name == str(path)


@pytest.mark.parametrize("call", [data.load, data.describe, data.fetch])
def test_unknown_names_show_the_nearest_and_the_places(call, tmp_path, monkeypatch):
    monkeypatch.setenv("RELVIT_HOME", str(tmp_path))
    with pytest.raises(RelvitError) as error:
        call("cifar11", data_dir="sets")
    message = str(error.value)
    assert "did you mean 'cifar10'?" in message
    assert str(tmp_path / "cifar11") in message and str(tmp_path / "sets" / "cifar11") in message


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_not_the_project_root(name):
    with pytest.raises(RelvitError, match="unknown data set"):
        data.load(name)


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "images.zip").write_bytes(b"PK")
    with pytest.raises(RelvitError, match=r"images\.zip is no data set"):
        data.load(tmp_path / "images.zip")


@pytest.mark.parametrize("size", [0, -3, 2.5, True])
def test_bad_image_size(size):
    with pytest.raises(RelvitError, match="image_size"):
        data.load("digits", image_size=size)


def test_fetch_where_nothing_is_to_be_downloaded(tmp_path):
    assert "nothing to download" in data.fetch("digits", tmp_path)
    assert str(tmp_path) in data.fetch(tmp_path)


@pytest.fixture
def flowers(tmp_path, monkeypatch):
    build("flower102", tmp_path, monkeypatch)
    return tmp_path


def test_subsets_of_files_are_those_of_arrays(flowers):
    whole = data.load("flower102", flowers, image_size=16, progress=False)
    few = data.load("flower102", flowers, image_size=16, progress=False, train_images=5, test_images=4)
    for key, part, of in (
        ("train", few.train, whole.train),
        ("test", few.test, whole.test),
        ("val", few.val, whole.val),
    ):
        expected = data.subset(of, 5 if key == "train" else 4, key)
        assert torch.equal(part.images, expected.images) and torch.equal(part.labels, expected.labels)
    more = data.load("flower102", flowers, image_size=16, progress=False, train_images=99, test_images=99)
    assert more.digest == whole.digest != few.digest
    both = data.load("flower102", flowers, image_size=16, progress=False, train_on="train+val", train_images=14)
    merged = data.Split(
        torch.cat([whole.train.images, whole.val.images]), torch.cat([whole.train.labels, whole.val.labels])
    )
    assert torch.equal(both.train.images, data.subset(merged, 14, "train").images) and both.val is None


def test_of_a_subset_nothing_else_is_decoded(flowers):
    few = flower102.SOURCE.files(flowers)
    kept = {"train": data.subset(few.train, 3, "train"), "test": data.subset(few.test, 2, "test")}
    needed = {*kept["train"].names, *kept["test"].names, *data.subset(few.val, 2, "val").names}
    for path in (flowers / "flowers-102" / "jpg").iterdir():
        if f"jpg/{path.name}" not in needed:
            path.write_bytes(b"no image")
    mine = data.load("flower102", flowers, image_size=16, progress=False, train_images=3, test_images=2)
    assert (len(mine.train), len(mine.val), len(mine.test)) == (3, 2, 2)
    with pytest.raises(RelvitError, match="cannot"):
        data.load("flower102", flowers, image_size=16, progress=False)


def test_subsets_of_arrays_and_folders(tmp_path):
    whole = data.load("digits")
    few = data.load("digits", train_images=50, test_images=20)
    assert torch.equal(few.train.images, data.subset(whole.train, 50, "train").images)
    assert torch.equal(few.test.images, data.subset(whole.test, 20, "test").images)
    assert (few.digest, few.mean) == (whole.digest, whole.mean)
    files = {f"{split}/{c}/{n}.jpg": photo(n) for split in ("train", "test") for c in "ab" for n in range(5)}
    write(files, tmp_path / "mine")
    assert len(data.load("mine", tmp_path, image_size=8, progress=False, train_images=3).train) == 3


def test_source_files(flowers):
    mine = data.load("flower102", flowers, image_size=16, progress=False, source="files", train_images=5)
    assert mine.files.train == data.subset(flower102.SOURCE.files(flowers).train, 5, "train") and len(mine.test) == 12
    with pytest.raises(RelvitError, match="digits is stored as arrays"):
        data.load("digits", source="files")


def test_train_on_val_needs_a_val(tmp_path):
    write({f"{split}/{c}/1.jpg": photo(1) for split in ("train", "test") for c in "ab"}, tmp_path / "mine")
    for name in ("digits", "mine"):
        with pytest.raises(RelvitError, match=rf"{name} has no validation images.*only flower102 has them"):
            data.load(name, tmp_path, train_on="train+val")


@pytest.mark.parametrize("field", ["source", "train_on"])
def test_unknown_values(field):
    with pytest.raises(RelvitError, match=f"unknown {field} 'file'"):
        data.load("digits", **{field: "file"})


def test_one_entry_adds_a_set(monkeypatch):
    monkeypatch.setattr(data.DATASETS, "_entries", dict(data.DATASETS._entries))
    asked = []

    def read(data_dir, image_size, progress):
        asked.append(image_size)
        return data.make_dataset("mine", split(), split(seed=1), "abcde")

    data.DATASETS.add(data.Source(data.Info("mine", 4, paper=False, backbone="vit_nano", flip=True), read))
    assert data.load("mine").classes == tuple("abcde")
    data.load("mine", image_size=9)
    assert asked == [4, 9]
    with pytest.raises(RelvitError, match="did you mean 'mine'"):
        data.load("mime")


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda x, y: (x.permute(0, 2, 3, 1), y), r"images are torch.uint8 \(200, 4, 4, 3\), not uint8 \(n, C, H, H\)"),
        (lambda x, y: (x / 255, y), "images are torch.float32"),
        (lambda x, y: (x[:, 0], y), r"\(200, 4, 4\), not"),
        (lambda x, y: (x[..., :3], y), r"\(200, 3, 4, 3\), not"),
        (lambda x, y: (x, y.int()), r"labels are torch.int32 \(200,\), not int64"),
        (lambda x, y: (x, y[:, None]), r"labels are torch.int64 \(200, 1\), not"),
        (lambda x, y: (x, y[:7]), r"\(7,\), not int64 \(n,\) for n = 200"),
        (lambda x, y: (x[:0], y[:0]), "at least 1"),
        (lambda x, y: (x, y + 1), "labels are 1 to 5, not 0 to 4: there are 5 classes"),
        (lambda x, y: (x, y - 1), "labels are -1 to 3"),
    ],
)
@pytest.mark.parametrize("where", ["training", "test"])
def test_a_split_that_is_none_is_named(change, words, where):
    good = split()
    odd = data.Split(*change(good.images, good.labels))
    pair = (odd, good) if where == "training" else (good, odd)
    with pytest.raises(RelvitError, match=f"mine: the {where} {words}" if words.startswith("images") else words):
        data.make_dataset("mine", *pair, "abcde")


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_std_against_numpy(channels):
    images = split(2500, channels=channels).images  # three chunks
    mean, std = mean_std(images)
    whole = images.numpy() / 255
    assert mean == pytest.approx(np.broadcast_to(whole.mean((0, 2, 3)), 3), abs=1e-12)
    assert std == pytest.approx(np.broadcast_to(whole.std((0, 2, 3)), 3), abs=1e-12)
    assert all(type(value) is float for value in (*mean, *std))


def test_std_of_a_constant_image_can_be_divided_by():
    assert mean_std(torch.full((3, 3, 2, 2), 7, dtype=torch.uint8))[1] == pytest.approx((1 / 255,) * 3)


def test_digest_sees_every_change():
    one, two = split(), split(seed=1)
    known = {digest(one, two), digest(two, one)}
    images, labels = one.images.clone(), one.labels.clone()
    images[-1, -1, -1, -1] ^= 1
    labels[-1] += 1
    known.add(digest(data.Split(images, one.labels), two))
    known.add(digest(data.Split(one.images, labels), two))
    known.add(digest(data.Split(one.images.view(200, 3, 2, 8), one.labels), two))
    assert len(known) == 5
    assert digest(split(), split(seed=1)) in known
    strided = one.images.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)
    assert digest(data.Split(strided, one.labels)) == digest(one)


def test_subset_is_fixed_nested_and_random():
    whole = split()
    ten, fifty = data.subset(whole, 10, "demo/train"), data.subset(whole, 50, "demo/train")
    assert len(ten) == 10 and len(fifty) == 50
    assert digest(ten) == digest(data.subset(whole, 10, "demo/train"))
    assert digest(ten) != digest(data.subset(whole, 10, "demo/test"))
    rows = {row.numpy().tobytes() for row in fifty.images}
    assert len(rows) == 50 and all(row.numpy().tobytes() in rows for row in ten.images)
    place = {row.numpy().tobytes(): n for n, row in enumerate(whole.images)}
    order = [place[row.numpy().tobytes()] for row in fifty.images]
    assert order == sorted(order) and order[-1] > 100
    assert fifty.labels.tolist() == whole.labels[order].tolist()
    assert data.subset(whole, 200, "k") is whole and data.subset(whole, 4000, "k") is whole


def test_a_subset_of_nothing():
    with pytest.raises(RelvitError, match="at least one"):
        data.subset(split(), 0, "k")


def test_label_subset_is_stratified_and_nested():
    labels = torch.tensor([0] * 100 + [1] * 40 + [2] * 3)
    images = torch.arange(143).to(torch.uint8).view(143, 1, 1, 1)
    whole = data.Split(images, labels)
    found = {f: data.label_subset(whole, f, seed=1) for f in (0.001, 0.05, 0.1, 0.5, 0.99)}
    assert found[0.05].labels.bincount().tolist() == [5, 2, 1]
    assert found[0.1].labels.bincount().tolist() == [10, 4, 1]
    assert found[0.001].labels.bincount().tolist() == [1, 1, 1]
    members = [set(part.images.flatten().tolist()) for part in found.values()]
    assert all(small <= large for small, large in itertools.pairwise(members))
    other = set(data.label_subset(whole, 0.1, seed=2).images.flatten().tolist())
    assert other != members[2]
    for part in found.values():
        assert part.labels.tolist() == labels[part.images.flatten().long()].tolist()
    assert data.label_subset(whole, 1.0, 0) is whole


def test_label_subset_picks_other_places_in_each_class():
    halves = data.label_subset(data.Split(torch.arange(100).view(100, 1, 1, 1), torch.arange(100) // 50), 0.5, 0)
    first, second = halves.images.flatten().split(25)
    assert (first + 50).tolist() != second.tolist()


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_bad_label_fraction(fraction):
    with pytest.raises(RelvitError, match="label_fraction"):
        data.label_subset(split(), fraction, 0)
