"""A job of the sweep, devices, the Snakefile's dry runs and locks, merging. Long runs are in test_sweep_kills.py."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import forked
import nbformat
import pytest
import torch
from filelock import FileLock
from safetensors.torch import save

from relvit_lab import __main__ as cli
from relvit_lab.common.errors import RelvitError
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.plan import job as sweep
from relvit_lab.paper.plan.gpus import devices
from relvit_lab.paper.plan.sweep import Sweep
from relvit_lab.paper.records.merge import merge

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = """
import json, os, signal, sys, time
from pathlib import Path
folder = Path(folder)
with (folder / "log").open("a") as log:
    log.write(f"{os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
if do == "mend":
    from relvit_lab.common.errors import RelvitError
    raise RelvitError("there is no data set here: fetch it\\nand more")
if do == "bug":
    raise ValueError("shapes differ")
if do == "die":
    os.kill(os.getpid(), signal.SIGKILL)
if do == "train":
    from relvit_lab.common.signals import Signals, end_by
    with Signals() as signals:
        (folder / "started").touch()
        while not signals.received:
            time.sleep(0.02)
        time.sleep(0.3)
        (folder / "checkpoint.pt").touch()
        end_by(signals.received, folder)
if do != "nothing":
    time.sleep(seconds)
    (folder / "result.json").write_text("{}")
if do == "late":
    raise ValueError("no figure")
"""  # a notebook that only behaves like a stage, so that a job costs its kernel's start and no more


@pytest.fixture
def notebook(tmp_path) -> Path:
    cells = [nbformat.v4.new_code_cell("seconds = 0", metadata={"tags": ["parameters"]})]
    cells.append(nbformat.v4.new_code_cell(STAND_IN))
    file = tmp_path / "stand_in.ipynb"
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), file)
    return file


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "runs" / "stage").mkdir(parents=True)
    return tmp_path / "runs" / "stage"


def job(folder: Path, notebook: Path, do: str, attempt: int = 1, env: dict | None = None, **fields) -> subprocess.Popen:
    given = json.dumps({"folder": str(folder), "do": do, "device": "cpu"} | fields)
    command = [sys.executable, "-m", "relvit_lab.paper.plan.job", folder, "--notebook", notebook, "--fields", given]
    return subprocess.Popen(
        [*map(str, command), "--attempt", str(attempt)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | (env or {}),
    )  # fmt: skip


def job_here(folder: Path, notebook: Path, attempt: int = 1) -> int:
    """The same in this process, where what the kernel does is not the point."""
    return sweep.run_job(folder, {"folder": str(folder), "do": "finish", "device": "cpu"}, notebook, attempt)


@pytest.fixture
def no_kernel(monkeypatch):
    """A notebook that ends with a result, and no kernel for it."""

    def execute(notebook, out, fields, termination):
        Path(fields["folder"], "result.json").write_text("{}")

    monkeypatch.setattr(sweep, "_execute", execute)


def ended(process: subprocess.Popen) -> tuple[int, str]:
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def wait_for(file: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not file.exists():
        assert time.monotonic() < end, f"{file} did not come"
        time.sleep(0.02)


# A job


def test_a_job_ends_with_a_result_and_does_not_run_again(folder, notebook, capsys):
    (folder / "checkpoint.pt").touch()
    assert ended(job(folder, notebook, "finish"))[0] == 0
    assert (folder / "notebook.ipynb").exists() and not (folder / "failure.json").exists()
    assert not (folder / "checkpoint.pt").exists()  # it has served
    assert job_here(folder, notebook) == 0 and "done already" in capsys.readouterr().out
    assert len((folder / "log").read_text().splitlines()) == 1


def test_a_failure_that_a_person_has_to_mend_keeps_its_notebook_and_is_not_tried_again_in_this_sweep(
    folder, notebook, no_kernel, capsys
):
    code, said = ended(job(folder, notebook, "mend"))
    assert code == 1 and "there is no data set here: fetch it" in said
    failure = sweep.read_failure(folder)
    assert failure["message"] == "there is no data set here: fetch it" and failure["kind"] == "RelvitError"
    text = (folder / "notebook.ipynb").read_text()
    assert "there is no data set here" in text
    assert job_here(folder, notebook, attempt=2) == 1 and "not tried again" in capsys.readouterr().out
    assert (folder / "notebook.ipynb").read_text() == text
    assert job_here(folder, notebook) == 0  # the next sweep
    assert sweep.read_failure(folder) is None


def test_a_kernel_that_dies_is_a_failure_that_is_tried_again(folder, notebook, no_kernel):
    assert ended(job(folder, notebook, "die"))[0] == 1
    assert sweep.read_failure(folder)["again"]
    assert job_here(folder, notebook, attempt=2) == 0


def test_tries_come_to_an_end(folder):
    error = ValueError("shapes differ")
    for again in (True, True, False):
        assert sweep._judge(folder, error, False, sweep.read_failure(folder)) == 1
        assert sweep.read_failure(folder)["again"] == again
    assert sweep.read_failure(folder)["message"] == "ValueError: shapes differ"


def test_the_result_alone_is_the_sign_of_success(folder, notebook):
    code, said = ended(job(folder, notebook, "late"))
    assert code == 0 and "ValueError: no figure" in said
    (folder / "result.json").unlink()
    assert sweep._judge(folder, None, False, None) == 1
    assert sweep.read_failure(folder)["message"] == "the notebook ended without a result"


def test_sigterm_reaches_the_kernel_which_writes_a_checkpoint(folder, notebook):
    """Twice, as from a scheduler that signals every process and a runner that passes it on."""
    process = job(folder, notebook, "train")
    wait_for(folder / "started")
    process.terminate()
    time.sleep(0.1)
    process.terminate()
    code, said = ended(process)
    assert code == 75 and "terminated" in said
    assert (folder / "checkpoint.pt").exists() and not (folder / "failure.json").exists()


def test_two_jobs_at_one_stage_take_turns(folder, notebook, capsys):
    first = job(folder, notebook, "finish", seconds=2)
    wait_for(folder / "log")
    assert job_here(folder, notebook) == 0
    said = capsys.readouterr().out
    assert "another sweep is at this stage" in said and "done already" in said
    assert ended(first)[0] == 0 and len((folder / "log").read_text().splitlines()) == 1


def test_a_job_waits_for_who_trains_the_stage_itself(folder, notebook):
    lock = FileLock(folder / "lock")
    with lock:
        process = job(folder, notebook, "finish")
        assert "another process is at this stage" in process.stdout.readline()
        time.sleep(0.5)
        assert process.poll() is None and not (folder / "log").exists()
        (folder / "result.json").write_text("{}")
    code, said = ended(process)
    assert code == 0 and "done already" in said and not (folder / "log").exists()


# Devices


def test_devices_of_the_variable(monkeypatch):
    monkeypatch.setenv("RELVIT_DEVICES", "0, GPU-x,")
    assert devices() == ("0", "GPU-x")
    monkeypatch.setenv("RELVIT_DEVICES", "")
    assert devices() == ()


def test_devices_that_nvidia_smi_names_by_uuid(tmp_path, monkeypatch):
    monkeypatch.delenv("RELVIT_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0, GPU-aa\\n1, GPU-bb\\n2, GPU-cc\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert devices() == ("GPU-aa", "GPU-bb", "GPU-cc")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-aa")
    assert devices() == ("GPU-cc", "GPU-aa")
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert devices() == ()


HOLD = """
import os, sys, time
from relvit_lab.paper.plan.gpus import one_device
with one_device() as name:
    held = os.path.join(sys.argv[1], name)
    fd = os.open(held, os.O_CREAT | os.O_EXCL)  # fails where another has it
    print(name, flush=True)
    time.sleep(float(sys.argv[2]))
    os.unlink(held)
"""


def holder(folder: Path, seconds: float) -> subprocess.Popen:
    env = os.environ | {"RELVIT_DEVICES": "fake:0,fake:1", "TMPDIR": str(folder)}
    (folder / "held").mkdir(exist_ok=True)
    command = [sys.executable, "-c", HOLD, str(folder / "held"), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def test_no_two_processes_share_a_device(tmp_path):
    said = [ended(process) for process in [holder(tmp_path, 0.3) for _ in range(6)]]
    assert [code for code, _ in said] == [0] * 6
    names = [text.splitlines()[-1] for _, text in said]
    assert set(names) == {"fake:0", "fake:1"}
    assert any("all 2 devices are taken" in text for _, text in said)


def test_a_device_is_free_when_its_holder_was_killed(tmp_path):
    first, second = holder(tmp_path, 60), holder(tmp_path, 60)
    names = {process.stdout.readline().strip() for process in (first, second)}
    assert names == {"fake:0", "fake:1"}
    first.kill()
    first.wait()
    for file in (tmp_path / "held").iterdir():
        file.unlink()
    assert ended(holder(tmp_path, 0))[0] == 0
    second.kill()
    second.wait()


def test_a_job_hands_its_device_to_the_kernel(folder, notebook, tmp_path):
    env = {"RELVIT_DEVICES": "fake0,fake1", "TMPDIR": str(tmp_path)}
    stages = [folder, tmp_path / "runs" / "other"]
    stages[1].mkdir()
    jobs = [job(stage, notebook, "finish", env=env, device="auto", seconds=2) for stage in stages]
    assert [ended(process)[0] for process in jobs] == [0, 0]
    assert {(stage / "log").read_text().strip() for stage in stages} == {"fake0", "fake1"}


# The workflow

ONE = {"preset": "smoke", "dataset": "digits", "seeds": "[0]", "recipes": "released"}  # of Figure 4


def snakemake(*words: str, cwd: Path, **config: str) -> tuple[int, str]:
    """Run the command. Returns its exit code and all that it said."""
    config = {"notebook": ROOT / "notebooks" / "04_train.ipynb"} | config
    command = ["-s", ROOT / "workflow" / "Snakefile", *words, "--config"]
    command += [f"{name}={value}" for name, value in config.items()]
    said = cwd / f"said-{len(list(cwd.glob('said-*')))}.txt"
    home = {"RELVIT_HOME": str(cwd)}
    process, _ = forked.begin(forked.snakemake, [*map(str, command)], environment=home, said=said, cwd=cwd)
    process.join(600)
    return process.exitcode, said.read_text()


def listed(text: str) -> list[dict[str, str]]:
    """The jobs of stages that a dry run printed: {"stage", "threads", "resources", "input"}."""
    jobs = []
    for part in re.split(r"^rule ", text, flags=re.MULTILINE)[1:]:
        lines = dict(re.findall(r"^    (\w+): (.*)$", part, re.MULTILINE))
        if "wildcards" in lines:
            jobs.append(lines | {"stage": lines["wildcards"].removeprefix("stage=")})
    return jobs


@pytest.mark.parametrize(
    "profile, threads, resources",
    [
        ("gpus", 4, ["gpu=1"]),
        ("slurm", 4, ["gpu=1", "runtime=720", "mem_mb=32000"]),
        ("kubernetes", 4, ["gpu=1", "gpu_manufacturer=nvidia", "scale=0", "mem_mb=32000"]),
    ],
)
def test_a_dry_run_prints_jobs_with_their_resources(tmp_path, profile, threads, resources):
    """The executors' plugins are no dependency: the local one stands in for them."""
    path = ROOT / "workflow" / "profiles" / profile
    words = ["-n", "--executor", "local"] if profile != "gpus" else ["-n"]
    code, said = snakemake("figure4", *words, "--profile", path, cwd=tmp_path, **ONE, rows='["PE off, no shuffle"]')
    assert code == 0, said
    cells = plan.cells("figure4", ["released"], [0], rows=["PE off, no shuffle"], preset="smoke", dataset="digits")
    stages = plan.stages(cells)
    jobs = listed(said)
    assert {one["stage"] for one in jobs} == set(stages) and len(jobs) == 2
    for one in jobs:
        assert one["threads"] == str(threads)
        assert set(resources) <= set(one["resources"].split(", "))
    (child,) = [one for one in jobs if "finetune" in one["stage"]]
    parent = next(name for name in stages if "pretrain" in name)
    assert child["input"].endswith(f"runs/{parent}/result.json")
    assert not (tmp_path / "runs").exists()


def test_the_profiles_name_their_executors():
    for name in ("slurm", "kubernetes"):
        assert f"executor: {name}" in (ROOT / "workflow" / "profiles" / name / "config.yaml").read_text()


def test_a_sweep_runs_to_its_end_and_again_runs_nothing(tmp_path):
    code, said = snakemake("figure4", "--cores", "2", cwd=tmp_path, **ONE, rows='["Supervised"]')
    assert code == 0, said
    assert f"1 of 1 stages have their result in {tmp_path / 'runs'}" in said
    (result,) = (tmp_path / "runs").glob("*/result.json")
    before = result.stat().st_mtime_ns
    os.utime(result, (1, 1))  # whatever times say
    code, said = snakemake("figure4", "--cores", "2", cwd=tmp_path, **ONE, rows='["Supervised"]')
    assert code == 0 and "1 of 1 stages" in said and "released_seed_0" not in said
    assert result.stat().st_mtime_ns == 10**9 < before
    assert (result.parent / "notebook.ipynb").exists()


WAITING = """
import os, time
from pathlib import Path
home = Path(os.environ["WAITING"])
(home / "started").touch()
while not (home / "go").exists():
    time.sleep(0.05)
next((home / "runs").glob("*/job.lock")).with_name("result.json").write_text("{}")
"""


def test_a_second_sweep_on_the_same_runs_refuses_while_the_first_runs(tmp_path, monkeypatch):
    """Two real sweeps, from two working folders, so that nothing but our own lock keeps them apart."""
    monkeypatch.setenv("WAITING", str(tmp_path))
    cells = [nbformat.v4.new_code_cell("", metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(WAITING)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), tmp_path / "waiting.ipynb")
    config = ONE | {"rows": '["Supervised"]', "run_dir": str(tmp_path / "runs"), "notebook": tmp_path / "waiting.ipynb"}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(snakemake, "figure4", "--cores", "1", cwd=tmp_path, **config)
        try:
            wait_for(tmp_path / "started", 240)
            second = snakemake("figure4", "--cores", "1", cwd=elsewhere, **config)
            assert not first.done()
        finally:
            (tmp_path / "go").touch()
    assert second[0] == 1, second[1]
    assert f"another sweep is running on {tmp_path / 'runs'}: wait until it has ended" in second[1]
    assert first.result()[0] == 0, first.result()[1]
    assert "1 of 1 stages have their result" in first.result()[1]


@pytest.mark.parametrize(
    "config, says",
    [
        ({"epoch": 3}, "unknown setting 'epoch' of the sweep: did you mean 'epochs'?"),
        ({"recipes": "publshed"}, "unknown recipe 'publshed'"),
        ({"seeds": "one"}, "seeds is 'one'"),
        ({"notebook": "none.ipynb"}, "there is no notebook"),
        ({"tasks": "sprel"}, "'tasks' is what makes a cell"),
    ],
)
def test_settings_are_checked(config, says):
    with pytest.raises(RelvitError, match=re.escape(says)):
        Sweep.create({"notebook": str(ROOT / "notebooks" / "04_train.ipynb"), **config})


@pytest.fixture
def small() -> Sweep:
    notebook = str(ROOT / "notebooks" / "04_train.ipynb")
    return Sweep.create({"preset": "smoke", "seeds": "0,1", "recipes": "paper,released", "notebook": notebook})


def test_passes_hold_every_stage_once_seed_0_first(small):
    passes = small.passes()
    assert list(passes)[::5] == ["released_seed_0", "paper_last_seeds"]
    assert sorted(name for names in passes.values() for name in names) == sorted(small.jobs)
    for turn, names in passes.items():
        seeds = {small.jobs[name].stage.experiment.seed for name in names}
        recipes = {small.jobs[name].stage.experiment.recipe for name in names}
        assert seeds == ({0} if turn.endswith("seed_0") else {1}) and recipes == {turn.split("_")[0]}


def test_parents_come_no_later_than_their_children(small):
    order = {name: turn for turn, names in enumerate(small.passes().values()) for name in names}
    assert all(order[small.parent(name)] <= order[name] for name in small.jobs if small.parent(name))


def test_missing_results_only_are_asked_for(small, tmp_path):
    names = small.of(["figure4"])
    assert len(small.missing(names)) == len(names)
    small.result(names[0]).parent.mkdir(parents=True)
    small.result(names[0]).write_text("{}")
    assert str(small.result(names[0])) not in small.missing(names) and len(small.missing(names)) == len(names) - 1
    assert small.missing([None]) == []


def test_profiles_set_the_threads_of_every_pass(small):
    import yaml

    for name in ("gpus", "slurm", "kubernetes"):
        text = (ROOT / "workflow" / "profiles" / name / "config.yaml").read_text()
        assert list(yaml.safe_load(text)["set-threads"]) == list(small.passes())


def test_summary_says_what_failed_and_what_waits(tmp_path):
    notebook = str(ROOT / "notebooks" / "04_train.ipynb")
    config = {"preset": "smoke", "seeds": "0,1", "recipes": "paper", "rows": "cifar10", "columns": "RelViT"}
    sweep = Sweep.create(config | {"notebook": notebook, "run_dir": str(tmp_path)})
    a, d, b, c = sweep.of(["table2"])  # of seed 0 both stages, of seed 1 both
    for name in (a, b):
        (tmp_path / name).mkdir()
    (tmp_path / a / "result.json").write_text("{}")
    failure = {"message": "the loss became NaN", "notebook": "notebook.ipynb"}
    (tmp_path / b / "failure.json").write_text(json.dumps(failure))
    first, second = (f"table2, cifar10, RelViT, paper, seed {seed}" for seed in (0, 1))
    assert sweep.summary(["table2"]).splitlines() == [
        f"1 of 4 stages have their result in {tmp_path}.",
        "1 failed:",
        f"  {b} ({second})",
        "    the loss became NaN",
        f"    notebook: {tmp_path / b / 'notebook.ipynb'}",
        "2 did not run to their end:",
        f"  {d} ({first}): the same command goes on with it",
        f"  {c} ({second}): waits for {b}",
    ]


# Merging


def made(run_dir: Path, stage: str, accuracy: float = 50.0, finished: bool = True, seconds: float = 1.0) -> Path:
    folder = run_dir / stage
    folder.mkdir(parents=True)
    line = {"epoch": 1, "train": {"loss": 2.0}, "test": {"accuracy": accuracy}, "timing": {"seconds": seconds}}
    (folder / "experiment.json").write_text("{}")
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    (folder / "model.safetensors").write_bytes(save({"w": torch.zeros(2)}))
    (folder / "lock").touch()
    if finished:
        result = {"stage": {"id": stage}, "metrics": {"accuracy": accuracy}, "timing": {"seconds": seconds}}
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_merge_copies_what_is_finished(tmp_path, capsys):
    made(tmp_path / "other", "one")
    made(tmp_path / "other", "two", finished=False)
    assert cli.main(["merge", str(tmp_path / "other"), "--run-dir", str(tmp_path / "runs")]) == 0
    assert capsys.readouterr().out == "1 copied\n1 not finished, left out\n"
    copied = {file.name for file in (tmp_path / "runs" / "one").iterdir()}
    assert copied - {"lock"} == {"experiment.json", "metrics.jsonl", "model.safetensors", "result.json"}
    assert not (tmp_path / "runs" / "two").exists()


def test_merge_notices_what_was_run_twice(tmp_path, capsys):
    kept = made(tmp_path / "runs", "one", seconds=1)
    made(tmp_path / "runs", "two", accuracy=50.0)
    made(tmp_path / "other", "one", seconds=99)
    made(tmp_path / "other", "two", accuracy=51.0)
    before = (kept / "result.json").read_bytes()
    assert cli.main(["merge", str(tmp_path / "other"), "--run-dir", str(tmp_path / "runs")]) == 1
    said = capsys.readouterr().out
    assert "1 here already, with the same numbers" in said and "1 here already, with other numbers" in said
    assert "run twice: two: result accuracy: 50.0 here, 51.0 there" in said
    assert (kept / "result.json").read_bytes() == before
    assert json.loads((tmp_path / "runs" / "two" / "result.json").read_text())["metrics"]["accuracy"] == 50.0


def test_a_finished_stage_takes_the_place_of_an_unfinished_one(tmp_path):
    own = made(tmp_path / "runs", "one", accuracy=10.0, finished=False)
    (own / "checkpoint.pt").touch()
    source = made(tmp_path / "other", "one", accuracy=60.0)
    (outcome,) = merge([source], tmp_path / "runs")  # the folder of one stage
    assert outcome.outcome == "copied" and (own / "result.json").exists() and not (own / "checkpoint.pt").exists()
    assert "60.0" in (own / "metrics.jsonl").read_text()


def test_merge_leaves_damaged_stages_out(tmp_path, capsys):
    (made(tmp_path / "other", "one") / "model.safetensors").unlink()
    (made(tmp_path / "other", "two") / "result.json").write_text("{")
    assert cli.main(["merge", str(tmp_path / "other"), "--run-dir", str(tmp_path / "runs")]) == 1
    said = capsys.readouterr().out
    assert "2 damaged" in said and "lacks model.safetensors" in said and "cannot be read" in said
    assert not list((tmp_path / "runs").glob("*/result.json"))


@pytest.mark.parametrize("source, says", [("nowhere", "holds no runs"), ("runs", "is in the run folder")])
def test_merge_says_what_cannot_be_merged(tmp_path, source, says):
    made(tmp_path / "runs", "one")
    with pytest.raises(RelvitError, match=says):
        list(merge([tmp_path / source], tmp_path / "runs"))


def test_signals_are_handed_back():
    before = signal.getsignal(signal.SIGTERM)
    with sweep.Termination():
        assert signal.getsignal(signal.SIGTERM) != before
        with pytest.raises(SystemExit) as end:  # before there is a kernel
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        assert end.value.code == 75
    assert signal.getsignal(signal.SIGTERM) == before
