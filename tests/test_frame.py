"""The frame: what is declared, installed and committed, and that importing the package stays light."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_NAMES = {"pytorch": "torch"}  # where conda-forge calls a package differently
HEAVY = ("torchvision", "timm", "matplotlib", "sklearn", "scipy", "pandas", "IPython", "ipywidgets", "papermill")


def declared() -> dict[str, Requirement]:
    """All that pyproject.toml asks for, dev included, by canonical name."""
    lines = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def pinned() -> dict[str, str]:
    """The versions of constraints.txt, by canonical name. A line that is not name==version[; marker] is an error."""
    versions = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==" and requirement.url is None and not requirement.extras, line
            versions[canonicalize_name(requirement.name)] = specifier.version
    return versions


def committed() -> list[Path]:
    """The files that are tracked or would be (not ignored). Skips where this is not a git checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip(f"git cannot read this checkout: {listed.stderr.strip()}")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


# Importing


LIGHT = {  # what takes a while to import, and is not until it is needed; in this order, each after those before it
    "import relvit_lab": (*HEAVY, "torch", "tqdm"),
    "import relvit_lab.show.follow": ("matplotlib", "IPython", "torch", "tqdm"),
    "import relvit_lab.method.backbones, relvit_lab.method.heads, relvit_lab.method.relations": ("timm", "torchvision"),
    "import relvit_lab.data": ("torchvision", "sklearn", "PIL", "filelock", "timm"),
    "import relvit_lab.paper.slips": ("timm", "torchvision", "matplotlib"),
    "from relvit_lab.show import photographs; photographs.photograph()": ("sklearn",),
}


def test_nothing_heavy_is_imported_before_it_is_needed():
    printed = "; print([name for name in {} if name in sys.modules])"
    found = python("import sys\n" + "\n".join(code + printed.format(heavy) for code, heavy in LIGHT.items()))
    assert dict(zip(LIGHT, found.splitlines(), strict=True)) == dict.fromkeys(LIGHT, "[]")


@pytest.mark.xdist_group("timing")
def test_import_takes_hardly_longer_than_torchs():
    """At most half a second more, of the processor's time: whatever else this machine does."""
    code = "import time, torch; start = time.process_time(); import relvit_lab; print(time.process_time() - start)"
    assert float(python(code)) < 0.5


# What is declared


