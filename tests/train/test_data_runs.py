"""Each of the six data sets in its real layout: fetched by the command, and a smoke run from files to result."""

import json
import math

import pytest
from dataset_fixtures import COUNTS, build

from relvit_lab.__main__ import main
from relvit_lab.train.events import StageFinished
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.training import run

SIDES = {"flower102": 224, "tiny_imagenet": 64, "imagenet100": 224}


@pytest.mark.parametrize("name", COUNTS)
def test_a_smoke_run(name, tmp_path, monkeypatch):
    build(name, tmp_path / "data", monkeypatch)
    fields = {"dataset": name, "preset": "smoke", "epochs": 1, "scenario": "downstream_only", "tasks": "sprel"}
    records = list(run(Experiment(**fields)))
    assert isinstance(records[-1], StageFinished)
    (file,) = tmp_path.glob("runs/*/result.json")
    result = json.loads(file.read_text())
    train, val, test = COUNTS[name]
    assert (result["counts"]["train_images"], result["counts"]["test_images"]) == (train, test)
    assert result["experiment"]["image_size"] == SIDES.get(name, 32)
    assert result["test_split"] == ("val" if name in ("tiny_imagenet", "imagenet100") else "test")
    metrics = result["metrics"]
    assert all(map(math.isfinite, metrics.values())) and {"accuracy", "sprel"} <= metrics.keys()
    assert ("val_accuracy" in metrics) == (val > 0)


@pytest.mark.parametrize("name", COUNTS)
def test_the_fetch_command(name, tmp_path, monkeypatch, capsys):
    build(name, tmp_path / "sets", monkeypatch)
    assert main(["fetch", name.replace("_", "-"), "--data-dir", "sets"]) == 0
    assert f"{name} is there already: {tmp_path / 'sets'}" in capsys.readouterr().out


def test_the_fetch_command_where_imagenet100_is_missing(capsys):
    assert main(["fetch", "imagenet100"]) == 1
    assert "kaggle datasets download ambityga/imagenet100" in capsys.readouterr().err
