"""Pages of the site in a browser, from disk, the network off: every widget by mouse and keyboard, phone and print."""

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("playwright")

from browser import lab
from nbformat import v4
from playwright.sync_api import Locator, Page

from relvit_lab.publish.site.build import build_site

pytestmark = pytest.mark.browser

CELLS = {
    "relations": "import numpy as np\nfrom relvit_lab.lessons.patch_relations.explorer import explore_relations\n"
    "explore_relations(np.zeros((40, 40)), patch=8)  # (H,W)",
    "mega": "from relvit_lab.lessons.mega_patches.explorer import explore_mega_patches\n"
    "explorer = explore_mega_patches()\nexplorer",
    "guess": "from relvit_lab.lessons.patch_relations.guess import guess_relation\nguess_relation(rounds=2, side=4)",
    "slider": "from relvit_lab.lessons.patch_relations.explorer_figure import relations_figure\n"
    "from relvit_lab.lessons.attention_scores.token_slider import TokenSlider\n"
    "from relvit_lab.show.style import new_drawing\n"
    "def draw(token):\n    drawing = new_drawing(2, 2)\n    drawing.text(0.5, 0.5, str(token))\n"
    "    drawing.alt = f'token {token}'\n    return drawing\nTokenSlider(draw, side=3, token=4)",
    "scores": "from relvit_lab.lessons.attention_scores.explorer import explore_scores\n"
    "explore_scores(model='digits_tasks')",
    "lab": "from relvit_lab.lessons.pe_shortcut.lab import shortcut_lab\nshortcut_lab()",
    "again": "explorer",  # the same widget once more
    "core": "from ipywidgets import IntSlider\nIntSlider(7)",
    "long": "print('a long line ' * 30)  # (B,N,D)",
    # last, for it veils what follows
    "predict": "from relvit_lab.lessons.ask import predict\n"
    'predict("02-time", ["about 2 times", "about 8 times, like the tokens", "about 60 times, like the pairs"])',
}
WORDS = (
    "# 0{n} · Page {n}\n\n**What you will learn.** Little.\n\n**Time**: no minutes.\n\n## A matrix\n\n"
    "$$\\begin{{pmatrix}} 1 & 2 \\\\ 3 & 4 \\end{{pmatrix}} = \\text{{four numbers}}$$\n\n"
    "<details><summary>Hint</summary>\n\nThe *hint*.\n</details>\n\n| a | b |\n|---|---|\n| $x_i$ | "
    + "many words " * 20
    + "|\n"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index and two pages: 01 with all widgets, 02 with words."""
    folder = tmp_path_factory.mktemp("site")
    for n, cells in ((1, CELLS), (2, {})):
        made = [v4.new_markdown_cell(WORDS.format(n=n), id="words")]
        made += [v4.new_code_cell(source, id=name) for name, source in cells.items()]
        (folder / "notebooks").mkdir(exist_ok=True)
        nbformat.write(v4.new_notebook(cells=made), folder / "notebooks" / f"0{n}_page.ipynb")
    written, failures = build_site(folder / "site", folder / "notebooks", folder / "cache", say=print)
    assert failures == [] and len(written) == 4
    return folder / "site"


@pytest.fixture(scope="module")
def browser(chromium: str, site: Path) -> Iterator:  # the site first: Playwright keeps a loop running
    with lab.offline(chromium) as opened:
        yield opened


@pytest.fixture
def page(browser, site: Path) -> Iterator[Page]:
    """Page 01 with its widgets drawn, the network off; afterwards no complaint and no request but for files."""
    with lab.page_of(browser, site / "01_page.html", lab.DRAWN) as shown:
        yield shown


def at(page: Page, cell: str) -> Locator:
    return page.locator(f"#cell-{cell}")


# -- the page itself -----------------------------------------------------------------------------------------------


def test_pages_are_linked_and_hints_fold(page, site):
    matrix = page.locator("#cell-words math").first
    box = matrix.bounding_box()
    assert box["height"] > 30 and page.locator("#cell-words mtr").count() == 2  # two rows, one above the other
    rows = [row.bounding_box()["y"] for row in page.locator("#cell-words mtr").all()]
    assert rows[1] > rows[0] + 10
    hint = page.get_by_text("The hint.")
    assert not hint.is_visible()
    page.get_by_text("Hint", exact=True).click()
    assert hint.is_visible()
    page.keyboard.press("Enter")
    assert not hint.is_visible()
    page.locator(".contents").get_by_text("A matrix").click()
    assert page.url.endswith("#a-matrix")
    page.locator("header [rel=next]").click()
    assert page.url.endswith("02_page.html") and page.title() == "02 · Page 2"
    page.get_by_role("link", name="All notebooks").first.click()
    assert page.locator(".card").count() == 2
    page.locator(".card h3 a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url((site / "01_page.html").as_uri())


def test_a_widget_of_ipywidgets_says_that_it_needs_a_kernel(page):
    assert "This control needs a running notebook." in at(page, "core").inner_text()
    assert at(page, "core").locator(".widget").count() == 0
    assert page.locator(".widget").count() == 8


@pytest.mark.parametrize("width, scheme", [(390, "dark"), (1280, "light")])
def test_axe_finds_no_serious_fault(page, site, width, scheme):
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.locator(".highlight .c1").first.is_visible()  # a comment, which was too pale once
    assert lab.faults(page) == []
    page.goto((site / "index.html").as_uri())
    assert lab.faults(page) == []


@pytest.mark.parametrize("width", [360, 800, 1280, 1920])
def test_nothing_sticks_out(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beside = page.locator("main").bounding_box()["x"] > page.locator(".contents").bounding_box()["x"] + 100
    assert beside == (width > 1100)


def test_on_a_phone_the_explorers_fit(page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.reload()
    lab.until(page, lab.DRAWN)
    for canvas in page.locator(".widget canvas").all():
        if canvas.is_visible():
            box = canvas.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    mega = MegaPatches(page)
    mega.answered(lambda: mega.root.locator(".cut.row").first.press("ArrowDown"))
    assert mega.cuts("row")[0] == 2


def test_in_print_everything_is_there(page, tmp_path):
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 695, "height": 1000})  # A4 without its margins
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 695
    assert not page.locator(".contents").is_visible() and not page.locator("header").is_visible()
    long = at(page, "long").locator(".stdout")
    assert long.evaluate("e => e.scrollWidth <= e.clientWidth") and long.bounding_box()["height"] > 40  # it wraps
    page.pdf(path=tmp_path / "page.pdf")
    assert os.path.getsize(tmp_path / "page.pdf") > 10_000


# -- widgets -------------------------------------------------------------------------------------------------------


def test_the_relations_explorer_lives(page):
    root = at(page, "relations").locator(".relvit-relations")
    state = lambda name: root.get_attribute(f"data-{name}")  # noqa: E731
    image = root.locator("figure canvas").first
    image.scroll_into_view_if_needed()
    size = image.bounding_box()["width"]
    image.hover(position={"x": size * 0.5, "y": size * 0.7})
    assert state("anchor") == "17"
    assert root.locator("[aria-live]").inner_text() == "Patch 0 lies LEFT TOP of patch 17: class 0 (LT)."
    image.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowRight")
    assert (state("anchor"), state("other")) == ("12", "1")
    root.locator("input[value=dist]").check()
    assert state("task") == "dist" and "distance" in root.locator("[aria-live]").inner_text()
    root.get_by_role("button", name="Shuffle", exact=True).click()
    assert state("shuffle") == "1"


def test_by_touch_the_first_tap_is_j_and_the_second_i(browser, site):
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True, offline=True)
    page = context.new_page()
    page.goto((site / "01_page.html").as_uri())
    lab.until(page, lab.DRAWN)
    root = at(page, "relations").locator(".relvit-relations")
    state = lambda: (root.get_attribute("data-anchor"), root.get_attribute("data-other"))  # noqa: E731
    image = root.locator("figure canvas").first
    image.scroll_into_view_if_needed()
    unit = image.bounding_box()["width"] / 5
    seen = []
    for column, row in ((2, 3), (4, 0), (0, 1)):
        image.tap(position={"x": unit * (column + 0.5), "y": unit * (row + 0.5)})
        seen.append(state())
    assert [one[0] for one in seen] == ["17", "17", "5"] and [one[1] for one in seen[1:]] == ["4", "4"]
    assert "first tap" in root.inner_text() and "Hover" not in root.inner_text()
    context.close()


class MegaPatches:
    """The mega-patches explorer of a cell, as a person sees it."""

    def __init__(self, page: Page, cell: str = "mega"):
        self.page, self.root = page, at(page, cell).locator(".mega-patches")
        self.root.scroll_into_view_if_needed()

    def answered(self, act) -> None:
        """Do something, and wait for the cells that answer it."""
        before = self.root.locator("canvas.cells").get_attribute("data-number")
        act()
        lab.until(
            self.page, "([root, before]) => root.querySelector('canvas.cells').dataset.number !== before",
            arg=[self.root.element_handle(), before],
        )
        self.page.wait_for_timeout(150)

    def pixels(self) -> list[int]:
        """Three points of each of 5 x 5 cells, red, green and blue."""
        return self.root.locator("canvas.cells").evaluate(
            """canvas => {
                const context = canvas.getContext("2d"), found = [], step = canvas.width / 5;
                const add = (x, y) => found.push(...context.getImageData(x * step, y * step, 1, 1).data.slice(0, 3));
                for (let y = 0; y < 5; y++) for (let x = 0; x < 15; x++) add((x + 0.5) / 3, y + 0.5);
                return found;
            }"""
        )

    def cuts(self, kind: str) -> list[int]:
        return [int(line.get_attribute("aria-valuenow")) for line in self.root.locator(f".cut.{kind}").all()]

    def says(self) -> str:
        return self.root.locator(".tokens").inner_text()


def test_the_mega_patches_explorer_lives(page):
    mega = MegaPatches(page)
    rows, start = mega.cuts("row"), mega.pixels()
    assert rows == [1, 6, 7, 10] and "no kernel" not in mega.says()

    line = mega.root.locator(".cut.row").nth(2).bounding_box()
    unit = mega.root.locator("img").bounding_box()["width"] / 14
    x, y = line["x"] + 8, line["y"] + line["height"] / 2

    def drag():
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x, y + 2 * unit, steps=4)
        page.mouse.up()

    mega.answered(drag)
    assert mega.cuts("row") == [1, 6, 9, 10] and mega.pixels() != start
    assert "This page has no kernel: the browser resized these cells, which comes close" in mega.says()
    mega.root.locator(".cut.row").nth(2).focus()
    mega.answered(lambda: page.keyboard.press("ArrowUp"))
    mega.answered(lambda: page.keyboard.press("ArrowUp"))
    assert mega.cuts("row") == rows and "no kernel" not in mega.says()
    assert mega.pixels() == start  # the seed's own cuts again: the kernel's own cells


def test_the_browsers_resizing_comes_close(page):
    """The same cuts, as the kernel cut them and as the browser does where it has to."""
    near = page.evaluate(
        """async () => {
            const bytes = data => new DataView(Uint8Array.from(atob(data), letter => letter.charCodeAt(0)).buffer);
            const saved = JSON.parse(document.getElementById("widget-data").textContent);
            const { state, buffers } = Object.values(saved.models).find(model => model.state.carried);
            const views = Object.fromEntries(buffers.map(({ path, data }) => [path.join("."), bytes(data)]));
            state.about.picture = views["about.picture"];
            state.carried.seeds = []; // then it has no cells but those that it makes
            const source = saved.modules.find(text => text.includes("function answererWithoutKernel"));
            const module = new Blob([source + "export { answererWithoutKernel }"], { type: "text/javascript" });
            const { answererWithoutKernel } = await import(URL.createObjectURL(module));
            const answer = answererWithoutKernel({ get: name => state[name] });
            const made = await answer({ ...state.asked, cuts: state.shown.cuts });
            const [ours, kernels] = [made.cells, views["shown.cells"]].map(view => new Uint8Array(view.buffer));
            const apart = kernels.reduce((sum, value, k) => sum + Math.abs(value - ours[k]), 0) / kernels.length;
            return [made.approximate, ours.length, kernels.length, apart];
        }"""
    )
    assert near[:3] == [True, 80 * 80 * 4, 80 * 80 * 4] and 0 < near[3] < 4, near  # of 255, on average


def test_mega_patches_seeds_augmentation_and_m(page):
    mega = MegaPatches(page)
    seed = mega.root.locator("input[type=number]")
    seen = {str(mega.pixels())}
    for k in (1, 2):
        mega.answered(lambda: mega.root.locator("button").click())
        assert seed.input_value() == str(k) and "no kernel" not in mega.says()
        seen.add(str(mega.pixels()))
    for name in ("crop", "jitter", "grey"):
        mega.answered(lambda name=name: mega.root.locator(f"input[name={name}]").check())
        seen.add(str(mega.pixels()))
    assert len(seen) == 6 and "no kernel" not in mega.says()
    mega.root.locator("canvas.cells").hover(position={"x": 200, "y": 120})
    assert "cropped to the 14 × 14 pixels" in mega.root.locator(".words").inner_text()
    mega.answered(lambda: seed.fill("9"))
    mega.answered(lambda: mega.root.locator("button").click())
    assert seed.input_value() == "0"  # after the last the first
    mega.root.locator("input[type=range]").focus()
    mega.answered(lambda: page.keyboard.press("ArrowRight"))
    assert len(mega.cuts("row")) == 5 and "leaves patch augmentation out" in mega.says()
    mega.answered(lambda: seed.fill("77"))
    assert "the cuts of these seeds: 0, 1, 2" in mega.root.locator(".words").inner_text()
    again = MegaPatches(page, "again")  # another view of the same widget
    assert again.root.locator("input[type=number]").input_value() == "77"


def test_the_attention_scores_explorer_lives(page):
    root = at(page, "scores").locator("[data-token]").first
    root.locator("canvas").first.focus()
    before = root.get_attribute("data-token")
    page.keyboard.press("ArrowLeft")
    assert root.get_attribute("data-token") != before


def test_the_shortcut_lab_shows_what_was_recorded(page):
    lab_ = at(page, "lab").locator(".relvit-lab")
    assert "These curves were recorded." in lab_.inner_text()
    assert lab_.get_by_role("button", name="Start").is_disabled() and lab_.locator("svg path, svg polyline").count() > 0


def test_a_prediction_opens_its_answer(page):
    place = at(page, "predict")
    button = place.get_by_role("button", name="That is my prediction")
    assert button.is_disabled() and "Answer" not in place.inner_text()
    place.get_by_label("about 2 times").focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert "You predicted: about 8 times, like the tokens" in place.inner_text()
    assert "Answer: about" in place.inner_text()


def test_the_game_is_played(page):
    game = at(page, "guess").locator(".relvit-guess")
    game.locator("button.cell[data-relation=LT]").click()
    assert "i lies" in game.locator(".said").inner_text() and "of 1 right" in game.locator(".score").inner_text()
    page.keyboard.press("Enter")  # the focus is on "Next pair"
    assert "Pair 2 of 2" in game.locator(".score").inner_text()


def test_the_token_slider_has_all_its_pictures(page):
    place = at(page, "slider")
    image = place.locator("img")
    assert image.get_attribute("alt") == "token 4"
    place.locator("input").focus()
    for key, token in (("ArrowRight", 5), ("ArrowUp", 2), ("Home", 0), ("End", 8)):
        before = image.get_attribute("src")
        page.keyboard.press(key)
        assert image.get_attribute("alt") == f"token {token}" and image.get_attribute("src") != before
        lab.until(page, "image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
