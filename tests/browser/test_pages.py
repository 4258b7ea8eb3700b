"""The notebooks' own pages in a browser, from disk: axe-core finds no serious fault; no complaint, no request."""

import pytest

pytest.importorskip("playwright")

from browser import lab
from executed import NOTEBOOKS, executed, together
from playwright.sync_api import sync_playwright

from relvit_lab.publish.site.build import write_pages

pytestmark = [pytest.mark.browser, pytest.mark.slow]  # each is executed: minutes
SMALL = 12e6  # bytes of a page: nine, the slides and try.html stay below 40 MB together


@pytest.mark.parametrize("stem", [pytest.param(stem, marks=together(stem)) for stem in NOTEBOOKS])
def test_a_notebooks_page_has_no_serious_fault(stem, chromium, tmp_path, tmp_path_factory):
    (_, file, *_), failures = write_pages(tmp_path, [executed(stem, tmp_path_factory)])
    assert failures == [] and file.stem == stem and file.stat().st_size < SMALL
    complaints, requests = [], []
    with sync_playwright() as playwright:  # only now: executing needs the loop that it keeps running
        browser = playwright.chromium.launch(executable_path=chromium, args=list(lab.FLAGS))
        page = browser.new_context(viewport=lab.VIEWPORT, offline=True).new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        lab.until(page, "document.querySelectorAll('.widget:not([data-drawn])').length === 0")
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            assert lab.faults(page) == [], width
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [file.as_uri()]
