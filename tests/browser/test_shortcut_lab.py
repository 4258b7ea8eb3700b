"""The shortcut lab in JupyterLab: it trains while the kernel stays free, and a switch, Stop and the curves are true."""

import json
import time
from collections.abc import Iterator

import anywidget
import pytest

pytest.importorskip("playwright")

from browser import lab

from relvit_lab.lessons.pe_shortcut import lab as module
from relvit_lab.lessons.pe_shortcut.live_training import recorded

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("timing")]

PATIENCE = 8  # times what two idle cores take: these limits tell an answer from a hang, beside another worker
IMPORT = "from relvit_lab.lessons.pe_shortcut.lab import shortcut_lab\n"
CELLS = {
    "lab": IMPORT + "lab = shortcut_lab(test_images=60)\nlab",
    "tries": "import json\nprint(json.dumps(lab.tries))",
    "other": "print(6 * 7)",
    "set": "lab.crop = False",
    "old": "print(old.running, old.tries[-1]['state'])",
    "again": "old = lab\nlab = shortcut_lab(test_images=60)\nlab",
    "broken": "broken = shortcut_lab(backbone='vit_nan')\nbroken",
    "busy": "import time\ntime.sleep(12)",
}
PLOT = """plot => {  // what is drawn, back in steps and %
    const box = plot.viewBox.baseVal, lines = [...plot.querySelectorAll('.curve')];
    const ticks = [...plot.querySelectorAll('text')].filter(t => t.getAttribute('text-anchor') === 'middle')
        .filter(t => /^\\d+$/.test(t.textContent)).map(t => [Number(t.textContent), Number(t.getAttribute('x'))]);
    const rows = [...plot.querySelectorAll('text')].filter(t => t.getAttribute('text-anchor') === 'end')
        .filter(t => /^\\d+$/.test(t.textContent)).map(t => [Number(t.textContent), t.getAttribute('y') - 5]);
    const back = (pairs, at) => {
        const [[v0, p0], [v1, p1]] = [pairs[0], pairs.at(-1)];
        return v0 + (at - p0) / (p1 - p0) * (v1 - v0);
    };
    const curves = {};
    for (const line of lines) {
        const points = line.getAttribute('points').split(' ').map(p => p.split(',').map(Number));
        curves[line.dataset.key] = points.map(([x, y]) => [back(ticks, x), back(rows, y)]);
    }
    const switches = [...plot.querySelectorAll('.switch')].map(
        l => [l.dataset.key, Number(l.dataset.step), back(ticks, Number(l.getAttribute('x1')))]);
    return { curves, switches };
}"""


@pytest.fixture(scope="module")
def opened(chromium: str, jupyter: tuple) -> Iterator[lab.Notebook]:
    """One notebook for all tests here."""
    with lab.with_cells(chromium, jupyter, CELLS) as book:
        yield book


@pytest.fixture
def shown(opened: lab.Notebook) -> "Iterator[Shown]":
    """A new lab; afterwards no complaints."""
    yield Shown(opened, "lab")
    assert opened.complaints == [] and opened.errors() == []


class Shown:
    """What a person sees of a lab, and does with it."""

    def __init__(self, book: lab.Notebook, cell_id: str):
        self.book, self.cell_id, self.page = book, cell_id, book.page
        self.run(cell_id, seconds=180)  # the first one imports torch
        book.show(cell_id)
        self.root = book.within(cell_id, ".relvit-lab")
        self.root.wait_for(state="visible")

    def run(self, cell_id: str, seconds: float = 60) -> None:
        before = self.book.number(cell_id) or 0
        self.book.run_cell(cell_id)
        self.book.wait_until_done(cell_id, after=before, seconds=seconds)

    def button(self, name: str):
        return self.root.get_by_role("button", name=name, exact=True)

    def toggle(self, name: str):
        return self.root.locator(f"input[name={name}]")

    def said(self) -> str:
        return self.root.locator("[role=status]").inner_text()

    def line(self) -> str:
        return self.root.locator(".line").inner_text()

    def is_running(self) -> bool:
        return self.root.get_attribute("data-running") == "true"

    def step(self) -> int:
        return int(self.root.locator("progress").evaluate("bar => bar.value"))

    def drawn(self) -> dict:
        return self.root.locator("svg.plot").evaluate(PLOT)

    def kernel(self) -> list[dict]:
        """lab.tries, as a cell prints it."""
        self.run("tries")
        self.book.show(self.cell_id)
        return json.loads(self.book.outputs("tries")[0])

    def wait(self, true, what: str, seconds: float = 60) -> None:
        self.book.wait_until(true, what, seconds)

    def wait_for_step(self, step: int) -> None:
        self.wait(lambda: self.step() >= step, f"step {step}")

    def wait_for_end(self, seconds: float = 1) -> None:
        """From now on, within a second: the task is over, and the page says so."""
        begun = time.monotonic()
        self.page.wait_for_function("root => root.dataset.running === 'false'", arg=self.root.element_handle())
        took = time.monotonic() - begun
        assert took < seconds * PATIENCE, f"it took {took:.1f} s to stop"

    def agrees(self) -> list[dict]:
        """The tries, after it was seen that the page draws them."""
        tries = self.kernel()
        drawn = self.drawn()
        assert set(drawn["curves"]) == {str(one["number"]) for one in tries}
        for one in tries:
            steps, values = zip(*drawn["curves"][str(one["number"])])
            assert steps == pytest.approx(one["steps"], abs=0.01) and values == pytest.approx(one["sprel"], abs=0.01)
        expected = [
            [str(one["number"]), step] for one in tries for step in {switch["step"]: 0 for switch in one["switches"]}
        ]
        assert [line[:2] for line in drawn["switches"]] == expected
        assert [line[2] for line in drawn["switches"]] == pytest.approx([step for _, step in expected], abs=0.01)
        return tries


