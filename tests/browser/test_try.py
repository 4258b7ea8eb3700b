"""try.html in a browser, from disk, the network off: Python's answers, the tour by keyboard, links, a telephone."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("playwright")

from browser import lab
from PIL import Image
from playwright.sync_api import Page

import relvit_lab
from relvit_lab.lessons.attention_scores.explorer_data import scores_data
from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.model import RelViT
from relvit_lab.publish.site.try_page import write_try
from relvit_lab.show.photographs import photograph

pytestmark = pytest.mark.browser

NEAR = 1e-4  # of the largest value
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
TOLD = """async (at) => {
    const flat = (value) => value.data ? [...value.data] : value.flatMap(flat);
    const a = await window.relvit.answers(at);
    return JSON.stringify({ planes: [...a.planes], attention: flat(a.attention),
        ...Object.fromEntries(Object.entries(a.scores).map(([task, value]) => [task, flat(value)])) });
}"""


def stand_in():
    """A model with positional embeddings, for the tour's last step; untrained."""
    trained = relvit_lab.load("cifar10_tasks")
    torch.manual_seed(0)
    model = RelViT(create_backbone("vit_nano", image_size=32, patch=4, pos_embed=True), trained.model.tasks)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(value.half())
    return replace(trained, model=model.eval())


@pytest.fixture(scope="module")
def models() -> list:
    return [relvit_lab.load("cifar10_tasks"), stand_in(), relvit_lab.load("digits_tasks")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Images that the project has never seen, of the kinds that people have."""
    folder = tmp_path_factory.mktemp("images")
    pixels = (photograph(427, "china") * 255).round().astype(np.uint8)  # (427,427,3)
    noise = np.random.default_rng(0).integers(0, 256, (300, 700, 4), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # a telephone held upright
    names = ("phone.jpg", "large.jpg", "clear.png", "grey.png", "palette.png", "large.png", "deep.png", "scan.png")
    made = {name: folder / name for name in names}
    Image.fromarray(pixels[:300]).save(made["phone.jpg"], quality=92, exif=exif)
    Image.fromarray(noise).save(made["clear.png"])  # every opacity, colours of their own behind it
    Image.fromarray(pixels[100:120, 50:83, 0]).save(made["grey.png"])  # smaller than what the model sees
    Image.fromarray(pixels[50:250, 100:300]).quantize(64).save(made["palette.png"], transparency=3)
    Image.fromarray(pixels).resize((1300, 1001)).save(made["large.png"])
    Image.fromarray(pixels).resize((2001, 1500)).save(made["large.jpg"], progressive=True)
    grey = pixels[:, :, 1].astype(np.uint16) * 256 + pixels[:, :, 0]
    Image.fromarray(grey).save(made["deep.png"])
    Image.fromarray(grey >> 4).save(made["scan.png"], exif=exif)  # 12 bits, as many cameras have
    return made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, models) -> Path:
    return write_try(tmp_path_factory.mktemp("try"), models)


@pytest.fixture(scope="module")
def browser(chromium: str, file: Path) -> Iterator:
    with lab.offline(chromium, *CAMERA) as opened:
        yield opened


@pytest.fixture
def page(browser, file: Path) -> Iterator[Page]:
    """The page at its start; afterwards no complaint, and no request but for the file."""
    with lab.page_of(browser, file, "document.body.dataset.ready") as shown:
        yield shown


def after(page: Page, act) -> str:
    """Do something, wait for the picture that answers it, and give what is said."""
    before = page.evaluate("document.body.dataset.drawn")
    act()
    lab.until(page, "before => document.body.dataset.drawn !== before", arg=before)
    return page.locator("#said").inner_text()


def to(page: Page, link: str) -> str:
    return after(page, lambda: page.evaluate("link => { location.hash = link; }", link))


def tab_to(page: Page, selector: str) -> None:
    for _ in range(40):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never leads to {selector}")


def state(page: Page, name: str) -> str:
    return page.evaluate("name => String(window.relvit.state[name])", name)


# -- the same as in Python -------------------------------------------------------------------------------------------


def test_any_file_gets_pythons_answers_from_each_model(page, files, models):
    to(page, "#play")
    assert page.evaluate("window.relvit.quick")  # what the page's policy allows is taken
    for name, path in files.items():
        after(page, lambda path=path: page.set_input_files("#file", path))
        for at, trained in enumerate(models if name == "phone.jpg" else models[:1]):
            ours, here = json.loads(page.evaluate(TOLD, at)), scores_data(path, model=trained)
            mean, std = (torch.tensor(v).view(3, 1, 1) for v in (trained.pipeline.mean, trained.pipeline.std))
            theirs = {"planes": (here.seen[0][0] * std + mean).numpy(), "attention": here.answers().attention}
            theirs |= {task: s if s.ndim == 3 else s.T for task, s in here.answers().scores.items()}  # (K,N) -> (N,K)
            assert ours.keys() == theirs.keys()
            for what, values in theirs.items():
                apart = np.abs(np.array(ours[what]) - values.ravel()).max() / np.abs(values).max()
                assert apart < (NEAR if what != "planes" else 1e-6), (name, at, what, apart)
            if at == 0:
                right = 100 * (1 - here.mistakes("sprel").mean())
                assert f"{right:.1f} % of all 4096 pairs are right" in page.locator("#said").inner_text()


def test_what_is_no_image_is_said(page, tmp_path):
    to(page, "#play")
    (tmp_path / "words.png").write_text("words")
    page.set_input_files("#file", tmp_path / "words.png")
    page.get_by_text("words.png is no image that this browser can read: try a JPEG or a PNG.").wait_for()
    assert state(page, "image") == "0"


def test_paste_drop_and_camera(page, files):
    to(page, "#play")
    give = """([kind, bytes]) => {
        const data = new DataTransfer(), file = new File([Uint8Array.from(bytes)], "mine.png", { type: "image/png" });
        data.items.add(file);
        const event = kind === "paste" ? new ClipboardEvent(kind, { clipboardData: data })
            : new DragEvent(kind, { dataTransfer: data, cancelable: true });
        document.dispatchEvent(event);
    }"""
    seen = set()
    for kind, name in (("paste", "grey.png"), ("drop", "palette.png")):
        after(page, lambda kind=kind, name=name: page.evaluate(give, [kind, list(files[name].read_bytes())]))
        seen.add(page.evaluate("window.relvit.answers().then(a => a.planes.join())"))
    page.get_by_role("button", name="Camera").click()
    page.get_by_role("button", name="Take the picture").wait_for()
    lab.until(page, "document.getElementById('video').videoWidth > 0")
    after(page, lambda: page.get_by_role("button", name="Take the picture").click())
    seen.add(page.evaluate("window.relvit.answers().then(a => a.planes.join())"))
    assert len(seen) == 3 and not page.locator("#video").is_visible()
    assert "image=" not in page.url  # one's own image is in no link
    assert page.locator("#pick input").count() == 13 and page.locator("#pick input").nth(12).is_checked()


# -- the tour --------------------------------------------------------------------------------------------------------

STEPS = ("1 · Cut", "2 · Token", "3 · Attention", "4 · Score", "5 · Answer", "6 · Loss", "7 · Shuffle", "8 · Cheat")


def test_the_tour_by_keyboard_alone(page):
    """Each step has its title and its thing to do; doing it changes what is said; Enter leads on."""
    does = {  # what to reach with Tab, and what to press there
        "1 · Cut": ("#seen", "ArrowRight"), "2 · Token": ("#controls input", "ArrowLeft"),
        "3 · Attention": ("#controls input", "ArrowRight"), "4 · Score": ("#controls input", "ArrowRight"),
        "5 · Answer": ("#seen", "ArrowDown"), "6 · Loss": ("#seen", "Shift+ArrowLeft"),
        "7 · Shuffle": ("#controls button", "Enter"), "8 · Cheat": ("#controls input", "ArrowRight"),
    }  # fmt: skip
    for title in STEPS:
        assert page.locator("#title").inner_text() == title
        said = page.locator("#said").inner_text()
        tab_to(page, does[title][0])
        assert after(page, lambda title=title: page.keyboard.press(does[title][1])) != said
        tab_to(page, "#next")
        after(page, lambda: page.keyboard.press("Enter"))
        assert page.evaluate("document.activeElement.id") == "title"
    assert page.locator("#title").inner_text() == "Your turn" and page.url.partition("#")[2].startswith("play")
    assert page.locator("#images").is_visible()
    page.go_back()
    lab.until(page, "document.body.dataset.step === 'step-8'")


def test_the_game_by_keyboard(page):
    """The pair's places are hidden until an answer is given; then it, the model's and the score are said."""
    to(page, "#game")
    assert page.locator("#title").inner_text() == "Game" and not page.locator("#next").is_visible()
    for k in range(1, 4):
        hidden = page.locator("#seen").evaluate("canvas => canvas.toDataURL()")
        assert not any(letter.isdigit() for letter in page.locator("#seen").get_attribute("aria-label"))
        page.locator("#seen").focus()
        page.keyboard.press("ArrowRight")  # chooses nothing here
        page.locator("#controls button").nth(k).focus()
        said = after(page, lambda: page.keyboard.press("Enter"))
        assert said.startswith("It is ") and f"of {k}, the model " in said
        assert page.locator("#seen").evaluate("canvas => canvas.toDataURL()") != hidden
        assert page.evaluate("document.activeElement.textContent") == "Next pair"
        after(page, lambda: page.keyboard.press("Enter"))
    right = said.count("You: ") and int(said.partition("you ")[2].split()[0])
    assert 0 <= right <= 3 and f"So far: you {right} of 3" in page.locator("#said").inner_text()


def test_shuffling_moves_the_answers_and_deceives_a_model_that_is_told_places(page):
    said = to(page, "#step-7&shuffle=5")
    before, now = said.removeprefix("Right before ").split("; ")[0].split(", now ")
    assert before == now and float(said.rpartition("is ")[2].rstrip(".")) < 1e-4
    assert float(to(page, "#step-7&shuffle=5&model=1").rpartition("is ")[2].rstrip(".")) > 1e-3


def test_the_patches_chosen_stay_chosen_in_a_shuffle(page):
    to(page, "#step-7&j=9")
    patch = "window.relvit.answers().then(a => a.order[window.relvit.state.j])"
    for _ in range(2):
        after(page, lambda: page.get_by_role("button", name="Shuffle").click())
        assert page.evaluate(patch) == 9 and state(page, "j") != "9"
    after(page, lambda: page.get_by_role("button", name="Put them back").click())
    assert state(page, "j") == "9" and "shuffle" not in page.url


def test_the_link_holds_the_step_and_the_state(page, browser, file):
    to(page, "#step-4")
    after(page, lambda: page.get_by_text("↘ RB", exact=True).click())
    seen = page.locator("#seen").bounding_box()
    after(page, lambda: page.mouse.click(seen["x"] + 2, seen["y"] + seen["height"] - 2))
    said, link = page.locator("#said").inner_text(), page.url
    assert "#step-4" in link and "j=56" in link and "k=8" in link
    other = browser.new_page()
    other.goto(link)
    lab.until(other, "document.body.dataset.ready")
    assert other.locator("#said").inner_text() == said
    other.close()


def test_a_link_that_makes_no_sense_does_no_harm(page):
    for link in ("#nothing", "#step-99&j=-4", "#step-2&j=1e9&model=7&image=x", "#play&task=x&k=99&show=x"):
        to(page, "#step-3")
        assert to(page, link) and 0 <= int(state(page, "j")) < 64 and state(page, "task") == "sprel"


def test_free_play_shows_every_task_of_every_model(page):
    to(page, "#play")
    said = {page.locator("#said").inner_text()}
    for model in (0, 2):
        for task in ("sprel", "dist", "ang", "abspos"):
            for show in ("answers", "truth", "score", "attention"):
                said.add(to(page, f"#play&model={model}&task={task}&show={show}&i=3"))
    assert len(said) == 11  # four tasks and the attention, of each model; and the start
    assert "digit" in page.locator("#image-words").inner_text().lower()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(page, scheme):
    page.emulate_media(color_scheme=scheme)
    for step in ("#step-1", "#step-6", "#step-8", "#play", "#game"):
        to(page, step)
        assert lab.faults(page) == [], step


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_sticks_out(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    for step in [*(f"#step-{k}" for k in range(1, 9)), "#play", "#game"]:
        to(page, step)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, step
        boxes = [page.locator(name).bounding_box() for name in ("#seen", "#picture")]
        assert boxes[1]["x"] >= boxes[0]["x"] + boxes[0]["width"]  # beside one another, on a telephone too
