"""The loop: every scenario and setting to its end, resumed to the same bits, killed, and its records."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

import forked
import pytest
import torch
from safetensors.torch import load_file

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.signals import Terminated
from relvit_lab.method.tasks import RELVIT
from relvit_lab.train import clock, state, training
from relvit_lab.train.events import EpochDone, Note, StageFinished, StageStarted, StepDone
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.stage_folder import RunFolder
from relvit_lab.train.training import run

TASK_NAMES = [task.name for task in RELVIT]
TINY = {"preset": "smoke", "epochs": 1, "train_images": 40, "test_images": 20}


def train(**fields) -> list[StageFinished]:
    return [record for record in run(Experiment(**({"preset": "smoke"} | fields))) if isinstance(record, StageFinished)]


def outcome(stage: StageFinished) -> tuple[dict, list[dict], dict]:
    """Weights, metric lines and result without times."""
    folder = Path(stage.folder)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("timing")
    result = json.loads((folder / "result.json").read_text())
    for other in ("timing", "environment", "experiment"):
        result.pop(other)
    return load_file(folder / "model.safetensors"), lines, result


def assert_same(one: StageFinished, other: StageFinished) -> None:
    (weights_1, *rest_1), (weights_2, *rest_2) = outcome(one), outcome(other)
    assert weights_1.keys() == weights_2.keys() and rest_1 == rest_2
    assert all(torch.equal(weights_1[name], weights_2[name]) for name in weights_1)


# -- every setting reaches its end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tasks", [c for n in range(1, 5) for c in combinations(TASK_NAMES, n)], ids="+".join)
def test_the_15_task_combinations(tasks):
    pretrained, tuned = train(tasks=tasks, **TINY)
    assert set(tasks) <= set(pretrained.result["metrics"]) and pretrained.result["metrics"]["accuracy"] is None
    assert not set(TASK_NAMES) & set(tuned.result["metrics"]) and 0 <= tuned.result["metrics"]["accuracy"] <= 100


@pytest.mark.parametrize("recipe", ["paper", "released"])
@pytest.mark.parametrize("scenario", ["supervised", "pretrain_finetune", "downstream_only"])
def test_scenarios_and_recipes(scenario, recipe, smoke):
    stages = smoke.finished(scenario=scenario, recipe=recipe, **TINY)
    names = {"supervised": ["supervised"], "pretrain_finetune": ["pretrain", "finetune"], "downstream_only": ["joint"]}
    assert [stage.name for stage in stages] == names[scenario]
    result = stages[-1].result
    assert result["experiment"]["scenario"] == scenario and result["experiment"]["recipe"] == recipe
    metrics = result["metrics"]
    assert metrics["best_accuracy"] >= metrics["accuracy"] >= 0
    assert ("sprel" in metrics) == (scenario == "downstream_only")
    assert Path(stages[-1].folder, "result.json").exists()


@pytest.mark.parametrize("pos_embed", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_four_settings_of_positional_embeddings_and_shuffle(pos_embed, shuffle):
    pretrained, tuned = train(tasks="sprel", pos_embed=pos_embed, shuffle=shuffle, **TINY)
    before, after = (load_file(Path(s.folder, "model.safetensors")) for s in (pretrained, tuned))
    assert ("backbone.pos_embed" in before) == pos_embed and "backbone.pos_embed" in after


@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_mega_patches(recipe):
    pretrained, _ = train(mega_patches=3, recipe=recipe, tasks="sprel+abspos", **TINY)
    weights = load_file(Path(pretrained.folder, "model.safetensors"))
    assert weights[_abspos(weights)].shape[0] == 9


def _abspos(weights: dict) -> str:
    return next(name for name in weights if name.startswith("heads.abspos") and weights[name].dim() == 2)


def test_two_supervised_stages_share_the_first(smoke):
    once = smoke.finished(scenario="supervised", **TINY)
    first, second = train(scenario="supervised", supervised_stages=2, **TINY)
    assert first.replayed and first.id == once[0].id and not second.replayed
    assert second.result["stage"]["parent"] == first.id


# -- what stages inherit -------------------------------------------------------------------------------------------


@pytest.fixture
def begun(monkeypatch):
    """Weights as each stage starts with them."""
    seen = {}
    load_start = state.load_start

    def spy(model, stage):
        load_start(model, stage)
        seen[stage.name] = {name: value.clone() for name, value in model.state_dict().items()}

    monkeypatch.setattr(state, "load_start", spy)
    return seen


@pytest.mark.parametrize("pos_embed", [False, True])
def test_fine_tuning_takes_the_backbone_and_a_fresh_classifier(begun, pos_embed):
    pretrained, _ = train(pos_embed=pos_embed, shuffle=True, **TINY)
    source, start = load_file(Path(pretrained.folder, "model.safetensors")), begun["finetune"]
    shared = [name for name in source if name.startswith("backbone.")]
    assert "backbone.cls_token" in shared and all(torch.equal(source[name], start[name]) for name in shared)
    assert not [name for name in start if name.startswith("heads.")] and "classifier.weight" in start
    assert ("backbone.pos_embed" in shared) == pos_embed


def test_the_second_supervised_stage_takes_the_classifier_too(begun):
    first, _ = train(scenario="supervised", supervised_stages=2, **TINY)
    source = load_file(Path(first.folder, "model.safetensors"))
    assert source.keys() == begun["supervised2"].keys()
    assert all(torch.equal(source[name], begun["supervised2"][name]) for name in source)


def test_init_from_a_stage_equals_having_it_as_parent(begun):
    pretrained, tuned = train(**TINY)
    started = begun["finetune"]
    again = train(init_from=pretrained.id, **TINY)
    assert [stage.name for stage in again] == ["finetune"] and again[0].id != tuned.id
    assert all(torch.equal(started[name], begun["finetune"][name]) for name in started)
    moved = Path(pretrained.folder, "model.safetensors").rename(Path(pretrained.folder).parent / "moved.safetensors")
    assert train(init_from=str(moved), **TINY)[0].replayed  # by the digest of its weights


def test_released_fine_tuning_starts_from_the_lowest_loss(begun):
    pretrained, _ = train(recipe="released", epochs=4, lr=0.05, batch_size=8, train_images=40, test_images=20)
    lines = RunFolder(Path(pretrained.folder)).metrics()
    losses = [line["test"]["loss"] for line in lines]
    assert pretrained.result["stage"]["kept_epoch"] == losses.index(min(losses)) + 1


def test_label_fraction_uses_fewer_images_in_fine_tuning_only():
    pretrained, tuned = train(label_fraction=0.25, **TINY | {"train_images": 80})
    assert pretrained.result["counts"]["train_images"] == 80
    assert 10 <= tuned.result["counts"]["train_images"] < 40


# -- seeds and records ---------------------------------------------------------------------------------------------


def test_a_seed_fixes_everything_and_another_changes_it(smoke):
    (one,) = smoke.finished(scenario="downstream_only", **TINY)
    same = train(scenario="downstream_only", run_dir="b", **TINY)[0]
    other = train(scenario="downstream_only", run_dir="a", seed=1, **TINY)[0]
    assert_same(one, same)
    assert any(not torch.equal(a, b) for a, b in zip(outcome(one)[0].values(), outcome(other)[0].values()))


def test_records_come_in_order_and_say_what_happens():
    records = list(run(Experiment(preset="smoke", scenario="supervised", epochs=2)))
    assert isinstance(records[0], StageStarted) and isinstance(records[-1], StageFinished)
    epochs = [r for r in records if isinstance(r, EpochDone)]
    assert [r.epoch for r in epochs] == [1, 2] and epochs[-1].metrics["step"] == 2 * records[0].steps_per_epoch
    steps = [r for r in records if isinstance(r, StepDone)]
    assert steps and steps[-1].step == steps[-1].steps and steps[-1].left == 0
    assert RunFolder(Path(records[0].folder)).metrics() == [r.metrics for r in epochs]


def test_a_finished_stage_is_read_back_at_once(monkeypatch, smoke):
    (first,) = smoke.finished(scenario="supervised", **TINY)
    monkeypatch.setattr(training, "Training", None)  # nothing may be trained
    records = list(run(Experiment(scenario="supervised", **TINY)))
    assert all(r.replayed for r in records) and records[-1].result == first.result
    assert [type(r) for r in records] == [StageStarted, EpochDone, StageFinished]


def test_a_result_of_another_commit_says_so(monkeypatch, smoke):
    smoke.finished(scenario="supervised", **TINY)
    monkeypatch.setattr(training, "commit", lambda: "another")
    started = next(run(Experiment(scenario="supervised", **TINY)))
    assert "another" in started.notes[0] and "fresh" in started.notes[0]


def test_fresh_trains_anew(smoke):
    smoke.finished(scenario="supervised", **TINY)
    again = train(scenario="supervised", fresh=True, **TINY)[0]
    assert not again.replayed


def test_a_batch_larger_than_the_set_is_clipped_with_a_note():
    started = next(run(Experiment(scenario="supervised", **TINY | {"batch_size": 1000})))
    assert started.steps_per_epoch == 1 and any("clipped to 40" in note for note in started.notes)


def test_the_last_partial_batch_is_kept():
    started = next(run(Experiment(scenario="supervised", **TINY | {"batch_size": 32})))
    assert started.steps_per_epoch == 2


def test_a_paper_preset_on_a_cpu_points_at_the_demo(monkeypatch):
    monkeypatch.setattr(clock, "PATIENCE", 0.0)
    monkeypatch.setattr(clock, "SHOW_EVERY", 0.0)
    records = []
    for record in run(Experiment(preset="smoke", scenario="supervised", epochs=3)):
        records.append(record)
    assert not [r for r in records if isinstance(r, Note)]  # smoke is no paper preset
    monkeypatch.setattr("relvit_lab.train.presets.PRESETS", {"paper": {"epochs": 2, "lr": 1e-3, "batch_size": 8}})
    fields = {"backbone": "vit_nano", "preset": "paper", "train_images": 40, "test_images": 8, "scenario": "supervised"}
    import numpy as np

    folder = Path(os.environ["RELVIT_HOME"])
    x, y = np.zeros((40, 8, 8, 3), np.uint8), np.arange(40) % 2
    np.savez(folder / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    monkeypatch.setattr("relvit_lab.train.presets.BY_IMAGE_SIZE", {8: "vit_nano"})
    notes = [r.text for r in run(Experiment(dataset="own.npz", **fields)) if isinstance(r, Note)]
    assert len(notes) == 1 and "preset=demo" in notes[0]


# -- interrupted and killed ----------------------------------------------------------------------------------------

LONG = {"preset": "smoke", "epochs": 3, "train_images": 96, "batch_size": 16, "test_images": 20, "dropout": 0.1}


@pytest.mark.parametrize("scenario, recipe", [("downstream_only", "paper"), ("pretrain_finetune", "released")])
def test_stopped_at_any_step_it_goes_on_to_the_same_bits(monkeypatch, scenario, recipe):
    monkeypatch.setattr(clock, "SHOW_EVERY", 0.0)  # a record after each step: a place to stop
    whole = train(scenario=scenario, recipe=recipe, run_dir="whole", **LONG)
    dice = random.Random(0)
    experiment = Experiment(scenario=scenario, recipe=recipe, run_dir="pieces", **LONG)
    stops = 0
    while True:
        records, finished = run(experiment), []
        patience = dice.randint(2, 12)
        for count, record in enumerate(records):
            finished += [record] if isinstance(record, StageFinished) else []
            if count >= patience and isinstance(record, StepDone):
                records.close()  # as an interrupted face does
                stops += 1
                break
        else:
            break
    assert stops >= 3
    for one, other in zip(whole, finished):
        assert_same(one, other)


@pytest.mark.long
def test_killed_three_times_it_ends_with_the_same_bits(tmp_path):
    """Each kill comes at a random moment after the first new epoch, so in the midst of training."""
    fields = {"preset": "smoke", "scenario": "downstream_only", "epochs": 40, "dropout": 0.1}
    whole = train(**fields, run_dir="whole")[0]
    dice = random.Random(1)
    for _ in range(3):
        process, said = forked.begin(forked.train, fields | {"run_dir": "pieces"})
        said.recv()
        time.sleep(dice.uniform(0, 0.8))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    pieces = train(**fields, run_dir="pieces")[0]
    assert not pieces.replayed
    assert_same(whole, pieces)
    assert not list(Path(pieces.folder).glob("*.partial"))


@pytest.mark.long
def test_sigterm_writes_a_checkpoint_and_ends_with_75(tmp_path):
    command = [sys.executable, "-m", "relvit_lab", "train", "--preset", "smoke", "--scenario", "downstream_only"]
    process = subprocess.Popen([*command, "--epochs", "500"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75 and "goes on from there" in said
    (folder,) = (tmp_path / "runs").iterdir()
    assert RunFolder(folder).checkpoint(folder.name)["step"] > 0 and not (folder / "result.json").exists()


def test_sigterm_in_process_is_a_system_exit(monkeypatch):
    monkeypatch.setattr(clock, "SHOW_EVERY", 0.0)
    with pytest.raises(Terminated) as caught:
        for record in run(Experiment(scenario="supervised", **LONG)):
            if isinstance(record, StepDone) and record.step == 4:
                os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.code == 75
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_checkpoints_come_within_an_epoch(monkeypatch):
    saved = []
    monkeypatch.setattr(RunFolder, "save_checkpoint", lambda self, state: saved.append(state["step"]))
    train(scenario="supervised", checkpoint_minutes=0, **TINY | {"batch_size": 8})
    assert saved[:5] == [1, 2, 3, 4, 5]


def test_going_on_in_another_precision_says_so(monkeypatch):
    monkeypatch.setattr(clock, "SHOW_EVERY", 0.0)
    records = run(Experiment(scenario="supervised", precision="float32", **LONG))
    for record in records:
        if isinstance(record, EpochDone):
            records.close()
            break
    started = next(run(Experiment(scenario="supervised", precision="bf16", **LONG)))
    assert started.resumed and any("float32" in note and "bf16" in note for note in started.notes)


def test_bf16_trains():
    result = train(scenario="downstream_only", precision="bf16", device="cpu", **TINY)[0].result
    assert result["environment"]["precision"] == "bf16" and result["metrics"]["loss"] > 0


def test_nan_names_the_step_and_leaves_the_last_checkpoint(monkeypatch):
    from relvit_lab.method.schedule import learning_rate

    monkeypatch.setattr(state, "learning_rate", lambda *a: 1e30 if a[0] >= 7 else learning_rate(*a))
    with pytest.raises(RelvitError, match=r"step 9 of 18.*lower lr"):
        train(scenario="supervised", **LONG)
    (stage,) = Experiment(scenario="supervised", **LONG).stages()
    kept = RunFolder(stage.folder).checkpoint(stage.id)
    assert kept["step"] == 6 and all(value.isfinite().all() for value in kept["model"].values())
    assert RunFolder(stage.folder).result() is None
