"""The learning rate of both recipes, and what is decayed."""

import math

import pytest
import torch
from torch import nn

from relvit_lab.schedule import learning_rate, make_optimizer


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
    for s in (100, 500, 999):
        a = 1 - math.cos(s / steps * math.pi / 2)
        assert rates[s] == pytest.approx(peak * (1 - a) + 1.25e-6 * a)
    assert rates[0] == pytest.approx(peak / 100) and max(rates) < peak


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps(steps):
    assert all(0 < learning_rate(s, steps, 1.0) <= 1 for s in range(steps))


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.pos_embed, self.cls_token = nn.Parameter(torch.ones(1, 3, 4)), nn.Parameter(torch.ones(1, 1, 4))
        self.layer, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)


def test_released_decays_every_parameter_and_paper_spares_some():
    model = Small()
    assert [(g["weight_decay"], len(g["params"])) for g in make_optimizer(model, 0.1, "released").param_groups] == [
        (0.1, 6)
    ]
    decayed, spared = make_optimizer(model, 0.1, "paper").param_groups
    assert decayed["params"] == [model.layer.weight] and decayed["weight_decay"] == 0.1
    assert len(spared["params"]) == 5 and spared["weight_decay"] == 0


def test_no_decay_unless_set():
    assert all(group["weight_decay"] == 0 for group in make_optimizer(Small(), 0.0).param_groups)
