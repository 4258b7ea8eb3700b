"""The run folder when things go wrong: one clear message, and nothing that a later run would take for whole."""

import errno
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from relvit_lab import __main__ as cli
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.paths import project_root, resolve
from relvit_lab.train.events import EpochDone, Note, StageFinished
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.stage_folder import RunFolder, find_runs
from relvit_lab.train.trained import export_timm, load
from relvit_lab.train.training import run

TINY = {"preset": "smoke", "epochs": 2, "train_images": 40, "test_images": 20, "scenario": "supervised"}


@pytest.fixture
def stage():
    return Experiment(**TINY).stages()[0]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


# -- checkpoints ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "not a checkpoint", "missing keys"])
def test_a_corrupt_checkpoint_is_named_with_the_way_out(damage, smoke):
    folder = smoke.stopped(**TINY)
    file = folder.path / "checkpoint.pt"
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-5000])
    elif damage == "garbage":
        file.write_bytes(random.Random(0).randbytes(1000))
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "missing keys":
        torch.save({"stage": folder.path.name, "data": torch.load(file)["data"]}, file)
    else:
        torch.save([1, 2, 3], file)
    before = file.read_bytes()
    with pytest.raises(RelvitError, match=r"checkpoint\.pt.*corrupt.*fresh=True"):
        list(run(Experiment(**TINY)))
    assert file.read_bytes() == before and "result.json" not in files(folder.path)
    assert isinstance(list(run(Experiment(fresh=True, **TINY)))[-1], StageFinished)


def test_a_checkpoint_that_would_run_code_is_refused(stage, smoke):
    folder = smoke.stopped(**TINY)

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(folder.path / "trap"),)

    torch.save({"stage": stage.id, "model": Trap()}, folder.path / "checkpoint.pt")
    with pytest.raises(RelvitError, match="corrupt"):
        list(run(Experiment(**TINY)))
    assert "trap" not in files(folder.path)


def test_a_checkpoint_of_another_experiment_is_refused(smoke):
    other, folder = smoke.stopped(**TINY, seed=1), smoke.stopped(**TINY)
    (folder.path / "checkpoint.pt").write_bytes((other.path / "checkpoint.pt").read_bytes())
    with pytest.raises(RelvitError, match=f"another experiment.*{other.path.name}"):
        list(run(Experiment(**TINY)))


def test_data_that_changed_is_noticed(tmp_path):
    import numpy as np

    x, y = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    records = run(Experiment(**TINY, dataset="own.npz"))
    for record in records:
        if isinstance(record, EpochDone):
            records.close()
    np.savez(tmp_path / "own.npz", x_train=x + 1, y_train=y, x_test=x, y_test=y)
    with pytest.raises(RelvitError, match="has changed since"):
        list(run(Experiment(**TINY | {"dataset": "own.npz"})))
    list(run(Experiment(**TINY | {"dataset": "own.npz", "fresh": True})))
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(RelvitError, match="has changed since"):  # a result is not returned for other data either
        list(run(Experiment(**TINY | {"dataset": "own.npz"})))


