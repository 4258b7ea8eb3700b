"""The notebooks that teach, untouched: they run from top to bottom in time, quietly, and their stored numbers hold."""

import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from relvit_lab.lessons.ask import EXERCISES
from relvit_lab.lessons.ask import checking as ask

for _module in ask.NOTEBOOKS:
    __import__(f"relvit_lab.lessons.{_module}.exercises")
FOLDER = Path(__file__).parents[2] / "notebooks"
MINUTES = {
    "01_patch_relations": 3, "02_mega_patches": 3, "03_attention_scores": 3, "05_pe_shortcut": 6, "06_task_ablation": 3,
    "07_paper_tables": 3, "08_your_own_task": 5,
}  # fmt: skip
# these read the committed records, from a folder that has nothing else
READ_RESULTS = ("05_pe_shortcut", "06_task_ablation", "07_paper_tables")
FIRST_PICTURE = 15  # seconds
EACH = [pytest.param(stem, marks=[pytest.mark.slow] if MINUTES[stem] > 3 else []) for stem in MINUTES]
# a second run of a notebook each, so `make test` has two of them only: the first, and the one that reads all records
COMPARED = [
    pytest.param(stem, marks=[] if stem in ("01_patch_relations", "07_paper_tables") else [pytest.mark.slow])
    for stem in MINUTES
]


def patience() -> float:
    """The limits are for two idle cores: a busy machine gets as much longer as others take of it."""
    return max(1.0, os.getloadavg()[0] / 2) if hasattr(os, "getloadavg") else 1.0


def kept(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in book.cells if "keep_output" in cell.metadata.get("tags", [])]


def pictures(cell: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


@pytest.mark.parametrize("stem", EACH)
def test_run_all_untouched(stem, tmp_path, monkeypatch):
    """From another folder, without a browser: no error, nothing on stderr, a picture soon, every exercise "not yet"."""
    monkeypatch.chdir(tmp_path)
    if stem in READ_RESULTS:
        (tmp_path / "results").symlink_to(FOLDER.parent / "results")
    book = nbformat.read(FOLDER / f"{stem}.ipynb", 4)
    start = time.monotonic()
    NotebookClient(book, timeout=600, kernel_name="python3", record_timing=True).execute()
    seconds = time.monotonic() - start
    said, drawn = "", []
    for cell in (cell for cell in book.cells if cell.cell_type == "code"):
        for output in cell.outputs:
            assert not (output.output_type == "stream" and output.name == "stderr"), f"{cell.id}: {output.text}"
            said += output.get("text", "") + output.get("data", {}).get("text/plain", "")
        if pictures(cell):
            drawn.append(datetime.fromisoformat(cell.metadata.execution["iopub.status.idle"].replace("Z", "+00:00")))
    begun = next(c for c in book.cells if c.cell_type == "code").metadata.execution["iopub.status.busy"]
    first = (drawn[0] - datetime.fromisoformat(begun.replace("Z", "+00:00"))).total_seconds()
    names = [name for name in EXERCISES.names() if name.startswith(stem[:2])]
    assert said.count("… Not yet:") == len(names) and said.count("(no prediction)") >= 2
    assert len(drawn) >= 4
    assert first < FIRST_PICTURE * patience(), f"the first picture came after {first:.0f} s"
    assert seconds < 60 * MINUTES[stem] * patience(), f"{seconds:.0f} s"


@pytest.mark.parametrize("stem", COMPARED)
def test_the_stored_numbers_are_those_of_a_fresh_run(stem, tmp_path):
    """nbval runs the notebook and compares the outputs of the cells that keep theirs."""
    if stem in READ_RESULTS:
        (tmp_path / "results").symlink_to(FOLDER.parent / "results")
    command = [
        sys.executable, "-m", "pytest", "--nbval", "--nbval-cell-timeout=600", "-q", "-p", "no:cacheprovider",
        str(FOLDER / f"{stem}.ipynb"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize("stem", MINUTES)
def test_outputs_are_stored_where_they_are_to_be_compared(stem):
    """nbval passes over a cell without stored outputs: so none of these may be without."""
    book = nbformat.read(FOLDER / f"{stem}.ipynb", 4)
    cells = kept(book)
    assert len(cells) >= 4
    for cell in cells:
        assert cell.outputs and not pictures(cell), cell.id
        assert cell.execution_count is not None, f"{cell.id}: nbval fails on outputs of a cell without a number"
        assert sum(len(str(output)) for output in cell.outputs) < 5000, cell.id


@pytest.mark.parametrize("stem", MINUTES)
def test_it_says_what_one_learns_needs_and_where_the_paper_says_it(stem):
    text = "\n".join(c.source for c in nbformat.read(FOLDER / f"{stem}.ipynb", 4).cells if c.cell_type == "markdown")
    for words in ("What you will learn", "What you need", "minutes", "Where the paper says it"):
        assert words in text, words
