"""Frozen features: against one image at a time, and both accuracies against scikit-learn, loops, and what is known."""

import copy
import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from relvit_lab.common import feature_classifiers
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.feature_classifiers import knn_accuracy, linear_accuracy
from relvit_lab.data import Split
from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.model import RelViT
from relvit_lab.method.pipeline import Pipeline
from relvit_lab.method.tasks import RELVIT
from relvit_lab.train.probes import features, probe

D, CLASSES = 6, 4
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def blobs(n, seed, apart):
    """n features (n, D) of CLASSES classes, whose centres lie `apart` from 0 in directions of their own."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (n,), generator=draws)
    return apart * torch.eye(CLASSES, D)[labels] + torch.randn(n, D, generator=draws), labels


def split(n, seed=0, size=8):
    draws = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (n, 3, size, size), generator=draws).byte()
    return Split(images, torch.arange(n) % 3)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    backbone = create_backbone("vit_nano", image_size=8, patch=2, dropout=0.5)
    return RelViT(backbone, RELVIT, classes=3)


def pipeline(**options):
    return Pipeline(8, 2, MEAN, STD, **options)


# -- features ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batch_size", [3, 7, 256])
def test_features_are_those_of_one_image_at_a_time(model, batch_size, training):
    images = split(7)
    model.train(training)
    path = pipeline(patch_augment=True, shuffle=True)  # of training: evaluation has none of it
    found = features(model, path, images, batch_size)
    assert model.training == training and not found.requires_grad and found.dtype == torch.float32
    model.eval()
    for i in range(7):
        seen = (images.images[i : i + 1].float() / 255 - 0.5) / 0.25
        torch.testing.assert_close(found[i : i + 1], model.backbone(seen)[0].detach(), atol=1e-5, rtol=1e-5)


def test_mega_patches_are_cut_by_the_image_not_by_the_batch():
    torch.manual_seed(0)
    model = RelViT(create_backbone("vit_nano", image_size=4, patch=2, pos_embed=False))
    path, images = pipeline(mega_patches=2), split(5)
    torch.testing.assert_close(features(model, path, images, 2), features(model, path, images, 5))


def test_features_under_autocast(model):
    rounded = features(model, pipeline(), split(4), autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, features(model, pipeline(), split(4)), atol=0.1, rtol=0.1)


# -- k nearest neighbours ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 5, 20, 150])
def test_neighbours_are_scikit_learns(k):
    (x, labels), (y, answers) = blobs(150, 0, 1.5), blobs(80, 1, 1.5)
    slow = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda distance: torch.tensor(-distance / 0.07).exp().numpy()
    )
    slow.fit(x.double().numpy(), labels.numpy())
    expected = 100 * slow.score(y.double().numpy(), answers.numpy())
    assert 25 < expected < 100
    assert knn_accuracy(x, labels, y, answers, k) == pytest.approx(expected, abs=1e-9)


def test_neighbours_by_a_loop():
    (x, labels), (y, answers), right = blobs(40, 2, 1.0), blobs(30, 3, 1.0), 0
    for image, answer in zip(y.tolist(), answers.tolist()):
        near = []
        for other, label in zip(x.tolist(), labels.tolist()):
            dot = sum(a * b for a, b in zip(image, other))
            near.append((dot / math.hypot(*image) / math.hypot(*other), label))
        votes = [0.0] * CLASSES
        for similarity, label in sorted(near, reverse=True)[:7]:
            votes[label] += math.exp(similarity / 0.07)
        right += votes.index(max(votes)) == answer
    assert knn_accuracy(x, labels, y, answers, 7) == pytest.approx(100 * right / 30)


def test_neighbours_in_blocks(monkeypatch):
    both = (*blobs(150, 0, 1.5), *blobs(80, 1, 1.5))
    whole = knn_accuracy(*both, 10)
    for block in (1, 150 * 7):
        monkeypatch.setattr(feature_classifiers, "BLOCK", block)
        assert knn_accuracy(*both, 10) == whole


def test_more_neighbours_than_images_are_all_of_them():
    both = (*blobs(12, 0, 3.0), *blobs(20, 1, 3.0))
    assert knn_accuracy(*both, 1000) == knn_accuracy(*both, 12)


@pytest.mark.parametrize("k", [0, -1])
def test_no_neighbours(k):
    with pytest.raises(RelvitError, match=f"at least 1, not {k}"):
        knn_accuracy(*blobs(12, 0, 1.0), *blobs(5, 1, 1.0), k)


# -- linear classifier ---------------------------------------------------------------------------------------------


def test_the_linear_probe_is_scikit_learns():
    (x, labels), (y, answers) = blobs(200, 0, 1.5), blobs(100, 1, 1.5)
    x, y = (part * torch.tensor([1, 10, 0.1, 1, 1, 1]) + 3 for part in (x, y))
    slow = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, tol=1e-6))
    slow.fit(x.double().numpy(), labels.numpy())
    expected = 100 * slow.score(y.double().numpy(), answers.numpy())
    found = linear_accuracy(x, labels, y, answers)
    assert 40 < expected < 100 and found == pytest.approx(expected, abs=1)  # one image, at the boundary
    assert linear_accuracy(x, labels, y, answers) == found


def test_scale_and_place_of_a_feature_do_not_matter_to_the_linear_probe():
    (x, labels), (y, answers) = blobs(200, 0, 1.5), blobs(100, 1, 1.5)
    scale, shift = torch.tensor([1, 100, 0.01, 1, 5, 1]), torch.arange(6.0)
    moved = linear_accuracy(x * scale + shift, labels, y * scale + shift, answers)
    assert moved == pytest.approx(linear_accuracy(x, labels, y, answers), abs=1)


def test_a_feature_that_never_changes_does_no_harm():
    (x, labels), (y, answers) = blobs(100, 0, 8.0), blobs(50, 1, 8.0)
    x[:, 5], y[:, 5] = 0.1, 0.1
    assert linear_accuracy(x, labels, y, answers) == 100


def test_a_single_class():
    x, y = torch.randn(5, D), torch.randn(4, D)
    one = torch.ones(5, dtype=torch.int64)
    assert linear_accuracy(x, one, y, torch.tensor([1, 1, 0, 1])) == 75
    assert knn_accuracy(x, one, y, torch.tensor([1, 1, 0, 1]), 3) == 75


# -- both ----------------------------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize(
    "measure", [lambda *sets: knn_accuracy(*sets, 10), linear_accuracy], ids=["knn", "linear"]
)


@BOTH
def test_separable_classes_are_all_right(measure):
    assert measure(*blobs(200, 0, 12.0), *blobs(100, 1, 12.0)) == 100


@BOTH
def test_random_labels_are_near_chance(measure):
    (x, _), (y, _) = blobs(1000, 0, 1.5), blobs(1000, 1, 1.5)
    labels, answers = torch.randint(CLASSES, (2, 1000)).unbind()
    assert 25 - 5 < measure(x, labels, y, answers) < 25 + 5  # 1.4 is one standard deviation


@BOTH
def test_neither_the_numbers_of_classes_nor_the_order_of_images_matter(measure):
    (x, labels), (y, answers) = blobs(200, 0, 1.5), blobs(100, 1, 1.5)
    usual, names, order = measure(x, labels, y, answers), torch.tensor([7, 0, 3, 5]), torch.randperm(200)
    assert measure(x, names[labels], y, names[answers]) == pytest.approx(usual, abs=1)
    assert measure(x[order], labels[order], y, answers) == pytest.approx(usual, abs=1)


@BOTH
def test_no_training_images(measure):
    with pytest.raises(RelvitError, match="need training images"):
        measure(torch.empty(0, D), torch.empty(0, dtype=torch.int64), *blobs(5, 1, 1.0))


def test_probe_measures_what_is_asked_for(model):
    train, test = split(12), split(6, seed=1)
    before = copy.deepcopy(model.state_dict())
    assert probe(model, pipeline(), train, test) == {}
    found = probe(model, pipeline(), train, test, 3, True, 5)
    x, y = (features(model, pipeline(), part) for part in (train, test))
    assert found == {
        "knn": knn_accuracy(x, train.labels, y, test.labels, 3),
        "linear_probe": linear_accuracy(x, train.labels, y, test.labels),
    }
    assert list(probe(model, pipeline(), train, test, k=3)) == ["knn"]
    assert list(probe(model, pipeline(), train, test, linear=True)) == ["linear_probe"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_probe_can_be_stopped(model):
    model.train()

    def stop(*given):
        raise KeyboardInterrupt

    model.backbone.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        probe(model, pipeline(), split(12), split(6), 3)
    assert model.training


def test_a_trained_feature_is_told_from_noise():
    """Images of one brightness a class: even an untrained backbone separates them."""
    torch.manual_seed(0)
    model = RelViT(create_backbone("vit_nano", image_size=8, patch=2))

    def bright(n, seed):
        noise = split(n, seed)
        return Split((noise.images // 16 + 80 * noise.labels[:, None, None, None]).byte(), noise.labels)

    assert probe(model, pipeline(), bright(60, 0), bright(30, 1), 5, True) == {"knn": 100, "linear_probe": 100}
