"""Takes the README's pictures of the explorers, from a page made as `make site` makes it: python docs/pictures/take.py

It needs Chromium, as the tests in a browser do.
"""

import io
import os
import shutil
import tempfile
from pathlib import Path

import nbformat
from nbformat import v4
from PIL import Image
from playwright.sync_api import sync_playwright

from relvit_lab.publish.site.build import build_site

HERE = Path(__file__).parent
WORDS = "# 01 · Pictures\n\n**What you will learn.** Little.\n\n**Time**: no minutes.\n"
CELLS = {
    "relations": "from relvit_lab import explore_relations\nexplore_relations(anchor=24)",
    "scores": "from relvit_lab import explore_scores\nexplore_scores(token=27)",
    "shortcut": "from relvit_lab import shortcut_lab\nshortcut_lab()",
}


def take(folder: Path) -> None:
    """Executes a notebook with these cells in `folder`, writes its page; pictures each widget beside this file."""
    (folder / "notebooks").mkdir()
    cells = [v4.new_markdown_cell(WORDS, id="words")]
    cells += [v4.new_code_cell(source, id=name) for name, source in CELLS.items()]
    nbformat.write(v4.new_notebook(cells=cells), folder / "notebooks" / "01_pictures.ipynb")
    build_site(folder / "site", folder / "notebooks", folder / "cache")
    with sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto((folder / "site" / "01_pictures.html").as_uri())
        for name in CELLS:
            widget = page.locator(f"#cell-{name} .widget")
            widget.locator("canvas, svg").first.wait_for()
            page.wait_for_timeout(1500)  # what a model says of the image is drawn a little later
            with Image.open(io.BytesIO(widget.screenshot())) as seen:  # 256 colours: half the size
                seen.convert("RGB").quantize(256).save(HERE / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        take(Path(name))
