"""A place for a student's code: a copy of the package without right answers and judges, few variables, and limits.

With bubblewrap (bwrap), where it is installed and works: no network, no files but Python's, none that can be written,
and no process but its own. Without it, plain limits: see docs/security.md.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import relvit_lab
from relvit_lab.lessons import ask as exercises
from relvit_lab.publish.classroom import keeper, student, wire

PACKAGE = Path(relvit_lab.__file__).parent
KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "XDG_CACHE_HOME")  # of the variables; no token is
OWN = {"RELVIT_PROGRESS": "off", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
STUB = '''"""What the notebooks call, without right answers: they are elsewhere."""

check = predict = progress = lambda *_, **__: None


def answer_or_reference(name, answer):
    return answer
'''


def prepare(home: Path) -> None:
    """home/package: what a student's code may import of relvit_lab. home/cwd: an empty folder."""
    (home / "cwd").mkdir()
    asking, here = Path(exercises.__file__).parent, Path(__file__).parent
    allowed = {here / "__init__.py", *(Path(module.__file__) for module in (student, wire))}

    def is_left_out(path: Path) -> bool:
        if path.parent.name == "__pycache__":  # as its source
            path = path.parent.parent / f"{path.name.split('.')[0]}.py"
        answers = path.name.endswith(("exercises.py", "predictions.toml")) and asking.parent in path.parents
        return answers or path == asking or (path.parent == here and path.suffix and path not in allowed)

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if is_left_out(Path(folder, name))]

    copy = home / "package" / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=left_out)
    stub = copy / asking.relative_to(PACKAGE) / "__init__.py"
    stub.parent.mkdir()
    stub.write_text(STUB)


def variables(home: Path) -> dict[str, str]:
    """The environment of the code: none of the secrets that a teacher's may hold."""
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = [path for path in paths if not (Path(path) / PACKAGE.name).exists()]
    own = {"HOME": str(home / "cwd"), "RELVIT_HOME": str(home / "cwd")}
    own["PYTHONPATH"] = os.pathsep.join([str(home / "package"), *paths])
    return {name: os.environ[name] for name in KEPT if name in os.environ} | OWN | own


def command(home: Path) -> list[str]:
    """What starts the process of a student's code."""
    code = [sys.executable, "-m", student.__name__]
    return [sys.executable, "-I", keeper.__file__, *_walls(home), *code] if os.name == "posix" else code


def _walls(home: Path) -> Sequence[str]:
    wrap = bubblewrap()
    if wrap is None:
        return ()
    seen = [Path(place) for place in ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache")]
    seen += [Path(sys.base_prefix), Path(sys.prefix), Path(sys.executable).resolve().parent]
    bound = [word for place in dict.fromkeys(seen) for word in ("--ro-bind-try", str(place), str(place))]
    hidden = ["--tmpfs", str(PACKAGE)] if any(PACKAGE.is_relative_to(place) for place in seen) else []
    return (
        wrap, "--unshare-all", "--die-with-parent", "--new-session", *bound, *hidden, "--proc", "/proc",
        "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind", str(home), str(home), "--chdir", str(home / "cwd"),
    )  # fmt: skip


@functools.cache
def bubblewrap() -> str | None:
    """The path of bwrap, None where there is none or the system does not let it work."""
    wrap = shutil.which("bwrap")
    if wrap is None:
        return None
    trial = [wrap, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
    try:
        return wrap if subprocess.run([*trial, "true"], capture_output=True, timeout=20).returncode == 0 else None
    except (OSError, subprocess.SubprocessError):
        return None
