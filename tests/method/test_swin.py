"""Swin-T: timm's model, with its tokens."""

import re

import pytest
import timm
import torch
from torch import nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.backbones import create_backbone, get, load_weights


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def nano(seed=0, **options):
    torch.manual_seed(seed)
    return create_backbone("swin_nano", **options).eval()


def test_sizes_of_table_1():
    model = create_backbone("swin_t")
    assert sum(p.numel() for p in model.parameters()) == 27_519_354
    head = nn.Linear(model.dim, 10)
    assert sum(p.numel() for p in [*model.parameters(), *head.parameters()]) == 27_527_044
    assert (model.dim, model.image_size, model.patch, model.side, model.task_side) == (768, 224, 32, 7, 7)
    entry = get("swin_t")
    assert (entry.label, entry.image_size, entry.patch, entry.batch_size) == ("Swin-T", 224, 32, 64)
    assert (entry.is_vit, entry.smoke, entry.released_dropout) == (False, "swin_nano", 0.0)


def test_tokens_are_timm_forward_features():
    torch.manual_seed(0)
    ours = create_backbone("swin_t").eval()
    theirs = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0).eval()
    theirs.load_state_dict(ours.timm_state_dict(), strict=True)
    images = draw(2, 3, 224, 224)
    with torch.no_grad():
        feature, tokens = ours(images)
        features = theirs.forward_features(images)
        assert features.shape == (2, 7, 7, 768) and features.std() > 0.1
        torch.testing.assert_close(tokens, features.flatten(1, 2), atol=0, rtol=0)
        torch.testing.assert_close(tokens[:, 1], features[:, 0, 1], atol=0, rtol=0)  # row by row
        torch.testing.assert_close(feature, theirs(images))
    theirs.norm.weight.data.zero_()
    assert ours.norm.weight.all()  # the dict is a copy


@pytest.mark.parametrize("image_size, side", [(32, 1), (64, 2), (96, 3), (160, 5), (224, 7), (256, 8)])
def test_other_image_sizes(image_size, side):
    model = nano(image_size=image_size)
    feature, tokens = model(draw(2, 3, image_size, image_size))
    assert feature.shape == (2, 128) and tokens.shape == (2, side**2, 128)
    assert (model.image_size, model.side, model.task_side) == (image_size, side, side)
    torch.testing.assert_close(feature, tokens.mean(1))


def test_a_size_that_does_not_divide():
    with pytest.raises(RelvitError, match=r"swin_t: .* 100 x 100 .* patches of 32: take image_size 96"):
        create_backbone("swin_t", image_size=100)


def test_all_parameters_train():
    model = nano(image_size=224).train()
    feature, tokens = model(draw(2, 3, 224, 224))
    (feature.square().sum() + tokens.pow(3).sum()).backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("options", [{"dropout": 0.3}, {"drop_path": 0.5}])
def test_dropout_acts_in_training_only(options):
    model, images = nano(image_size=64, **options).train(), draw(8, 3, 64, 64)
    assert not torch.equal(model(images)[1], model(images)[1])
    model.eval()
    assert torch.equal(model(images)[1], model(images)[1])
    plain = nano(1, image_size=64)
    load_weights(plain, model.state_dict())
    assert torch.equal(model(images)[1], plain.train()(images)[1])  # and there is none unless asked for


def test_drop_path_rises_to_the_last_block():
    model = create_backbone("swin_t", drop_path=0.2)
    rates = [getattr(block.drop_path2, "drop_prob", 0.0) for stage in model.layers for block in stage.blocks]
    assert rates == pytest.approx([0.2 * i / 11 for i in range(12)])


def test_a_checkpoint_under_the_published_names_loads(tmp_path):
    """As Swin's authors store it: {"model": ...}, patch merging at the end of a stage, tables of indices."""
    source = nano(0)
    published = {
        re.sub(r"layers\.(\d)\.downsample", lambda n: f"layers.{int(n[1]) - 1}.downsample", name): value
        for name, value in source.state_dict().items()
    }
    assert "layers.0.downsample.reduction.weight" in published and "layers.3.downsample.norm.bias" not in published
    published |= {
        "layers.0.blocks.1.attn_mask": torch.zeros(64, 49, 49),
        "layers.0.blocks.0.attn.relative_position_index": torch.zeros(49, 49, dtype=torch.int64),
        "head.weight": draw(1000, 128),
        "head.bias": draw(1000),
    }
    torch.save({"model": published}, tmp_path / "swin.pth")
    loaded, images = create_backbone("swin_nano", checkpoint=tmp_path / "swin.pth").eval(), draw(1, 3, 224, 224)
    assert torch.equal(loaded(images)[1], source(images)[1])
    torch.save(source.timm_state_dict() | {"head.fc.weight": draw(10, 128)}, tmp_path / "timm.pth")
    loaded = create_backbone("swin_nano", checkpoint=tmp_path / "timm.pth").eval()
    assert torch.equal(loaded(images)[1], source(images)[1])
