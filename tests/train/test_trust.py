"""Nothing mixed: data that was exchanged, versions that changed, fresh, and what the machine runs out of."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from relvit_lab import __main__ as cli
from relvit_lab.common import signals
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.shortages import shortage
from relvit_lab.paper import ablation
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.plan.job import _judge, read_failure
from relvit_lab.paper.records import report
from relvit_lab.paper.tables.finished import collect
from relvit_lab.paper.tables.numbers import aggregate, paper_table
from relvit_lab.train import clock, environment, training
from relvit_lab.train.events import EpochDone, StageFinished, StageStarted, StepDone
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.stage_folder import RunFolder, load_state
from relvit_lab.train.trained import load
from relvit_lab.train.training import run

from run_fixtures import write_cell  # isort: skip

ROOT = Path(__file__).resolve().parents[2]
TINY = {"preset": "smoke", "epochs": 2, "train_images": 40, "test_images": 20, "scenario": "supervised"}
CIFAR = {"dataset": "cifar10", "preset": "smoke", "epochs": 1, "train_images": 20, "test_images": 10}


def write_cifar(seed: int) -> None:
    """A cifar10.npz of a few made images, in the data folder."""
    file = Path(os.environ["RELVIT_HOME"], "data", "cifar10.npz")
    file.parent.mkdir(exist_ok=True)
    draw = np.random.default_rng(seed)
    x, y = draw.integers(0, 256, (40, 32, 32, 3), np.uint8), np.arange(40) % 10
    np.savez(file, x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])


def stop_fresh_after_an_epoch() -> RunFolder:
    records = run(Experiment(fresh=True, **TINY))
    for record in records:
        if isinstance(record, EpochDone):
            records.close()
    return RunFolder(Experiment(**TINY).stages()[-1].folder)


# -- another data set under the same name --------------------------------------------------------------------------


@pytest.fixture
def exchanged():
    """A pre-training on one cifar10.npz, which is then another."""
    write_cifar(0)
    list(run(Experiment(stop_after="pretrain", **CIFAR)))
    write_cifar(1)
    return Experiment(**CIFAR)


def test_a_finished_stage_of_other_data_is_not_returned(exchanged):
    with pytest.raises(RelvitError, match="cifar10 has changed since"):
        list(run(Experiment(stop_after="pretrain", **CIFAR)))
    write_cifar(0)  # the same images in a file of another time
    assert list(run(Experiment(stop_after="pretrain", **CIFAR)))[-1].replayed


def test_probes_of_other_data_are_not_added(exchanged):
    folder = exchanged.stages()[0].folder
    before = (folder / "result.json").read_bytes()
    with pytest.raises(RelvitError, match="cifar10 has changed since"):
        list(run(Experiment(stop_after="pretrain", knn=3, **CIFAR)))
    assert (folder / "result.json").read_bytes() == before


def test_a_child_is_not_trained_on_other_data_than_its_parent(exchanged, monkeypatch):
    parent, child = exchanged.stages()
    monkeypatch.setattr(training, "_may_have_changed", lambda *_: False)  # as between the parent's replay and the child
    with pytest.raises(RelvitError, match=rf"cifar10 has changed since {parent.folder}"):
        list(run(exchanged))
    assert not child.folder.exists()


def test_an_unchanged_data_set_is_not_read_again(monkeypatch):
    write_cifar(0)
    list(run(Experiment(stop_after="pretrain", **CIFAR)))
    monkeypatch.setattr(training, "load_data", None)
    assert list(run(Experiment(stop_after="pretrain", **CIFAR)))[-1].replayed


def on_data(folder: Path, digest: str) -> None:
    file = folder / "result.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"data": {"name": "cifar10", "digest": digest}}))


def test_a_cell_of_two_data_sets_is_not_counted(tmp_path):
    cells = plan.cells("table2", "released", seeds=[0, 1], rows=["cifar10"])
    cell = next(cell for cell in cells if cell.column == "RelViT")
    for seed, folder in write_cell(tmp_path / "runs", cell, {0: 90.0, 1: 80.0}).items():
        on_data(folder, "ab"[seed] * 64)
    runs = collect([tmp_path / "runs"])
    assert aggregate(cell, runs).n == 0
    (note,) = [note for note in paper_table("table2", runs, cells).notes if "different images" in note]
    assert note.startswith("NOT COUNTED") and "seed 0 on aaaaaaaa" in note and "seed 1 on bbbbbbbb" in note
    assert paper_table("table2", runs, cells).seeds("released") == (0, 4)


def test_a_cell_is_not_compared_with_one_of_other_data(tmp_path):
    cells = plan.cells("table2", "released", seeds=[0], rows=["cifar10"])
    for cell, digest in zip(cells, ("a" * 64, "b" * 64)):
        on_data(write_cell(tmp_path / "runs", cell, {0: 90.0})[0], digest)
    made = paper_table("table2", collect([tmp_path / "runs"]), cells)
    ours = made.entries["cifar10", "RelViT"].ours["released"]
    assert ours.like.n == 1 and not ours.gain.n
    assert [note for note in made.notes if note.startswith("NOT COMPARED") and "aaaaaaaa" in note and "bbbb" in note]


def test_the_report_and_the_ablation_refuse_two_data_sets(tmp_path, monkeypatch):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "README.template.md").write_text("")
    records = [{"id": f"{k}", "data": {"name": "cifar10", "digest": digest}} for k, digest in enumerate("ab")]
    monkeypatch.setattr(report, "read_records", lambda _: {"0": {}})
    monkeypatch.setattr(report.Report, "used", lambda self: records)
    with pytest.raises(RelvitError, match="2 different sets of images"):
        report.write_readme(folder)
    cells = plan.cells("table4", "paper", [0, 1], columns="Finetuning", preset="demo", rows=["Supervised"])
    for seed, run_folder in write_cell(tmp_path / "runs", cells[0], {0: 90.0, 1: 80.0}).items():
        on_data(run_folder, "ab"[seed] * 64)
    with pytest.raises(RelvitError, match="different images under one name"):
        ablation.ours(seeds=(0, 1), records=tmp_path / "none")


# -- several versions in one run -----------------------------------------------------------------------------------


def test_a_stage_that_two_versions_trained_says_so_and_its_result_names_both(monkeypatch, smoke):
    smoke.stopped(**TINY)
    monkeypatch.setattr(environment, "commit", lambda: "another")
    records = list(run(Experiment(**TINY)))
    (note,) = [note for note in records[0].notes if "the numbers may differ" in note]
    assert "going on with commit another" in note
    made = records[-1].result["environment"]["versions"]
    assert len(made) == 2 and made[1]["commit"] == "another" and made[0]["commit"] != "another"
    assert made[0]["torch"] == torch.__version__ and made[0]["threads"] == 1


def test_threads_and_torch_count_as_versions():
    one = {"commit": "a", "torch": "2.14", "threads": 1, "precision": "float32"}
    for name, value in (("torch", "2.15"), ("threads", 2)):
        notes: list[str] = []
        assert environment.going_on([one], one | {name: value}, notes) == [one, one | {name: value}]
        assert f"{name} {one[name]}, going on with {name} {value}" in notes[0]
    notes = []
    assert (
        environment.going_on([one], one, notes) == [one] and environment.going_on([], one, notes) == [one] and not notes
    )


def test_one_version_is_not_listed(smoke):
    smoke.stopped(**TINY)
    records = list(run(Experiment(**TINY)))
    assert records[0].resumed and not [note for note in records[0].notes if "differ" in note]
    assert "versions" not in records[-1].result["environment"]


# -- fresh ---------------------------------------------------------------------------------------------------------


def test_fresh_and_then_the_same_command_goes_on(smoke):
    smoke.finished(**TINY)
    folder = stop_fresh_after_an_epoch()
    assert folder.result() is None  # what was there before is gone
    started, *_, ended = run(Experiment(fresh=True, **TINY))
    assert started.resumed == "epoch 2, step 3" or started.resumed.startswith("epoch 2")
    assert any("delete" in note for note in started.notes) and not ended.replayed
    again = list(run(Experiment(fresh=True, **TINY)))  # that run has ended: this is another
    assert again[0].resumed is None and not again[-1].replayed


def test_fresh_begins_anew_what_a_command_without_it_has_begun(smoke):
    smoke.stopped(**TINY)
    assert next(run(Experiment(fresh=True, **TINY))).resumed is None


def test_fresh_goes_on_with_the_second_stage_and_clears_what_was_there_of_it():
    two = TINY | {"scenario": "pretrain_finetune", "epochs": 1}
    list(run(Experiment(**two)))
    records = run(Experiment(fresh=True, **two))
    for record in records:  # stopped between its stages
        if isinstance(record, StageFinished):
            records.close()
    records = list(run(Experiment(fresh=True, **two)))
    first, second = (record for record in records if isinstance(record, StageFinished))
    assert first.replayed and not second.replayed


def test_fresh_leaves_alone_what_another_process_made_meanwhile(monkeypatch):
    list(run(Experiment(**TINY)))
    begun = time.time_ns()
    list(run(Experiment(fresh=True, **TINY)))
    monkeypatch.setattr(time, "time_ns", lambda: begun)  # as one that began first, and had to wait
    assert list(run(Experiment(fresh=True, **TINY)))[-1].replayed


def test_fresh_goes_on_past_a_damaged_checkpoint():
    folder = stop_fresh_after_an_epoch()
    (folder.path / "checkpoint.pt").write_bytes(b"damaged")
    started = next(run(Experiment(fresh=True, **TINY)))
    assert started.resumed is None and any("corrupt" in note for note in started.notes)


# -- damage --------------------------------------------------------------------------------------------------------


def test_every_error_of_a_checkpoints_reader_is_damage(tmp_path):
    """Random bytes, and a whole zip of random records."""
    import random
    import zipfile

    dice, file = random.Random(0), tmp_path / "checkpoint.pt"
    for _ in range(300):
        file.write_bytes(dice.randbytes(dice.randrange(400)))
        with pytest.raises(ValueError):
            load_state(file)
    for _ in range(100):
        with zipfile.ZipFile(file, "w") as archive:
            for name in ("archive/data.pkl", "archive/version", "archive/data/0", "archive/byteorder"):
                archive.writestr(name, dice.randbytes(dice.randrange(200)))
        with pytest.raises(ValueError):
            load_state(file)


def test_flipped_numbers_in_a_checkpoint_are_noticed(tmp_path):
    import random

    dice, file = random.Random(0), tmp_path / "checkpoint.pt"
    torch.save({"stage": "x", "model": {"a": torch.randn(1000)}}, file)
    whole = file.read_bytes()
    place = whole.index(load_state(file)["model"]["a"].numpy().tobytes())
    for _ in range(50):
        changed = bytearray(whole)
        changed[place + dice.randrange(4000)] ^= dice.randrange(1, 256)
        file.write_bytes(changed)
        with pytest.raises(ValueError):
            load_state(file)


def test_flipped_numbers_in_weights_are_noticed_wherever_they_are_read():
    two = TINY | {"scenario": "pretrain_finetune", "epochs": 1}
    list(run(Experiment(stop_after="pretrain", **two)))
    first, _ = Experiment(**two).stages()
    file = first.folder / "model.safetensors"
    changed = bytearray(file.read_bytes())
    changed[-100] ^= 1
    file.write_bytes(changed)
    uses = {
        "load": lambda: load(first.id),
        "a child": lambda: list(run(Experiment(**two))),
        "init_from": lambda: list(run(Experiment(init_from=first.id, **two))),
        "probes": lambda: list(run(Experiment(stop_after="pretrain", knn=3, **two))),
    }
    for name, use in uses.items():
        with pytest.raises(RelvitError, match=r"model\.safetensors cannot be read \(it has changed"):
            use()
            pytest.fail(name)


# -- what the machine runs out of ----------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("size", [1, 1000, 1_000_000])
def test_a_full_disk_shows_as_one_whatever_the_size(tmp_path, size):
    """torch's writer has an error of its own; a small file is refused only where it is closed."""
    (tmp_path / "checkpoint.pt.partial").symlink_to("/dev/full")
    with pytest.raises(RelvitError, match=rf"{tmp_path}.*no space left"):
        RunFolder(tmp_path).save_checkpoint({"stage": "x", "a": torch.zeros(size)})


