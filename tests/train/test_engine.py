"""How a stage computes: rules for precision, attention and compiling; compiled losses; kills of compiled bf16 runs."""

import copy
import functools
import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from relvit_lab.common.compute import choose_device, compiler, processor
from relvit_lab.common.compute.choose_device import passed_over
from relvit_lab.common.compute.device import Device, one_device
from relvit_lab.common.compute.processor import auto_precision, multiplies_bf16
from relvit_lab.common.errors import RelvitError
from relvit_lab.train import clock, engine
from relvit_lab.train.build import build_model, load_data
from relvit_lab.train.engine import fuses_attention, fuses_optimizer, worth_compiling
from relvit_lab.train.events import Note, StageFinished, StageStarted, StepDone
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.stage_folder import RunFolder
from relvit_lab.train.state import Training
from relvit_lab.train.training import run

CPU = torch.device("cpu")
SMALL = {"preset": "smoke", "scenario": "downstream_only", "train_images": 40, "test_images": 40, "seed": 3}  # 32 and 8


def training(precision: str = "float32", **fields) -> Training:
    stage = Experiment(**SMALL | fields).stages()[0]
    return Training(stage, one_device("cpu", precision), load_data(stage.experiment))


def steps(t: Training, count: int) -> list[float]:
    """The losses of so many steps on the same few batches."""
    losses, batches = [], list(t.train.batches(None, t.batch_size))
    for k in range(count):
        before = float(t.sums.get("loss", 0.0))
        images, labels = batches[k % len(batches)]
        t.train_step(images, labels)
        losses.append((float(t.sums["loss"]) - before) / len(labels))
    return losses


@pytest.fixture
def plain_backend(monkeypatch):
    """Traced, but run by torch's own kernels: nothing waits for a C++ compiler."""
    monkeypatch.setattr(engine, "BACKEND", "eager")
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


# -- precision -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags, expected",
    [
        ("fpu sse avx avx2 fma", False),  # AMD EPYC Milan
        ("avx2 avx512f avx512_vnni", False),
        ("avx2 avx512f avx512_bf16", True),
        ("avx512f avx512_bf16 amx_bf16 amx_tile amx_int8", True),
        ("amx_tile amx_int8", False),  # AMX, but not for bf16
        ("bf16 i8mm", False),  # ARM: not measured
        ("", False),
    ],
)
def test_bf16_is_for_processors_that_multiply_it(monkeypatch, flags, expected):
    flags = frozenset(flags.split())
    assert multiplies_bf16(flags) is expected
    monkeypatch.setattr(processor, "cpu_flags", lambda: flags)
    assert auto_precision(CPU) == one_device("cpu", "auto").precision == ("bf16" if expected else "float32")
    assert one_device("cpu", "float32").precision == "float32" and one_device("cpu", "bf16").precision == "bf16"
    assert auto_precision(torch.device("mps")) == "float32"


def test_the_processors_flags_are_read(monkeypatch):
    text = "processor\t: 0\nflags\t\t: fpu amx_bf16 avx2\n\nprocessor\t: 1\nflags\t\t: fpu amx_bf16 avx2\n"
    monkeypatch.setattr(Path, "read_text", lambda self, **_: text)
    assert processor.cpu_flags.__wrapped__() == {"fpu", "amx_bf16", "avx2"}

    def absent(self, **_):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    assert processor.cpu_flags.__wrapped__() == frozenset()


# -- attention and the optimiser -----------------------------------------------------------------------------------


def test_the_rule_of_attention():
    assert fuses_attention("cpu", "float32", False, 65)  # as the records were made
    assert not fuses_attention("cpu", "bf16", False, 65) and not fuses_attention("cpu", "float32", True, 197)
    assert fuses_attention("cpu", "bf16", True, 1025)
    assert all(fuses_attention("cuda", p, c, n) for p in ("float32", "bf16") for c in (True, False) for n in (65, 257))
    assert not fuses_optimizer("cpu", "float32", False) and fuses_optimizer("cpu", "bf16", False)
    assert fuses_optimizer("cuda", "float32", False) and not fuses_optimizer("mps", "float32", False)


