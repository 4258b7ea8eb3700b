"""Whole sweeps, with the real notebook: killed with -9 and started again; all six data sets; failures."""

import contextlib
import json
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import dataset_fixtures
import pytest

from relvit_lab.paper.plan import cells as plan

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


class Project:
    """A folder with runs and data of its own, in which sweeps are started."""

    def __init__(self, home: Path):
        self.home, self.runs = home, home / "runs"
        home.mkdir(exist_ok=True)
        self.env = os.environ | {"RELVIT_HOME": str(home)}

    def start(self, *targets: str, cores: int = 2, **config: object) -> subprocess.Popen:
        words = [f"{name}={value}" for name, value in {"notebook": ROOT / "notebooks/04_train.ipynb", **config}.items()]
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "workflow/Snakefile"), "--cores", str(cores)]
        out = (self.home / "sweep.log").open("a")
        return subprocess.Popen(
            [*command, *targets, "--config", *words], cwd=self.home, stdout=out, stderr=out, env=self.env
        )

    def sweep(self, *targets: str, **config: object) -> tuple[int, str]:
        """To its end: the exit code, and all that was said."""
        before = self.said()
        code = self.start(*targets, **config).wait(timeout=3000)
        return code, self.said().removeprefix(before)

    def said(self) -> str:
        log = self.home / "sweep.log"
        return log.read_text() if log.exists() else ""

    def results(self) -> dict[str, tuple]:
        """What a finished stage's result.json is, times of training included: (inode, bytes)."""
        files = self.runs.glob("*/result.json")
        return {file.parent.name: (file.stat().st_ino, file.read_bytes()) for file in files}

    def numbers(self) -> dict[str, tuple]:
        """All that came out of each stage, times aside: metrics, curves and the weights' bytes."""
        found = {}
        for file in self.runs.glob("*/result.json"):
            lines = [json.loads(line) for line in (file.parent / "metrics.jsonl").read_text().splitlines()]
            curves = [{name: value for name, value in line.items() if name != "timing"} for line in lines]
            weights = (file.parent / "model.safetensors").read_bytes()
            found[file.parent.name] = (json.loads(file.read_text())["metrics"], curves, weights)
        return found

    def processes(self, kind: str) -> list[int]:
        """Our own: "job" (relvit_lab.paper.plan.job) or "kernel", whose parent is a job."""
        command = ["ps", "-ww", "-eo", "pid=,ppid=,args="]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = [line.split(None, 2) for line in listed.splitlines()]
        found = [row for row in found if len(row) == 3 and " -c " not in row[2]]  # not the shells around them
        jobs = [pid for pid, _, words in found if "-m relvit_lab.paper.plan.job" in words and str(self.runs) in words]
        kernels = [pid for pid, parent, words in found if parent in jobs and "ipykernel" in words]
        return [int(pid) for pid in (jobs if kind == "job" else kernels)]


LONG = {
    "preset": "smoke", "dataset": "digits", "seeds": "[0]", "recipes": "released", "epochs": 16, "train_images": 400,
    "checkpoint_minutes": 0.002, "rows": '["PE off, no shuffle", "PE on, shuffle"]',
}  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, tuple]:
    project = Project(tmp_path_factory.mktemp("undisturbed"))
    code, said = project.sweep("figure4", **LONG)
    assert code == 0, said
    return project.numbers()


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_moments_it_ends_with_the_same_bits_and_repeats_nothing(undisturbed, tmp_path, seed):
    project, draw = Project(tmp_path / "project"), random.Random(seed)
    finished, killed = {}, []
    for kind in draw.sample(["sweep", "job", "kernel"], 3):
        process = project.start("figure4", **LONG)
        moment, victims = None, []
        while process.poll() is None and (moment is None or time.monotonic() < moment or not victims):
            victims = project.processes("kernel" if kind == "kernel" else "job")
            if victims and moment is None:
                moment = time.monotonic() + draw.uniform(0, 15)
            time.sleep(0.1)
        finished |= project.results()
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ended a moment ago
                os.kill(process.pid if kind == "sweep" else draw.choice(victims), signal.SIGKILL)
                killed.append(kind)
            if kind != "sweep":  # the sweep goes on by itself: a while later it is killed as well
                time.sleep(draw.uniform(2, 6))
                process.kill()
        process.wait()
    assert len(killed) >= 2, "the sweep was over before it could be killed"
    code, said = project.sweep("figure4", **LONG)
    assert code == 0, said
    assert "4 of 4 stages have their result" in said
    after = project.results()
    assert {name: after[name] for name in finished} == finished  # not written again
    assert project.numbers() == undisturbed


