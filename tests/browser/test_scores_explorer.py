"""The attention-score explorer in JupyterLab: tokens and scores by mouse and keyboard, shuffles, two models, speed."""

import math
import os
from collections.abc import Iterator
from statistics import median

import matplotlib
import numpy as np
import pytest

pytest.importorskip("playwright")

from browser import lab
from PIL import Image

from relvit_lab.lessons.attention_scores.explorer_data import ScoresData, scores_data, with_image
from relvit_lab.lessons.attention_scores.explorer_figure import seen_from
from relvit_lab.method.relations import RELATION_NAMES

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("timing")]

CELLS = {
    "two": "from relvit_lab.lessons.attention_scores.explorer import explore_scores\n"
    "explorer = explore_scores(model='digits_tasks', other='untrained', token=6)\nexplorer",
    "photo": "explorer = explore_scores(other='untrained')\nexplorer",
    "state": "e = explorer\nprint(e.task, e.token, e.score, e.softmax, e.shuffle, e.block, e.head, e.cls, e.back)",
    "set": "explorer.task, explorer.token, explorer.shuffle, explorer.block = 'abspos', 3, 2, 4",
}
SAYS, MAP, ALL, LOOK = 0, 1, 2, 3  # the canvases of a model


@pytest.fixture(scope="module")
def opened(chromium: str, jupyter: tuple) -> Iterator[lab.Notebook]:
    """One notebook for all tests here."""
    with lab.with_cells(chromium, jupyter, CELLS) as book:
        book.run_cell("two")
        book.wait_until_done("two", seconds=180)  # it imports torch
        yield book


@pytest.fixture
def explorer(opened: lab.Notebook) -> Iterator:
    """explorer("two"): a new explorer of that cell; afterwards no complaints."""
    yield lambda cell_id: Explorer(opened, cell_id)
    assert opened.complaints == [] and opened.errors() == []


@pytest.fixture(scope="module")
def data() -> ScoresData:
    """What the explorer of the digits should show."""
    return scores_data(model="digits_tasks", other="untrained")


class Explorer(lab.Explorer):
    """What a person sees of an explorer, and does with it. model: 0 or 1, the row."""

    shown = ".relvit-scores"

    def chosen(self) -> tuple[int, int, int]:
        """k, i, j"""
        return tuple(int(self.state(name)) for name in ("score", "other", "token"))

    def row(self, model: int):
        return self.root.locator("section").nth(model)

    def number(self, model: int, name: str) -> float:
        return float(self.row(model).get_attribute(f"data-{name}"))

    def canvas(self, model: int, canvas: int):
        return self.row(model).locator("canvas").nth(canvas)

    def caption(self, model: int, canvas: int) -> str:
        return self.row(model).locator("figcaption").nth(canvas).inner_text()

    def words(self) -> str:
        return self.root.locator("[aria-live]").inner_text()

    def table(self) -> list[list[str]]:
        return [line.split("\t") for line in self.root.locator("table").inner_text().splitlines()]

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def choose(self, value: str) -> None:
        self.root.locator(f"input[value='{value}']").check()

    def select(self, label: str, text: str) -> None:
        self.root.get_by_label(label).select_option(text)

    def button(self, name: str):
        return self.root.get_by_role("button", name=name, exact=True)

    def at(self, model: int, canvas: int, place: int, side: int) -> tuple[float, float]:
        """On the screen: the middle of a place."""
        self.canvas(model, canvas).scroll_into_view_if_needed()
        box = self.canvas(model, canvas).bounding_box()
        row, column = divmod(place, side)
        return box["x"] + (column + 0.5) * box["width"] / side, box["y"] + (row + 0.5) * box["height"] / side

    def hover(self, model: int, canvas: int, place: int, side: int = 4) -> None:
        self.page.mouse.move(*self.at(model, canvas, place, side))
        self.page.wait_for_timeout(50)

    def click(self, model: int, canvas: int, place: int, side: int = 4) -> None:
        self.page.mouse.click(*self.at(model, canvas, place, side))
        self.page.wait_for_timeout(50)

    def pixel(self, model: int, canvas: int, place: int, side: int = 4) -> list[int]:
        """The colour beside the middle of a place: in its corner, inside a frame, beside numbers and signs."""
        row, column = divmod(place, side)
        return self.canvas(model, canvas).evaluate(
            """(canvas, [y, x]) => [...canvas.getContext("2d").getImageData(
                Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data].slice(0, 3)""",
            [(row + 0.86) / side, (column + 0.86) / side],
        )

    def only_colours(self) -> None:
        """Move the slider from the image to the colours, so that nothing shines through."""
        self.root.locator("input[type=range]").focus()
        self.press("End")
        self.page.wait_for_timeout(50)

    def reorder(self, seed: int) -> None:
        self.root.locator("input[type=number]").fill(str(seed))
        self.book.wait_until(lambda: self.state("shuffle") == str(seed), f"shuffle {seed}", seconds=30)

    def kernel(self) -> list[str]:
        """What the explorer's traits say."""
        return super().kernel().split()


