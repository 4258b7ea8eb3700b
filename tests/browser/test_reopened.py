"""A notebook that is opened again with a new kernel, or in a dark theme, still shows what it taught."""

from pathlib import Path

import nbformat
import pytest
from nbformat import v4

pytest.importorskip("playwright")

from browser import lab

pytestmark = [pytest.mark.browser, pytest.mark.long]

CELLS = {
    "relations": "from relvit_lab.lessons.patch_relations.explorer import explore_relations\nexplore_relations()",
    "cuts": "from relvit_lab.lessons.mega_patches.explorer import explore_mega_patches\nexplore_mega_patches()",
    # last, for it veils what follows
    "ask": "from relvit_lab.lessons.ask import PREDICTIONS, Prediction, predict\n"
    'PREDICTIONS.add(Prediction("00-sum", "What is 1 + 1?", "two", "Count on."))\n'
    'predict("00-sum", ["one", "two"])',
}
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
THEME = "jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    made = [v4.new_code_cell(source, id=name) for name, source in CELLS.items()]
    nbformat.write(v4.new_notebook(cells=made, metadata={"kernelspec": KERNEL}), folder / "cells.ipynb")
    return folder


def shade(book: lab.Notebook, cell: str, selector: str, what: str) -> float:
    """The brightness, 0 to 255, of a colour that the browser has computed."""
    colour = book.within(cell, selector).first.evaluate(f"e => getComputedStyle(e).{what}")
    return sum(map(float, colour[colour.index("(") + 1 : -1].split(",")[:3])) / 3


def test_the_still_is_hidden_while_the_widget_lives_and_there_when_it_is_gone(chromium, folder):
    with lab.server(folder, 240) as address:
        with lab.notebook(chromium, address, "cells.ipynb") as book:
            book.run_all()
            book.wait_until_done("ask", seconds=300)
            for cell in CELLS:
                book.show(cell)
                book.within(cell, ".relvit-live").first.wait_for(state="visible")
                assert not book.within(cell, ".relvit-still").first.is_visible(), cell
            book.show("relations")
            light = shade(book, "relations", ".relvit-relations", "backgroundColor")
            book.page.evaluate(THEME)
            book.page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
            book.page.wait_for_timeout(1000)
            for cell, selector in (("relations", ".relvit-relations"), ("ask", "fieldset"), ("cuts", ".mega-patches")):
                book.show(cell)
                paper = shade(book, cell, selector, "backgroundColor")
                assert paper < 60 < 150 < shade(book, cell, selector, "color"), cell
            assert light > 250
            book.execute("docmanager:save")
            book.page.wait_for_timeout(1500)
            book.execute("kernelmenu:shutdown")
            book.page.wait_for_timeout(1500)
        with lab.notebook(chromium, address, "cells.ipynb") as book:
            for cell in CELLS:
                book.show(cell)
                still = book.within(cell, ".relvit-still").first
                still.wait_for(state="visible")
                assert "Run All brings it to life." in still.inner_text(), cell
                assert (book.within(cell, ".relvit-still img").count() == 1) == (cell != "ask")
            asked = book.within("ask", ".relvit-still").first
            assert "What is 1 + 1?" in asked.inner_text() and "Count on." not in asked.inner_text()