@pytest.mark.parametrize("backbone", ["vit_nano", "swin_t", "t2t_vit_14", "timm:vit_tiny_patch16_224"])
@pytest.mark.parametrize("precision, fused", [("float32", True), ("bf16", False)])
def test_every_attention_of_a_backbone_follows_the_rule(backbone, precision, fused):
    """And the rule can be taken back: the choice of an earlier precision leaves nothing behind."""
    stage = Experiment(**SMALL | {"backbone": backbone}).stages()[0]
    model = build_model(stage, 10)
    for choice in ("bf16", "float32", precision):
        engine.set_up(model, CPU, choice, compiled=False)
    found = {module.fused_attn for module in model.modules() if hasattr(module, "fused_attn")}
    assert found == {fused}


@pytest.mark.parametrize("backbone", ["vit_nano", "swin_nano", "t2t_nano"])
def test_written_out_and_fused_attention_agree(backbone):
    stage = Experiment(**SMALL | {"backbone": backbone}).stages()[0]
    model = build_model(stage, 10).eval()
    size = stage.experiment.image_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    made = {}
    for precision in ("float32", "bf16"):
        engine.set_up(model, CPU, precision, compiled=False)  # the products stay in float32 here
        made[precision] = model(images).tokens
    torch.testing.assert_close(made["bf16"], made["float32"], atol=1e-5, rtol=1e-5)


def test_float32_uncompiled_is_as_it_was():
    """What records were made with: torch's fused attention, and AdamW weight by weight."""
    t = training(compile="auto")
    assert not t.model.compiled and not t.optimizer.defaults["fused"]
    assert all(module.fused_attn for module in t.model.modules() if hasattr(module, "fused_attn"))
    assert all(module._compiled_call_impl is None for module in t.model.modules())


# -- when to compile -----------------------------------------------------------------------------------------------


def stage_of(**fields):
    return Experiment(**{"dataset": "cifar10", "preset": "demo", "tasks": "sprel,abspos"} | fields).stages()[0]


def test_long_stages_are_compiled_and_short_ones_are_not():
    paper = {"preset": "paper", "backbone": "vit_s_4"}
    for precision in ("float32", "bf16"):
        assert not worth_compiling(stage_of(), 4_000, CPU, precision)  # demo: two minutes
        assert not worth_compiling(stage_of(preset="smoke"), 96, CPU, precision)
        assert worth_compiling(stage_of(**paper), 50_000, CPU, precision) == (precision == "bf16")
        assert not worth_compiling(stage_of(**paper, epochs=3), 320, CPU, precision)
    assert worth_compiling(stage_of(**paper), 50_000, torch.device("cuda"), "bf16")
    assert not worth_compiling(stage_of(preset="smoke"), 96, torch.device("cuda"), "bf16")
    assert not worth_compiling(stage_of(**paper), 50_000, torch.device("mps"), "float32")


def test_longer_is_worth_more():
    worth = [worth_compiling(stage_of(epochs=epochs), 50_000, CPU, "bf16") for epochs in (1, 3, 10, 30, 100, 300)]
    assert worth == sorted(worth) and worth[-1]


@pytest.mark.parametrize(
    "given, kept",
    [(True, "true"), (False, "false"), ("yes", "true"), ("0", "false"), (1, "true"), ("auto", "auto")],
)
def test_compile_is_a_choice_that_takes_booleans(given, kept):
    assert Experiment(compile=given).compile == kept
    assert Experiment(compile=given).stages()[0].id == Experiment().stages()[0].id


@pytest.mark.parametrize("given", ["atuo", 2, None, 0.5, ""])
def test_compile_takes_nothing_else(given):
    with pytest.raises(RelvitError, match="compile"):
        Experiment(compile=given)


