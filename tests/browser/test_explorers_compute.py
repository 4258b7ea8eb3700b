"""Explorers on a page that carries their models, from disk, the network off: any image, and Python's answers to it."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")

from browser import lab
from ipywidgets.embed import embed_data
from PIL import Image
from playwright.sync_api import Locator, Page

from relvit_lab.lessons.attention_scores.explorer import explore_scores
from relvit_lab.lessons.attention_scores.explorer_data import scores_data
from relvit_lab.lessons.patch_relations.explorer import explore_relations
from relvit_lab.lessons.patch_relations.explorer_data import relations_data
from relvit_lab.publish.site.page import SCRIPT, document
from relvit_lab.publish.site.widgets import widgets_html

pytestmark = pytest.mark.browser

MODELS = ("cifar10_tasks", "cifar10_tasks_pe")
NEAR = 1e-3  # of the largest value
CELLS = {
    "plain": lambda: explore_relations(),
    "relations": lambda: explore_relations(model=MODELS[0]),
    "scores": lambda: explore_scores(model=MODELS[0], other=MODELS[1]),
    "digits": lambda: explore_scores(model="digits_tasks"),
}
HOVER = """(root, [at, side, names]) => {
    const canvas = root.querySelectorAll("figure canvas")[at];
    return Array.from({ length: side * side }, (_, t) => {
        const box = canvas.getBoundingClientRect();
        const [x, y] = [t % side, Math.floor(t / side)].map((v) => ((v + 0.5) * box.width) / side);
        const place = { clientX: box.x + x, clientY: box.y + y, bubbles: true };
        canvas.dispatchEvent(new PointerEvent("pointermove", place));
        const sections = [...root.querySelectorAll("section")], where = sections.length ? sections : [root];
        return where.map((one) => names.map((name) => Number(one.dataset[name])));
    });
}"""
GIVE = """(root, [kind, name, bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(bytes)], name, { type: "image/png" }));
    root.querySelector("canvas").dispatchEvent(kind === "paste"
        ? new ClipboardEvent(kind, { clipboardData: data, bubbles: true })
        : new DragEvent(kind, { dataTransfer: data, cancelable: true, bubbles: true }));
}"""


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that nobody has seen, neither square nor of a model's size."""
    file = tmp_path_factory.mktemp("images") / "noise.png"
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (90, 140, 3), np.uint8)).save(file)
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with these explorers, as the site writes it."""
    shown = {name: make() for name, make in CELLS.items()}
    for one in shown.values():
        one.carry_models()
    saved = embed_data(views=list(shown.values()), drop_defaults=False)["manager_state"]["state"]
    body = "".join(
        f'<section id="cell-{name}"><div class="widget" data-model="{one.model_id}"></div></section>'
        for name, one in shown.items()
    )
    script = SCRIPT.read_text(encoding="utf-8")
    body = f'<div class="page"><nav></nav><main>{body}</main></div><script>{script}</script>'
    body += widgets_html({one.model_id: saved[one.model_id] for one in shown.values()})
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(document("Explorers", body), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(chromium: str, file: Path) -> Iterator:
    with lab.offline(chromium) as opened:
        yield opened


@pytest.fixture
def page(browser, file: Path) -> Iterator[Page]:
    """The page, all explorers drawn; afterwards no complaint, and no request but for the file."""
    with lab.page_of(browser, file, "document.querySelectorAll('.widget[data-drawn] .pick img').length > 40") as shown:
        yield shown
        assert shown.evaluate("document.documentElement.scrollWidth") <= shown.viewport_size["width"]


def root(page: Page, cell: str) -> Locator:
    return page.locator(f"#cell-{cell} .widget > div > div")


def bring(page: Page, cell: str, image: Path) -> Locator:
    """Give an explorer a file, and wait until it shows it."""
    explorer = root(page, cell)
    explorer.locator("input[type=file]").set_input_files(image)
    lab.until(page, "([at, name]) => at.dataset.image === name", arg=[explorer.element_handle(), image.name])
    return explorer


def near(ours: np.ndarray, theirs: np.ndarray, largest: float) -> bool:
    return np.abs(ours - theirs).max() <= NEAR * largest


def test_any_image_gets_pythons_scores_and_attention_from_both_models(page, noise):
    explorer, data = bring(page, "scores", noise), scores_data(noise, *MODELS)
    for shuffle in (0, 4):
        explorer.locator("input[type=number]").fill(str(shuffle))
        for task, k in (("sprel", 3), ("dist", 0)):
            explorer.locator(f"input[value={task}]").check()
            if task == "sprel":
                explorer.locator(".all canvas").first.focus()
                page.keyboard.press("Home")
                for _ in range(k):
                    page.keyboard.press("ArrowRight")
            told = np.array(explorer.evaluate(HOVER, [0, 8, ["said", "score", "look"]]))  # (j,model,3)
            i = int(explorer.get_attribute("data-other"))
            for m in range(2):
                answers = data.answers(shuffle, m)
                scores, look = answers.scores[task], answers.attention[0].mean(0)[1:, 1:]  # (K,N,N), (N,N)
                assert near(told[:, m, 1], scores[k, i], np.abs(scores).max())
                assert near(told[:, m, 2], look[:, i], look.max())
                if task == "sprel":
                    assert (told[:, m, 0] == answers.said[task][i]).mean() > 0.95  # two scores may be all but equal
                said = explorer.locator("section h4 small").nth(m).inner_text()
                theirs = data.verdict(task, shuffle, m)
                for a, b in zip(re.findall(r"[\d.]+", said), re.findall(r"[\d.]+", theirs)):
                    assert float(a) == pytest.approx(float(b), abs=0.11)
                assert re.sub(r"[\d.]+", "", said.partition("; against")[0]) == re.sub(r"[\d.]+", "", theirs)
    drifts = [float(one.inner_text().rpartition(" ")[2]) for one in explorer.locator("section h4 small").all()]
    assert drifts[0] < 1e-4 < 1e-3 < drifts[1]  # without positional embeddings the answers move along


def test_a_place_for_each_token_and_another_grid(page, tmp_path):
    """AbsPos' scores are (N, K); a model of digits sees 4 x 4 patches."""
    image = tmp_path / "eight.png"
    Image.fromarray(np.random.default_rng(6).integers(0, 256, (40, 40), np.uint8)).save(image)
    explorer, data = bring(page, "digits", image), scores_data(image, "digits_tasks")
    explorer.locator("input[value=abspos]").check()
    told = np.array(explorer.evaluate(HOVER, [0, 4, ["said", "score"]]))[:, 0]  # (N,2)
    scores = data.answers().scores["abspos"]  # (K,N)
    k = int(explorer.get_attribute("data-score"))
    assert near(told[:, 1], scores[k], np.abs(scores).max())
    assert (told[:, 0] == data.answers().said["abspos"]).all()


