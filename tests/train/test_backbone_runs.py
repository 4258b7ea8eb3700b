"""Each backbone with each method, as a run on a folder of photographs: what the rows of Tables 2 and 3 are made of."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

from relvit_lab.common.errors import RelvitError
from relvit_lab.train import training
from relvit_lab.train.events import EpochDone, StageFinished, StageStarted
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.trained import export_timm, load

OTHERS = ("swin_t", "t2t_vit_14")
METHODS = {
    "supervised": {"scenario": "supervised"},
    "relvit": {"scenario": "downstream_only", "tasks": "sprel,dist,ang,abspos"},
    "drloc": {"scenario": "downstream_only", "tasks": "drloc"},
    "finetuned": {"scenario": "pretrain_finetune"},
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> str:
    """An ImageFolder of three classes, its JPEGs with a side of 224 px."""
    root, draws = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for number, name in enumerate(("ant", "bee", "cat")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                blocks = draws.integers(0, 256, (7, 7, 3), np.uint8) // (1 + number)
                Image.fromarray(blocks).resize((224, 224)).save(folder / f"{i}.jpg")
    return str(root)


def run(**fields) -> list:
    return list(training.run(Experiment(**{"preset": "smoke", "epochs": 1, "batch_size": 9} | fields)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backbone", OTHERS)
def test_a_smoke_run_of_each_ends_with_a_result(photographs, backbone, method):
    records = run(dataset=photographs, backbone=backbone, **METHODS[method])
    started = [record for record in records if isinstance(record, StageStarted)]
    finished = [record for record in records if isinstance(record, StageFinished)]
    assert len(started) == len(finished) == (2 if method == "finetuned" else 1)
    small = {"swin_t": "swin_nano", "t2t_vit_14": "t2t_nano"}[backbone]
    result = finished[-1].result
    assert (result["experiment"]["backbone"], result["experiment"]["image_size"]) == (small, 224)
    assert any(f"{small}, a small form of {backbone}" in note for note in started[0].notes)
    assert any("outside the paper" in note for note in started[0].notes) == (method == "finetuned")
    assert 0 <= result["metrics"]["accuracy"] <= 100 and result["test_split"] == "val"
    tasks = {"relvit": {"sprel", "dist", "ang", "abspos"}, "drloc": {"drloc"}, "finetuned": {"sprel", "abspos"}}
    metrics = finished[0].result["metrics"]
    assert tasks.get(method, set()) == {"sprel", "dist", "ang", "abspos", "drloc"} & set(metrics)
    trained = load(finished[-1].folder)
    assert trained.model.side == 7  # 7 x 7 tokens for the tasks, T2T's 14 x 14 too
    with torch.no_grad():
        assert trained.model(trained.transform(Image.new("RGB", (300, 200)))).tokens.shape[1] == 49


@pytest.mark.parametrize("method", METHODS)
def test_a_vit_too(photographs, method):
    finished = run(dataset=photographs, image_size=64, **METHODS[method])[-1]
    assert finished.result["experiment"]["backbone"] == "vit_nano" and finished.result["metrics"]["accuracy"] >= 0


@pytest.mark.parametrize(
    "fields", [{"pair_head": "mlp", "tasks": "sprel,dist"}, {"pair_head": "scores", "tasks": "drloc"}]
)
def test_heads_and_targets_can_be_swapped(fields):
    own, swapped = (run(scenario="downstream_only", **fields | more)[-1] for more in ({"pair_head": None}, {}))
    weights = [load_file(stage.folder / "model.safetensors") for stage in (own, swapped)]
    heads = [{name.split(".")[2] for name in part if name.startswith("heads.")} for part in weights]
    assert heads == ([{"w"}, {"fc1", "fc2", "fc3"}] if fields["pair_head"] == "mlp" else [{"fc1", "fc2", "fc3"}, {"w"}])


def test_a_vision_transformer_of_timms_by_name(photographs):
    fields = {"backbone": "timm:vit_tiny_patch16_224", "image_size": 64, "tasks": "abspos"}
    pretrained, finetuned = (r for r in run(dataset=photographs, **fields) if isinstance(r, StageFinished))
    assert pretrained.result["experiment"]["patch_size"] == 16 and finetuned.result["metrics"]["accuracy"] >= 0
    model = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=3)
    model.load_state_dict(export_timm(finetuned.folder))


def test_swin_goes_back_to_timm_with_its_classifier(photographs):
    finished = run(dataset=photographs, backbone="swin_t", scenario="supervised")[-1]
    model = timm.create_model(
        "swin_tiny_patch4_window7_224", embed_dim=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), num_classes=3
    ).eval()
    model.load_state_dict(export_timm(finished.folder))
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(x), load(finished.folder).model(x).logits, atol=1e-5, rtol=1e-5)


def test_drloc_as_released_ramps_up(monkeypatch):
    """Its weight grows from 0 over 20 epochs, epoch by epoch."""
    seen = []
    weights_now = training.Training._weights_now
    monkeypatch.setattr(training.Training, "_weights_now", lambda self: seen.append(weights_now(self)) or seen[-1])
    run(scenario="downstream_only", tasks="drloc,sprel", drloc_form="released", epochs=2, train_images=27)
    assert [weights["drloc"] for weights in seen] == pytest.approx([0, 0, 0, 0.025, 0.025, 0.025])
    assert {weights["sprel"] for weights in seen} == {1.0}
    with pytest.raises(RelvitError, match="drloc_form"):
        Experiment(drloc_form="realeased")


def test_validation_images_beside_the_test_images(photographs, monkeypatch):
    """As Flower-102 has them: both are reported, the test images' accuracy is the headline."""
    load_data = training.load_data
    monkeypatch.setattr(training, "load_data", lambda e: _with_val(load_data(e)))
    records = run(scenario="supervised", epochs=3)
    lines = [record.metrics for record in records if isinstance(record, EpochDone)]
    metrics = records[-1].result["metrics"]
    assert metrics["accuracy"] == lines[-1]["test"]["accuracy"]
    assert metrics["val_accuracy"] == lines[-1]["val"]["accuracy"]
    accuracies = [line["val"]["accuracy"] for line in lines]
    assert metrics["best_val_accuracy"] == max(accuracies)
    assert metrics["best_val_epoch"] == 1 + accuracies.index(max(accuracies))
    pretrained = run(recipe="released", epochs=3, stop_after="pretrain")
    losses = [record.metrics["val"]["loss"] for record in pretrained if isinstance(record, EpochDone)]
    assert pretrained[-1].result["stage"]["kept_epoch"] == 1 + losses.index(min(losses))  # picked on val


def _with_val(dataset):
    from dataclasses import replace

    from relvit_lab.data import Split

    return replace(dataset, val=Split(dataset.train.images[:20], dataset.train.labels[:20]))
