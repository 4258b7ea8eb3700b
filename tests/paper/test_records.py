"""Records of stages: what they hold, that their command makes them again, and how they are found."""

import json
from dataclasses import replace

import pytest

from relvit_lab.__main__ import main
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.stats import mean_sd
from relvit_lab.paper.records import store as results
from relvit_lab.paper.records.store import (
    command,
    find_record,
    make_record,
    parse_command,
    read_records,
    write_records,
)
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.training import run

SMOKE = {"dataset": "digits", "preset": "smoke", "epochs": 3}


def train(**fields) -> Experiment:
    experiment = Experiment(**SMOKE | fields)
    for _ in run(experiment):
        pass
    return experiment


@pytest.fixture
def trained(tmp_path):
    """A run of two stages in runs/, and its records in results/."""
    experiment = train(seed=3)
    write_records(["runs"])
    return experiment


def test_a_record_holds_the_run_and_nothing_of_the_machine(trained, tmp_path):
    pretrain, finetune = trained.stages()
    records = read_records()
    assert set(records) == {pretrain.id, finetune.id}
    text = (tmp_path / "results" / f"{finetune.id}.json").read_text()
    assert str(tmp_path) not in text and "run_dir" not in text and "data_dir" not in text
    record, folder = records[finetune.id], finetune.folder
    result = json.loads((folder / "result.json").read_text())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert record["metrics"] == result["metrics"] and record["environment"] == result["environment"]
    assert record["stage"]["parent"] == pretrain.id
    assert record["curves"]["test"]["accuracy"] == [line["test"]["accuracy"] for line in lines]
    assert record["curves"]["train"]["loss"] == [line["train"]["loss"] for line in lines]
    assert record["cost"]["images_seen"] == 3 * 96 and record["cost"]["seconds"] > 0
    assert not list((tmp_path / "results").glob("*.partial")) and len(list((tmp_path / "results").iterdir())) == 2


def test_the_command_makes_the_same_metrics_again(trained):
    record = read_records()[trained.stages()[1].id]
    rows = results.rerun(record, run_dir="elsewhere")
    assert {name for name, _, _ in rows} == set(record["metrics"]) and "accuracy" in record["metrics"]
    assert all(before == now for _, before, now in rows)


EXPERIMENTS = [
    {},
    {"seed": 4, "scenario": "supervised", "supervised_stages": 2},
    {"scenario": "downstream_only", "task_weights": (0.0, 0.5), "recipe": "released"},
    {"tasks": "sprel", "pos_embed": True, "shuffle": True},
    {"pos_embed": False, "scenario": "supervised", "lr": 1.5e-4},
    {"mega_patches": 3, "tasks": "sprel,ang", "clip": 0, "flip": False},
    {"dataset": "digits", "preset": "demo", "epochs": 7, "label_fraction": 0.05, "factored_heads": True},
    {"dataset": "cifar10", "preset": "paper", "backbone": "vit_s_8", "image_size": 64, "stop_after": "pretrain"},
]


@pytest.mark.parametrize("fields", EXPERIMENTS, ids=lambda f: "-".join(f) or "defaults")
def test_the_command_names_just_this_experiment(fields):
    experiment = Experiment(**{"dataset": "cifar10", "preset": "demo"} | fields)
    text = command(experiment.resolved().as_dict())
    again = parse_command(text)
    assert again.id == experiment.id
    assert [stage.id for stage in again.stages()] == [stage.id for stage in experiment.stages()]
    words = text.split(" -p ")[1:]
    for k in range(2, len(words)):  # nothing in it is idle; data set and preset are always said
        shorter = " -p ".join([results.NOTEBOOK, *words[:k], *words[k + 1 :]])
        other = parse_command(shorter)
        assert [s.id for s in other.stages()] != [s.id for s in experiment.stages()] or other.id != experiment.id


def test_records_are_found_by_what_was_run(trained):
    records = read_records()
    for stage in trained.stages():
        assert find_record(records, stage)["id"] == stage.id
    other = replace(trained, seed=4).stages()
    assert [find_record(records, stage) for stage in other] == [None, None]


def test_a_field_that_came_later_does_not_hide_a_record(trained):
    """Another id for both stages, as when Experiment gains a field: the record lacks it, and is found all the same."""
    pretrain, finetune = trained.stages()
    records = {}
    for old, record in read_records().items():
        record["fields"].pop("drop_path")
        record["id"] = f"old-{old}"
        record["stage"]["parent"] = record["stage"]["parent"] and f"old-{record['stage']['parent']}"
        records[record["id"]] = record
    assert find_record(records, finetune)["id"] == f"old-{finetune.id}"
    records[f"old-{pretrain.id}"]["fields"]["lr"] = 0.5  # and not where its pre-training was another
    assert find_record(records, finetune) is None and find_record(records, pretrain) is None


def test_what_is_no_finished_stage_is_no_record(tmp_path):
    with pytest.raises(RelvitError, match="no finished stage"):
        write_records(["runs"])
    (tmp_path / "runs" / "x").mkdir(parents=True)
    with pytest.raises(RelvitError, match="no finished stage"):
        make_record(tmp_path / "runs" / "x")
    first = train(stop_after="pretrain")
    train(init_from=first.stages()[0].id)
    with pytest.raises(RelvitError, match="init_from"):
        write_records(["runs"])


def test_a_broken_record_is_named(tmp_path, capsys):
    (tmp_path / "results").mkdir()
    for content in ("{", "[1]", "{}"):
        (tmp_path / "results" / "bad.json").write_text(content)
        with pytest.raises(RelvitError, match=r"bad\.json is no record"):
            read_records()
    assert main(["rerun", "bad"]) == 1 and "bad.json" in capsys.readouterr().err


def test_the_commands_record_and_rerun(trained, tmp_path, capsys):
    for path in (tmp_path / "results").iterdir():
        path.unlink()
    assert main(["record", "runs"]) == 0
    stage = trained.stages()[0]
    assert str(tmp_path / "results" / f"{stage.id}.json") in capsys.readouterr().out
    assert main(["rerun", stage.id[:16], "--run-dir", "elsewhere"]) == 0
    assert "The same, to the last digit." in capsys.readouterr().out
    assert main(["rerun", "digits"]) == 1
    assert "2 records begin with 'digits'" in capsys.readouterr().err
    assert main(["rerun", "nothing"]) == 1
    assert "no record 'nothing'" in capsys.readouterr().err


def test_mean_and_sample_standard_deviation():
    values = [41.35, 40.1, 44.0]
    mean = (41.35 + 40.1 + 44.0) / 3
    squares = sum((value - mean) ** 2 for value in values)
    assert mean_sd(values) == pytest.approx((mean, (squares / 2) ** 0.5))
    assert mean_sd([3.0]) == (3.0, None)