def test_a_full_disk_is_not_tried_again_by_a_sweep(tmp_path):
    error = RelvitError("there is no space left")
    error.ename, error.evalue = "RelvitError", str(error)
    _judge(tmp_path, error, False, None)
    assert read_failure(tmp_path)["again"] is False


def test_a_disk_without_inodes_says_that(tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(full))
    real = os.statvfs(tmp_path)
    stat = type("Stat", (), {"f_files": 100, "f_favail": 0, "f_bavail": max(real.f_bavail, 1)})
    monkeypatch.setattr(os, "statvfs", lambda _: stat)
    with pytest.raises(RelvitError, match=r"no inodes are left.*goes on from the last checkpoint"):
        RunFolder(tmp_path).write("x", lambda path: path.touch())


@pytest.mark.parametrize(
    "error, says",
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you "
                      "tried to allocate 99 bytes. Error code 12 (Cannot allocate memory)"), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "not enough memory"),
        (OSError(errno.EMFILE, "Too many open files"), "too many files are open"),
        (RuntimeError("can't start new thread"), "no further thread"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "not enough memory"),
    ],
)  # fmt: skip
def test_what_is_lacking_is_a_line(monkeypatch, capsys, error, says):
    def step(*_, **__):
        raise error

    monkeypatch.setattr(training.Training, "train_step", step)
    with pytest.raises(RelvitError, match=says):
        list(run(Experiment(**TINY)))
    assert cli.main(["train", *(word for name, value in TINY.items() for word in (f"--{name}", str(value)))]) == 1
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_other_errors_are_not_taken_for_a_shortage():
    assert shortage(RuntimeError("shapes differ")) is None and shortage(OSError(errno.ENOENT, "none")) is None


