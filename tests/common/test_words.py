"""Words that lead the right way: what people type for fields, lists and backbones, and weights of other programs."""

import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.options import only_options
from relvit_lab.method.backbones import create_backbone, get, load_weights
from relvit_lab.train.experiment import Experiment


@pytest.mark.parametrize(
    "text",
    ["['dist', 'ang']", '["dist", "ang"]', "dist ang", "dist, ang", "dist+ang", "('dist','ang')", "[dist, ang]",
     "'dist','ang'", "dist;ang", " dist\tang "],
)  # fmt: skip
def test_a_list_as_people_write_it(text):
    assert Experiment(tasks=text).tasks == ("dist", "ang")
    assert Experiment(tasks="['abspos']").tasks == ("abspos",)


def test_numbers_in_a_list():
    for text in ("1 0.5", "[1, 0.5]", "1,0.5", "(1, 0.5)"):
        assert Experiment(task_weights=text).task_weights == (1.0, 0.5)


def test_other_words_name_fields_and_each_leads_to_one():
    words = [word for field in Experiment.settings().values() for word in (*field.words.split(), *field.asides)]
    assert len(words) == len(set(words))
    assert not set(words) & set(Experiment.names())


@pytest.mark.parametrize(
    "typed, field",
    [("--learning-rate", "lr"), ("--wd", "weight_decay"), ("--bs", "batch_size"), ("--arch", "backbone"),
     ("--checkpoint", "init_from"), ("--num-epochs", "epochs"), ("--img-size", "image_size"), ("--gpu", "device"),
     ("--output-dir", "run_dir"), ("--epoch", "epochs"), ("--overwrite", "fresh"), ("--sheed", "seed")],
)  # fmt: skip
def test_the_field_that_is_meant(typed, field):
    with pytest.raises(RelvitError, match=f"did you mean '{field}'"):
        only_options([typed, "1"], Experiment.settings())
    with pytest.raises(RelvitError, match=f"did you mean '{field}'"):
        Experiment.create({typed.strip("-").replace("-", "_"): 1})


@pytest.mark.parametrize(
    "field, typed, choice",
    [("scenario", "joint", "downstream_only"), ("scenario", "self-supervised", "pretrain_finetune"),
     ("scenario", "Supervised", "supervised"), ("precision", "bfloat16", "bf16"), ("precision", "FP32", "float32"),
     ("precision", 16, "bf16"), ("recipe", "authors", "released"), ("stop_after", "pre-training", "pretrain"),
     ("tasks", "position", "abspos"), ("tasks", "SpRel", "sprel"), ("backbone", "ViT-S", "vit_s_4"),
     ("backbone", "ViT-S/8", "vit_s_8"), ("backbone", "t2t", "t2t_vit_14")],
)  # fmt: skip
def test_the_choice_that_is_meant(field, typed, choice):
    with pytest.raises(RelvitError, match=f"did you mean '{choice}'"):
        Experiment.create({field: typed}).resolved()


@pytest.mark.parametrize(
    "typed, said",
    [("--resume", "give the same command again"), ("--num-workers", "without worker processes"),
     ("--optimizer", "AdamW"), ("--warmup-epochs", "a tenth of the steps"), ("--mixup", "that of the paper"),
     ("--val-split", "test images")],
)  # fmt: skip
def test_what_needs_no_field_is_said_and_nothing_else_is_suggested(typed, said):
    with pytest.raises(RelvitError, match=said) as refused:
        only_options([typed, "1"], Experiment.settings())
    assert "did you mean" not in str(refused.value)


@pytest.mark.parametrize("typed", ["sync", "queue", "logger", "wrkers"])
def test_a_word_that_is_like_none_leads_to_none(typed):
    with pytest.raises(RelvitError, match="known: ") as refused:
        Experiment.create({typed: 1})
    assert "did you mean" not in str(refused.value)


