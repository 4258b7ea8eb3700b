"""The app in a browser: a token is asked for, each tab shows its explorer, and nothing is fetched from elsewhere."""

import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

pytest.importorskip("playwright")

from browser import lab
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running app's address, its token included."""
    log = tmp_path_factory.mktemp("app") / "log"
    command = [sys.executable, "-m", "relvit_lab", "app", "--no-browser", "--port", str(lab.free_port())]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        found = lab.wait_for(lambda: re.search(r"http://127\.0\.0\.1:\d+/\S*token=\w+", log.read_text()), process, log)
        yield found[0]
    finally:
        process.terminate()
        process.wait(20)


def test_a_stranger_without_the_token_sees_nothing(address):
    for path in ("", "voila/api/kernels", "api/kernels"):
        page = urllib.request.urlopen(re.sub(r"\?.*", path, address), timeout=20)
        assert "/login?next=" in page.geturl()


def test_tabs_and_an_own_image(chromium, address, tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 48), (200, 30, 60)).save(tmp_path / "me.png")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(lab.FLAGS))
        page = browser.new_page(viewport=lab.VIEWPORT)
        page.set_default_timeout(120_000)
        errors, outside = [], []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("response", lambda response: outside.append(response.url))
        page.goto(address)
        page.locator(".relvit-relations canvas").first.wait_for()
        page.get_by_role("tab", name="Mega-patches").click()
        page.locator(".mega-patches canvas.cells").wait_for()
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Your own image").click()
        chooser.value.set_files(tmp_path / "me.png")
        page.get_by_text("now show me.png").wait_for()
        page.locator(".mega-patches canvas.cells").wait_for()
        for name, selector in (("Attention scores", ".relvit-scores canvas"), ("Shortcut lab", ".relvit-lab button")):
            page.get_by_role("tab", name=name).click()
            page.locator(selector).first.wait_for()
        browser.close()
    assert errors == []
    elsewhere = [url for url in outside if not url.startswith(("http://127.0.0.1", "blob:", "data:"))]
    assert elsewhere == []