def test_memory_that_is_not_there_for_real():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert "not enough memory" in shortage(caught.value)


# -- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("as_in_a_terminal")
@pytest.mark.parametrize("number", signals.ENDING)
def test_ending_signals_leave_a_checkpoint(monkeypatch, number):
    monkeypatch.setattr(clock, "SHOW_EVERY", 0.0)
    before = signal.getsignal(number)
    with pytest.raises(signals.Terminated) as caught:
        for record in run(Experiment(**TINY)):
            if isinstance(record, StepDone) and record.step == 2:
                os.kill(os.getpid(), number)
    assert caught.value.code == 75 and signal.getsignal(number) == before
    (stage,) = Experiment(**TINY).stages()
    assert RunFolder(stage.folder).checkpoint(stage.id)["step"] >= 2


def test_a_hangup_that_is_ignored_stays_ignored():
    """nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.Signals() as held:
            os.kill(os.getpid(), signal.SIGHUP)
            assert held.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def papermill(home: Path, out: str, **fields) -> subprocess.Popen:
    words = [word for name, value in fields.items() for word in ("-p", name, str(value))]
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / "04_train.ipynb"), str(home / out), *words]
    return subprocess.Popen(
        [*command, "--log-output"], cwd=home, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=(home / f"{out}.log").open("w"), env=os.environ | {"RELVIT_HOME": str(home)},
        preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),  # ignored under nohup
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_plain_papermill_that_is_ended_leaves_a_checkpoint(tmp_path, number):
    """In its first epoch, before any checkpoint is due: papermill dies at once, and its kernel, which is another
    session's and gets no signal, notices that it is gone."""
    fields = {"preset": "smoke", "scenario": "supervised", "epochs": 50, "batch_size": 1, "backbone": "vit_nano"}
    process = papermill(tmp_path, "out.ipynb", **fields, train_images=1297)
    end = time.monotonic() + 300
    try:
        while "measured:" not in (tmp_path / "out.ipynb.log").read_text():  # some steps are done
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        (folder,) = (tmp_path / "runs").iterdir()
        assert not (folder / "checkpoint.pt").exists()
        process.send_signal(number)
        process.wait(timeout=60)
    finally:
        process.kill()
    while not (folder / "checkpoint.pt").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    with RunFolder(folder).lock(wait=True):  # the kernel has ended
        assert 0 < RunFolder(folder).checkpoint(folder.name)["step"] < 1297


@pytest.mark.slow
def test_three_papermill_jobs_that_need_one_pre_training(tmp_path):
    """One trains it, the others say that they wait, and all end with a result."""
    fields = {"preset": "smoke", "epochs": 60, "train_images": 400}
    shares = (1.0, 0.5, 0.25)
    jobs = [papermill(tmp_path, f"{k}.ipynb", **fields, label_fraction=share) for k, share in enumerate(shares)]
    assert [job.wait(timeout=900) for job in jobs] == [0, 0, 0]
    said = [(tmp_path / f"{k}.ipynb.log").read_text() for k in range(3)]
    assert sum("another process is training in" in text and "waiting for it" in text for text in said) == 2
    assert sum("pretrain: already done, replayed" in text for text in said) == 2
    assert len(list((tmp_path / "runs").glob("*/result.json"))) == 4
    assert all(isinstance(record, StageStarted | StageFinished | EpochDone) for record in run(Experiment(**fields)))