def test_start_switch_and_stop_by_mouse_while_another_cell_answers(shown):
    assert "press Start" in shown.said() and shown.button("Stop").is_disabled()
    shown.button("Start").click()
    shown.wait_for_step(8)
    assert shown.button("Start").is_disabled() and "Try 1 is training: PE, crop, jitter" in shown.said()
    assert "img/s" in shown.line() and " left" in shown.line()
    before = shown.book.number("other") or 0
    begun = time.monotonic()
    shown.book.run_cell("other")
    shown.wait(lambda: (shown.book.number("other") or 0) > before, "another cell answers", 2 * PATIENCE)
    took = time.monotonic() - begun
    assert took < 2 * PATIENCE and shown.book.outputs("other") == ["42\n"] and shown.is_running(), took
    shown.book.show(shown.cell_id)
    shown.toggle("pos_embed").click()
    shown.wait(lambda: "PE off" in shown.said(), "the switch is said", 3 * PATIENCE)
    at = shown.step()
    shown.wait_for_step(at + 4)
    shown.button("Stop").click()
    shown.wait_for_end()
    assert "was stopped after step" in shown.said() and shown.button("Start").is_enabled()
    (one,) = shown.agrees()
    assert one["state"] == "stopped" and one["settings"]["pos_embed"]
    (switch,) = one["switches"]
    assert switch["setting"] == "pos_embed" and not switch["on"] and one["steps"].count(switch["step"]) == 2
    rest = shown.step()
    shown.page.wait_for_timeout(600)
    assert shown.step() == rest  # it has stopped


def test_everything_with_the_keyboard_and_earlier_tries_stay(shown):
    keyboard = shown.page.keyboard
    shown.toggle("pos_embed").focus()
    reached = ["pos_embed"]
    for _ in range(5):
        keyboard.press("Tab")
        reached.append(shown.page.evaluate("() => document.activeElement.name || document.activeElement.textContent"))
        assert shown.page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == ["pos_embed", "shuffle", "crop", "jitter", "Start", "recorded"]  # Stop and Clear: nothing to do
    shown.button("Start").focus()
    keyboard.press("Enter")
    shown.wait_for_step(3)
    shown.toggle("pos_embed").focus()
    keyboard.press("Tab")
    keyboard.press("Space")
    shown.wait(lambda: "shuffle on" in shown.said(), "the switch is said", 3 * PATIENCE)
    shown.run("set")  # from Python
    shown.book.show(shown.cell_id)
    shown.wait(lambda: "crop off" in shown.said(), "the switch is said", 3 * PATIENCE)
    assert not shown.toggle("crop").is_checked()
    shown.wait_for_step(shown.step() + 2)
    shown.button("Stop").focus()
    keyboard.press("Space")
    shown.wait_for_end()
    shown.button("Start").focus()
    keyboard.press("Space")
    shown.wait(lambda: "Try 2 is training" in shown.said(), "the second try begins")
    shown.wait_for_step(2)
    shown.button("Clear").focus()
    keyboard.press("Enter")
    shown.wait(lambda: set(shown.drawn()["curves"]) == {"2"}, "only the running try is left", 5 * PATIENCE)
    shown.button("Stop").focus()
    keyboard.press("Enter")
    shown.wait_for_end()
    (second,) = shown.agrees()
    assert second["settings"] == {"pos_embed": True, "shuffle": True, "crop": False, "jitter": True}
    assert second["switches"] == []
    assert shown.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCell.model.id") == "lab"


