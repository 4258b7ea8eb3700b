"""The models that come with the package: small, loadable without a network, and far better than chance."""

import json
from pathlib import Path

import pytest
import torch

import relvit_lab
from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.paper.records import whole_study as whole
from relvit_lab.paper.records.asset import make_asset
from relvit_lab.paper.records.store import parse_command
from relvit_lab.show.photographs import SQUARES, photograph
from relvit_lab.train import assets
from relvit_lab.train.evaluate import evaluate
from relvit_lab.train.training import run

NAMES = assets.names()
RESULTS = Path(__file__).parents[2] / "results"


def about(name: str) -> dict:
    return json.loads((assets.FOLDER / f"{name}.json").read_text())


PLANNED = {"digits_tasks", *whole.MODELS}
PRE_TRAINED = [name for name in NAMES if "tasks" in name]
WITH_EMBEDDINGS = {"cifar10_tasks_pe", "cifar10_supervised", "cifar10_finetuned", "cifar10_joint"}


def test_there_is_one_on_digits_and_one_on_photographs():
    """And no other than the study of the whole of CIFAR-10 names: those follow as its runs end."""
    assert {"cifar10_tasks", "digits_tasks"} <= set(NAMES) <= PLANNED


@pytest.mark.parametrize("name", sorted(set(NAMES) & set(whole.MODELS)))
def test_it_is_the_studys_as_soon_as_its_setting_is_on_record(name):
    stage = whole.STUDY.stages(whole.MODELS[name])[-1]
    if (RESULTS / f"{stage.id}.json").exists():
        assert about(name)["id"] == stage.id, f"python -m relvit_lab asset {stage.id} {name}"


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_is_small_and_says_what_made_it(name):
    trained, record = relvit_lab.load(name), about(name)
    assert (assets.FOLDER / f"{name}.safetensors").stat().st_size < assets.LARGEST
    assert (trained.model.backbone.pos_embed is None) == (name not in WITH_EMBEDDINGS) and not trained.model.training
    if name in PRE_TRAINED:
        assert [task.name for task in trained.model.tasks] == ["sprel", "dist", "ang", "abspos"]
    else:
        assert trained.metrics["accuracy"] == pytest.approx(record["metrics"]["accuracy"], abs=0.5)
    assert trained.metrics == record["stored"]["metrics"]
    assert record["id"] in [stage.id for stage in parse_command(record["command"]).stages()]


@pytest.mark.parametrize("name", PRE_TRAINED)
def test_its_numbers_are_far_from_chance(name):
    metrics, chance = about(name)["stored"]["metrics"], about(name)["stored"]["chance"]
    assert metrics["sprel"] > 1.5 * chance["sprel"] and metrics["abspos"] > 2.5 * chance["abspos"]
    assert metrics["dist"] < 0.9 * chance["dist"]
    assert metrics["ang"] < 0.95 * chance["ang"]  # the hardest: in Table 4 a ViT-S gets to 0.75
    for task, value in about(name)["metrics"].items():  # storing in 16 bits changed next to nothing
        if task in chance:
            assert metrics[task] == pytest.approx(value, abs=0.2)


def test_the_numbers_of_the_one_on_digits_are_those_of_its_test_images():
    trained = relvit_lab.load("digits_tasks")
    measured = evaluate(trained.model, trained.pipeline, data.load("digits").test)
    assert measured == pytest.approx(trained.metrics, abs=0.05)


def test_the_one_on_photographs_knows_its_way_in_other_photographs():
    """Crops of two photographs that are in no data set: SpRel well above always saying the largest class."""
    trained = relvit_lab.load("cifar10_tasks")
    whole = torch.stack([torch.tensor(photograph(128, name)) for name in SQUARES]).permute(0, 3, 1, 2)  # (2,3,128,128)
    crops = torch.cat([whole[..., y : y + 64, x : x + 64] for y in range(0, 65, 32) for x in range(0, 65, 32)])
    images = torch.nn.functional.interpolate(crops, 32, mode="area")
    with torch.no_grad():
        predicted = trained.model.predictions(trained.transform((255 * images).byte()), "sprel")
    right = 100 * float((predicted == trained.model.targets(trained.model.tasks[0])).float().mean())
    assert right > 1.2 * about("cifar10_tasks")["stored"]["chance"]["sprel"]


def test_a_stage_becomes_an_asset(tmp_path, monkeypatch):
    experiment = relvit_lab.Experiment(dataset="digits", preset="smoke", stop_after="pretrain")
    *_, finished = run(experiment)
    file = make_asset(finished.id, "own", folder=tmp_path)
    monkeypatch.setattr(assets, "FOLDER", tmp_path)
    own = relvit_lab.load("own")
    trained = relvit_lab.load(finished.id)
    assert own.metrics["sprel"] == pytest.approx(trained.metrics["sprel"], abs=1) and file.name == "own.safetensors"
    images = data.load("digits").test.images[:3]
    with torch.no_grad():
        one, other = (model.model(model.transform(images)).tokens for model in (own, trained))
    assert torch.allclose(one, other, atol=0.02) and not torch.equal(one, other)
    with pytest.raises(RelvitError, match="own"):
        relvit_lab.load("owm")
    monkeypatch.setattr(assets, "LARGEST", 10_000)
    with pytest.raises(RelvitError, match="at most"):
        make_asset(finished.id, "big", folder=tmp_path)
    assert not (tmp_path / "big.safetensors").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"scenario": "supervised", "supervised_stages": 2},
        {},
        {"scenario": "downstream_only"},
        {"tasks": "sprel,dist,ang,abspos", "pos_embed": True, "stop_after": "pretrain"},
    ],
    ids=["supervised", "finetuned", "joint", "tasks with embeddings"],
)
def test_each_kind_of_the_studys_models_becomes_an_asset(fields, tmp_path, monkeypatch):
    """With the stage, classes and experiment that made it; the same answers, to 16 bits, without the run folder."""
    *_, finished = run(relvit_lab.Experiment(dataset="digits", preset="smoke", **fields))
    trained = relvit_lab.load(finished.id)
    make_asset(finished.id, "own", folder=tmp_path)
    monkeypatch.setattr(assets, "FOLDER", tmp_path)
    monkeypatch.setenv("RELVIT_HOME", str(tmp_path / "elsewhere"))
    own = relvit_lab.load("own")
    assert (own.stage, own.classes, own.experiment.id) == (trained.stage, trained.classes, trained.experiment.id)
    assert set(own.metrics) - {"loss"} == {n for n, v in trained.metrics.items() if v is not None} - {
        "loss", "best_accuracy", "best_epoch"}  # fmt: skip
    images = trained.transform(data.load("digits").test.images[:3])
    with torch.no_grad():
        one, other = own.model(images), trained.model(images)
    assert torch.allclose(one.tokens, other.tokens, atol=0.02)
    assert (one.logits is None) == (other.logits is None) == (trained.stage == "pretrain")


def test_the_pages_name_no_number_of_a_model():
    """Notebooks print a model's metrics from its own file: a number in prose would go stale with the next model."""
    metrics = about("cifar10_tasks")["stored"]["metrics"]
    told = {f"{metrics[task]:.1f}" for task in ("sprel", "abspos")}
    for path in (RESULTS.parent / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            text = "".join(cell["source"])
            named = "CIFAR-10" in text or "cifar10_tasks" in text
            assert not (named and any(f"{number} %" in text for number in told)), (path.name, cell["id"])
