"""`make report`: notebook 07 as a page, whole in itself, with no runs, a few, or a thousand."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from nbformat import v4
from run_fixtures import write_cell, write_run
from site_fixtures import Loads

from relvit_lab.__main__ import main
from relvit_lab.common.document import NO_SCRIPT
from relvit_lab.common.errors import RelvitError
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.plan import cells as plan
from relvit_lab.publish.report import NOTEBOOK, without_lesson, write_report

pytestmark = pytest.mark.long

RESULTS = Path(__file__).parents[2] / "results"
BAD = '"><script>alert(1)</script>'


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def few(home):
    """The page of a few runs of Tables 2 and 4, one in a folder with a hostile name; another folder than its own."""
    (cell,) = plan.cells("table2", "released", rows=["cifar10"], columns=["RelViT"])
    write_cell(home / "some runs", cell, {0: 90.0, 1: 90.4})
    write_cell(home / "some runs", cell, {2: 89.7}, folder=BAD.replace("/", ""))
    out = home / "pages" / "report.html"
    folder = str(home / "some runs")
    return write_report(out, names=["table2"], run_dir=folder, command=f"report {BAD}").read_text(encoding="utf-8")


def closed(page: str) -> Loads:
    """It fetches nothing, runs nothing, and no id stands twice."""
    found = Loads(page)
    assert found.outside() == [] and "<script" not in page and f'content="{NO_SCRIPT}"' in page
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    return found


def test_a_page_of_a_few_runs(few, home):
    found = closed(few)
    assert "<strong>90.53 ± 0.35</strong> (3/5)" in few  # by hand: 90.5, 90.9, 90.2
    assert "3 finished stages behind the numbers here" in few and "Weight decay" in few and "Images/s" in few
    folders = {(home / "pages" / unquote(link)).resolve() for link in found.links if not link.startswith("#")}
    assert {folder for folder in folders if "runs" in folder.parts[-2]} == set((home / "some runs").iterdir())
    assert "alert(1)&lt;/script" in few  # the command, as text


def test_it_has_no_lesson_and_no_code(few):
    shown = few.split("</style>")[1]
    assert "Exercise" not in shown and "Solution" not in shown and "highlight" not in shown
    assert "Deviations from the paper, and cost" in few and "How to read a difference" not in few


def test_without_runs_it_shows_the_recorded_ones(tmp_path, capsys):
    (tmp_path / "results").symlink_to(RESULTS)
    assert main(["report", "--out", "here.html", "--run-dir", "nothing"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "here.html")
    page = (tmp_path / "here.html").read_text(encoding="utf-8")
    closed(page)
    assert "none of yours that the tables look for" in page and "python -m relvit_lab report --out here.html" in page
    assert all(number.text.lstrip("+-") in page for number in paper.NUMBERS) and page.count("<img") >= 4


def test_what_is_wrong_is_said_in_a_line(tmp_path, capsys):
    assert main(["report", "--sedes", "0"]) == 1 and "seeds" in capsys.readouterr().err
    with pytest.raises(RelvitError, match="is a folder"):
        write_report(tmp_path)
    assert main(["report", "table22"]) == 1
    said = capsys.readouterr().err
    assert "unknown table 'table22'" in said and said.count("\n") == 1


def test_the_lesson_is_what_is_tagged():
    made = [
        v4.new_markdown_cell("# T", metadata={"tags": ["lesson"]}), v4.new_code_cell("kept"),
        v4.new_markdown_cell("## 2 · L", metadata={"tags": ["lesson"]}), v4.new_code_cell("gone"),
        v4.new_markdown_cell("### in it"), v4.new_markdown_cell("## 3 · Next"), v4.new_code_cell("kept, too"),
    ]  # fmt: skip
    assert [c.source for c in without_lesson(v4.new_notebook(cells=made)).cells] == ["kept", "## Next", "kept, too"]
    ids = [cell.id for cell in without_lesson(nbformat.read(NOTEBOOK, 4)).cells]
    assert {"parameters", "table1", "deviations", "cost", "holes"} <= set(ids)
    assert not [name for name in ids if re.match("task|exercise|hints|solution|predict|progress", name)]


@pytest.mark.slow
def test_a_thousand_folders_make_a_page_of_5_mb(tmp_path):
    for job in list(plan.jobs(plan.cells()).values())[:1000]:
        stage = job.stage
        names = stage.tasks if stage.name == "pretrain" else ("accuracy", "best_accuracy", "best_val_accuracy")
        kept = 90 if stage.keeps_best else None
        values = dict.fromkeys(names, 50.0)
        write_run(tmp_path / "runs", stage, values, {name: [50.0] * 100 for name in names}, kept_epoch=kept)
    page = write_report(tmp_path / "report.html", run_dir=str(tmp_path / "runs")).read_text(encoding="utf-8")
    closed(page)
    assert "1,000 finished stages" in page and os.path.getsize(tmp_path / "report.html") < 5e6