def test_the_relations_explorer_asks_its_model_about_any_image(page, noise):
    explorer, data = bring(page, "relations", noise), relations_data(noise, model=MODELS[0])
    for shuffle in (0, 2):
        explorer.locator("input[type=number]").fill(str(shuffle))
        for task in ("sprel", "ang"):
            explorer.locator(f"input[value={task}]").check()
            told = np.array(explorer.evaluate(HOVER, [0, 8, ["answer", "value"]]))[:, 0]  # (j,2)
            i, theirs = int(explorer.get_attribute("data-other")), data.predictions[task][shuffle]
            assert near(told[:, 1], data.target(task, shuffle)[i], 1)
            if task == "ang":
                assert near(told[:, 0], theirs[i], np.abs(theirs).max())
            else:
                assert (told[:, 0] == theirs[i]).mean() > 0.95
            said = explorer.locator("figcaption").nth(2).inner_text()
            ours, numbers = (re.search(r"([\d.]+) % of all", text)[1] for text in (said, data.verdict(task, shuffle)))
            assert float(ours) == pytest.approx(float(numbers), abs=0.11)


def test_without_a_model_only_the_picture_changes_and_comes_back(page, noise):
    explorer = root(page, "plain")
    explorer.scroll_into_view_if_needed()
    look = lambda: explorer.evaluate(  # noqa: E731  image and matrix
        "root => [...root.querySelectorAll('figure canvas')].map(canvas => canvas.toDataURL())"
    )
    image, matrix = look()
    words = explorer.locator(".said").inner_text()
    bring(page, "plain", noise)
    assert look()[0] != image and look()[1] == matrix and explorer.locator(".said").inner_text() == words
    assert "noise.png: its middle" in explorer.locator(".help").inner_text()
    explorer.locator(".pick input").first.check()
    lab.until(page, "at => at.dataset.image === ''", arg=explorer.element_handle())
    assert look() == [image, matrix] and "noise.png" not in explorer.locator(".help").inner_text()


