"""timm:NAME: any vision transformer of timm as a backbone, with nothing downloaded."""

import copy

import pytest
import timm
import torch

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.backbones import create_backbone, get, load_weights, timm_vit
from relvit_lab.method.patches import permute

# name, number of tokens before those of patches
KINDS = [
    ("vit_tiny_patch16_224", 1),  # CLS
    ("deit_tiny_distilled_patch16_224", 2),  # CLS and distillation token
    ("test_vit2", 1),  # a register; the mean token, with the last norm behind it
    ("test_vit3", 1),  # attention pooling
    ("vit_wee_patch16_reg1_gap_256", 1),  # E_pos for the patches alone
]
NAMES = [name for name, _ in KINDS]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make(name, seed=0, image_size=64, **options):
    torch.manual_seed(seed)
    model = create_backbone(f"timm:{name}", image_size=image_size, **options)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.05)
    return model.eval()


def test_the_entry_comes_from_timm():
    entry = get("timm:vit_tiny_patch16_224")
    assert (entry.name, entry.image_size, entry.patch) == ("timm:vit_tiny_patch16_224", 224, 16)
    assert (entry.is_vit, entry.any_patch, entry.batch_size, entry.label) == (True, False, 256, "vit_tiny_patch16_224")
    assert (get("timm:vit_small_patch32_384").image_size, get("timm:vit_small_patch32_384").patch) == (384, 32)
    assert get("vit_s_4").label == "ViT-S/4"  # a name of the registry


def test_at_the_size_of_its_entry():
    model = create_backbone("timm:vit_tiny_patch16_224")
    feature, tokens = model(draw(1, 3, 224, 224))
    assert feature.shape == (1, 192) and tokens.shape == (1, 196, 192)
    assert (model.dim, model.image_size, model.patch, model.side, model.task_side) == (192, 224, 16, 14, 14)
    assert sum(p.numel() for p in model.parameters()) == 5_524_416  # timm's, without head


def test_looking_at_a_model_changes_no_draw():
    timm_vit.entry.cache_clear()
    torch.manual_seed(0)
    first = create_backbone("timm:test_vit2", image_size=32).state_dict()
    torch.manual_seed(0)
    second = create_backbone("timm:test_vit2", image_size=32).state_dict()  # the entry is known now
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("pos_embed", [True, False])
@pytest.mark.parametrize("name, prefix", KINDS)
def test_timm_loads_the_weights_and_agrees(name, prefix, pos_embed):
    ours, images = make(name, pos_embed=pos_embed), draw(2, 3, 64, 64)
    theirs = timm.create_model(name, num_classes=0, img_size=64).eval()
    theirs.load_state_dict(ours.timm_state_dict(), strict=True)
    with torch.no_grad():
        feature, tokens = ours(images)
        features = theirs.forward_features(images)
        torch.testing.assert_close(feature, theirs(images))
        torch.testing.assert_close(feature, theirs.forward_head(features, pre_logits=True))
        torch.testing.assert_close(tokens, theirs.fc_norm(features[:, prefix:]))
    assert tokens.shape == (2, 16, ours.dim) and tokens.std() > 0.1
    assert (ours.image_size, ours.patch, ours.side) == (64, 16, 4)


@pytest.mark.parametrize("name", NAMES)
def test_without_positional_embedding_a_shuffle_of_patches_shuffles_the_tokens(name):
    model, images, p = make(name, pos_embed=False), draw(2, 3, 64, 64), torch.randperm(16)
    assert not any(key.startswith("pos_embed") for key in model.state_dict())
    assert not any(key.startswith("pos_embed") for key, _ in model.named_parameters())
    with torch.no_grad():
        feature, tokens = model(images)
        shuffled_feature, shuffled_tokens = model(permute(images, p))
        torch.testing.assert_close(shuffled_tokens, tokens[:, p], atol=1e-4, rtol=0)
        torch.testing.assert_close(shuffled_feature, feature, atol=1e-4, rtol=0)
        tokens = make(name)(images)[1]
        shuffled_tokens = make(name)(permute(images, p))[1]
    assert (shuffled_tokens - tokens[:, p]).abs().max() > 0.1  # with it, they differ


