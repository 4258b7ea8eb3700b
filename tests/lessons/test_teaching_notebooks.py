"""The notebooks that teach, untouched: they run from top to bottom in time, quietly, and their stored numbers hold."""

import os
import subprocess
import sys
from datetime import datetime

import nbformat
import pytest
from executed import NOTEBOOKS, executed, together
from site_fixtures import check_page

from relvit_lab.lessons.ask import EXERCISES
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.publish.site.build import write_pages

for _module in ask.NOTEBOOKS:
    __import__(f"relvit_lab.lessons.{_module}.exercises")
MINUTES = {
    "01_patch_relations": 3, "02_mega_patches": 3, "03_attention_scores": 3, "05_pe_shortcut": 6, "06_task_ablation": 3,
    "07_paper_tables": 3, "08_your_own_task": 5, "09_what_it_learned": 3,
}  # fmt: skip
FIRST_PICTURE = 15  # seconds


def each() -> list:
    """Those that train for minutes are slow, and all but the first are long."""
    marks = {stem: pytest.mark.slow if minutes > 3 else pytest.mark.long for stem, minutes in MINUTES.items()}
    return [pytest.param(stem, marks=[together(stem), *([marks[stem]] if stem > "02" else [])]) for stem in MINUTES]


def patience() -> float:
    """The limits are for two idle cores: a busy machine gets as much longer as others take of it."""
    return max(1.0, os.getloadavg()[0] / 2) if hasattr(os, "getloadavg") else 1.0


def read(stem: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS[stem], 4)


def kept(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in book.cells if "keep_output" in cell.metadata.get("tags", [])]


def pictures(cell: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


@pytest.mark.parametrize("stem", each())
def test_run_all_untouched(stem, tmp_path_factory):
    """Without a browser: no error, nothing on stderr, a picture soon, every exercise "not yet"."""
    done = executed(stem, tmp_path_factory)
    said, drawn = "", []
    for cell in (cell for cell in done.book.cells if cell.cell_type == "code"):
        for output in cell.outputs:
            assert not (output.output_type == "stream" and output.name == "stderr"), f"{cell.id}: {output.text}"
            said += output.get("text", "") + output.get("data", {}).get("text/plain", "")
        if pictures(cell):
            drawn.append(datetime.fromisoformat(cell.metadata.execution["iopub.status.idle"].replace("Z", "+00:00")))
    begun = next(c for c in done.book.cells if c.cell_type == "code").metadata.execution["iopub.status.busy"]
    first = (drawn[0] - datetime.fromisoformat(begun.replace("Z", "+00:00"))).total_seconds()
    names = [name for name in EXERCISES.names() if name.startswith(stem[:2])]
    assert said.count("… Not yet:") == len(names) and said.count("(no prediction)") >= 2
    assert len(drawn) >= 4
    assert first < FIRST_PICTURE * patience(), f"the first picture came after {first:.0f} s"
    assert done.seconds < 60 * MINUTES[stem] * patience(), f"{done.seconds:.0f} s"


@pytest.mark.parametrize("stem", each())
def test_the_stored_numbers_are_those_of_a_fresh_run(stem, tmp_path_factory):
    for stored, fresh in zip(kept(read(stem)), kept(executed(stem, tmp_path_factory).book), strict=True):
        assert printed(fresh) == printed(stored), stored.id


def printed(cell: nbformat.NotebookNode) -> dict[str, str]:
    """All that a cell says, by stream: it may come in any number of pieces. The kept outputs are nothing else."""
    said: dict[str, str] = {}
    for output in cell.outputs:
        assert output.output_type == "stream", f"{cell.id}: {output.output_type}"
        said[output.name] = said.get(output.name, "") + output.text
    return said


@pytest.mark.parametrize("stem", each())
def test_its_page_needs_neither_kernel_nor_network(stem, tmp_path, tmp_path_factory):
    for other in NOTEBOOKS:  # its links lead there
        (tmp_path / f"{other}.html").touch()
    written, failures = write_pages(tmp_path, [executed(stem, tmp_path_factory)])
    assert failures == [] and [path.name for path in written] == ["index.html", f"{stem}.html"]
    check_page(written[1])
    assert 'class="no-widget"' not in written[1].read_text(encoding="utf-8")


@pytest.mark.slow
def test_nbval_agrees(tmp_path):
    """What a user may run: the outputs of the cells that keep theirs are those of a fresh run."""
    command = [
        sys.executable, "-m", "pytest", "--nbval", "--nbval-cell-timeout=600", "-q", "-p", "no:cacheprovider",
        str(NOTEBOOKS["01_patch_relations"]),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize("stem", MINUTES)
def test_outputs_are_stored_where_they_are_to_be_compared(stem):
    """nbval passes over a cell without stored outputs: so none of these may be without. Answers to predictions are not
    stored (test_predictions.py)."""
    book = read(stem)
    cells = kept(book)
    assert len(cells) >= 3
    for cell in cells:
        assert cell.outputs and not pictures(cell), cell.id
        assert cell.execution_count is not None, f"{cell.id}: nbval fails on outputs of a cell without a number"
        assert sum(len(str(output)) for output in cell.outputs) < 5000, cell.id


@pytest.mark.parametrize("stem", MINUTES)
def test_it_says_what_one_learns_needs_and_where_the_paper_says_it(stem):
    text = "\n".join(c.source for c in read(stem).cells if c.cell_type == "markdown")
    for words in ("What you will learn", "What you need", "minutes", "Where the paper says it"):
        assert words in text, words
