"""A term of the glossary on a page: seen on hover, on focus and at a tap, within the window, and not on paper."""

import pytest

pytest.importorskip("playwright")

from browser import lab
from nbformat import v4
from playwright.sync_api import expect

from relvit_lab.publish.site.page import notebook_body, notebook_page

pytestmark = pytest.mark.browser
MEANING = {"floor": "What the best constant answer scores, without a look at the image. " * 3}


@pytest.mark.parametrize("width", [1280, 390])
def test_a_term_explains_itself(chromium, tmp_path, width):
    words = "# Title\n\nSome words " + "that fill a line " * 9 + "and **a floor** at its end. " + "More. " * 60
    body = notebook_body(v4.new_notebook(cells=[v4.new_markdown_cell(words, id="words")]), MEANING)
    (tmp_path / "page.html").write_text(notebook_page(body, "Title", None, None), encoding="utf-8")
    with lab.offline(chromium) as browser:
        page = browser.new_context(viewport={"width": width, "height": 800}, has_touch=True).new_page()
        page.goto((tmp_path / "page.html").as_uri())
        term, meaning = page.get_by_role("button", name="floor"), page.locator("[role=tooltip]")
        assert not meaning.is_visible()
        for show in (term.hover, term.focus, term.tap):
            show()
            expect(meaning).to_be_visible()
            assert meaning.evaluate("one => getComputedStyle(one).fontWeight") == "400"
            box, line = meaning.bounding_box(), term.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] >= line["y"] + line["height"] - 2
            page.evaluate("document.activeElement.blur()")
            lab.away(page, meaning)
        term.focus()
        assert "constant answer" in page.evaluate(
            "document.getElementById(document.activeElement.getAttribute('aria-describedby')).textContent"
        )
        assert lab.faults(page) == []
        page.emulate_media(media="print")
        expect(meaning).to_be_hidden()
