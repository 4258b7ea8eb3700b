"""CIFAR-10, CIFAR-100 and SVHN: from torchvision's files, and from an .npz in the data folder."""

import warnings

import numpy as np
import pytest
import torch
from dataset_fixtures import COUNTS, build, pixels

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.data.base import digest

NAMES = ("cifar10", "cifar100", "svhn")
TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "svhn": "SVHN"}
STATISTICS = {  # FACTS of the sets
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2761)),
    "svhn": ((0.4378, 0.4439, 0.4729), (0.1981, 0.2011, 0.1970)),
}


def is_the_small_set(mine, name):
    images, labels = map(torch.from_numpy, pixels(name))
    cut = COUNTS[name][0]
    expected = data.Split(images[:cut], labels[:cut]), data.Split(images[cut:], labels[cut:])
    assert torch.equal(mine.train.images, images[:cut]) and mine.test.labels.tolist() == labels[cut:].tolist()
    assert mine.digest == digest(*expected) and mine.train.labels.dtype == torch.int64
    assert mine.train.images.is_contiguous()
    assert mine.name == name and (mine.mean, mine.std) == STATISTICS[name]
    assert (mine.test_split, mine.val, mine.centre, mine.files) == ("test", None, None, None)
    return True


def npz(name, folder, **changes):
    images, labels = pixels(name)
    cut = COUNTS[name][0]
    images, labels = images.transpose(0, 2, 3, 1), labels.astype(np.uint8)
    arrays = {"x_train": images[:cut], "y_train": labels[:cut], "x_test": images[cut:], "y_test": labels[cut:]}
    np.savez(folder / f"{name}.npz", **(arrays | changes))


@pytest.mark.parametrize("name", NAMES)
def test_torchvisions_files(name, tmp_path, monkeypatch):
    build(name, tmp_path, monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine = data.load(name, tmp_path)
    assert is_the_small_set(mine, name)
    assert f"{name}: 20 training" in mine.notes[0] and "are published" in mine.notes[0]
    assert "there already" in data.fetch(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_npz(name, tmp_path):
    npz(name, tmp_path)
    mine = data.load(name, tmp_path, image_size=224)
    assert is_the_small_set(mine, name) and f"{name}.npz: 20 training" in mine.notes[0]
    assert f"there already: {tmp_path / name}.npz" in data.fetch(name, tmp_path)


def test_class_names(tmp_path):
    for name in NAMES:
        npz(name, tmp_path)
    found = {name: data.load(name, tmp_path).classes for name in NAMES}
    assert found["cifar10"] == tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
    assert found["svhn"] == tuple("0123456789")
    hundred = found["cifar100"]
    assert len(hundred) == 100 and list(hundred) == sorted(set(hundred))
    assert [hundred[n] for n in (0, 1, 39, 52, 58, 83, 90, 99)] == [  # as torchvision's meta file has them
        "apple", "aquarium_fish", "keyboard", "oak_tree", "pickup_truck", "sweet_pepper", "train", "worm",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "changes",
    [
        {"x_train": np.zeros((20, 28, 28, 3), np.uint8), "x_test": np.zeros((4, 28, 28, 3), np.uint8)},
        {"y_train": np.arange(-1, 19)},
        {"y_train": np.arange(20) * 20},
        {"y_test": np.array(["cat"] * 10)},
    ],
)
def test_npz_of_something_else(name, tmp_path, changes):
    if "x_test" in changes:
        changes = changes | {"x_test": np.zeros((COUNTS[name][2], 28, 28, 3), np.uint8)}
    elif "y_test" in changes:
        changes = {"y_test": changes["y_test"][: COUNTS[name][2]]}
    npz(name, tmp_path, **changes)
    with pytest.raises(RelvitError, match=rf"{name}\.npz is not {TITLES[name]}: "):
        data.load(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_truncated_npz(name, tmp_path):
    npz(name, tmp_path)
    path = tmp_path / f"{name}.npz"
    path.write_bytes(path.read_bytes()[:-1000])
    for call in (data.load, data.fetch):
        with pytest.raises(RelvitError, match=rf"{name}\.npz cannot be read"):
            call(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_an_npz_without_test_images_is_not_the_set_though_it_has_others(name, tmp_path):
    images, labels = pixels(name)
    images, labels = images.transpose(0, 2, 3, 1), labels.astype(np.uint8)
    np.savez(tmp_path / f"{name}.npz", x_train=images, y_train=labels, x_val=images, y_val=labels)
    with pytest.raises(RelvitError, match="has no x_test"):
        data.load(name, tmp_path)
