"""Recipe released, and the released form of drloc, against what the authors' and the peer's code were found to do.

Its schedule: test_schedule.py; its crops: test_augment.py; lambda by epoch: test_tasks.py.
"""

import itertools
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from timm.layers import DropPath
from torch import nn

from relvit_lab.method import drloc, tasks
from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.model import RelViT
from relvit_lab.train import state, training
from relvit_lab.train.build import build_model, load_data
from relvit_lab.train.events import EpochDone, StageFinished, StageStarted
from relvit_lab.train.experiment import Experiment


def model_of(backbone: str, recipe: str, classes: int = 1000) -> RelViT:
    (stage,) = Experiment(dataset="cifar10", scenario="supervised", backbone=backbone, recipe=recipe).stages()
    return build_model(stage, classes)


# -- how a model starts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", ["vit_s_4", "t2t_vit_14"])
def test_cls_and_classifier_start_as_in_the_code(backbone):
    model = model_of(backbone, "released")
    cls, weight, bias = model.backbone.cls_token, model.classifier.weight, model.classifier.bias
    assert cls.std().item() == pytest.approx(0.02, rel=0.15)
    bound = 384**-0.5  # nn.Linear's: uniform, so sd .0295 at D = 384
    assert weight.std().item() == pytest.approx(0.0295, rel=0.01)
    assert 0.99 * bound < weight.abs().max() <= bound and 0.9 * bound < bias.abs().max() <= bound
    assert bias.std().item() == pytest.approx(0.0295, rel=0.1)


@pytest.mark.parametrize(
    "backbone, recipe", [("vit_s_4", "paper"), ("t2t_vit_14", "paper"), ("swin_t", "paper"), ("swin_t", "released")]
)
def test_else_they_start_as_timm_has_it(backbone, recipe):
    model = model_of(backbone, recipe)
    assert model.classifier.weight.std().item() == pytest.approx(0.02, rel=0.02) and not model.classifier.bias.any()
    if backbone == "vit_s_4":
        assert model.backbone.cls_token.abs().max() < 1e-5


def test_all_else_starts_alike():
    """What differs is drawn after everything else, so the same seed gives the same blocks under both recipes."""
    models = []
    for recipe in ("paper", "released"):
        torch.manual_seed(0)
        models.append(model_of("vit_nano", recipe).backbone.state_dict())
    differing = {name for name in models[0] if not torch.equal(models[0][name], models[1][name])}
    assert differing == {"cls_token"}


def test_t2t_has_no_drop_path_and_swin_keeps_it():
    models = {backbone: model_of(backbone, "released") for backbone in ("t2t_vit_14", "swin_nano", "vit_nano")}
    paths = {name: [p.drop_prob for p in m.modules() if isinstance(p, DropPath)] for name, m in models.items()}
    assert paths["t2t_vit_14"] == []
    assert max(paths["swin_nano"]) == pytest.approx(0.1) == max(paths["vit_nano"])
    performers = models["t2t_vit_14"].backbone.tokens_to_token
    assert {part.p for part in performers.modules() if isinstance(part, nn.Dropout)} == {0.1}


# -- statistics ----------------------------------------------------------------------------------------------------

AT_224 = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2413, 0.2378, 0.2564)),
    "cifar100": ((0.5070, 0.4865, 0.4409), (0.2622, 0.2513, 0.2714)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1960, 0.1989, 0.1955)),
}


@pytest.mark.parametrize("name", AT_224)
def test_upscaled_images_have_statistics_of_their_own(name, tmp_path):
    x, y = np.zeros((4, 32, 32, 3), np.uint8), np.arange(4)
    np.savez(tmp_path / f"{name}.npz", x_train=x, y_train=y, x_test=x, y_test=y)

    def statistics(**fields):
        loaded = load_data(Experiment(dataset=name, data_dir=str(tmp_path), scenario="supervised", **fields).resolved())
        return loaded.mean, loaded.std

    plain = statistics()
    assert statistics(recipe="released", backbone="swin_t") == AT_224[name] != plain
    assert statistics(recipe="released", backbone="vit_s_32") == AT_224[name]
    assert statistics(backbone="swin_t") == statistics(recipe="released") == plain