def test_broken_weights_of_a_parent_are_named():
    fields = TINY | {"scenario": "pretrain_finetune"}
    first, _ = Experiment(**fields).stages()
    list(run(Experiment(stop_after="pretrain", **fields)))
    (first.folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(RelvitError, match=r"model\.safetensors cannot be read.*fresh=True"):
        list(run(Experiment(**fields)))


# -- folders -------------------------------------------------------------------------------------------------------


def test_a_full_disk_keeps_the_last_checkpoint(monkeypatch, stage, smoke):
    folder = smoke.stopped(**TINY)
    before = (folder.path / "checkpoint.pt").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RelvitError, match=r"no space left.*last checkpoint"):
        list(run(Experiment(**TINY)))
    assert (folder.path / "checkpoint.pt").read_bytes() == before
    assert "result.json" not in files(folder.path) and not [name for name in files(folder.path) if "partial" in name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_as_the_system_reports_it(tmp_path):
    """A checkpoint is larger than any buffer, so that the system's refusal comes while torch writes."""
    folder = RunFolder(tmp_path)
    (tmp_path / "checkpoint.pt.partial").symlink_to("/dev/full")
    with pytest.raises(RelvitError, match="no space left"):
        folder.save_checkpoint({"x": torch.zeros(100_000)})
    assert not files(tmp_path)


def test_a_run_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(RelvitError, match="runs"):
        list(run(Experiment(**TINY)))


def test_a_read_only_run_folder(monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RelvitError, match="cannot be written: give a run_dir"):
        list(run(Experiment(**TINY)))


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_run_folder_for_real(tmp_path):
    (tmp_path / "runs").mkdir(mode=0o555)
    with pytest.raises(RelvitError, match="cannot be written"):
        list(run(Experiment(**TINY)))


def test_bad_input_makes_no_run_folder(tmp_path):
    for fields in (
        {"epochs": 0},
        {"tasks": "sprle"},
        {"dataset": "nowhere"},
        {"device": "cuda:7"},
        {"mega_patches": 9},
    ):
        with pytest.raises(RelvitError):
            list(run(Experiment(**TINY | fields | {"scenario": "pretrain_finetune"})))
    assert not (tmp_path / "runs").exists()


def test_two_processes_on_one_folder(stage, tmp_path):
    """A second process says that it waits while the first lives, and trains once that has been killed."""
    hold = (  # the lock alone, without torch: a fraction of a second to start
        "import sys, time; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); time.sleep(600)"
    )
    stage.folder.mkdir(parents=True)
    command = [sys.executable, "-c", hold, str(stage.folder / "lock")]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(RelvitError, match="another process is training"), RunFolder(stage.folder).lock():
            pass  # merging, for one, does not wait
        records = run(Experiment(**TINY))
        said = next(records)
        assert isinstance(said, Note) and "another process is training" in said.text and "waiting" in said.text
    finally:
        holder.kill()
        holder.communicate()
    assert isinstance(list(records)[-1], StageFinished)


def test_who_waited_for_another_returns_its_result(stage, monkeypatch):
    """One trains, and whoever waited trains nothing."""
    records = run(Experiment(**TINY))
    next(records)
    busy = iter([True, True, False, False])
    monkeypatch.setattr(RunFolder, "is_busy", lambda self: next(busy))
    monkeypatch.setattr(time, "sleep", lambda seconds: list(records))  # meanwhile the first ends
    waited = list(run(Experiment(**TINY)))
    assert isinstance(waited[0], Note) and waited[-1].replayed


def test_two_threads_on_one_folder(stage):
    with RunFolder(stage.folder).lock():
        caught = []

        def second():
            try:
                list(run(Experiment(**TINY)))
            except RelvitError as error:
                caught.append(str(error))

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert caught and "another process" in caught[0]


def test_a_half_written_file_of_a_killed_process_is_removed(stage):
    stage.folder.mkdir(parents=True)
    (stage.folder / "checkpoint.pt.partial").write_bytes(b"half")
    list(run(Experiment(**TINY)))
    assert not [name for name in files(stage.folder) if "partial" in name]


def test_a_result_without_its_weights_is_not_taken_for_whole(stage, smoke):
    smoke.finished(**TINY)
    (stage.folder / "model.safetensors").unlink()
    with pytest.raises(RelvitError, match="not all of its files"):
        list(run(Experiment(**TINY)))


def test_the_folder_of_the_contract(stage, smoke):
    smoke.finished(**TINY)
    assert files(stage.folder) - {"lock"} == {
        "experiment.json", "metrics.jsonl", "checkpoint.pt", "model.safetensors", "result.json",
    }  # fmt: skip
    result = json.loads((stage.folder / "result.json").read_text())
    assert {"experiment", "metrics", "environment", "timing"} <= set(result)
    assert set(result["experiment"]) == set(Experiment.names())
    assert all(name in result["metrics"] for name in ("accuracy", "best_accuracy"))


# -- reading back --------------------------------------------------------------------------------------------------


def test_load_gives_the_model_its_transform_and_its_experiment(stage, smoke):
    (finished,) = smoke.finished(**TINY)
    trained = load(stage.id)
    from relvit_lab.train.build import load_data

    test = load_data(trained.experiment).test
    with torch.no_grad():
        logits = trained.model(trained.transform(test.images)).logits
    accuracy = 100 * (logits.argmax(1) == test.labels).float().mean().item()
    assert accuracy == pytest.approx(finished.result["metrics"]["accuracy"])
    assert trained.experiment.id == Experiment(**TINY).id and not trained.model.training
    model, transform, experiment = trained
    assert model is trained.model and transform == trained.transform and experiment is trained.experiment
    one = trained.transform(test.images[0, 0].numpy())
    assert torch.equal(one, trained.transform(test.images[:1]))


def test_load_names_the_nearest_run(stage, smoke):
    smoke.finished(**TINY)
    assert load(stage.id[:-3]).folder == stage.folder
    with pytest.raises(RelvitError, match=stage.id):
        load(stage.id[:-1] + "_")


def test_export_timm(stage, tmp_path, smoke):
    import timm

    smoke.finished(**TINY)
    weights = export_timm(stage.id, tmp_path / "backbone.safetensors")
    model = timm.create_model(
        "vit_small_patch16_224", img_size=8, patch_size=2, embed_dim=96, depth=4, num_heads=3, num_classes=10
    ).eval()
    model.load_state_dict(load_file(tmp_path / "backbone.safetensors"))
    trained, x = load(stage.id), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(model(x), trained.model(x).logits, atol=1e-5, rtol=1e-5)
    assert "head.weight" in weights
    again = Experiment(**TINY | {"init_from": str(tmp_path / "backbone.safetensors")})
    assert isinstance(list(run(again))[-1], StageFinished)


def test_find_runs_leaves_out_what_is_broken(stage, smoke):
    smoke.finished(**TINY)
    broken = stage.folder.parent / "broken"
    broken.mkdir()
    (broken / "experiment.json").write_text("{")
    (stage.folder.parent / "notes.txt").touch()  # a file is no stage, and nothing is wrong with it
    problems = []
    assert [found["id"] for found in find_runs(stage.folder.parent, problems)] == [stage.id]
    assert len(problems) == 1 and "broken" in problems[0]


def test_runs_names_the_nearest(smoke, capsys):
    smoke.finished(**TINY)
    capsys.readouterr()
    assert cli.main(["runs", "digits-superwised"]) == 1
    assert "did you mean 'digits-supervised-" in capsys.readouterr().err


def test_images_of_different_sizes_and_channels_go_together(stage, smoke):
    smoke.finished(**TINY)
    trained = load(stage.folder)
    several = [torch.randint(256, (c, s, s), dtype=torch.uint8) for c, s in ((1, 8), (3, 12), (1, 8))]
    assert torch.equal(trained.transform(several), torch.cat([trained.transform(one) for one in several]))


def test_exported_weights_that_cannot_be_written(stage, smoke):
    smoke.finished(**TINY)
    with pytest.raises(RelvitError, match="not/there"):
        export_timm(stage.folder, "not/there/b.safetensors")


# -- the command line ----------------------------------------------------------------------------------------------


def test_train_runs_and_compares(capsys):
    words = ["train", "--preset=smoke", "--epochs", "1", "--train-images", "40", "--test_images", "20"]
    assert cli.main([*words, "--scenario", "supervised"]) == 0
    assert cli.main([*words, "--tasks", "sprel+dist", "--fresh"]) == 0
    capsys.readouterr()
    assert cli.main(["runs"]) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("digits-supervised", "digits-pretrain", "digits-finetune", "sprel, dist"))
    one = Experiment(preset="smoke", epochs=1, train_images=40, test_images=20, scenario="supervised").stages()[0].id
    assert cli.main(["runs", one]) == 0
    assert "digits-pretrain" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, says",
    [
        (["trian"], "did you mean 'train'"),
        (["train", "--epoch", "3"], "did you mean 'epochs'"),
        (["train", "--epochs"], "needs a value"),
        (["train", "cifar10"], "'cifar10' was not expected"),
        (["train", "--dataset", "cifar"], "did you mean 'cifar10'"),
        (["train", "--tasks", "sprel,distance"], "did you mean 'dist'"),
        (["fetch", "cifar11"], "did you mean 'cifar10'"),
        (["fetch"], "takes one data set"),
        (["help", "trian"], "did you mean 'train'"),
        (["runs", "--run-dir", "not/there"], "there is no folder"),
        (["tables", "--run-dir", "runs,not/there"], "there is no folder"),
        (["runs", "--run-dir", "~nobody-of-that-name/runs"], "no such user"),
        (["app", "--port", "99999"], "1 to 65535"),
        (["train", "--device", "cpu:7", "--preset", "smoke"], "there is one CPU"),
    ],
)
def test_mistakes_end_with_one_message_and_code_1(words, says, capsys):
    assert cli.main(words) == 1
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and "Traceback" not in said


