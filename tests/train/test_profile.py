"""profile=True: what it measures, where it writes, and that it changes nothing; no waiting in a step."""

import gzip
import json
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from relvit_lab.__main__ import main
from relvit_lab.common.compute.choose_device import pick_device
from relvit_lab.common.compute.device import Device
from relvit_lab.common.compute.throughput import peak_tflops, product_tflops
from relvit_lab.show.profile_table import profile_table
from relvit_lab.train import profile as profiling
from relvit_lab.train.build import load_data
from relvit_lab.train.events import Note, StageFinished, StageStarted, StepDone
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.profile import PARTS, Profile, read_profile
from relvit_lab.train.state import Training
from relvit_lab.train.training import run

FIELDS = {"preset": "smoke", "scenario": "downstream_only", "epochs": 5, "device": "cpu"}  # 15 steps
CPU = Device(torch.device("cpu"), "float32")


@pytest.fixture(scope="module")
def profiled(tmp_path_factory) -> tuple[Path, list]:
    """A run with profile=True: the stage's folder and the records."""
    home = tmp_path_factory.mktemp("profiled")
    records = list(run(Experiment(profile=True, run_dir=str(home), **FIELDS)))
    return Path(records[-1].folder), records


def test_the_parts_make_up_the_step(profiled):
    folder, _ = profiled
    found = read_profile(folder)
    times = found["milliseconds"]
    assert tuple(times) == (*PARTS, "other", "step") and all(ms >= 0 for ms in times.values())
    assert min(times[part] for part in ("augmentation", "forward", "losses", "backward", "optimiser")) > 0
    assert sum(ms for name, ms in times.items() if name != "step") == pytest.approx(times["step"], rel=0.5)
    assert times["backward"] > times["data"]
    assert found["images"] == 32 and found["steps"] == profiling.TIMED and found["devices"] == 1
    assert found["images_per_second"] == pytest.approx(32e3 / times["step"])
    assert found["tflops"] == pytest.approx(found["gflop_per_image"] * found["images_per_second"] / 1e3)
    assert found["product"]["shape"] == [32 * (16 + 1), 96, 384] and found["product"]["tflops"] > 0
    assert found["product"]["share"] == pytest.approx(found["tflops"] / found["product"]["tflops"])
    assert found["peak"] is None and 100 < found["peak_memory_mib"] < 100_000


def test_the_trace_holds_the_parts(profiled):
    events = json.loads(gzip.decompress((profiled[0] / "trace.json.gz").read_bytes()))["traceEvents"]
    names = [event.get("name") for event in events if event.get("cat") == "user_annotation"]
    counts = {name: names.count(name) for name in PARTS}
    assert counts.pop("data") >= profiling.TRACED  # an epoch ends with a look for more
    assert counts == dict.fromkeys(PARTS[1:], profiling.TRACED)
    assert any(str(event.get("name")).startswith("aten::") for event in events)


def test_it_is_said_once_and_changes_nothing(profiled, tmp_path):
    folder, records = profiled
    assert len([r for r in records if isinstance(r, Note) and "profile.json" in r.text]) == 1
    plain = list(run(Experiment(run_dir=str(tmp_path), **FIELDS)))[-1]
    weights, others = (load_file(Path(f, "model.safetensors")) for f in (folder, plain.folder))
    assert plain.id == folder.name and all(torch.equal(weights[name], others[name]) for name in weights)
    assert not (Path(plain.folder) / "profile.json").exists()


def test_a_finished_stage_says_that_it_profiles_nothing(profiled):
    folder, _ = profiled
    started = next(run(Experiment(profile=True, run_dir=str(folder.parent), **FIELDS)))
    assert isinstance(started, StageStarted) and "fresh=True" in " ".join(started.notes)


def test_a_table_of_it(profiled):
    table = profile_table(read_profile(profiled[0]))
    assert [row[0] for row in table.rows] == [*PARTS, "other", "step"] and table.rows[-1][2] == "100.0"
    assert "images/s" in str(table) and "TFLOP/s" in str(table) and "peak memory" in str(table)


def test_the_command_prints_it(capsys):
    words = [f"--{name.replace('_', '-')}={value}" for name, value in FIELDS.items()]
    assert main(["train", *words, "--profile", "true"]) == 0
    said = capsys.readouterr().out
    assert said.index("Accuracy (%)") < said.index("part of a step") < said.index("backward")