def test_without_a_compiler_auto_goes_on_and_says_so(monkeypatch):
    monkeypatch.setattr(engine, "worth_compiling", lambda *_: True)
    monkeypatch.setattr(compiler, "missing_compiler", lambda _: "no C++ compiler: g++ or clang")
    started, *_, finished = run(Experiment(**SMALL, epochs=1))
    assert isinstance(started, StageStarted) and not started.compiled
    assert any("no C++ compiler" in note for note in started.notes)
    assert finished.result["environment"]["compiled"] is False


def test_the_compiler_is_looked_for(monkeypatch):
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def none():
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    assert "compiler" in compiler.missing_compiler(CPU)
    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", lambda: "g++")
    assert compiler.missing_compiler(CPU) == ""


@pytest.fixture
def broken(monkeypatch, tmp_path):
    """A compiler that fails when it is called."""
    from torch._inductor.exc import InvalidCxxCompiler

    def fails(self, *args, **kwargs):
        raise InvalidCxxCompiler

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    monkeypatch.setattr(compiler, "missing_compiler", lambda _: "")
    monkeypatch.setattr(engine, "worth_compiling", lambda *_: True)
    monkeypatch.setattr(
        nn.Module, "compile", lambda self, **_: object.__setattr__(self, "_compiled_call_impl", fails.__get__(self))
    )


def test_where_compiling_fails_auto_goes_on_uncompiled(broken):
    records = list(run(Experiment(**SMALL, epochs=1)))
    notes = [record.text for record in records if isinstance(record, Note)]
    assert notes[0].startswith("compiling") and "does not work here" in notes[1]
    assert records[-1].result["environment"]["compiled"] is False


def test_where_compiling_fails_and_was_asked_for_the_run_ends(broken):
    with pytest.raises(RelvitError, match=r"compile=True does not work here.*leave compile out"):
        list(run(Experiment(**SMALL, epochs=1, compile=True)))


# -- compiled ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"dropout": 0.1, "drop_path": 0.2}, {"tasks": "sprel,dist,ang,drloc"}], ids=str)
def test_a_compiled_step_is_that_of_plain_code(plain_backend, more):
    """With dropout and drop path too: they draw the same. The last, smaller batch (8 of 40) goes uncompiled."""
    plain, compiled = training(compile=False, **more), training(compile=True, **more)
    assert compiled.model.compiled and not plain.model.compiled
    assert steps(compiled, 4) == pytest.approx(steps(plain, 4), rel=2e-4)
    assert compiled.model.state_dict().keys() == plain.model.state_dict().keys()


def test_blocks_share_their_code(plain_backend):
    """Twelve take no longer to compile than four; each with a drop path rate of its own."""
    from torch._dynamo.utils import counters

    graphs = []
    for depth in (2, 6):
        torch._dynamo.reset()
        counters.clear()
        t = training(compile=True, drop_path=0.1)
        t.model.backbone.blocks = t.model.backbone.blocks[:2] if depth == 2 else _deeper(t.model.backbone.blocks)
        engine.set_up(t.model, CPU, "float32", True)
        steps(t, 1)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] == graphs[1]


def _deeper(blocks: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*blocks, *copy.deepcopy(list(blocks)[-2:]))


def test_twenty_steps_in_bf16_and_compiled_agree_with_float32(plain_backend):
    """To bf16's rounding: 8 bits, 0.4 % of a loss."""
    plain, fast = training(compile=False), training("bf16", compile=True)
    assert fast.device.precision == "bf16" and not any(
        module.fused_attn for module in fast.model.modules() if hasattr(module, "fused_attn")
    )
    assert steps(fast, 20) == pytest.approx(steps(plain, 20), rel=2**-7)


