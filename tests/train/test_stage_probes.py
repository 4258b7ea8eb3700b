"""Probes as fields of a run: added to a result at its end or later, without training again."""

import json
from pathlib import Path

import pytest

from relvit_lab.train import training
from relvit_lab.train.build import load_data
from relvit_lab.train.events import Note, StageFinished
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.probes import probe
from relvit_lab.train.trained import load

SMALL = {"preset": "smoke", "scenario": "supervised", "epochs": 2, "label_fraction": 0.5}


def run(**fields) -> tuple[list[str], StageFinished]:
    records = list(training.run(Experiment(**SMALL, **fields)))
    assert isinstance(records[-1], StageFinished)
    return [record.text for record in records if isinstance(record, Note)], records[-1]


def test_they_come_with_the_result_and_are_those_of_the_stored_weights():
    notes, finished = run(knn=5, linear_probe=True)
    metrics = finished.result["metrics"]
    assert finished.result == json.loads(Path(finished.folder, "result.json").read_text()) and not finished.replayed
    assert ["5 nearest neighbours and a linear probe" in text for text in notes] == [True]
    assert finished.result["units"]["knn_5"] == finished.result["units"]["linear_probe"] == "%"
    trained = load(finished.folder)
    e = trained.experiment
    dataset = load_data(e)
    train = training.data.label_subset(dataset.train, e.label_fraction, e.seed)
    assert f"{len(train)} training" in notes[0]
    again = probe(trained.model, trained.pipeline, train, dataset.test, 5, True)
    assert again == {"knn": metrics["knn_5"], "linear_probe": metrics["linear_probe"]}


def test_asked_for_later_they_are_added_and_nothing_is_trained(monkeypatch):
    _, before = run()
    monkeypatch.setattr(training, "train_stage", lambda *_: pytest.fail("trained again"))
    notes, after = run(knn=3)
    assert after.replayed and after.id == before.id and len(notes) == 1
    added = after.result["metrics"].pop("knn_3")
    assert 0 <= added <= 100 and after.result["metrics"] == before.result["metrics"]
    assert after.result["timing"] == before.result["timing"]
    notes, both = run(knn=4, linear_probe="yes")
    assert set(both.result["metrics"]) - set(before.result["metrics"]) == {"knn_3", "knn_4", "linear_probe"}
    notes, same = run(knn=4, linear_probe=True)
    assert notes == [] and same.result == both.result
