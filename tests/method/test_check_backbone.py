"""Mistakes in a backbone of one's own are told before it is trained."""

import pytest
import torch
from torch import nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.backbones import BACKBONES, Backbone, TokenBackbone, create_backbone
from relvit_lab.method.backbones.base import check_backbone
from relvit_lab.train.build import build_model
from relvit_lab.train.experiment import Experiment


class Own(TokenBackbone):
    """Patches as tokens; `gives` decides what comes out of the feature and the tokens."""

    def __init__(self, gives, image_size, patch, pos_embed=True, dropout=0.0, drop_path=0.0):
        super().__init__()
        self.dim, self.image_size, self.patch = 6, image_size, patch
        self.side = self.task_side = image_size // patch
        self.embed, self.gives = nn.Conv2d(3, 6, patch, patch), gives

    def forward(self, images):
        tokens = nn.functional.dropout(self.embed(images).flatten(2).mT, 0.5, self.training)
        return self.gives(tokens.mean(1), tokens)


def made(monkeypatch, gives, build=Own, **sizes):
    def build_it(**options):
        own = build(gives, **options)
        for name, value in sizes.items():
            setattr(own, name, value)
        return own

    monkeypatch.setitem(BACKBONES._entries, "own", Backbone("own", build_it, image_size=8, patch=2, label="Own"))
    backbone = create_backbone("own")
    check_backbone("own", backbone, 8)
    return backbone


def test_a_backbone_that_fits_is_made_and_draws_nothing(monkeypatch):
    torch.manual_seed(1)
    Own(None, 8, 2)
    expected = torch.rand(3)
    torch.manual_seed(1)
    backbone = made(monkeypatch, lambda feature, tokens: (feature, tokens))
    assert torch.equal(torch.rand(3), expected) and backbone.training
    assert [tuple(part.shape) for part in backbone(torch.zeros(5, 3, 8, 8))] == [(5, 6), (5, 16, 6)]


@pytest.mark.parametrize(
    "gives, words",
    [
        (lambda feature, tokens: tokens, r"\(2, 16, 6\), not"),
        (lambda feature, tokens: (tokens, feature), r"\(2, 16, 6\) and \(2, 6\), not"),
        (lambda feature, tokens: (feature, torch.cat([feature[:, None], tokens], 1)), r"\(2, 17, 6\), not"),
        (lambda feature, tokens: (feature, tokens.mT), r"\(2, 6, 16\), not"),
        (lambda feature, tokens: (feature[:, None], tokens), r"\(2, 1, 6\) and"),
        (lambda feature, tokens: None, "NoneType, not"),
        (lambda feature, tokens: (feature, tokens, tokens), r"\(2, 16, 6\) and \(2, 16, 6\), not"),
    ],
)
def test_what_does_not_fit_is_named(monkeypatch, gives, words):
    with pytest.raises(RelvitError, match=f"backbone 'own': from 2 images .*{words}"):
        made(monkeypatch, gives)


@pytest.mark.parametrize("sizes, words", [({"dim": None}, "lacks dim"), ({"dim": 5}, "not"), ({"side": 3}, "not")])
def test_its_sizes_are_those_of_what_it_gives(monkeypatch, sizes, words):
    with pytest.raises(RelvitError, match=f"backbone 'own'.*{words}"):
        made(monkeypatch, lambda feature, tokens: (feature, tokens), **sizes)


def test_an_entry_builds_a_module(monkeypatch):
    monkeypatch.setitem(BACKBONES._entries, "own", Backbone("own", lambda **_: 3, image_size=8, patch=2, label="Own"))
    (stage,) = Experiment(dataset="digits", preset="smoke", scenario="supervised", backbone="own").stages()
    with pytest.raises(RelvitError, match="builds a int"):
        build_model(stage, 10)