def test_a_model_of_timm_without_its_prefix():
    for name in ("vit_tiny_patch16_224", "deit_tiny_patch16_224"):
        for typed in (name, f"timm/{name}"):
            with pytest.raises(RelvitError, match=f"did you mean 'timm:{name}'"):
                get(typed)
    with pytest.raises(RelvitError, match="'mobilenetv3_small_050' is no VisionTransformer"):
        get("mobilenetv3_small_050")


@pytest.mark.parametrize(
    "name, reason",
    [("eva02_tiny_patch14_336", "RoPE"), ("vit_small_plus_patch16_dinov3", "RoPE"),
     ("vit_small_patch16_rope_224", "RoPE"), ("beitv2_base_patch16_224", "relative positions"),
     ("vit_relpos_medium_patch16_224", "relative positions"),
     ("vit_srelpos_small_patch16_224", "relative positions"), ("vit_tiny_r_s16_p8_224", "HybridEmbed"),
     ("cait_xxs24_224", "class is Cait")],
)  # fmt: skip
def test_why_a_model_of_timm_cannot_be_used(name, reason):
    if not timm.is_model(name):
        pytest.skip("this timm does not have it")
    with pytest.raises(RelvitError, match=reason):
        get(f"timm:{name}")


# -- weights of other programs and sizes -----------------------------------------------------------------------------


def weights_at(size, name="timm:vit_tiny_patch16_224", seed=0):
    torch.manual_seed(seed)
    return create_backbone(name, image_size=size)


@pytest.mark.parametrize("size, other", [(32, 64), (96, 48)])
def test_weights_of_another_image_size_are_resampled_as_timm_does(size, other):
    source, target = weights_at(size), weights_at(other, seed=1)
    assert load_weights(target, source.state_dict()) == ()
    side = other // 16
    expected = resample_abs_pos_embed(source.pos_embed.detach(), [side, side], num_prefix_tokens=1)
    torch.testing.assert_close(target.pos_embed.detach(), expected)
    assert torch.equal(target.pos_embed[:, 0], source.pos_embed[:, 0])  # CLS keeps its own
    assert torch.equal(target.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)


def test_positional_embeddings_of_no_grid_are_still_refused():
    target = weights_at(32)
    odd = weights_at(64).state_dict()
    odd["pos_embed"] = odd["pos_embed"][:, :-1]
    with pytest.raises(RelvitError, match="pos_embed has the shape"):
        load_weights(target, odd)


def test_a_checkpoint_of_dino_gives_its_teacher(tmp_path):
    teacher, student = weights_at(32).state_dict(), weights_at(32, seed=1).state_dict()
    head = {"head.mlp.0.weight": torch.ones(2, 2), "head.last_layer.weight_g": torch.ones(2)}

    def wrapped(weights):
        return {f"module.backbone.{name}": value for name, value in weights.items()} | {
            f"module.{name}": value for name, value in head.items()
        }

    content = {"student": wrapped(student), "teacher": wrapped(teacher), "epoch": 3, "optimizer": {"state": {}}}
    torch.save(content, tmp_path / "checkpoint0003.pth")
    model = create_backbone("timm:vit_tiny_patch16_224", image_size=32, checkpoint=tmp_path / "checkpoint0003.pth")
    assert all(torch.equal(value, teacher[name]) for name, value in model.state_dict().items())
    torch.save({"student": wrapped(student)}, tmp_path / "s.pth")
    model = create_backbone("timm:vit_tiny_patch16_224", image_size=32, checkpoint=tmp_path / "s.pth")
    assert torch.equal(model.cls_token, student["cls_token"])


def test_a_checkpoint_of_a_masked_autoencoder_or_a_compiled_model(tmp_path):
    own = weights_at(32).state_dict()
    more = {"mask_token": torch.ones(1), "decoder_embed.weight": torch.ones(2, 2), "decoder_pos_embed": torch.ones(1)}
    for content in ({"model": own | more}, {f"_orig_mod.module.{name}": value for name, value in own.items()}):
        torch.save(content, tmp_path / "w.pth")
        model = create_backbone("timm:vit_tiny_patch16_224", image_size=32, checkpoint=tmp_path / "w.pth")
        assert all(torch.equal(value, own[name]) for name, value in model.state_dict().items())