def killed_and_resumed(run_dir: str, kills: int, **fields) -> StageFinished:
    """The run's records end that many times, at seeded steps, and it goes on."""
    dice, e = random.Random(0), Experiment(**SMALL | {"run_dir": run_dir} | fields)
    stops = [1] * (kills - 2) + [dice.randint(2, 4) for _ in range(2)]
    for stop in stops:
        records = run(e)
        for record in records:
            if isinstance(record, StepDone) and (stop := stop - 1) < 0:
                records.close()
                break
    return list(run(e))[-1]


def same(one: StageFinished, other: StageFinished) -> bool:
    weights = [load_file(Path(stage.folder) / "model.safetensors") for stage in (one, other)]
    return one.result["metrics"] == other.result["metrics"] and all(
        torch.equal(weights[0][name], weights[1][name]) for name in weights[0]
    )


@pytest.mark.long
def test_a_compiled_bf16_run_goes_on_to_the_same_bits(plain_backend, monkeypatch):
    """auto decided when the stage began: a later process, for which it would not be worth it, follows."""
    monkeypatch.setattr(clock, "SHOW_EVERY", 0.0)
    choice = {"precision": "bf16", "dropout": 0.1, "epochs": 4}
    monkeypatch.setattr(engine, "worth_compiling", lambda *_: True)
    whole = list(run(Experiment(**SMALL, **choice, run_dir="whole")))[-1]
    assert whole.result["environment"]["compiled"] is True and whole.result["timing"]["compiling"] > 0
    asked = iter([True])
    monkeypatch.setattr(engine, "worth_compiling", lambda *_: next(asked, False))
    pieces = killed_and_resumed("pieces", 2, **choice)
    assert pieces.result["environment"]["compiled"] is True
    assert same(whole, pieces)


def test_going_on_as_it_was_not_begun_says_so(plain_backend, monkeypatch):
    monkeypatch.setattr(clock, "SHOW_EVERY", 0.0)
    records = run(Experiment(**SMALL, compile=False, precision="float32"))
    for record in records:
        if isinstance(record, StepDone):
            records.close()
            break
    started = next(run(Experiment(**SMALL, compile=True, precision="float32")))
    assert any("begun in float32, going on in float32, compiled" in note for note in started.notes)
    assert not any("begun" in note for note in next(run(Experiment(**SMALL))).notes)


def test_a_checkpoint_from_before_goes_on_as_it_was_made(plain_backend, monkeypatch):
    """Of an earlier version, whose checkpoints say nothing of compiling: on a processor that would now take bf16."""
    monkeypatch.setattr(clock, "SHOW_EVERY", 0.0)
    monkeypatch.setattr(processor, "cpu_flags", frozenset)
    records = run(Experiment(**SMALL))
    for record in records:
        if isinstance(record, StepDone):
            records.close()
            break
    (stage,) = Experiment(**SMALL).stages()
    folder = RunFolder(stage.folder)
    state = folder.checkpoint(stage.id)
    del state["compiled"]
    folder.save_checkpoint(state)
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset({"amx_bf16"}))
    monkeypatch.setattr(engine, "worth_compiling", lambda *_: True)
    *_, finished = run(Experiment(**SMALL))
    made = finished.result["environment"]
    assert (made["precision"], made["compiled"]) == ("float32", False)


COMMAND = [sys.executable, "-m", "relvit_lab", "train", "--precision", "bf16", "--compile", "true"]