@pytest.mark.parametrize("pos_embed", [True, False])
def test_all_parameters_train(pos_embed):
    model = make("vit_tiny_patch16_224", pos_embed=pos_embed).train()
    feature, tokens = model(draw(2, 3, 64, 64))
    (feature.square().sum() + tokens.pow(3).sum()).backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("options", [{"dropout": 0.3}, {"drop_path": 0.5}])
def test_dropout_acts_in_training_only(options):
    model, images = make("test_vit2", **options).train(), draw(8, 3, 64, 64)
    assert not torch.equal(model(images)[1], model(images)[1])
    model.eval()
    assert torch.equal(model(images)[1], model(images)[1])
    plain = make("test_vit2", 1)
    load_weights(plain, model.state_dict())
    assert torch.equal(model(images)[1], plain.train()(images)[1])  # and there is none unless asked for


def test_load_weights_treats_the_positional_embedding_as_of_a_vit():
    source, bare = make("vit_tiny_patch16_224", 0), make("vit_tiny_patch16_224", 1, pos_embed=False)
    target = make("vit_tiny_patch16_224", 2)
    fresh = target.pos_embed.clone()
    assert load_weights(target, bare.state_dict()) == ("pos_embed",)
    assert torch.equal(target.pos_embed, fresh) and torch.equal(target.cls_token, bare.cls_token)
    assert load_weights(target, source.state_dict()) == ()
    assert torch.equal(target.pos_embed, source.pos_embed)
    assert load_weights(bare, source.state_dict()) == ()
    assert not bare.pos_embed.any() and torch.equal(bare.cls_token, source.cls_token)


def test_a_checkpoint_of_timm_loads(tmp_path):
    source = timm.create_model("vit_tiny_patch16_224", num_classes=5)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "timm.pth.tar")
    model = create_backbone("timm:vit_tiny_patch16_224", checkpoint=tmp_path / "timm.pth.tar")
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_copy_is_independent():
    model = make("test_vit2")
    other, images = copy.deepcopy(model), draw(1, 3, 64, 64)
    other.norm_pre = torch.nn.Identity()
    assert torch.equal(other(images)[1], model(images)[1])
    other.blocks[0].mlp.fc1.weight.data.zero_()
    assert not torch.equal(other(images)[1], model(images)[1])


@pytest.mark.parametrize(
    "name, message",
    [
        (
            "vit_tiny_patch_16_224",
            "timm has no model 'vit_tiny_patch_16_224': did you mean 'timm:vit_tiny_patch16_224'",
        ),
        ("qqqqqq", r"timm has no model 'qqqqqq': timm.list_models"),
        ("", r"timm has no model ''"),
        ("hf-hub:someone/some_model", "timm has no model"),
        ("vit_tiny_patch16_224.augreg_in21k", "names weights .* take 'timm:vit_tiny_patch16_224'.*checkpoint"),
        ("resnet18", "'resnet18' is no VisionTransformer"),
        ("swin_tiny_patch4_window7_224", "no VisionTransformer"),
        ("cait_xxs24_224", "no VisionTransformer"),  # it takes depth=1, too
        ("vit_tiny_r_s16_p8_224", "no VisionTransformer whose tokens are patches"),  # behind a ResNet
    ],
)
def test_names_that_do_not_work(name, message):
    for call in (get, create_backbone):
        with pytest.raises(RelvitError, match=message):
            call(f"timm:{name}")


def test_sizes_that_do_not_go_together():
    with pytest.raises(RelvitError, match=r"100 x 100 .* patches of 16: take image_size 96"):
        create_backbone("timm:vit_tiny_patch16_224", image_size=100)
    with pytest.raises(RelvitError, match="has patches of 16 pixels, not 8"):
        create_backbone("timm:vit_tiny_patch16_224", patch=8)
