"""The backbones: sizes to the last digit, what the positional embedding does, weights in and out."""

import copy
import math

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.backbones import BACKBONES, Backbone, create_backbone, default_patch, get, load_weights
from relvit_lab.method.patches import permute

# FACTS of the paper: name, parameters without head, image size, side, and with a head, classes
TABLE_1 = [
    ("vit_s_4", 21_338_496, 32, 8, 21_342_346, 10),
    ("vit_s_8", 21_393_792, 64, 8, 21_470_792, 200),
    ("vit_s_32", 22_493_952, 224, 7, 22_532_452, 100),
    ("vit_s_16", 21_665_664, 224, 14, 21_704_164, 100),
    ("vit_s_14", 21_619_584, 224, 16, 21_658_084, 100),
]


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def nano(seed=0, **options):
    """A ViT whose weights are larger than freshly initialised ones, so that no path through it is nearly silent."""
    torch.manual_seed(seed)
    model = create_backbone("vit_nano", **options)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    return model.eval()


@pytest.mark.parametrize("name, plain, image_size, side, with_head, classes", TABLE_1)
def test_table_1(name, plain, image_size, side, with_head, classes):
    model = create_backbone(name).to("meta")  # not built there: older timm cannot
    head = nn.Linear(model.dim, classes)
    feature, tokens = model(torch.empty(2, 3, image_size, image_size, device="meta"))
    assert parameters(model) == plain
    assert parameters(model) + parameters(head) == with_head
    assert (model.dim, len(model.blocks), model.blocks[0].attn.num_heads) == (384, 12, 6)
    assert (model.image_size, model.side, model.patch) == (image_size, side, image_size // side)
    assert feature.shape == (2, 384) and tokens.shape == (2, side**2, 384)
    entry = BACKBONES.get(name)
    assert (entry.image_size, entry.patch, entry.batch_size, entry.is_vit) == (image_size, model.patch, 256, True)
    assert entry.label.endswith(f"/{model.patch}")


@pytest.mark.parametrize("name", BACKBONES.names())
def test_one_interface(name):
    """What heads, tasks and training rely on, whichever backbone it is."""
    entry, size = get(name), 64 if get(name).is_vit else 224
    size = size if size % entry.patch == 0 else entry.image_size
    model = create_backbone(name, image_size=size, dropout=0.1, drop_path=0.1)
    feature, tokens = model(draw(2, 3, size, size))
    assert feature.shape == (2, model.dim) and tokens.shape == (2, model.side**2, model.dim)
    assert (model.image_size, model.patch) == (size, entry.sizes(size)[1]) and model.side == size // model.patch
    assert model.task_side == ((model.side + 1) // 2 if name.startswith("t2t") else model.side)
    assert model.timm_state_dict().keys() == model.state_dict().keys()
    if entry.smoke:
        small = get(entry.smoke)
        assert (small.is_vit, small.image_size, small.patch) == (entry.is_vit, entry.image_size, entry.patch)
        assert parameters(create_backbone(small.name)) < parameters(model) / 40


def test_positions_that_cannot_be_switched_off():
    assert create_backbone("t2t_nano", image_size=32, pos_embed=True).pos_embed is not None
    for name in ("swin_nano", "t2t_nano"):
        with pytest.raises(RelvitError, match=f"{name} always knows where its patches lie: leave pos_embed out"):
            create_backbone(name, pos_embed=False)


def test_without_positional_embedding_there_is_no_such_parameter():
    model = create_backbone("vit_s_4", pos_embed=False)
    assert parameters(model) == 21_338_496 - 65 * 384
    assert not any("pos" in name for name in model.state_dict())


def test_nano():
    model = nano()
    assert (model.dim, len(model.blocks), model.blocks[0].attn.num_heads) == (96, 4, 3)
    assert (model.image_size, model.patch, model.side) == (32, 4, 8)
    feature, tokens = nano(image_size=8)(draw(2, 3, 8, 8))
    assert feature.shape == (2, 96) and tokens.shape == (2, 16, 96)
    assert nano(image_size=20, patch=4, pos_embed=False).side == 5  # 5 x 5 mega-patches
    assert all(norm.eps == 1e-6 for norm in model.modules() if isinstance(norm, nn.LayerNorm))


def test_forward_is_equations_1_to_4():
    """The whole model once more, from its weights alone, a head and a token at a time where that is clearer."""
    model, images = nano(image_size=8), draw(2, 3, 8, 8)
    w = model.state_dict()
    patches = images.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).reshape(2, 16, 12)  # (B,N,C*P*P)
    x = patches @ w["patch_embed.proj.weight"].reshape(96, 12).T + w["patch_embed.proj.bias"]
    z = torch.cat([w["cls_token"].expand(2, 1, 96), x], 1) + w["pos_embed"]
    for block in range(4):
        b = {name.removeprefix(f"blocks.{block}."): value for name, value in w.items()}
        y = F.layer_norm(z, (96,), b["norm1.weight"], b["norm1.bias"], 1e-6)
        q, k, v = (y @ b["attn.qkv.weight"].T + b["attn.qkv.bias"]).split(96, -1)
        heads = []
        for h in range(3):
            part = slice(32 * h, 32 * (h + 1))
            heads.append((q[..., part] @ k[..., part].mT / math.sqrt(32)).softmax(-1) @ v[..., part])
        z = z + torch.cat(heads, -1) @ b["attn.proj.weight"].T + b["attn.proj.bias"]
        y = F.layer_norm(z, (96,), b["norm2.weight"], b["norm2.bias"], 1e-6)
        y = F.gelu(y @ b["mlp.fc1.weight"].T + b["mlp.fc1.bias"])
        z = z + y @ b["mlp.fc2.weight"].T + b["mlp.fc2.bias"]
    z = F.layer_norm(z, (96,), w["norm.weight"], w["norm.bias"], 1e-6)
    feature, tokens = model(images)
    torch.testing.assert_close(feature, z[:, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(tokens, z[:, 1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shared", [True, False])
def test_without_positional_embedding_a_shuffle_of_patches_shuffles_the_tokens(shared):
    model, images = nano(pos_embed=False), draw(2, 3, 32, 32)
    p = torch.stack([torch.randperm(64, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)])
    p = p[0] if shared else p
    with torch.no_grad():
        feature, tokens = model(images)
        shuffled_feature, shuffled_tokens = model(permute(images, p))
    expected = torch.stack([tokens[b, p if shared else p[b]] for b in range(2)])
    torch.testing.assert_close(shuffled_tokens, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(shuffled_feature, feature, atol=1e-5, rtol=0)
    assert (tokens[:, 0] - tokens[:, 1]).abs().max() > 0.1  # the tokens do differ


def test_with_positional_embedding_it_does_not():
    model, images, p = nano(), draw(2, 3, 32, 32), torch.arange(64).flip(0)
    with torch.no_grad():
        feature, tokens = model(images)
        shuffled_feature, shuffled_tokens = model(permute(images, p))
    assert (shuffled_tokens - tokens[:, p]).abs().max() > 0.1
    assert (shuffled_feature - feature).abs().max() > 0.1


@pytest.mark.parametrize("options", [{}, {"pos_embed": False}])
def test_all_parameters_train(options):
    model = nano(image_size=8, **options).train()
    feature, tokens = model(draw(2, 3, 8, 8))
    (feature.square().sum() + tokens.pow(3).sum()).backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []


@pytest.mark.parametrize("options", [{"dropout": 0.3}, {"drop_path": 0.5}])
def test_dropout_acts_in_training_only(options):
    torch.manual_seed(0)
    model, images = create_backbone("vit_nano", image_size=8, **options), draw(4, 3, 8, 8)
    assert not torch.equal(model(images)[1], model(images)[1])
    model.eval()
    assert torch.equal(model(images)[1], model(images)[1])
    plain = create_backbone("vit_nano", image_size=8)
    load_weights(plain, model.state_dict())
    assert torch.equal(model(images)[1], plain.train()(images)[1])  # and there is none unless asked for


@pytest.mark.parametrize("pos_embed", [True, False])
def test_where_dropout_acts(pos_embed):
    """On the embedded tokens too, with and without positional embedding."""
    model = create_backbone("vit_nano", image_size=8, pos_embed=pos_embed, dropout=0.3)
    seen = []
    model.blocks.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(draw(4, 3, 8, 8))
    assert 0.2 < (seen[0] == 0).float().mean() < 0.4
    rates = {name.split(".")[-1]: m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout)}
    assert rates["proj_drop"] == rates["drop1"] == rates["drop2"] == 0.3 and rates["attn_drop"] == 0


def test_load_weights_takes_all_and_inherits_the_positional_embedding():
    source, target = nano(0), nano(1)
    assert load_weights(target, source.state_dict()) == ()
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())
    assert "cls_token" in target.state_dict() and "pos_embed" in target.state_dict()


def test_load_weights_without_a_positional_embedding_leaves_it_fresh():
    source, target = nano(0, pos_embed=False), nano(1)
    fresh = target.pos_embed.clone()
    assert load_weights(target, source.state_dict()) == ("pos_embed",)
    assert torch.equal(target.pos_embed, fresh) and torch.equal(target.cls_token, source.cls_token)
    assert torch.equal(target.blocks[3].mlp.fc2.weight, source.blocks[3].mlp.fc2.weight)
    assert target.pos_embed.requires_grad


def test_load_weights_drops_a_positional_embedding_it_has_no_place_for():
    source, target = nano(0), nano(1, pos_embed=False)
    assert load_weights(target, source.state_dict()) == ()
    assert target.pos_embed is None and torch.equal(target.cls_token, source.cls_token)


def test_load_weights_from_mega_patches():
    source = nano(0, image_size=20, patch=4, pos_embed=False)  # pre-trained on 5 x 5 mega-patches
    assert load_weights(nano(1), source.state_dict()) == ("pos_embed",)


def test_load_weights_names_what_does_not_fit_and_changes_nothing():
    target = nano(1)
    before = copy.deepcopy(target.state_dict())
    without_cls = {name: value for name, value in nano(0).state_dict().items() if name != "cls_token"}
    for weights, message in [
        (without_cls, "cls_token is missing"),
        (nano(0).state_dict() | {"head.weight": torch.zeros(10, 96)}, "head.weight is not in this backbone"),
        (nano(0, image_size=8).state_dict(), r"patch_embed.proj.weight has the shape \(96, 3, 2, 2\)"),
        (nano(0, patch=8, pos_embed=False).state_dict(), r"patch_embed.proj.weight has the shape \(96, 3, 8, 8\)"),
        ({}, r"cls_token is missing.*and \d+ more"),
    ]:
        with pytest.raises(RelvitError, match=message):
            load_weights(target, weights)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_embeddings_of_zeros_are_like_the_other_weights():
    zeros = create_backbone("vit_nano", pos_embed=False).double().timm_state_dict()["pos_embed"]
    assert zeros.dtype == torch.float64 and not zeros.any()


@pytest.mark.parametrize("pos_embed", [True, False])
def test_timm_loads_the_weights_and_agrees(pos_embed):
    torch.manual_seed(0)
    ours = create_backbone("vit_s_4", pos_embed=pos_embed).eval()
    nn.init.normal_(ours.cls_token)
    theirs = timm.create_model("vit_small_patch16_224", img_size=32, patch_size=4, num_classes=0).eval()
    theirs.load_state_dict(ours.timm_state_dict(), strict=True)
    images = draw(2, 3, 32, 32)
    with torch.no_grad():
        feature, tokens = ours(images)
        torch.testing.assert_close(theirs(images), feature)
        torch.testing.assert_close(theirs.forward_features(images)[:, 1:], tokens)
    theirs.cls_token.data.zero_()
    assert ours.cls_token.any()  # the dict is a copy


def test_default_patch():
    expected = {8: 2, 16: 2, 28: 4, 32: 4, 48: 6, 64: 8, 96: 12, 224: 28, 4: 2, 30: 5}
    assert {size: default_patch(size) for size in expected} == expected
    for size in [1, 2, 3, 31, 97]:
        with pytest.raises(RelvitError, match="image_size"):
            default_patch(size)


def test_sizes_that_do_not_go_together():
    for options, message in [
        ({"name": "vit_s_4", "image_size": 30}, "30 x 30 .* patches of 4: take image_size 32, or patches of [35] "),
        ({"name": "vit_s_16", "image_size": 31}, "31 x 31 .* patches of 16: take image_size 32"),
        ({"name": "vit_nano", "patch": 5}, "32 x 32 .* patches of 5: take image_size 30, or patches of 4 "),
        ({"name": "vit_nano", "patch": 0}, "patches of 0"),
        ({"name": "vit_nano", "patch": 64}, "patches of 64"),
        ({"name": "vit_s_4", "patch": 8}, "vit_s_4 has patches of 4 pixels, not 8"),
    ]:
        with pytest.raises(RelvitError, match=message):
            create_backbone(**options)
    assert BACKBONES.get("vit_s_4").sizes(64, 4) == (64, 4)
    assert BACKBONES.get("vit_nano").sizes() == (32, 4) and BACKBONES.get("vit_nano").sizes(64) == (64, 8)


def test_unknown_names():
    for call in (get, create_backbone):
        with pytest.raises(RelvitError, match=r"unknown backbone 'vit_s4': did you mean 'vit_s_4'.*timm:NAME"):
            call("vit_s4")
    with pytest.raises(TypeError, match="depht"):
        create_backbone("vit_nano", depht=2)


def test_a_further_backbone_is_one_entry(monkeypatch):
    monkeypatch.setattr(BACKBONES, "_entries", dict(BACKBONES._entries))
    BACKBONES.add(Backbone("pool", lambda image_size, patch: nn.AvgPool2d(patch), image_size=16, patch=4, label="Pool"))
    assert create_backbone("pool", image_size=8)(torch.ones(1, 3, 8, 8)).shape == (1, 3, 2, 2)