def heat(part: float) -> list[int]:
    return [int(value) for value in matplotlib.colormaps["viridis"](min(int(256 * part), 255), bytes=True)[:3]]


def near(one: list[int], other: list[int], by: int = 4) -> bool:
    return max(abs(a - b) for a, b in zip(one, other)) <= by


def same_numbers(shown: Explorer, data: ScoresData, task: str, shuffle: int = 0) -> None:
    """For the pair that is shown: scores, softmax and answers of both models are Python's."""
    k, i, j = shown.chosen()
    target = data.target(task, shuffle)
    assert float(shown.state("target")) == pytest.approx(
        float(target[i, j] if target.ndim == 2 else target[j]), abs=1e-5
    )
    for m in (0, 1):
        answers = data.answers(shuffle, m)
        raw, shares, _ = seen_from(answers.scores[task], data.tasks[task].kind, j, k)
        scores, at = answers.scores[task], (i, j) if target.ndim == 2 else (j,)
        width = float(scores.max() - scores.min())
        k = min(k, len(scores) - 1)
        assert shown.number(m, "score") == pytest.approx(float(scores[(k, *at)]), abs=1e-4 * width)
        assert shown.number(m, "share") == pytest.approx(float(shares[k if target.ndim == 1 else i]), abs=2e-3)
        assert shown.number(m, "said") == pytest.approx(float(answers.said[task][at]), abs=1e-4 * width)


# -- picking -------------------------------------------------------------------------------------------------------


def test_hovering_and_clicking_pick_tokens_and_scores(explorer, data):
    shown = explorer("two")
    shown.only_colours()
    shown.hover(1, MAP, 9)  # in the second model's row: both follow
    assert shown.chosen() == (0, 0, 9)
    same_numbers(shown, data, "sprel")
    shown.click(0, ALL, 5, side=3)  # the small map of RC
    assert shown.chosen()[0] == 5 and "k = 5 RC" in shown.caption(0, MAP)
    for m in (0, 1):
        shares = seen_from(data.answers(0, m).scores["sprel"], "relations", 9, 5)[1]
        for place in (0, 3, 9, 14):
            assert near(shown.pixel(m, MAP, place), heat(shares[place])), (m, place)
        right = int((~data.mistakes("sprel", 0, m)[:, 9]).sum())
        assert f"{right} of 16 right from here" in shown.caption(m, SAYS)
        assert data.verdict("sprel", 0, m) in shown.row(m).locator("h4").inner_text()
    shown.click(0, SAYS, 10)  # pins j
    shown.hover(0, LOOK, 3)
    assert shown.chosen() == (5, 3, 10) and shown.state("pinned") == "true"
    same_numbers(shown, data, "sprel")
    header, score, softmax = shown.table()[:3]
    column = data.answers().scores["sprel"][:, 3, 10]
    shares = np.exp(column - column.max()) / np.exp(column - column.max()).sum()
    truth = int(data.target("sprel")[3, 10])
    assert header[1:] == [f"{k} {name}{' ✓' if k == truth else ''}" for k, name in enumerate(RELATION_NAMES)]
    for k in range(9):
        assert float(score[k + 1].replace("−", "-")) == pytest.approx(float(column[k]), abs=0.06)
        assert float(softmax[k + 1]) == pytest.approx(float(shares[k]), abs=2e-3)
    says = int(data.answers().said["sprel"][3, 10])
    assert f"The first model says {says} {RELATION_NAMES[says]}" in shown.words()
    assert f"True: {truth} {RELATION_NAMES[truth]}" in shown.words() and "Token j is pinned." in shown.words()
    assert shown.kernel() == "sprel 10 5 True 0 1 0 False False".split()


