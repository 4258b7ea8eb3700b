"""What follows a prediction is veiled, up to the next heading, until it is made: on the site's pages. In JupyterLab:
test_veil_in_lab.py."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("playwright")

from browser import lab
from browser.veil import BOOKS, SMALL, expected, seen
from executed import NOTEBOOKS
from nbformat import NotebookNode, v4
from playwright.sync_api import Browser, Page
from veiled import as_run, asked

from relvit_lab.publish.site.build import write_pages
from relvit_lab.publish.site.execute import Executed
from relvit_lab.publish.site.exporter import PRINT
from relvit_lab.publish.site.page import for_readers

pytestmark = pytest.mark.browser
PAGE = ["main > section", ""]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of all notebooks, run in no time, and one of a small one: 00_small."""
    folder = tmp_path_factory.mktemp("pages")
    books = {"00_small": SMALL, **BOOKS}
    done = [Executed(Path(f"{stem}.ipynb"), as_run(nbformat.from_dict(book))) for stem, book in books.items()]
    assert write_pages(folder, done)[1] == []
    return folder


@pytest.fixture(scope="module")
def browser(chromium: str, pages: Path) -> Iterator[Browser]:
    with lab.offline(chromium) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    shown, complaints = browser.new_page(viewport=lab.VIEWPORT), []
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    yield shown
    assert complaints == []
    shown.close()


def read(book: NotebookNode) -> NotebookNode:
    """The notebook's cells that its page has."""
    kept = as_run(nbformat.from_dict(book))
    for_readers(kept)
    there = {cell.id for cell in kept.cells}
    return v4.new_notebook(cells=[cell for cell in book.cells if cell.id in there])


def opened(page: Page, address: str) -> None:
    page.goto(address)
    lab.until(page, lab.DRAWN)


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_on_the_page_each_prediction_veils_what_follows(stem, page, pages):
    book, made = read(BOOKS[stem]), set()
    on_paper = {cell.id: "veiled" for cell in book.cells if PRINT in cell.metadata.get("tags", [])}  # not on a screen
    opened(page, (pages / f"{stem}.html").as_uri())
    assert seen(page, PAGE, book) == expected(book, made) | on_paper
    for k, cell in enumerate(each for each in book.cells if asked(each)):
        place = page.locator(f"#cell-{cell.id}")
        if k % 2:
            place.get_by_text("Show it anyway").click()
        else:
            place.locator("input").first.check()
            place.get_by_text("That is my prediction").click()
        made.add(asked(cell))
        assert seen(page, PAGE, book) == expected(book, made) | on_paper, cell.id
    assert made


def test_on_the_page_by_keyboard(page, pages):
    opened(page, (pages / "00_small.html").as_uri())
    assert seen(page, PAGE, SMALL) == expected(SMALL, set())
    first = page.locator("#cell-ask")
    first.locator("input").first.focus()
    page.keyboard.press("Space")
    for key in ("Tab", "Tab", "Tab"):  # the choice, another way out, and past all that is veiled
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.closest('section').id") == "cell-free"  # its code, folded
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('footer') !== null")
    first.locator("input").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert "You predicted: 64 ✗" in first.inner_text() and "TOLD one" in page.locator("#cell-told").inner_text()
    assert seen(page, PAGE, SMALL) == expected(SMALL, {"01-tokens"})
    page.locator("#cell-again").get_by_text("Show it anyway").focus()
    page.keyboard.press("Enter")
    again = page.locator("#cell-again")
    assert "You made no prediction." in again.inner_text() and again.locator("input").first.is_disabled()
    assert "TOLD two" in page.locator("#cell-next").inner_text()
    assert seen(page, PAGE, SMALL) == expected(SMALL, {"01-tokens", "01-strips"})


def test_without_a_script_and_on_paper_all_is_shown(browser, page, pages):
    address, all_made = (pages / "00_small.html").as_uri(), expected(SMALL, {"01-tokens", "01-strips"})
    context = browser.new_context(java_script_enabled=False)
    silent = context.new_page()
    silent.goto(address)
    text = silent.locator("main").inner_text()
    order = [
        text.index(words) for words in ("How many tokens", "65. 8 x 8", "cell one", "TOLD one", "TOLD two", "Next")
    ]
    assert order == sorted(order) and seen(silent, PAGE, SMALL) == all_made
    context.close()

    opened(page, address)
    page.emulate_media(media="print")
    assert seen(page, PAGE, SMALL) == all_made
    assert "TOLD one" in page.locator("#cell-told").inner_text()


def test_where_the_script_fails_the_answer_lifts_the_veil(page, pages, tmp_path):
    whole = (pages / "00_small.html").read_text(encoding="utf-8")
    start = whole.index('<script type="module">')
    broken = tmp_path / "broken.html"
    broken.write_text(whole[:start] + whole[whole.index("</script>", start) :], encoding="utf-8")
    page.goto(broken.as_uri())
    assert seen(page, PAGE, SMALL) == expected(SMALL, set())
    page.locator("#cell-ask").get_by_text("Answer, and what follows").click()
    assert seen(page, PAGE, SMALL) == expected(SMALL, {"01-tokens"})