def test_an_explorers_own_image_has_every_shuffle_and_comes_back(page, noise):
    explorer, data = root(page, "scores"), scores_data(None, *MODELS)
    score = lambda: float(explorer.locator("section").first.get_attribute("data-score"))  # noqa: E731
    first = score()
    explorer.locator("input[type=number]").fill("9")  # carried along by no page of this size
    lab.until(page, "at => at.dataset.shuffle === '9'", arg=explorer.element_handle())
    j, i = (int(explorer.get_attribute(f"data-{name}")) for name in ("token", "other"))
    k = int(explorer.get_attribute("data-score"))
    scores = data.answers(9).scores["sprel"]
    assert score() == pytest.approx(scores[k, i, j], abs=NEAR * float(np.abs(scores).max()))
    explorer.get_by_role("button", name="Unshuffle").click()
    assert score() == first
    bring(page, "scores", noise)
    assert score() != first
    explorer.locator(".pick input").first.check()
    lab.until(page, "at => at.dataset.image === ''", arg=explorer.element_handle())
    assert score() == pytest.approx(first, abs=1e-3)


def test_images_are_chosen_with_the_keyboard_pasted_and_dropped(page, noise, tmp_path):
    explorer = root(page, "scores")
    name = lambda: explorer.get_attribute("data-image")  # noqa: E731
    explorer.locator("fieldset input").first.focus()
    for _ in range(30):
        if page.evaluate("document.activeElement.matches('.pick input')"):
            break
        page.keyboard.press("Tab")
    seen = []
    for _ in range(3):
        before = name()
        page.keyboard.press("ArrowRight")
        lab.until(page, "([at, was]) => at.dataset.image !== (was ?? undefined)",
                               arg=[explorer.element_handle(), before])  # fmt: skip
        seen.append(name())
        assert page.evaluate("document.activeElement.matches('.pick input:checked')")  # what has the focus keeps it
    assert len(set(seen)) == 3 and seen[2].startswith("CIFAR-10 test image")
    for kind, given in (("paste", "The pasted image"), ("drop", "mine.png")):
        explorer.evaluate(GIVE, [kind, "mine.png", list(noise.read_bytes())])
        lab.until(page, "([at, name]) => at.dataset.image === name", arg=[explorer.element_handle(), given])
    (tmp_path / "words.png").write_text("words")
    explorer.locator("input[type=file]").set_input_files(tmp_path / "words.png")
    explorer.get_by_text("words.png is no image that this browser can read").wait_for()
    assert name() == "mine.png" and root(page, "relations").get_attribute("data-image") is None  # each has its own


def test_relations_show_their_side_beside_their_colour(page):
    """Some do not tell LC, RT and CC apart by colour: a cell of the matrix has dark edges on the side that it names."""
    explorer = root(page, "plain")
    explorer.scroll_into_view_if_needed()
    explorer.evaluate(HOVER, [0, 7, []])  # the last patch is lit, at the matrix's edge
    data = explorer.locator("figure canvas").nth(1).evaluate("canvas => canvas.toDataURL()")
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("L")).astype(int)
    target, unit, found = relations_data().target("sprel"), len(drawn) / 49, {}
    for i, j in ((24 + dy + dx, 24) for dy in (-7, 0, 7) for dx in (-1, 0, 1)):
        cell = drawn[round(i * unit) : round((i + 1) * unit), round(j * unit) : round((j + 1) * unit)]
        middle = len(cell) // 2
        sides = {"L": cell[middle, :1], "R": cell[middle, -3:], "T": cell[:1, middle], "B": cell[-3:, middle]}
        edge = [name for name, part in sides.items() if (abs(part - cell[middle, middle]) > 12)[part < 250].any()]
        found[int(target[i, j])] = "".join(edge)
    assert found == {0: "LT", 1: "T", 2: "RT", 3: "L", 4: "", 5: "R", 6: "LB", 7: "B", 8: "RB"}


def test_what_a_page_carries_it_carries_once(file):
    page = file.read_text(encoding="utf-8")
    assert page.count('"safetensors": ') == 3  # three models in three explorers, one of them in two
    assert page.count("export function forward") == 1 and page.count("CIFAR-10 test image 0") == 1 and len(page) < 8e6


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_serious_fault(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert lab.faults(page) == []
