"""The notebooks' own pages in a browser, from disk: axe-core finds no serious fault; no complaint, no request."""

import pytest

pytest.importorskip("playwright")

from browser import lab
from executed import NOTEBOOKS, executed, together

from relvit_lab.publish.site.build import write_pages

pytestmark = [pytest.mark.browser, pytest.mark.slow]  # each is executed: minutes
SMALL = 12e6  # bytes: the largest page of the site


@pytest.mark.parametrize("stem", [pytest.param(stem, marks=together(stem)) for stem in NOTEBOOKS])
def test_a_notebooks_page_has_no_serious_fault(stem, chromium, tmp_path, tmp_path_factory):
    (_, file, *_), failures = write_pages(tmp_path, [executed(stem, tmp_path_factory)])
    assert failures == [] and file.stem == stem and file.stat().st_size < SMALL
    with lab.offline(chromium) as browser, lab.page_of(browser, file, lab.DRAWN) as page:
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        for width, scheme in ((1280, "light"), (390, "dark")):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            assert lab.faults(page) == [], (width, scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
