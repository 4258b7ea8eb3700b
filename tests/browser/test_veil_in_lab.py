"""What follows a prediction is veiled, up to the next heading, until it is made: in a real JupyterLab."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("playwright")

from browser import lab
from browser.veil import BOOKS, SMALL, expected, seen
from executed import NOTEBOOKS
from veiled import asked

pytestmark = pytest.mark.browser
LAB = [".jp-Notebook .jp-Cell", ".jp-RenderedMarkdown"]
RENDERED = "[...document.querySelectorAll('.jp-MarkdownCell')].every(e => e.querySelector('.jp-RenderedMarkdown > *'))"
# How often a frame was drawn with an output that is to be veiled.
WATCH = """() => {
    window.flashes = 0;
    const look = () => {
        for (const e of document.querySelectorAll(".jp-OutputArea-output pre"))
            if (/cell (one|two)/.test(e.textContent) && e.checkVisibility({ visibilityProperty: true }))
                window.flashes++;
        requestAnimationFrame(look);
    };
    look();
}"""


@pytest.fixture(scope="module")
def progress(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab") / "progress.jsonl"


@pytest.fixture(autouse=True)
def nothing_chosen_yet(progress: Path) -> None:
    progress.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def address(progress: Path) -> Iterator[str]:
    """A JupyterLab with all notebooks, idle, and the small one."""
    with pytest.MonkeyPatch.context() as patch:
        folder = progress.with_name("notebooks")
        patch.setenv("RELVIT_PROGRESS", str(progress))
        folder.mkdir()
        for stem, book in {"00_small": SMALL, **BOOKS}.items():
            nbformat.write(book, folder / f"{stem}.ipynb")
        with lab.server(folder, 240) as started:
            yield started


def run_all(book: lab.Notebook, last: str) -> None:
    book.run_all()
    book.wait_until_done(last, seconds=300)
    book.page.wait_for_function(RENDERED)


def test_a_small_notebook_before_it_runs_by_keyboard_and_opened_again(chromium, address):
    none, one, both = set(), {"01-tokens"}, {"01-tokens", "01-strips"}
    with lab.notebook(chromium, address, "00_small.ipynb") as book:
        for cell in ("told", "next"):
            assert "TOLD" not in book.within(cell, ".jp-RenderedMarkdown").inner_text()  # folded
        book.page.evaluate(WATCH)
        run_all(book, "free")
        choice = book.within("ask", "input[type=radio]")
        choice.first.wait_for(state="visible")
        book.page.wait_for_timeout(500)
        assert seen(book.page, LAB, SMALL) == expected(SMALL, none)
        assert book.page.evaluate("window.flashes") == 0
        book.execute("docmanager:save")
        book.page.wait_for_timeout(1500)
        book.execute("kernelmenu:shutdown")
        book.page.wait_for_timeout(1500)

    with lab.notebook(chromium, address, "00_small.ipynb") as book:  # saved with its outputs, its kernel gone
        book.within("ask", ".relvit-still").wait_for(state="visible")
        book.page.wait_for_function(RENDERED)
        assert seen(book.page, LAB, SMALL) == expected(SMALL, none)
        book.within("ask", "summary").click()
        assert seen(book.page, LAB, SMALL) == expected(SMALL, one)

        run_all(book, "free")
        choice = book.within("ask", "input[type=radio]")
        choice.first.focus()
        for key in ("ArrowDown", "Tab", "Enter"):
            book.page.keyboard.press(key)
        book.within("told", ".jp-RenderedMarkdown").wait_for(state="visible")
        assert "You predicted: 64 ✗" in book.within("ask", "fieldset").inner_text()
        assert "TOLD one" in book.within("told", ".jp-RenderedMarkdown").inner_text()  # unfolded by itself
        assert seen(book.page, LAB, SMALL) == expected(SMALL, one)
        book.page.emulate_media(media="print")
        assert set(seen(book.page, LAB, SMALL).values()) == {"seen"}
        book.page.emulate_media(media="screen")
        book.within("again", "fieldset").get_by_text("Show it anyway").focus()
        book.page.keyboard.press("Enter")
        book.within("two", "pre").first.wait_for(state="visible")
        assert "TOLD two" in book.within("next", ".jp-RenderedMarkdown").inner_text()
        assert seen(book.page, LAB, SMALL) == expected(SMALL, both)

        before = book.number("free")
        book.run_all()
        book.wait_until_done("free", after=before)
        book.within("again", "fieldset").wait_for(state="visible")
        assert seen(book.page, LAB, SMALL) == expected(SMALL, one)  # the choice is kept; the other was none
        assert book.errors() == [] and not [each for each in book.complaints if "model not found" not in each]


@pytest.mark.slow
@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_each_prediction_veils_what_follows(stem, chromium, address):
    cells, made = BOOKS[stem], set()
    with lab.notebook(chromium, address, f"{stem}.ipynb") as book:
        run_all(book, [cell.id for cell in cells.cells if cell.cell_type == "code"][-1])
        questions = [cell for cell in cells.cells if asked(cell)]
        for cell in questions:
            book.within(cell.id, "fieldset").wait_for(state="attached")
        assert seen(book.page, LAB, cells) == expected(cells, made)
        for k, cell in enumerate(questions):
            place = book.within(cell.id, "fieldset")
            if k % 2:
                place.get_by_text("Show it anyway").click()
            else:
                place.locator("input").first.check()
                place.get_by_text("That is my prediction").click()
            made.add(asked(cell))
            assert seen(book.page, LAB, cells) == expected(cells, made), cell.id
        assert made and book.complaints == []