# -- the second supervised stage -----------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_the_second_supervised_stage_starts_from_the_best_epoch(recipe, monkeypatch):
    """By accuracy on the test images in recipe released, from the last epoch in recipe paper."""
    states, begun = [], {}
    end_epoch, load_start = training.Training.end_epoch, state.load_start

    def spy(self, *args):
        states.append({name: value.clone() for name, value in self.model.state_dict().items()})
        return end_epoch(self, *args)

    def start(model, stage):
        load_start(model, stage)
        begun[stage.name] = {name: value.clone() for name, value in model.state_dict().items()}

    monkeypatch.setattr(training.Training, "end_epoch", spy)
    monkeypatch.setattr(state, "load_start", start)
    fields = {"preset": "smoke", "epochs": 6, "batch_size": 8, "train_images": 40, "test_images": 20, "lr": 0.02}
    records = []
    with closing(training.run(Experiment(scenario="supervised", supervised_stages=2, recipe=recipe, **fields))) as run:
        records += itertools.takewhile(lambda r: not (isinstance(r, StageStarted) and r.name == "supervised2"), run)
    lines = [record.metrics for record in records if isinstance(record, EpochDone)]
    accuracies = [line["test"]["accuracy"] for line in lines]
    best = accuracies.index(max(accuracies))
    assert best < 5  # else best and last are one
    kept = best if recipe == "released" else 5
    assert all(torch.equal(value, states[kept][name]) for name, value in begun["supervised2"].items())
    (first,) = [record for record in records if isinstance(record, StageFinished)]
    assert first.result["stage"].get("kept_epoch") == (best + 1 if recipe == "released" else None)
    assert first.result["metrics"]["accuracy"] == accuracies[-1]  # the headline stays the last epoch's
    weights = load_file(Path(first.folder, "model.safetensors"))
    assert all(torch.equal(value, states[kept][name]) for name, value in weights.items())


# -- drloc as its code has it --------------------------------------------------------------------------------------


def test_drlocs_loss_on_given_tokens_and_pairs(monkeypatch):
    """Half of the sum over the coordinates, targets in patches."""
    released, head = tasks.get("drloc", "released"), nn.Module()
    head.pairs = lambda z, pairs: torch.full((*pairs.shape[:2], 2), 1.0)
    pairs = torch.tensor([[[0, 48], [0, 6], [0, 42], [8, 8]]])  # |dx|, |dy|: 6 6, 6 0, 0 6, 0 0
    monkeypatch.setattr(torch, "randint", lambda *a, **k: pairs)
    loss = released.loss(head, torch.zeros(1, 49, 3), released.target(7), None)
    assert loss.item() == pytest.approx((5 + 5 + 5 + 1 + 1 + 5 + 1 + 1) / 8)
    assert tasks.get("drloc").loss(head, torch.zeros(1, 49, 3), 7 * tasks.get("drloc").target(7), None) == 2 * loss


def test_drlocs_mlp_starts_small():
    released = RelViT(create_backbone("t2t_nano"), [tasks.get("drloc", "released")]).heads["drloc"]
    for layer in (released.fc1, released.fc2):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert released.fc3.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not any(layer.bias.any() for layer in (released.fc1, released.fc2, released.fc3))
    plain = RelViT(create_backbone("t2t_nano"), [tasks.get("drloc")]).heads["drloc"]
    assert plain.fc1.bias.abs().max() > 0.05
    assert (released.fc1.in_features, released.fc1.out_features, released.fc3.in_features) == (128, 512, 512)


def test_drloc_reads_a_swins_tokens_from_before_the_last_norm():
    images = torch.randn(2, 3, 224, 224)
    backbone = create_backbone("swin_nano").eval()
    nn.init.normal_(backbone.norm.weight)
    nn.init.normal_(backbone.norm.bias)
    model = RelViT(backbone, [tasks.get("sprel"), tasks.get("drloc", "released")], classes=3).eval()
    seen, heads = {}, model.heads
    for name, head in heads.items():
        head.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0]}))
    with torch.no_grad():
        raw = backbone.layers(backbone.patch_embed(images)).flatten(1, 2)
        feature, normed = backbone(images)
        output = model(images)
        model.task_metrics(output.tokens)
        torch.testing.assert_close(seen["drloc"], raw)
        torch.testing.assert_close(seen["sprel"], normed)
        torch.testing.assert_close(output.logits, model.classifier(feature))
        losses = model.task_losses(output.tokens, generator=torch.Generator().manual_seed(0))
        drawn = torch.Generator().manual_seed(0)
        ours = drloc.sampled_l1(heads["drloc"], raw, model.target_drloc, drawn) / 2
        torch.testing.assert_close(losses["drloc"], ours)
        seen.clear()
        model.predictions(images, "sprel"), model.predictions(images, "drloc")
        torch.testing.assert_close(seen["drloc"], raw)
        torch.testing.assert_close(seen["sprel"], normed)


@pytest.mark.parametrize("backbone, form", [("swin_nano", "paper"), ("t2t_nano", "released"), ("vit_nano", "released")])
def test_elsewhere_drloc_reads_tokens_from_after_it(backbone, form):
    backbone = create_backbone(backbone).eval()
    size = backbone.image_size
    images = torch.randn(2, 3, size, size)
    model = RelViT(backbone, [tasks.get("drloc", form)]).eval()
    with torch.no_grad():
        tokens = RelViT(backbone).eval()(images).tokens  # pooled where the backbone's are
        torch.testing.assert_close(model(images).tokens, tokens, atol=0, rtol=0)
        assert model.tokens_for(model.tasks[0], tokens) is tokens
