"""Every name that a notebook takes from the package is there, in the cells that train for minutes, too."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
HEAD = "# mypy: allow-redefinition\nfrom IPython.display import display"  # here: a flag would void make lint's cache
KINDS = ("attr-defined", "call-arg", "name-defined", "import")


def test_no_name_or_argument_is_missing(tmp_path):
    for path in NOTEBOOKS:
        cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        code = re.sub(r"(?m)^%.*$", "", "\n".join([HEAD, *cells]))
        (tmp_path / f"book_{path.stem}.py").write_text(code, encoding="utf-8")
    command = [
        sys.executable, "-m", "mypy", "--config-file", str(NOTEBOOKS[0].parents[1] / "pyproject.toml"),
        *map(str, sorted(tmp_path.glob("*.py"))),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=NOTEBOOKS[0].parents[1])
    assert "checked" in done.stdout or "Success" in done.stdout, done.stdout + done.stderr
    faults = [line for line in done.stdout.splitlines() if line.endswith(tuple(f"[{kind}]" for kind in KINDS))]
    # what relvit_lab itself gives lazily has no type
    assert [line for line in faults if 'error: "object" has no attribute' not in line] == []