def test_everything_can_be_reached_and_moved_with_the_keyboard(explorer, data):
    shown = explorer("two")
    shown.button("Own image …").focus()
    shown.press("Tab")  # to the first canvas
    focused = shown.page.evaluate(
        "() => { const e = document.activeElement; return [e.ariaLabel, getComputedStyle(e).outlineStyle]; }"
    )
    assert "says about every patch" in focused[0] and "digits_tasks" in focused[0] and focused[1] == "solid"
    for key, token in {
        "ArrowRight": 7, "ArrowDown": 11, "Home": 8, "ArrowLeft": 8, "End": 11, "PageUp": 3, "PageDown": 15,
        "Control+Home": 0, "ArrowUp": 0, "Control+End": 15,
    }.items():  # fmt: skip
        shown.press(key)
        assert shown.chosen()[2] == token, key
    shown.press("Shift+ArrowRight")
    shown.press("Enter")
    shown.press("ArrowDown")
    assert shown.chosen() == (0, 5, 15) and shown.state("pinned") == "true"
    same_numbers(shown, data, "sprel")
    shown.press("Escape")
    shown.press("Tab")
    shown.press("Tab")  # to the small maps
    for key, score in {"ArrowRight": 1, "ArrowDown": 4, "End": 8, "ArrowDown ": 8, "ArrowLeft": 7, "Home": 0}.items():
        shown.press(key.strip())
        assert shown.chosen()[0] == score, key
    shown.press("ArrowRight")
    same_numbers(shown, data, "sprel")
    shown.root.locator("input[value=sprel]").focus()
    shown.press("ArrowRight")
    assert shown.state("task") == "dist"
    shown.button("Shuffle").focus()
    shown.press("Enter")
    shown.book.wait_until(lambda: shown.state("shuffle") == "1", "the first shuffle")
    assert shown.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCell.model.id") == "two"
    assert len(shown.book.cells()) == len(CELLS)  # no key went to JupyterLab


def test_every_kind_of_task_and_raw_scores(explorer, data):
    shown = explorer("two")
    shown.only_colours()
    shown.choose("scores")
    shown.hover(0, MAP, 13)
    column = data.answers().scores["sprel"][:, :, 13]
    low, high = column.min(), column.max()
    assert all(near(shown.pixel(0, MAP, t), heat((column[0, t] - low) / (high - low)), 8) for t in (0, 6, 13))
    shown.choose("dist")
    same_numbers(shown, data, "dist")
    assert data.verdict("dist") in shown.row(0).inner_text() and not shown.canvas(0, ALL).is_visible()
    assert shown.root.locator("input[value=softmax]").is_disabled() and shown.root.locator("td").count() == 0
    shown.choose("abspos")
    shown.choose("softmax")
    shown.hover(0, SAYS, 10)
    scores = data.answers().scores["abspos"][:, 10]
    shares = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    assert all(near(shown.pixel(0, MAP, c), heat(shares[c] / shares.max()), 8) for c in (0, 5, int(shares.argmax())))
    assert int(shown.number(0, "said")) == scores.argmax() and "the largest of 16" in shown.table()[0][0]
    assert shown.kernel()[:4] == ["abspos", "13", "0", "True"]  # hovering is not told to the kernel


def test_attention_inside_the_backbone_by_block_head_and_cls(explorer, data):
    shown = explorer("two")
    shown.only_colours()
    shown.hover(0, LOOK, 6)
    shown.select("block of the backbone", "block 3")
    for head, maps in (("mean of the heads", slice(None)), ("head 2", slice(1, 2))):
        shown.select("head of the attention", head)
        for m in (0, 1):
            row = data.answers(0, m).attention[2, maps, 1 + 6].mean(0)  # (T,)
            assert shown.number(m, "look") == pytest.approx(float(row[1 + 0]), abs=3e-3)
            largest = row[1:].max()
            assert all(near(shown.pixel(m, LOOK, t), heat(row[1 + t] / largest), 8) for t in (2, 6, 15))
            assert "block 3 of 4" in shown.caption(m, LOOK) and "to CLS" in shown.caption(m, LOOK)
    shown.select("the token that looks", "from CLS")
    row = data.answers().attention[2, 1, 0]
    assert shown.number(0, "look") == pytest.approx(float(row[1 + 0]), abs=3e-3)
    assert "from CLS" in shown.caption(0, LOOK)
    assert shown.kernel()[5:8] == ["3", "2", "True"]