def test_the_tests_of_a_file_go_to_one_worker(request):
    """pytest-xdist writes the group behind the name; without it each worker makes every fixture of a module."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("one process")
    assert request.node.nodeid.endswith("@tests/test_frame.py")


def test_constraints_pin_all_that_is_declared():
    versions = pinned()
    for name, requirement in declared().items():
        assert name in versions, f"{name} is in pyproject.toml but not in constraints.txt"
        assert versions[name] in requirement.specifier, f"{requirement} does not admit {versions[name]}"


def test_constraints_admit_a_cpu_build():
    versions = pinned()
    for name in ("torch", "torchvision"):
        assert SpecifierSet(f"=={versions[name]}").contains(f"{versions[name]}+cpu")
    assert not [name for name in versions if name.startswith(("nvidia-", "cuda-"))]


def test_environment_yml_agrees_with_pyproject():
    """The same names with the same bounds, dev included; python as pyproject asks for it."""
    lines = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (pip,) = [line["pip"] for line in lines if isinstance(line, dict)]
    assert "-e ." in pip
    conda = [Requirement(line) for line in (*lines, *pip) if isinstance(line, str) and line != "-e ."]
    bounds = {canonicalize_name(CONDA_NAMES.get(r.name, r.name)): r.specifier for r in conda}
    assert bounds.pop("python") == SpecifierSet(PROJECT["requires-python"])
    assert bounds.pop("pip") == SpecifierSet()
    assert bounds == {name: requirement.specifier for name, requirement in declared().items()}


def test_licence_and_citation():
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert licence.startswith("MIT License") and "2026 The relvit_lab authors" in licence
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Camporese", "Izzo", "Ballan"]
    assert paper["year"] == 2022 and paper["identifiers"][0]["value"] == "arXiv:2206.00481"


# What is committed


def test_ruff_is_content_with_code_and_notebooks():
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise", "."]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_committed_file_names_a_machine_or_a_registry():
    """Split below, so that this file does not hold what it looks for."""
    folders = "|".join(["wo" + "rk", "ro" + "ot", "fa" + "rm", "tmp/ba" + "sh", "opt/wh" + "eels", "opt/py" + "pi"])
    hosts = ["py" + "pi.org", "python" + "hosted", "npm" + "js.", "ana" + "conda.org", "deb.deb" + "ian.org"]
    pattern = re.compile(rf"(?<![\w.])/(?:{folders})(?:/[\w.-]|_)|" + "|".join(map(re.escape, hosts)), re.IGNORECASE)
    assert pattern.search("see /ro" + "ot/x") and not pattern.search("docs/ro" + "ot/x")
    found = []
    for path in committed():
        for match in pattern.finditer(path.read_bytes().decode("latin-1")):  # any bytes: pictures hold text too
            found.append(f"{path.relative_to(ROOT)}: {match.group()}")
    assert found == []


def test_no_lock_file_is_committed():
    """They hold the addresses of the registry they were made from; constraints.txt has names and versions only."""
    locks = {"uv.lock", "poetry.lock", "pdm.lock", "pixi.lock", "pylock.toml", "conda-lock.yml", "package-lock.json"}
    assert [path.name for path in committed() if path.name in locks] == []


def test_gitignore_takes_runs_but_not_the_data_package():
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    names = ["runs/x/result.json", "data/cifar10.npz", ".venv/x", "notebooks/out_1.ipynb", "relvit_lab/data/digits.py"]
    result = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.split() == names[:-1]


# make


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    if shutil.which("make") is None:
        pytest.skip("no make here")
    environment = {**os.environ, **variables}
    for name in ("UV", "PYTHON", "MAKEFLAGS", "MAKELEVEL"):  # the settings of an outer make or uv
        if name not in variables:
            environment.pop(name, None)
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with what `make setup` needs, and a `uv` and a `python` that only write down what they were asked."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    log = tmp_path / "log"
    tools = {
        "uv": f"""
            echo "uv $*" >> {log}
            if [ "$1" = venv ]; then for venv in "$@"; do :; done
              mkdir -p $venv/bin; cp {tmp_path}/bin/python $venv/bin/python; fi
            if [ "$1" = pip ]; then eval "$INSTALL"; fi""",
        "python": f"""
            if [ "$1" = -c ]; then exec {sys.executable} "$@"; fi
            echo "python $*" >> {log}
            if [ "$2" = venv ]; then mkdir -p $3/bin; cp "$0" $3/bin/python; fi
            if [ "$2 $3" = "pip install" ]; then eval "$INSTALL"; fi""",
        "old": 'if [ "$2" = "import platform; print(platform.python_version())" ]; then echo 3.9.2; else exit 1; fi',
    }
    for name, script in tools.items():
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n" + script + "\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def set_up(project: Path, tool: str, install: str = "") -> tuple[subprocess.CompletedProcess, list[str]]:
    """`make setup` with uv or with pip; `install` is a shell line that stands for the installation. What it asked."""
    (project / "log").write_text("")
    uv = str(project / "bin" / "uv") if tool == "uv" else ""
    result = make(project, "setup", f"UV={uv}", f"PYTHON={project / 'bin' / 'python'}", INSTALL=install)
    return result, [line for line in (project / "log").read_text().splitlines() if "--version" not in line]


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_make_setup_installs_once(project: Path, tool: str):
    result, asked = set_up(project, tool)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(asked) == 2 and " venv " in asked[0] and asked[1].endswith("-c constraints.txt -e .[dev]")
    assert "minutes" in result.stdout and "GB" in result.stdout

    result, asked = set_up(project, tool)
    assert (result.returncode, asked) == (0, [])
    assert "install" not in make(project, "-n", "setup").stdout

    later = (project / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(project / "constraints.txt", (later, later))  # as after a git pull: in place, the environment is kept
    _, asked = set_up(project, tool)
    assert len(asked) == 1 and "install" in asked[0]


@pytest.mark.usefixtures("as_in_a_terminal")
@pytest.mark.parametrize("tool", ["uv", "pip"])
@pytest.mark.parametrize("install", ["kill -9 $PPID; sleep 0.2", "kill -INT $PPID; exit 1"])
def test_make_setup_starts_anew_after_an_interruption(project: Path, tool: str, install: str):
    result, _ = set_up(project, tool, install)
    assert result.returncode != 0
    (project / ".venv" / "half-written").touch()
    result, asked = set_up(project, tool)
    assert result.returncode == 0 and "interrupted" in result.stdout
    assert len(asked) == 2 and not (project / ".venv" / "half-written").exists()


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_make_setup_keeps_the_environment_where_installing_failed(project: Path, tool: str):
    """Without network, for example: the command fails, and once more tries what is missing."""
    result, _ = set_up(project, tool, "echo 'no network' >&2; exit 1")
    assert result.returncode != 0 and "no network" in result.stdout + result.stderr
    result, asked = set_up(project, tool)
    assert result.returncode == 0 and len(asked) == 1


def test_make_setup_says_which_python_it_needs(project: Path):
    result = make(project, "setup", "UV=", f"PYTHON={project / 'bin' / 'old'} no-such-python")
    assert result.returncode != 0
    assert "3.11 or newer" in result.stderr and "3.9.2" in result.stderr and "PYTHON=" in result.stderr
    assert not (project / ".venv").exists()


def test_make_help_lists_every_target():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY:(.*)$", text, re.MULTILINE).group(1).split()
    assert {"setup", "demo", "test", "test-all", "bench", "lab", "lint", "clean", "help"} <= set(targets)
    listed = re.findall(r"^  make ([\w-]+) +\S", make(ROOT, "help").stdout, re.MULTILINE)
    assert sorted(listed) == sorted(targets)
    assert make(ROOT).stdout == make(ROOT, "help").stdout


def test_make_demo_and_test_set_up_first(project: Path):
    asked = make(project, "-n", "demo").stdout
    assert asked.index("constraints.txt") < asked.index("-m relvit_lab demo")
    tests = make(project, "-n", "test").stdout
    assert '-m pytest -n 2 --dist loadgroup -m "not slow and not long and not browser"' in tests


def test_ci_checks_style_and_types(project: Path):
    asked = make(project, "-n", "lint").stdout
    assert "-m ruff check ." in asked and asked.rstrip().endswith("-m mypy")
    assert re.search(r"^make .*\blint$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert (ROOT / "relvit_lab" / "py.typed").is_file()


# The tests themselves


def test_the_network_is_refused(network_attempts: list[str]):
    """By name and by address, in this process and in one that it starts, however the code goes about it."""
    with pytest.raises(OSError, match="offline"):
        urllib.request.urlopen("http://example.org", timeout=5)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock, pytest.raises(ConnectionError, match="offline"):
            sock.connect(("192.0.2.1", 80))
    assert network_attempts == ["example.org", "192.0.2.1", "192.0.2.1"]
    code = "import urllib.request as r\ntry: r.urlopen('http://example.org', timeout=5)\nexcept OSError as e: print(e)"
    assert "tests run offline" in python(code)


def test_no_test_draws_unseeded():
    """torch's own generator is seeded before each test (conftest.py)."""
    unseeded = re.compile(r"\burandom\(|\bdefault_rng\(\)|\bRandom\(\)|(?<![.\w])random\.(?!Random\b)[a-z]+\(")
    assert unseeded.search("x = random.choice(y)") and not unseeded.search("random.Random(0).choice(y)")
    tests = (path for path in Path(__file__).parent.rglob("*.py") if path != Path(__file__))
    assert [path.name for path in tests if unseeded.search(path.read_text(encoding="utf-8"))] == []


def test_the_own_machine_is_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()


def test_relative_paths_lie_in_the_tests_own_folder(tmp_path: Path):
    from relvit_lab.common.paths import resolve

    assert resolve("runs") == tmp_path.resolve() / "runs"