def test_sigterm_to_a_job_and_to_its_kernel_leaves_a_checkpoint_that_is_gone_on_from(undisturbed, tmp_path):
    """As a scheduler ends a job: every process of it gets the signal."""
    project = Project(tmp_path / "project")
    fields = {name: value for name, value in LONG.items() if name in ("preset", "epochs", "train_images")}
    cells = plan.cells("figure4", ["released"], [0], dataset="digits", rows=["PE on, shuffle"], **fields)
    name, stage = next(iter(plan.stages(cells).items()))
    given = json.dumps(plan.job_fields(stage) | {"checkpoint_minutes": 5.0})
    command = [sys.executable, "-m", "relvit_lab.paper.plan.job", project.runs / name, "--fields", given]
    command = [*map(str, command), "--notebook", str(ROOT / "notebooks/04_train.ipynb")]
    env = project.env | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=env, cwd=project.home)
    while not (project.runs / name / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    for pid in (*project.processes("job"), *project.processes("kernel")):
        os.kill(pid, signal.SIGTERM)
    assert process.wait(timeout=120) == 75
    assert (project.runs / name / "checkpoint.pt").exists() and not (project.runs / name / "result.json").exists()
    assert subprocess.run(command, env=env, cwd=project.home).returncode == 0
    assert project.numbers()[name] == undisturbed[name]


def test_failures_do_not_stop_the_rest_and_say_where_they_are(tmp_path):
    """A data set that is missing, beside one that is there; and a loss that becomes NaN."""
    project = Project(tmp_path / "project")
    with pytest.MonkeyPatch.context() as patch:
        dataset_fixtures.build("cifar10", project.home / "data", patch)
        accept_fixtures(project)
    config = {"preset": "smoke", "seeds": "[0]", "recipes": "paper", "columns": '["Supervised"]'}
    code, said = project.sweep("table2", **config, rows='["cifar10", "svhn"]')
    assert code == 1
    assert "2 of 4 stages have their result" in said and "1 failed:" in said and "1 did not run to their end:" in said
    (failure,) = project.runs.glob("*/failure.json")
    assert failure.parent.name.startswith("svhn-supervised-")
    assert f"notebook: {failure.parent / 'notebook.ipynb'}" in said
    message = json.loads(failure.read_text())["message"]
    assert message in said and message in (failure.parent / "notebook.ipynb").read_text()
    assert f"waits for {failure.parent.name}" in said

    nan = Project(tmp_path / "nan")
    digits = {"preset": "smoke", "dataset": "digits", "seeds": "[0]", "recipes": "paper", "rows": '["Supervised"]'}
    code, said = nan.sweep("figure4", **digits, lr=10, clip=0, epochs=20, weight_decay=10)
    assert code == 1 and "1 failed:" in said
    assert "NaN or infinite at step" in said


def accept_fixtures(project: Project) -> None:
    """The checksums that the fixtures' builder has put in place here go to every kernel, through IPython's start-up."""
    from torchvision.datasets import CIFAR10, CIFAR100, SVHN, Flowers102

    from relvit_lab.data import flower102, tiny_imagenet

    values = {kind.__name__: (kind.train_list, kind.test_list, kind.meta) for kind in (CIFAR10, CIFAR100)}
    values |= {"svhn": SVHN.split_list, "flowers": Flowers102._file_dict, "flower102": flower102.MD5}
    values["tiny_imagenet"] = tiny_imagenet.MD5
    startup = project.home / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (project.home / "checksums.pickle").write_bytes(pickle.dumps(values))
    (startup / "checksums.py").write_text(f"""
import pickle
from torchvision.datasets import CIFAR10, CIFAR100, SVHN, Flowers102
from relvit_lab.data import flower102, tiny_imagenet
values = pickle.load(open({str(project.home / "checksums.pickle")!r}, "rb"))
for kind in (CIFAR10, CIFAR100):
    kind.train_list, kind.test_list, kind.meta = values[kind.__name__]
SVHN.split_list, Flowers102._file_dict, flower102.MD5 = values["svhn"], values["flowers"], values["flower102"]
tiny_imagenet.MD5 = values["tiny_imagenet"]
""")
    project.env["IPYTHONDIR"] = str(project.home / "ipython")


def test_the_whole_shape_in_under_twenty_minutes(tmp_path):
    """Figure 4, Table 2 in one recipe, slices of Tables 3, 4 and 5: both recipes, all six data sets."""
    project = Project(tmp_path / "project")
    with pytest.MonkeyPatch.context() as patch:
        for name in dataset_fixtures.COUNTS:
            dataset_fixtures.build(name, project.home / "data", patch)
        accept_fixtures(project)
    smoke = {"preset": "smoke"}
    sweeps = [
        ("table2", {"recipes": ["released"]}),
        ("figure4", {}),
        ("table3", {"columns": ["flower102"]}),
        ("table4", {"rows": ["Supervised", "ang+abspos", "sprel+abspos"]}),
        ("table5", {"columns": ["flower102 vit_s_32"], "rows": ["Supervised", "5", "3"]}),
    ]
    began, cpu = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    wanted = set()
    for table, chosen in sweeps:
        words = {name: json.dumps(value) for name, value in chosen.items()}
        code, said = project.sweep(table, **smoke, seeds="[0]", **words)
        assert code == 0, said[-5000:]
        wanted |= set(plan.stages(plan.cells(table, seeds=[0], **smoke, **chosen)))
    seconds = time.monotonic() - began
    words = ["--preset", "smoke", "--seeds", "0", "--out", str(project.home / "tables")]
    command = [sys.executable, "-m", "relvit_lab", "tables", *words]
    subprocess.run(command, env=project.env, cwd=project.home, check=True, timeout=300)
    made = {path.name for path in (project.home / "tables").iterdir()}
    assert {f"table{n}.{kind}" for n in (1, 2, 3, 4, 5) for kind in ("md", "tex", "csv", "html")} <= made
    assert {"figure4_released.svg", "figure4_paper.svg"} <= made
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime
    print(f"{len(wanted)} stages in {seconds / 60:.1f} minutes, {busy / 60:.1f} minutes of CPU time")
    assert set(project.results()) == wanted
    results = [json.loads(file.read_text()) for file in project.runs.glob("*/result.json")]
    assert {result["experiment"]["dataset"] for result in results} == set(plan.DATASETS)
    assert busy < 2 * 20 * 60  # on two cores; the wall clock is another's where other programs run
