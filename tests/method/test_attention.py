"""Attention inside the backbone: against loops, against timm's unfused attention, and what it leaves untouched."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.attention import attention_maps, recorded, without_maps
from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.patches import permute


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def loud(name="vit_nano", **options):
    """A backbone whose attention is far from even."""
    torch.manual_seed(0)
    model = create_backbone(name, **options)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    return model.eval()


def unfused(model: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """What timm's own slow path multiplies the values with."""
    seen = []
    for block in model.blocks:
        block.attn.fused_attn = False
    hooks = [block.attn.attn_drop.register_forward_hook(lambda _, __, out: seen.append(out)) for block in model.blocks]
    with torch.no_grad():
        model(images)
    for block, hook in zip(model.blocks, hooks):
        hook.remove()
        block.attn.fused_attn = True
    return seen


def test_the_first_block_against_loops():
    model, images = loud(image_size=8, patch=4), draw(2, 3, 8, 8)
    maps = attention_maps(model, images)
    assert len(maps) == 4 and all(one.shape == (2, 3, 5, 5) and one.dtype == torch.float32 for one in maps)
    block, d = model.blocks[0], 32
    with torch.no_grad():
        z = torch.cat([model.cls_token.expand(2, -1, -1), model.patch_embed(images)], 1) + model.pos_embed  # (B,T,D)
        qkv = block.attn.qkv(block.norm1(z)).tolist()  # (B,T,3D): queries, keys, values
    for b in range(2):
        for h in range(3):
            for i in range(5):
                products = [
                    math.exp(sum(qkv[b][i][h * d + s] * qkv[b][j][96 + h * d + s] for s in range(d)) / math.sqrt(d))
                    for j in range(5)
                ]
                for j in range(5):
                    assert float(maps[0][b, h, i, j]) == pytest.approx(products[j] / sum(products), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "heads", "tokens"),
    [
        ("vit_nano", {"image_size": 32}, 3, 65),
        ("vit_nano", {"image_size": 8, "pos_embed": False}, 3, 17),
        ("timm:vit_tiny_patch16_224", {"image_size": 64}, 3, 17),
        ("timm:vit_wee_patch16_reg1_gap_256", {"image_size": 64}, 4, 17),  # a register, no CLS, norms of q and k
    ],
)
def test_all_blocks_against_timms_unfused_attention(name, options, heads, tokens):
    model = loud(name, **options)
    images = draw(2, 3, options["image_size"], options["image_size"])
    maps, slow = attention_maps(model, images), unfused(model, images)
    assert len(maps) == len(slow) == len(model.blocks)
    for one, other in zip(maps, slow):
        assert one.shape == (2, heads, tokens, tokens)
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one.sum(-1), torch.ones(one.shape[:-1]))
    assert max(one.std() for one in maps) > 1e-3  # not all alike
    assert tokens == model.num_prefix_tokens + model.side**2


def test_without_positional_embeddings_the_maps_move_with_the_patches():
    images, p = draw(1, 3, 8, 8), torch.randperm(16, generator=torch.Generator().manual_seed(1))
    moved = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + p])  # CLS stays first
    plain, embedded = loud(image_size=8, pos_embed=False), loud(image_size=8)
    for one, other in zip(attention_maps(plain, images), attention_maps(plain, permute(images, p))):
        torch.testing.assert_close(one[:, :, moved][..., moved], other, atol=1e-5, rtol=1e-4)
    one, other = attention_maps(embedded, images)[-1], attention_maps(embedded, permute(images, p))[-1]
    assert (one[:, :, moved][..., moved] - other).abs().max() > 1e-2


def test_it_leaves_the_model_as_it_was():
    model, images = loud(image_size=8).train(), draw(1, 3, 8, 8)
    before = copy.deepcopy(model.state_dict())
    maps = attention_maps(model, images)
    assert model.training and model.blocks[0].attn.fused_attn and not maps[0].requires_grad
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(AssertionError):  # timm's: the image has another size
        attention_maps(model, draw(1, 3, 12, 12))
    assert not any(module._forward_hooks for module in model.modules())


def test_recording_does_not_change_the_pass_and_half_precision_gives_float32():
    model, images = loud(image_size=8), draw(1, 3, 8, 8)
    alone = model(images)[1]
    with recorded(model) as maps:
        tokens = model(images)[1]
        tokens.sum().backward()
    assert torch.equal(tokens, alone) and len(maps) == 4 and not maps[0].requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        half = attention_maps(model, images)
    assert half[0].dtype == torch.float32
    torch.testing.assert_close(half[0].sum(-1), torch.ones(1, 3, 17))


@pytest.mark.parametrize("name", ["swin_t", "t2t_vit_14"])
def test_other_backbones_say_that_they_have_none(name):
    with torch.device("meta"):
        model = create_backbone(name)
    assert without_maps(model)
    with pytest.raises(RelvitError, match=r"no attention maps.*vit_"):
        attention_maps(model, torch.empty(1, 3, 224, 224, device="meta"))


def test_blocks_of_another_kind_are_named():
    model = loud(image_size=8)
    model.blocks[2].attn = nn.Identity()
    assert "Identity" in without_maps(model)
    assert "SimpleNamespace" in without_maps(SimpleNamespace())