def test_help_lists_every_field(capsys):
    assert cli.main(["train", "--help"]) == 0
    said = capsys.readouterr().out
    for name, field in Experiment.settings().items():
        assert f"--{name.replace('_', '-')}" in said and all(word in said for word in (field.help, *field.choices))


def test_relative_paths_are_from_the_project_root(monkeypatch, tmp_path):
    monkeypatch.delenv("RELVIT_HOME")
    (tmp_path / "project" / "notebooks").mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "project" / "notebooks")
    assert resolve("runs") == tmp_path / "project" / "runs"
    monkeypatch.chdir(tmp_path)
    assert (project_root() / "relvit_lab").is_dir()
    monkeypatch.setenv("RELVIT_HOME", str(tmp_path / "project"))
    assert resolve("runs") == tmp_path / "project" / "runs"


@pytest.mark.xdist_group("timing")
def test_a_thousand_runs_are_read_in_seconds(stage, smoke):
    smoke.finished(**TINY)
    about, metrics, result = (
        (stage.folder / n).read_text() for n in ("experiment.json", "metrics.jsonl", "result.json")
    )
    for k in range(1000):
        folder = stage.folder.parent / f"copy-{k}"
        folder.mkdir()
        (folder / "experiment.json").write_text(about)
        (folder / "metrics.jsonl").write_text(metrics)
        (folder / "result.json").write_text(result)
    began = time.perf_counter()
    assert len(find_runs(stage.folder.parent)) == 1001
    assert time.perf_counter() - began < 5