@pytest.mark.slow  # ten processes, each with a C++ compiler at first
def test_ten_kills_of_a_compiled_bf16_run(tmp_path, monkeypatch):
    """SIGKILL at any moment, while it compiles too: the same bits as without, and as with another cache."""
    words = [word for name, value in (SMALL | {"epochs": 60}).items() for word in (f"--{name}", str(value))]

    def started(run_dir: str, cache: str) -> subprocess.Popen:
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / cache)}
        command = [*COMMAND, *words, "--run-dir", str(tmp_path / run_dir), "--checkpoint-minutes", "0"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)

    began = time.monotonic()
    whole = started("whole", "one")
    said, _ = whole.communicate(timeout=1800)
    took = time.monotonic() - began  # so that kills fall into all parts of a run, on a busy machine, too
    assert whole.returncode == 0 and "compiling" in said, said
    dice = random.Random(1)
    for _ in range(10):
        process = started("pieces", "two")
        try:
            process.communicate(timeout=dice.uniform(0.1, 0.6) * took)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    last = started("pieces", "two")
    said, _ = last.communicate(timeout=1800)
    assert last.returncode == 0, said
    one, other = (next((tmp_path / name).iterdir()) for name in ("whole", "pieces"))
    lines = [[json.loads(line) for line in (f / "metrics.jsonl").read_text().splitlines()] for f in (one, other)]
    for line in [*lines[0], *lines[1]]:
        line.pop("timing")
    assert lines[0] == lines[1]
    weights = [load_file(folder / "model.safetensors") for folder in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    for code in (tmp_path / "one").rglob("*.so"):
        code.write_bytes(b"")  # as a process leaves it that is killed while the linker writes
    again = started("again", "one")
    said, _ = again.communicate(timeout=1800)
    assert again.returncode == 0, said


@pytest.mark.slow  # calls the C++ compiler
@pytest.mark.parametrize("backbone", ["vit_nano", "swin_nano", "t2t_nano"])
def test_code_of_the_compiler_agrees_with_plain_code(tmp_path, monkeypatch, backbone):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    more = {"backbone": backbone, "drop_path": 0.1, "batch_size": 16, "train_images": 40}
    plain = steps(training(compile=False, **more), 3)
    torch._dynamo.reset()
    t = training(compile=True, **more)
    assert t.compile() == "" and steps(t, 3) == pytest.approx(plain, rel=1e-3)
    assert list((tmp_path / "compiled").rglob("*.so"))


# -- Apple's GPUs --------------------------------------------------------------------------------------------------


def test_auto_stays_on_the_cpu_of_a_mac_and_says_that_mps_is_there(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", functools.cache(lambda: True))  # it asks for __wrapped__
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device.pick_device("auto").torch.type == "cpu"
    assert "device mps" in " ".join(passed_over("auto")) and passed_over("cpu") == ()
    started = next(run(Experiment(**SMALL, epochs=1)))
    assert any("device mps" in note for note in started.notes)
    monkeypatch.setattr(torch.backends.mps, "is_available", functools.cache(lambda: False))
    assert passed_over("auto") == ()


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="needs a machine without it")
def test_mps_that_is_not_there_is_an_error_that_says_what_to_take():
    with pytest.raises(RelvitError, match=r"device 'mps'.*take auto, cpu"):
        choose_device.pick_device("mps")


def test_sums_on_mps_are_float32():
    assert Device(torch.device("mps"), "float32").sums == torch.float32
    assert Device(CPU, "float32").sums == torch.float64


@pytest.mark.skipif(not torch.backends.mps.is_available(), reason="needs a Mac with a GPU")
@pytest.mark.parametrize("more", [{}, {"mega_patches": 2, "scenario": "pretrain_finetune"}, {"tasks": "drloc"}])
def test_a_stage_on_mps(more):
    finished = list(run(Experiment(**SMALL | {"device": "mps", "epochs": 1} | more)))[-1]
    assert math.isfinite(finished.result["metrics"]["loss"])


@pytest.mark.parametrize(
    "name, said",
    [("gpu", "did you mean 'cuda'"), ("0", "did you mean 'cuda'"), ("metal", "did you mean 'mps'"),
     ("cdua:1", "did you mean 'cuda'"), ("xla", "known: auto, cpu, cuda, mps"), ("", "known: auto")],
)  # fmt: skip
def test_a_device_by_another_name(name, said):
    with pytest.raises(RelvitError, match=f"unknown device '{name}': {said}"):
        choose_device.pick_device(name)
    assert choose_device.pick_device("CPU").torch.type == "cpu"