@pytest.mark.parametrize("steps", range(1, 20))
def test_few_steps_are_enough(steps):
    """Some are timed however few there are, and none is asked for beyond the last."""
    profile = Profile(CPU, steps)
    done = []
    for _ in range(steps):
        with profile.part("data"), profile.part("forward"):
            pass
        done.append(profile.step_done(4))
    assert sum(done) == 1 and 1 <= len(profile.stamps) <= profiling.TIMED
    assert profile.milliseconds()[0] == 4


def test_a_part_is_timed_as_long_as_it_takes():
    profile = Profile(CPU, 40)
    while True:
        for part, seconds in (("data", 0.004), ("forward", 0.008)):
            with profile.part(part):
                time.sleep(seconds)
        time.sleep(0.002)
        if profile.step_done(8 if profile.done % 2 else 3):
            break
    images, times = profile.milliseconds()
    assert images == 8  # smaller batches do not count
    assert times["data"] >= 4 and times["forward"] >= 8 and times["other"] >= 2 and times["step"] >= 14
    assert times["backward"] == 0


def test_an_interrupt_ends_the_trace(monkeypatch):
    """Another could not begin beside it."""
    monkeypatch.setattr("relvit_lab.train.clock.SHOW_EVERY", 0.0)
    records = run(Experiment(profile=True, **FIELDS))
    for record in records:
        if isinstance(record, StepDone) and record.step == profiling.WARM_UP + profiling.TIMED + 1:
            records.close()  # within what is traced
            break
    ended = list(run(Experiment(profile=True, fresh=True, **FIELDS)))[-1]
    assert isinstance(ended, StageFinished) and (Path(ended.folder) / "trace.json.gz").exists()


@pytest.mark.parametrize(
    "name, precision, peak",
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4), ("NVIDIA H100 PCIe", "bf16", 756), ("NVIDIA H200", "float32", 67),
        ("NVIDIA A100-SXM4-80GB", "bf16", 312), ("NVIDIA L40S", "bf16", 362), ("NVIDIA L4", "bf16", 121),
        ("NVIDIA L40", "bf16", None), ("Some other GPU", "bf16", None),
    ],
)  # fmt: skip
def test_peaks_are_found_by_the_devices_name(monkeypatch, name, precision, peak):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert peak_tflops(Device(torch.device("cuda"), precision)) == peak
    assert peak_tflops(CPU) is None


def test_a_product_is_measured():
    rate = product_tflops(CPU, 64, 96, 384, seconds=0.02)
    assert 1e-4 < rate < 100


@contextmanager
def training(**fields):
    stage = Experiment(**FIELDS | fields).stages()[0]
    yield Training(stage, pick_device("cpu"), load_data(stage.experiment))


# -- nothing waits for a device within a step ------------------------------------------------------------------------


class Waits(TorchDispatchMode):
    """Notes operations that make the host wait for a GPU: it reads their result, or their size depends on values."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in ("_local_scalar_dense", "item", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2"):
            self.seen.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("tasks", ["sprel+dist+ang+abspos", "drloc"])
@pytest.mark.parametrize("more", [{}, {"backbone": "swin_t"}, {"backbone": "t2t_vit_14"}, {"shuffle": True}], ids=str)
def test_a_step_reads_nothing_from_the_device(monkeypatch, tasks, more):
    """No operation of a step asks for a value: on a GPU that would wait. (Draws are made and planned on the host.)"""
    monkeypatch.setattr(Device, "waits", True)
    with training(tasks=tasks, batch_size=4, train_images=8, **more) as t:
        t.optimizer = torch.optim.AdamW(t.parameters, fused=True)  # as on a GPU
        images, labels = next(t.train.batches(None, 4))
        t.train_step(images, labels)
        with Waits() as waits:
            t.train_step(images, labels)
    assert waits.seen == []


def test_the_check_above_notices_one_that_waits():
    with Waits() as waits:
        float(torch.ones(1).sum())
    assert waits.seen == ["_local_scalar_dense"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("more", [{}, {"mega_patches": 3, "scenario": "pretrain_finetune"}, {"shuffle": True}], ids=str)
def test_a_step_on_a_gpu_waits_for_nothing(more):
    stage = Experiment(**FIELDS | {"device": "cuda"} | more).stages()[0]
    t = Training(stage, pick_device("cuda"), load_data(stage.experiment))
    batches = t.train.batches(torch.randperm(96), 32)
    t.train_step(*next(batches))  # the first one allocates
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        t.train_step(*next(batches))
    finally:
        torch.cuda.set_sync_debug_mode("default")
