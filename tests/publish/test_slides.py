"""The slides: made of cells that the notebooks have, all of the lesson plan's, and one at a time in the browser."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output
from site_fixtures import check_page

from relvit_lab.publish.site.slides import LESSON, slides_page

ROOT = Path(__file__).parents[2]
CELLS = [cell for slide in LESSON for cell in slide.cells]


@pytest.fixture(scope="module")
def books() -> dict:
    """The notebooks of the lesson, each code cell with its name as output."""
    books = {}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        if any(cell.startswith(path.name[:2]) for cell in CELLS):
            books[path.name[:2]] = nbformat.read(path, 4)
            for cell in books[path.name[:2]].cells:
                if cell.cell_type == "code":
                    cell.outputs = [new_output("stream", text=f"output of {path.name[:2]} {cell.id}")]
    return books


def test_the_lesson_is_made_of_cells_that_are_there_each_once(books):
    assert len(CELLS) == len(set(CELLS))
    for name in CELLS:
        assert name[3:] in [cell.id for cell in books[name[:2]].cells], name


def test_it_has_every_cell_of_the_plan_in_its_order():
    plan = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    table = plan.partition("### 90 minutes")[2].partition("\n### ")[0]
    named = re.findall(r"`(\d\d [\w-]+)`", table)
    assert len(named) > 8 and [cell for cell in CELLS if cell in named] == named


def test_a_question_stands_before_its_answer():
    for slide in LESSON:
        asked = [k for k, cell in enumerate(slide.cells) if "predict-" in cell]
        assert asked in ([], [0]) and (not asked or len(slide.cells) > 1), slide.title


def test_the_page_has_a_heading_for_each_slide_the_outputs_and_no_code_but_stubs(books, tmp_path):
    page = slides_page(books)
    assert re.findall(r'id="cell-slide-(\d+)"', page) == [str(k) for k in range(1, len(LESSON) + 1)]
    for name in CELLS:
        cell = next(cell for cell in books[name[:2]].cells if cell.id == name[3:])
        if cell.cell_type == "code" and "exercise" not in name:
            assert f"output of {name}" in page, name
    assert "predict(" not in page and "spatial_relation(i: int" in re.sub(r"<[^>]+>", "", page)
    (tmp_path / "slides.html").write_text(page, encoding="utf-8")
    check_page(tmp_path / "slides.html")


def test_no_cell_brings_the_heading_of_another_section(books):
    for name in (name for name in CELLS if not name.endswith("honest-answer")):
        cell = next(cell for cell in books[name[:2]].cells if cell.id == name[3:])
        assert cell.cell_type == "code" or not re.search(r"^#", cell.source.partition("\n")[2], re.MULTILINE), name


def test_without_one_of_its_notebooks_there_are_no_slides(books):
    assert slides_page({number: book for number, book in books.items() if number != "03"}) is None
