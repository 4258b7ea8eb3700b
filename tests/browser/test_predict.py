"""A prediction in JupyterLab: nothing is given away under Run All, the keyboard works, and the first choice stays."""

from collections.abc import Iterator

import pytest

pytest.importorskip("playwright")

from browser import lab

pytestmark = pytest.mark.browser

CELLS = {
    "ask": "from relvit_lab.lessons.ask import PREDICTIONS, Prediction, predict\n"
    'PREDICTIONS.add(Prediction("00-sum", "What is 1 + 1?", "two", "Count on."))\n'
    'asked = predict("00-sum", ["one", "two", "three"])\nasked',
    "read": "print(asked.chosen)",
    "progress": "from relvit_lab.lessons.ask import progress\nprint(progress().choices)",
}


@pytest.fixture
def book(chromium: str, jupyter: tuple) -> Iterator[lab.Notebook]:
    with lab.with_cells(chromium, jupyter, CELLS) as opened:
        yield opened


def test_the_answer_opens_with_a_choice_and_not_before(book):
    book.run_all()
    radios = book.within("ask", "input[type=radio]")
    radios.first.wait_for(state="visible")
    book.wait_until_done("read")
    shown = book.within("ask", "fieldset")
    assert "Count on." not in shown.inner_text() and book.outputs("read") == ["\n"]
    button = book.within("ask", "fieldset button").first  # the other one shows the answer anyway
    assert button.is_disabled()

    radios.first.focus()
    book.page.keyboard.press("ArrowDown")
    book.page.keyboard.press("ArrowDown")
    assert radios.nth(2).is_checked()  # and JupyterLab has not moved to another cell
    book.page.keyboard.press("Tab")
    book.page.keyboard.press("Enter")
    book.wait_until(lambda: "Count on." in shown.inner_text(), "the answer opens")
    said = shown.inner_text()
    assert "You predicted: three ✗" in said and "Answer: two." in said
    assert radios.first.is_disabled() and not button.is_visible()

    first = book.number("read")
    book.run_cell("read")
    book.wait_until_done("read", after=first)
    assert book.outputs("read") == ["three\n"]
    before = book.number("progress")
    book.run_cell("progress")
    book.wait_until_done("progress", after=before)
    assert book.outputs("progress") == ["{'00-sum': False}\n"]  # kept in the journal, right or not
    assert book.errors() == [] and book.complaints == []
