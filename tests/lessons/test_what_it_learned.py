"""Notebook 09: its photographs are what they are said to be, and each measure finds what was put into the tokens."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

import relvit_lab
from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.what_it_learned import measures
from relvit_lab.lessons.what_it_learned.images import FILE, ROW, thousand, write_sheet
from relvit_lab.method.patches import patchify
from relvit_lab.train import assets
from relvit_lab.train.evaluate import evaluate

# The photographs


def test_the_sheet_holds_the_first_test_images_of_each_class(tmp_path):
    draws = np.random.default_rng(0)
    x, y = draws.integers(0, 256, (60, 32, 32, 3), np.uint8), np.arange(60) * 7 % 10
    np.savez(tmp_path / "cifar10.npz", x_train=x[::-1], y_train=y[::-1], x_test=x, y_test=y)
    file = write_sheet(tmp_path, tmp_path / "sheet.png", each=4)
    assert Image.open(file).size == (ROW * 32, 2 * 32)
    split = thousand(file)
    assert split.labels.tolist() == 4 * list(range(10))
    for label in range(10):
        first = torch.from_numpy(x[y == label][:4]).permute(0, 3, 1, 2)
        assert torch.equal(split.images[split.labels == label], first)
    for each in (7, 3):  # more than there are; no whole rows
        with pytest.raises(RelvitError, match="of each class"):
            write_sheet(tmp_path, tmp_path / "other.png", each)
    assert not (tmp_path / "other.png").exists()


def test_the_committed_sheet_is_of_cifar_10():
    """The first eight test images are known from try.html's strip, and are the first of their classes."""
    split = thousand()
    assert split.images.shape == (1000, 3, 32, 32) and split.labels.bincount().tolist() == [100] * 10
    assert len(np.unique(split.images.flatten(1).numpy(), axis=0)) == 1000 and FILE.stat().st_size < 3e6
    strip = np.asarray(Image.open(assets.FOLDER / "cifar10_eight.png").convert("RGB"))
    seen = dict.fromkeys(range(10), 0)
    for label, tile in zip((3, 8, 8, 0, 6, 6, 1, 6), np.split(strip, 8, axis=1)):
        own = split.images[split.labels == label][seen[label]]
        assert np.array_equal(own.permute(1, 2, 0).numpy(), tile)
        seen[label] += 1


# The measures


@pytest.fixture(scope="module")
def relvit():
    return relvit_lab.load("cifar10_tasks")


@pytest.fixture(scope="module")
def few():
    data = thousand()
    return relvit_lab.data.Split(data.images[:40], data.labels[:40])


def test_features_and_layers_are_the_models_own(relvit, few, monkeypatch):
    with torch.no_grad():
        expected = relvit.model(relvit.transform(few.images)).tokens
    monkeypatch.setattr(measures, "BATCH", 16)  # the last batch is smaller
    assert torch.allclose(measures.features(relvit, few.images)[:, 1:], expected, atol=1e-4)
    layers = measures.layers(relvit, few.images)
    backbone = relvit.model.backbone
    assert len(layers) == len(backbone.blocks) + 1 and {z.shape for z in layers} == {(40, 65, 96)}
    with torch.no_grad():
        assert torch.allclose(backbone.norm(layers[-1])[:, 1:], expected, atol=1e-4)
        assert torch.allclose(layers[0][:, 1:], backbone.patch_embed(relvit.transform(few.images)), atol=1e-5)
    assert not backbone.blocks[0]._forward_hooks and not backbone.blocks[0]._forward_pre_hooks


def test_the_last_layers_answer_is_the_models_metric(relvit, few):
    found = measures.sprel_by_layer(relvit, few.images)
    assert found[-1] == pytest.approx(evaluate(relvit.model, relvit.pipeline, few)["sprel"], abs=0.01)
    assert len(found) == 5


def made(place: float, image: float, own: float, n: int = 300) -> torch.Tensor:
    """Tokens (n, 16, 32) with so much that depends on the place, the image and the token."""
    draws = torch.Generator().manual_seed(0)
    parts = [torch.randn(*shape, 32, generator=draws) for shape in ((16,), (n, 1), (n, 16))]
    return sum(weight * part for weight, part in zip((place, image, own), parts)) + 3.0


@pytest.mark.parametrize(
    ("weights", "expected"),
    [((1, 0, 0), (100, 0, 0)), ((0, 1, 0), (0, 100, 0)), ((0, 0, 1), (0, 6, 94)), ((1, 1, 1), (33, 33, 33))],
)
def test_shares_are_those_that_were_put_in(weights, expected):
    """16 tokens of an image have a mean that scatters by a sixteenth of what they do."""
    found = measures.shares(made(*weights))
    assert sum(found) == pytest.approx(100, abs=1e-3)
    assert found == pytest.approx(expected, abs=5)


def test_neighbours_by_place_by_class_and_by_look(few):
    n, labels = 300, torch.arange(300) % 10
    draws = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=draws)
    place, label, _ = measures.neighbours(made(1, 0, 0.1, n), images, labels, ask=100)
    assert place == (100.0, 0.0) and label[0] < 25
    of_class = torch.randn(10, 1, 32, generator=draws)[labels] + 0.01 * made(0, 0, 1, n)
    place, label, _ = measures.neighbours(of_class, images, labels, ask=100)
    assert label == (100.0, 0.0) and place[0] < 25
    looks = patchify(images.float(), 4).flatten(2) - 127.5  # (n,16,48)
    _, _, pixels = measures.neighbours(looks, images, labels, ask=100)
    _, _, blindly = measures.neighbours(made(0, 0, 1, n), images, labels, ask=100)
    assert pixels[0] + 10 * pixels[1] < blindly[0] and abs(blindly[0] - 100) < 4 * blindly[1]


def test_equal_tokens_have_equal_colours_and_the_largest_component_is_red():
    tokens = 0.01 * made(0, 0, 1)
    tokens[::2, :, 5] += 4.0
    painted = torch.cat([tokens[:3], tokens[:1]])
    colours = measures.colours(tokens, painted)
    assert colours.shape == (4, 16, 3) and 0 <= colours.min() and colours.max() <= 1
    assert torch.equal(colours[0], colours[3])
    assert (colours[0, :, 0] - colours[1, :, 0]).abs().min() > 0.9  # with the shift and without it


def test_probes_find_classes_where_there_are_some_and_chance_where_there_are_none():
    labels = torch.arange(400) % 10
    draws = torch.Generator().manual_seed(0)
    noise = torch.randn(400, 24, generator=draws)
    good = measures.probed(torch.eye(10, 24)[labels] * 8 + noise, labels)
    assert min(good) > 95 and good.error(400)[0] == pytest.approx(100 * math.sqrt(good.knn * (100 - good.knn) / 4e6))
    bad = measures.probed(noise, labels)
    for value, error in zip(bad, bad.error(400)):
        assert abs(value - 10) < 4 * error