# -- shuffles, images, Python --------------------------------------------------------------------------------------


def test_a_shuffle_moves_everything_and_can_be_put_back(explorer, data):
    shown = explorer("two")
    shown.only_colours()
    shown.click(0, MAP, 6)
    shown.click(0, ALL, 3, side=3)
    plain = [[shown.pixel(m, MAP, t) for t in range(16)] for m in (0, 1)]
    shown.reorder(4)
    inverse = data.permutations[4].argsort()
    assert shown.chosen() == (3, inverse[0], inverse[6])  # the chosen patches stay chosen
    assert f"patch 6 (now at place {inverse[6]})" in shown.words()
    same_numbers(shown, data, "sprel", 4)
    for m in (0, 1):
        shares = seen_from(data.answers(4, m).scores["sprel"], "relations", inverse[6], 3)[1]
        assert all(near(shown.pixel(m, MAP, t), heat(shares[t])) for t in (1, 7, 12))
        assert "off by at most 0.000" in shown.row(m).locator("h4").inner_text()
    shown.choose("back")
    for m in (0, 1):  # no positional embeddings: every patch has the same scores as before
        assert all(near(shown.pixel(m, MAP, t), plain[m][t]) for t in range(16) if t not in (0, 6))
    shown.hover(0, MAP, 6)
    assert shown.chosen()[1] == inverse[6]  # a place on the screen is the patch's own now
    assert shown.kernel()[4] == "4"
    shown.button("Unshuffle").click()
    assert shown.state("shuffle") == "0"


def test_an_own_image_is_sent_to_the_kernel_and_python_can_lead(explorer, data, tmp_path):
    shown = explorer("two")
    picture = (np.random.default_rng(0).random((30, 50, 3)) * 255).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "own.png")
    shown.root.locator("input[type=file]").set_input_files(tmp_path / "own.png")
    shown.book.wait_until(lambda: "50 x 30" in shown.root.locator(".help").inner_text(), "the own image's note")
    shown.page.wait_for_timeout(300)
    own = with_image(data, picture)
    same_numbers(shown, own, "sprel")
    (tmp_path / "no.png").write_bytes(b"no picture")
    shown.root.locator("input[type=file]").set_input_files(tmp_path / "no.png")
    shown.book.wait_until(lambda: "no.png is no image" in shown.root.inner_text(), "what is wrong with the file")
    shown.book.run_cell("set")
    shown.book.wait_until(lambda: shown.state("shuffle") == "2", "the shuffle that Python has set")
    assert (shown.state("task"), shown.state("token"), shown.state("block")) == ("abspos", "3", "4")
    same_numbers(shown, own, "abspos", 2)
    assert shown.root.locator("input[value=abspos]").is_checked()


def test_nothing_is_cut_off_in_any_window(explorer):
    shown = explorer("photo")
    try:
        for width in (900, 1280, 1920):
            shown.page.set_viewport_size({"width": width, "height": 900})
            shown.page.wait_for_timeout(300)
            outer = shown.root.bounding_box()
            boxes = [shown.canvas(m, k).bounding_box() for m in (0, 1) for k in range(4)]
            assert all(box["x"] + box["width"] <= outer["x"] + outer["width"] + 1 for box in boxes)
            assert all(abs(box["width"] - box["height"]) < 1 and box["width"] > 180 for box in boxes)
            wide = "e => e.scrollWidth - e.clientWidth"
            assert shown.root.evaluate(wide) <= 0
            assert shown.canvas(0, MAP).evaluate("c => c.width - Math.round(c.clientWidth * devicePixelRatio)") == 0
            if width >= 1280:  # one row for each model, and the whole table
                assert len({round(box["y"]) for box in boxes}) == 2
                assert shown.root.locator(".pair").evaluate(wide) <= 0
    finally:
        shown.page.set_viewport_size(lab.VIEWPORT)


# -- speed ---------------------------------------------------------------------------------------------------------

