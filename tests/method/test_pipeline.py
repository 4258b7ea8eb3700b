"""The path of a batch: what is composed in which order, and what evaluation leaves alone."""

import pytest
import torch

from relvit_lab.common.randomness import generator
from relvit_lab.method import pipeline
from relvit_lab.method.patches import draw_cuts, mega_patches, patchify, permute
from relvit_lab.method.pipeline import Pipeline

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
PLAIN = {"image_size": 32, "patch_size": 4, "mean": MEAN, "std": STD, "crop": "none", "flip": False}


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)


LABELS = torch.arange(6)


def normalised(images: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return (images.float() / 255 - mean) / std


def test_evaluation_only_normalises(images):
    training = Pipeline(**PLAIN | {"crop": "resized", "flip": True}, patch_augment=True, shuffle=True)
    batch = training.evaluate(images, LABELS)
    torch.testing.assert_close(batch.images, normalised(images))
    assert batch.permutation is None and torch.equal(batch.labels, LABELS)


def test_shuffled_images_are_those_of_their_permutation(images):
    batch = Pipeline(**PLAIN, shuffle=True).train(images, LABELS)
    assert batch.permutation.shape == (6, 64) and len({tuple(p) for p in batch.permutation.tolist()}) == 6
    torch.testing.assert_close(batch.images, permute(normalised(images), batch.permutation))


def test_another_size_is_resized_and_one_channel_becomes_three(images):
    batch = Pipeline(**PLAIN | {"image_size": 64, "patch_size": 8}).evaluate(images[:, :1], LABELS)
    assert batch.images.shape == (6, 3, 64, 64)


@pytest.mark.parametrize("side, centre", [(40, 32), (37, 32), (37, 24), (32, 32)])
def test_evaluation_looks_at_the_middle(side, centre):
    from torchvision.transforms.v2.functional import center_crop, resize

    images = torch.randint(0, 256, (3, 3, side, side), dtype=torch.uint8)
    batch = Pipeline(**PLAIN, centre=centre).evaluate(images, LABELS[:3])
    middle = resize(center_crop(images, centre).float(), 32, antialias=True) / 255
    torch.testing.assert_close(batch.images, normalised(255 * middle), atol=2e-5, rtol=1e-5)
    assert torch.equal(Pipeline(**PLAIN, centre=centre).train(images, LABELS[:3]).images, batch.images)


def test_resized_crops_see_all_of_a_larger_image(images):
    resized = PLAIN | {"image_size": 24, "crop": "resized", "flip": True}
    whole, centred = (Pipeline(**resized, centre=c).train(images, LABELS, generator("a")).images for c in (None, 24))
    assert torch.equal(whole, centred)


@pytest.mark.parametrize("m", [None, 3])
def test_mega_patches_of_the_middle(images, m):
    """A larger image gives at evaluation what its middle gives."""
    larger = torch.nn.functional.pad(images, (3, 3, 3, 3), value=7)
    pipeline = Pipeline(**PLAIN, mega_patches=m, centre=32)
    assert torch.equal(pipeline.evaluate(larger, LABELS).images, pipeline.evaluate(images, LABELS).images)


@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_patch_augmentation_comes_before_or_after_normalising(images, recipe):
    """In the paper's order pixels stay in [0, 1] until they are normalised; the released code jitters normalised ones,
    and torchvision's operations clamp those."""
    batch = Pipeline(**PLAIN, recipe=recipe, patch_augment=True).train(images, LABELS, generator("test"))
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    pixels = batch.images * std + mean
    jittered = (patchify(batch.images, 4).amin((2, 3, 4)) >= 0) & (patchify(batch.images, 4).amax((2, 3, 4)) <= 1)
    if recipe == "paper":
        assert pixels.min() > -1e-5 and pixels.max() < 1 + 1e-5
    else:
        assert 0.7 < jittered.float().mean() < 0.9  # those that were jittered (0.8) lie in [0, 1] although normalised


@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_mega_patches_in_training_are_each_images_own(images, recipe):
    same = images[:1].expand(6, -1, -1, -1)
    batch = Pipeline(**PLAIN, recipe=recipe, mega_patches=3).train(same, LABELS)
    assert batch.images.shape == (6, 3, 12, 12)
    assert not all(torch.equal(batch.images[0], other) for other in batch.images[1:])


def test_mega_patches_at_evaluation_are_fixed_by_the_index(images):
    pipeline = Pipeline(**PLAIN, mega_patches=3)
    whole = pipeline.evaluate(images, LABELS).images
    pieces = torch.cat([pipeline.evaluate(images[i : i + 2], LABELS[i : i + 2], i).images for i in (0, 2, 4)])
    assert torch.equal(whole, pieces) and whole.shape[-1] == 12
    cuts = draw_cuts(1, 3, 8, generator("mega-patch cuts", 3, 4))
    expected, _ = mega_patches(images[4:5].float() / 255, 3, 4, cuts=cuts)
    torch.testing.assert_close(whole[4:5], pipeline.normalise(expected))


def test_the_same_generator_gives_the_same_batch(images):
    pipeline = Pipeline(**PLAIN | {"crop": "resized", "flip": True}, patch_augment=True, shuffle=True)
    one, same, other = (pipeline.train(images, LABELS, generator("step", k)) for k in (1, 1, 2))
    assert torch.equal(one.images, same.images) and torch.equal(one.permutation, same.permutation)
    assert not torch.equal(one.images, other.images)


@pytest.mark.parametrize(
    "options",
    [
        {"patch_augment": True, "shuffle": True},
        {"shuffle": True},
        {"mega_patches": 3, "patch_augment": True},
        {"mega_patches": 2, "shuffle": True, "recipe": "released"},
        {"crop": "none", "patch_augment": True, "shuffle": True},
    ],
)
def test_the_parts_of_photographs_make_no_difference(monkeypatch, options):
    photographs = torch.randint(0, 256, (5, 3, 144, 144), dtype=torch.uint8)
    sizes = {"image_size": 128, "patch_size": 16, "crop": "resized", "flip": True}
    training = Pipeline(**PLAIN | sizes | options)
    batches = []
    for part in (2, 5):
        monkeypatch.setattr(pipeline, "PART", part)
        batches.append(training.train(photographs, LABELS[:5], generator("photographs")))
    one, two = batches
    torch.testing.assert_close(one.images, two.images, atol=1e-5, rtol=0)
    assert one.images.shape == two.images.shape and one.images.dtype == torch.float32
    assert (one.permutation is None) == ("shuffle" not in options)
    if one.permutation is not None:
        assert torch.equal(one.permutation, two.permutation)
