"""The images that hold nothing but a leak, and the floors that they are measured against."""

import pytest
import torch
import torch.nn.functional as F

from relvit_lab import data
from relvit_lab.lessons.pe_shortcut import leaks
from relvit_lab.method.relations import spatial_relations


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", ["plain", "padded", "vignette", "smooth"])
def test_noise_is_repeatable_and_each_image_its_own(kind):
    images = leaks.noise_images(kind, 20, draws())
    assert images.shape == (20, 1, leaks.SIDE, leaks.SIDE) and images.dtype == torch.uint8
    assert torch.equal(images, leaks.noise_images(kind, 20, draws()))
    assert len(images.flatten(1).unique(dim=0)) == 20


def test_plain_noise_tells_no_place_and_the_others_do():
    """The mean of each pixel over many images: flat for plain noise."""
    plain = leaks.noise_images("plain", 4000, draws()).float()
    assert plain.mean((0, 1)).std() < 2
    padded = leaks.noise_images("padded", 4000, draws())
    border = (padded[:, 0, 0] == 0).all(-1).float().mean()  # a whole row of zeros at the top
    assert 0.25 < border < 0.42 and not (padded[:, 0, 3] == 0).all(-1).any()
    assert (padded[:, :, 2:-2, 2:-2] > 0).all()
    shaded = leaks.noise_images("vignette", 4000, draws()).float().mean((0, 1))
    assert shaded[0, 0] < 0.6 * shaded[4, 4]
    smooth = leaks.noise_images("smooth", 500, draws()).float()
    across = (smooth[..., 2] - smooth[..., 1]).abs().mean()  # over the border of two patches
    assert across < (plain[..., 2] - plain[..., 1]).abs().mean() and smooth.mean((0, 1)).std() < 20


@pytest.mark.parametrize("name", leaks.LEAKS)
def test_every_leak_is_an_experiment_on_a_registered_data_set(name):
    stage = leaks.experiment(name).stages()[-1]
    assert stage.name == "pretrain" and stage.pos_embed == (name == "pe") and stage.experiment.image_crop == "none"
    dataset = data.load(stage.experiment.dataset)
    assert (len(dataset.train), len(dataset.test)) == (leaks.TRAIN, leaks.TEST)
    assert dataset.digest == data.load(stage.experiment.dataset).digest
    assert not torch.equal(dataset.train.images[:10], dataset.test.images[:10])


@pytest.mark.parametrize("side", [2, 3, 4, 8])
def test_the_floor_is_the_best_answer_that_knows_the_diagonal_only(side):
    target = spatial_relations(side)
    own = torch.eye(side**2, dtype=torch.bool)
    best = max(float((torch.where(own, 4, k) == target).float().mean()) for k in range(9))
    floors = leaks.floors(side)
    assert floors["SpRel"] == pytest.approx(100 * best, abs=1e-4)
    assert floors["AbsPos"] == 100 / side**2


def test_kinds_of_token():
    assert leaks.kinds_of_token(16, 4, 4, 0).tolist() == [[0] * 4] * 4
    kinds = leaks.kinds_of_token(16, 7, 4, 2)
    assert kinds.shape == (4, 4) and kinds.unique().tolist() == list(range(9)) and kinds[0, 1] == kinds[0, 2]
    windows = F.unfold(torch.ones(1, 1, 16, 16), 7, stride=4, padding=2)[0].T  # (N,49)
    same = (windows[:, None] == windows[None]).all(-1)
    assert torch.equal(same, kinds.flatten()[:, None] == kinds.flatten()[None])