REDRAWS = """async root => {
    const seed = root.querySelector("input[type=number]"), frame = () => new Promise(requestAnimationFrame), times = [];
    for (let s = 1; s <= 9; s++) {
        await new Promise(resolve => setTimeout(resolve, 100));
        const begin = performance.now();
        seed.value = s;
        seed.dispatchEvent(new Event("input", { bubbles: true }));
        while (root.dataset.shuffle !== String(s) || root.dataset.waiting) await frame();
        times.push(performance.now() - begin);
    }
    return times;
}"""


def test_another_order_from_the_kernel_is_drawn_in_time(explorer, record_property):
    """From the input to the page that shows the kernel's answer, two models on 64 patches.

    Of up to three rounds the best counts. Too slow is a failure, unless other programs hold the machine: then nothing
    was measured, and it is skipped.
    """
    rounds = []
    while len(rounds) < 3 and (not rounds or median(rounds[-1]) >= 200):
        shown = explorer("photo")  # a new one, which has none of the orders yet
        rounds.append(shown.root.evaluate(REDRAWS))
    times = min(rounds, key=median)
    record_property("milliseconds", median(times))
    print(f"redrawn after {median(times):.0f} ms (median of {len(times)}), at most {max(times):.0f} ms")
    waiting = os.getloadavg()[0] / os.cpu_count()
    if median(times) >= 200 and waiting > 3:
        pytest.skip(f"{median(times):.0f} ms, but {waiting:.0f} programs want each core: repeat it on an idle machine")
    assert median(times) < 2000, rounds  # it is printed; CI has two workers on two cores


HOVER = """async root => {
    const canvas = root.querySelectorAll("canvas")[1], times = [];
    const box = canvas.getBoundingClientRect();
    for (let k = 1; k <= 40; k++) {
        const q = (k * 37) % 64, clientX = box.x + ((q % 8) + 0.5) / 8 * box.width;
        const clientY = box.y + (Math.floor(q / 8) + 0.5) / 8 * box.height, start = performance.now();
        canvas.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY, bubbles: true }));
        root.offsetHeight;
        times.push(performance.now() - start);
        await new Promise(requestAnimationFrame);
    }
    return times;
}"""


def test_hovering_two_models_is_fast(explorer):
    """Of up to three rounds the best counts: other programs may hold the machine."""
    shown, times = explorer("photo"), [math.inf]
    for _ in range(3):
        if median(times) >= 32:
            times = min(times, shown.root.evaluate(HOVER), key=median)
    print(f"hover: median {median(times):.1f} ms, largest {max(times):.1f} ms")
    assert median(times) < 320, times  # two frames where nothing else runs


# -- without a kernel ----------------------------------------------------------------------------------------------


def test_it_lives_on_a_page_without_a_kernel(opened, data, tmp_path):
    from ipywidgets.embed import embed_data

    from relvit_lab.lessons.attention_scores.explorer import CARRIED, ScoresExplorer
    from relvit_lab.publish.site.widgets import widgets_html

    saved = ScoresExplorer(data, task="sprel", token=6)
    saved.carry()
    saved.data = {**saved.data, "shuffles": {key: saved.data["shuffles"][key] for key in "017"}}  # as of a large model
    state = embed_data(views=[saved], drop_defaults=False)["manager_state"]["state"][saved.model_id]
    place = f'<meta charset="utf-8"><div class="widget" data-model="{saved.model_id}"></div>'
    html = place + widgets_html({saved.model_id: state})
    assert len(html) < 2 * CARRIED
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page, complaints = opened.page.context.browser.new_page(viewport=lab.VIEWPORT), []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    root = page.locator(".relvit-scores[data-task]")
    root.wait_for()
    root.locator("input[type=number]").fill("7")  # carried along
    j, i = (int(root.get_attribute(f"data-{name}")) for name in ("token", "other"))
    assert root.get_attribute("data-shuffle") == "7" and data.permutations[7][j] == 6
    expected = float(data.answers(7).scores["sprel"][0, i, j])
    assert float(root.locator("section").first.get_attribute("data-score")) == pytest.approx(expected, abs=2e-3)
    root.locator("input[type=number]").fill("5")
    assert root.get_attribute("data-shuffle") == "7"
    assert "Shuffle 5 needs a running kernel; this page carries the shuffles 0, 1, 7." in root.inner_text()
    root.get_by_role("button", name="Own image …").click()
    assert "An image of your own needs a running kernel" in root.inner_text()
    assert complaints == []
    page.close()