def test_recorded_tries_are_drawn_beside_ones_own(shown):
    shown.toggle("recorded").check()
    drawn = shown.drawn()
    tries = recorded()["tries"]
    assert set(drawn["curves"]) == {f"R{k}" for k in range(1, len(tries) + 1)}
    for k, one in enumerate(tries, 1):
        steps, values = zip(*drawn["curves"][f"R{k}"])
        assert steps == pytest.approx(one["steps"], abs=0.01) and values == pytest.approx(one["sprel"], abs=0.01)
    said = shown.root.inner_text()
    assert "digits, 1,297 training images" in said and "seed 0" in said and "guessing: 11.1 %" in said
    assert shown.root.locator("li").count() == len(tries)
    looks = shown.root.locator(".curve").evaluate_all(
        "lines => lines.map(l => [l.getAttribute('stroke'), l.getAttribute('stroke-dasharray')].join())"
    )
    assert len(set(looks)) == len(tries)
    alt = shown.root.locator("svg.plot").get_attribute("aria-label")
    assert "R1, PE, crop, jitter: 100.0 % after step 252" in alt
    shown.toggle("recorded").uncheck()
    assert shown.drawn()["curves"] == {}


def test_running_the_cell_again_stops_the_earlier_training_and_an_error_is_shown(shown):
    shown.button("Start").click()
    shown.wait_for_step(2)
    again = Shown(shown.book, "again")
    shown.run("old")
    shown.wait(lambda: shown.book.outputs("old") == ["False stopped\n"], "the earlier one has stopped")
    assert not again.is_running()
    broken = Shown(shown.book, "broken")
    broken.button("Start").click()
    alert = broken.root.locator("[role=alert]")
    broken.wait(lambda: "unknown backbone 'vit_nan'" in alert.inner_text(), "the error is shown", 10 * PATIENCE)
    assert broken.button("Start").is_enabled() and "ended with an error" in broken.said()


def test_a_busy_kernel_is_said_to_be_busy_and_answers_late(shown):
    shown.book.run_cell("busy")
    shown.book.show(shown.cell_id)
    shown.button("Start").click()
    shown.wait(lambda: "The kernel is busy with another cell" in shown.said(), "the page notices", 60)
    shown.wait_for_step(1)
    assert "is training" in shown.said() and not shown.toggle("recorded").is_checked()
    shown.button("Stop").click()
    shown.wait_for_end()


@pytest.mark.parametrize("marked", [True, False])
def test_on_a_page_without_a_kernel_the_recorded_tries_are_shown(opened, tmp_path, marked):
    """As `make site` does: the module, the saved traits, and a model in which sending does nothing. marked: whether the
    page says so itself."""
    fresh, base = module.shortcut_lab(), anywidget.AnyWidget.class_trait_names(sync=True)
    own = {name: getattr(fresh, name) for name in fresh.trait_names(sync=True) if name not in base}
    state = json.dumps({**{k: v for k, v in own.items() if not k.startswith("_")}, "_no_kernel": marked})
    file = tmp_path / "page.html"
    file.write_text(
        f"<meta charset=utf-8><style>{module.CSS}</style><div id=here></div><script type=module>"
        f"{fresh._esm.replace('export default { render };', '')}\nconst s = {state}, nothing = () => {{}};"
        "const model = { get: n => s[n], set: (n, v) => { s[n] = v; }, save_changes: nothing, send: nothing, "
        "on: nothing, off: nothing }; render({ model, el: document.getElementById('here') });</script>",
        encoding="utf-8",
    )
    page, errors = opened.page.context.browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    root = page.locator(".relvit-lab")
    if not marked:
        assert root.locator(".curve").count() == 0
        root.get_by_role("button", name="Start").click()
        page.wait_for_function("() => document.querySelector('.relvit-lab').dataset.kernel === 'missing'")
    assert "Training needs a running notebook" in root.locator("[role=status]").inner_text()
    assert root.locator(".curve").count() == len(recorded()["tries"])
    assert root.get_by_role("button", name="Start").is_disabled() == marked
    page.close()
    assert errors == []
