"""The learning rate of both recipes, and what is decayed."""

import math

import pytest

from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.model import RelViT
from relvit_lab.method.schedule import learning_rate, make_optimizer
from relvit_lab.method.tasks import TASKS


def test_paper_half_cosine():
    steps, peak = 1000, 5e-4
    rates = [learning_rate(s, steps, peak) for s in range(steps)]
    assert rates[0] == pytest.approx(peak / 100) and rates[99] == pytest.approx(peak) == pytest.approx(max(rates))
    for s in (100, 333, 550, 999):
        assert rates[s] == pytest.approx(peak * (1 + math.cos(math.pi * (s - 100) / 900)) / 2)
    assert rates[-1] < peak / 1e4
    assert rates[:100] == sorted(rates[:100]) and rates[100:] == sorted(rates[100:], reverse=True)


def test_released_quarter_cosine():
    steps, peak = 1000, 5e-4
    rates = [learning_rate(s, steps, peak, "released") for s in range(steps)]
    for s in (100, 101, 500, 999):
        a = 1 - math.cos(s / steps * math.pi / 2)
        assert rates[s] == pytest.approx(peak * (1 - a) + 1.25e-6 * a)
    assert rates[:10] == pytest.approx([s * peak / 100 for s in range(10)], abs=1e-15)  # from 0, without the cosine
    assert rates[99] == pytest.approx(0.99 * peak) == max(rates)
    assert rates[100] == pytest.approx(4.9386e-4, abs=1e-8)  # the cosine has begun at step 0


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps(steps):
    assert all(0 < learning_rate(s, steps, 1.0) <= 1 for s in range(steps))
    released = [learning_rate(s, steps, 1.0, "released") for s in range(steps)]
    assert released[0] == 0 and all(0 < rate < 1 for rate in released[1:])


def model_of(name: str) -> RelViT:
    return RelViT(create_backbone(name), [TASKS.get("sprel")], classes=3)


@pytest.mark.parametrize("name", ["vit_nano", "swin_nano", "t2t_nano", "timm:vit_tiny_patch16_224"])
def test_released_decays_every_parameter_and_paper_spares_some(name):
    model = model_of(name)
    trained = [p for p in model.parameters() if p.requires_grad]
    (all_of_them,) = make_optimizer(model, 0.1, "released").param_groups
    assert all_of_them["weight_decay"] == 0.1 and len(all_of_them["params"]) == len(trained)
    decayed, spared = make_optimizer(model, 0.1, "paper").param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0)
    names = {id(p): name for name, p in model.named_parameters()}
    assert all(names[id(p)].endswith(".weight") and p.dim() > 1 for p in decayed["params"])  # of layers alone
    assert {id(p) for p in decayed["params"] + spared["params"]} == {id(p) for p in trained}
    tables = {names[id(p)].rsplit(".")[-1] for p in spared["params"] if p.dim() > 1}
    assert tables == {
        "swin_nano": {"relative_position_bias_table"}, "t2t_nano": {"cls_token"}
    }.get(name, {"cls_token", "pos_embed"})  # fmt: skip


def test_no_decay_unless_set():
    assert all(group["weight_decay"] == 0 for group in make_optimizer(model_of("vit_nano"), 0.0).param_groups)
