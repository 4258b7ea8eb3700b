"""Flower-102: against torchvision's own class; val and test; what is said of damage."""

import pytest
import torch
from dataset_fixtures import build, matlab

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.data import flower102
from relvit_lab.data.images import decode_image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    build("flower102", tmp_path, monkeypatch)
    return tmp_path


def test_listing_equals_torchvision(folder):
    from torchvision.datasets import Flowers102

    mine = flower102.SOURCE.files(folder)
    for split, files in (("train", mine.train), ("val", mine.val), ("test", mine.test)):
        theirs = Flowers102(folder, split)
        assert [mine.root / name for name in files.names] == theirs._image_files
        assert list(files.labels) == theirs._labels
    assert len(mine.classes) == 102 and mine.classes[:2] == ("pink primrose", "hard-leaved pocket orchid")
    assert {0, 76, 101} <= {*mine.train.labels} and mine.normalisation is None


def test_the_addresses_and_md5s_are_torchvisions():
    from torchvision.datasets import Flowers102

    assert flower102.MD5 == dict(Flowers102._file_dict.values())
    assert flower102.ADDRESS == Flowers102._download_url_prefix


def test_loading(folder):
    mine = data.load("flower102", folder, image_size=32, progress=False)
    listed = flower102.SOURCE.files(folder)
    assert mine.test_split == "test" and [len(part) for part in (mine.train, mine.val, mine.test)] == [12, 6, 12]
    for part, files in ((mine.train, listed.train), (mine.val, listed.val), (mine.test, listed.test)):
        assert part.labels.tolist() == list(files.labels)
        for image, name in zip(part.images, files.names):
            assert torch.equal(image, torch.from_numpy(decode_image(listed.root / name, 32).copy()))
    pixels = mine.train.images.double() / 255
    assert mine.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert mine.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist())
    assert "12 training, 6 val, 12 test images, where 1,020 training, 1,020 val, 6,149 test" in mine.notes[0]
    assert data.load("flower102", folder, progress=False).centre == 224


def test_train_and_val(folder):
    one = data.load("flower102", folder, image_size=32)
    both = data.load("Flowers-102", folder, image_size=32, train_on="train+val")
    assert both.val is None and torch.equal(both.test.images, one.test.images)
    assert torch.equal(both.train.images, torch.cat([one.train.images, one.val.images]))
    assert both.train.labels.tolist() == one.train.labels.tolist() + one.val.labels.tolist()
    assert both.mean != one.mean  # the constants come from what is trained on


def test_labels_or_splits_that_are_not_the_published_ones(folder):
    root = folder / "flowers-102"
    for name in ("imagelabels.mat", "setid.mat"):
        content = (root / name).read_bytes()
        for other in (content[:-20], matlab(labels=[1, 2]), b""):
            (root / name).write_bytes(other)
            with pytest.raises(RelvitError, match=rf"{name} is damaged: its MD5 is another\. Mend it"):
                data.load("flower102", folder)
        (root / name).unlink()
        with pytest.raises(RelvitError, match=rf"{name} is missing\. Mend it, or remove .* fetch flower102"):
            data.fetch("flower102", folder)
        (root / name).write_bytes(content)
    assert "there already" in data.fetch("flower102", folder)


def test_images_that_are_missing_or_cut_short(folder):
    jpg = folder / "flowers-102" / "jpg"
    picture = jpg / "image_00006.jpg"  # a plain one
    content = picture.read_bytes()
    picture.write_bytes(content[: len(content) // 2])
    with pytest.raises(RelvitError, match=r"image_00006\.jpg"):
        data.load("flower102", folder, image_size=32, progress=False)
    picture.write_bytes(content)
    assert len(data.load("flower102", folder, image_size=32, progress=False).train) == 12
    for path in sorted(jpg.iterdir())[:7]:
        path.unlink()
    with pytest.raises(RelvitError, match=r"lacks 7 of 30 images: (image_0000\d\.jpg, ){5}\.\.\."):
        data.load("flower102", folder)
