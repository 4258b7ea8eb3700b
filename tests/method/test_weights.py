"""Weights from a file: what is read, what is taken off, and what is refused in one clear sentence."""

import argparse
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.weights_file import read_weights
from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.backbones.weights import backbone_weights
from relvit_lab.method.model import RelViT
from relvit_lab.method.tasks import BUILT_IN

WEIGHTS = {"cls_token": torch.ones(1, 1, 4), "norm.weight": torch.arange(4.0)}


def same(read, expected=WEIGHTS):
    return read.keys() == expected.keys() and all(torch.equal(value, expected[name]) for name, value in read.items())


class Code:
    """A pickle of it creates a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("key", [None, "state_dict", "state_dict_ema", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_torch_files(tmp_path, key, prefix):
    content = {prefix + name: value for name, value in WEIGHTS.items()}
    if key:
        content = {"epoch": 3, "args": argparse.Namespace(lr=1e-3), key: content}
    torch.save(content, tmp_path / "weights.pth.tar")
    assert same(read_weights(tmp_path / "weights.pth.tar"))


def test_an_average_of_weights_comes_first(tmp_path):
    twice = {name: 2 * value for name, value in WEIGHTS.items()}
    torch.save({"state_dict": WEIGHTS, "state_dict_ema": twice}, tmp_path / "w.pt")
    assert same(read_weights(tmp_path / "w.pt"), twice)


def test_safetensors_and_paths(tmp_path):
    save_file(WEIGHTS, tmp_path / "w.safetensors")
    assert same(read_weights(tmp_path / "w.safetensors"))
    assert same(read_weights("w.safetensors"))  # from the project root, here RELVIT_HOME
    torch.save(WEIGHTS, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    assert same(read_weights(str(tmp_path / "old.bin")))


def test_code_does_not_run(tmp_path):
    torch.save({"state_dict": WEIGHTS, "extra": Code(tmp_path / "ran")}, tmp_path / "w.pt")
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(Code(tmp_path / "ran"), protocol=2))
    for name in ("w.pt", "w.pkl"):
        with pytest.raises(RelvitError, match=rf"{name} holds Python objects \(posix.mkdir\).*state_dict\(\)"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(RelvitError, match=r"holds Python objects \(torch.nn.modules.linear.Linear\)"):
        read_weights(tmp_path / "module.pt")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(RelvitError, match=r"no file of weights .*w\.pt"):
        read_weights(tmp_path / "w.pt")
    with pytest.raises(RelvitError, match="no file of weights"):
        read_weights(tmp_path)
    torch.save(WEIGHTS, tmp_path / "w.pt")
    save_file(WEIGHTS, tmp_path / "w.safetensors")
    for name in ("w.pt", "w.safetensors"):
        whole = (tmp_path / name).read_bytes()
        for part in (b"", whole[:7], whole[: len(whole) // 2], whole[:-1], b"<!DOCTYPE html>", b"hello world"):
            (tmp_path / name).write_bytes(part)
            with pytest.raises(RelvitError, match=f"{name} cannot be read: the file is damaged"):
                read_weights(tmp_path / name)


@pytest.mark.parametrize("content", [{}, [1, 2], torch.ones(2), {"model": {"epoch": 3}}, {"state_dict": {}}, {"a": 1}])
def test_files_without_weights(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(RelvitError, match=r"w.pt holds no weights by name: .*state_dict\(\)"):
        read_weights(tmp_path / "w.pt")


def test_the_backbone_of_a_model():
    heads = {name: torch.ones(1) for name in ("head.weight", "head.fc.bias", "head_dist.weight", "classifier.bias")}
    assert same(backbone_weights(WEIGHTS | heads))
    kept = WEIGHTS | {"fc_norm.weight": torch.ones(4)}  # a norm of the backbone's, not a classifier
    assert same(backbone_weights(kept | heads), kept)
    ours = {f"backbone.{name}": value for name, value in WEIGHTS.items()}
    assert same(backbone_weights(ours | heads | {"heads.sprel.query": torch.ones(1)}))
    assert backbone_weights(heads) == {}


def test_create_backbone_from_a_model_of_this_library(tmp_path):
    model = RelViT(create_backbone("vit_nano", image_size=8), BUILT_IN, classes=3)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    backbone = create_backbone("vit_nano", image_size=8, checkpoint=tmp_path / "model.safetensors")
    assert same(backbone.state_dict(), model.backbone.state_dict())
    assert backbone.training


def test_create_backbone_from_another_backbone(tmp_path):
    save_file(create_backbone("vit_nano", image_size=8).state_dict(), tmp_path / "w.safetensors")
    for name in ("swin_nano", "t2t_nano", "timm:test_vit2"):
        with pytest.raises(RelvitError, match=f"w.safetensors does not go into {name}: these weights are of another"):
            create_backbone(name, checkpoint=tmp_path / "w.safetensors")
    save_file({"head.weight": torch.ones(2)}, tmp_path / "head.safetensors")
    with pytest.raises(RelvitError, match=r"head\.safetensors does not go into vit_nano"):
        create_backbone("vit_nano", checkpoint=tmp_path / "head.safetensors")
