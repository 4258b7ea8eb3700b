"""The mega-patches explorer in JupyterLab: slider, lines by mouse and keyboard, buttons, hover, and how fast it is."""

import os
from collections.abc import Iterator
from statistics import median

import pytest

pytest.importorskip("playwright")

from browser import lab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("timing")]

CELLS = {
    "explorer": "from relvit_lab.lessons.mega_patches.explorer import explore_mega_patches\n"
    "explorer = explore_mega_patches()\nexplorer",
    "own": "import torch\nexplorer = explore_mega_patches(torch.rand(3, 40, 60), patch=4, m=3, seed=8)\nexplorer",
    "busy": "import time\ntry:\n    print('busy')\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    print('free')",
    "data": "print(explorer.data.m, explorer.data.seed, explorer.data.cuts.tolist())",
}
SIDE = 14  # of the photograph, in patches


@pytest.fixture(scope="module")
def opened(chromium: str, jupyter: tuple) -> Iterator[lab.Notebook]:
    """One notebook for all tests here, its first cell run."""
    with lab.with_cells(chromium, jupyter, CELLS) as book:
        yield book


@pytest.fixture
def page(opened: lab.Notebook) -> Iterator["Explorer"]:
    """A new explorer of the photograph, M = 5, seed 0; afterwards no complaints."""
    yield Explorer(opened, "explorer")
    assert opened.complaints == [] and opened.errors() == []


class Explorer(lab.Explorer):
    """What a person sees of an explorer, and does with it."""

    asked = "data"

    def __init__(self, book: lab.Notebook, cell_id: str):
        self.book, self.cell_id = book, cell_id
        before = book.number(cell_id) or 0
        book.run_cell(cell_id)
        book.wait_until_done(cell_id, after=before)
        self.cells = self.find("canvas.cells")
        self.cells.wait_for()
        self.wait_for_answer()

    def find(self, selector: str):
        return self.book.within(self.cell_id, f".mega-patches {selector}")

    def words(self) -> str:
        return self.find(".words").inner_text()

    def number(self) -> int:
        """The question that the cells answer."""
        return int(self.cells.get_attribute("data-number"))

    def wait_for_answer(self, after: int = -1) -> int:
        """Wait until the cells answer a question later than `after`, and stay so for a while. Returns its number."""
        self.book.wait_until(lambda: self.number() > after, f"an answer after {after}")
        while True:
            before = self.number()
            self.book.page.wait_for_timeout(250)
            if self.number() == before:
                return before

    def cuts(self) -> list[list[int]]:
        """Where the lines stand, in patches, measured in the page."""
        return self.cells.evaluate(
            """canvas => {
                const root = canvas.closest(".mega-patches");
                const box = root.querySelector("img").getBoundingClientRect();
                const at = (kind, from, length) => [...root.querySelectorAll(`.cut.${kind}`)].map(line => {
                    const own = line.getBoundingClientRect();
                    const middle = kind === "row" ? own.top + own.height / 2 : own.left + own.width / 2;
                    return (middle - from) / length;
                });
                return [at("row", box.top, box.height), at("column", box.left, box.width)];
            }"""
        )

    def whole_cuts(self, side: int = SIDE) -> list[list[int]]:
        cuts = [[value * side for value in axis] for axis in self.cuts()]
        assert all(abs(value - round(value)) < 0.02 for axis in cuts for value in axis), cuts
        return [[round(value) for value in axis] for axis in cuts]

    def picture(self) -> str:
        """All that is drawn of the cells."""
        return self.cells.evaluate("canvas => canvas.toDataURL()")

    def cells_a_side(self) -> list[int]:
        """How many stretches of pixels, gaps between them, through the middle of the first row and column of cells."""
        return self.cells.evaluate(
            """canvas => {
                const context = canvas.getContext("2d");
                const stretches = (...area) => {
                    const alpha = context.getImageData(...area).data.filter((_, k) => k % 4 === 3);
                    return alpha.filter((value, k) => value > 200 && (k === 0 || alpha[k - 1] <= 200)).length;
                };
                return [stretches(0, 8, canvas.width, 1), stretches(8, 0, 1, canvas.height)];
            }"""
        )

    def handle(self, kind: str, index: int) -> tuple[float, float]:
        """The middle of a line's handle, on the screen."""
        line = self.find(f".cut.{kind}").nth(index)
        line.scroll_into_view_if_needed()
        box = line.bounding_box()
        if kind == "row":
            return box["x"] + 8, box["y"] + box["height"] / 2
        return box["x"] + box["width"] / 2, box["y"] + 8

    def drag(self, kind: str, index: int, by: float, steps: int = 6) -> None:
        """Drag a line by a number of patches."""
        unit = self.find("img").bounding_box()["width"] / SIDE
        x, y = self.handle(kind, index)
        mouse = self.book.page.mouse
        mouse.move(x, y)
        mouse.down()
        mouse.move(*((x, y + by * unit) if kind == "row" else (x + by * unit, y)), steps=steps)
        mouse.up()


def test_it_starts_with_what_python_asked_for(page):
    assert page.cells_a_side() == [5, 5]
    assert page.kernel() == f"5 0 {page.whole_cuts()}"
    assert "14 × 14 = 196 patches" in page.find(".title").first.inner_text()
    assert "M² = 25 instead of (image side / P)² = 196" in page.find(".tokens").inner_text()
    assert page.find("img").evaluate("image => image.complete && image.naturalWidth") == 224
    named = ":is(input, button, canvas.cells, .cut)"
    unnamed = page.find(named).evaluate_all("all => all.filter(x => !x.ariaLabel && !x.textContent).length")
    assert page.find(named).count() == 16 and unnamed == 0
    assert page.find("[aria-live=polite]").count() == 1


def test_the_slider_changes_the_number_of_cells(page):
    slider, last = page.find("input[type=range]"), page.number()
    slider.focus()
    for m, key in (
        (6, "ArrowRight"),
        (7, "ArrowRight"),
        (14, "End"),
        (13, "ArrowLeft"),
        (1, "Home"),
        (2, "ArrowRight"),
    ):
        page.book.page.keyboard.press(key)
        last = page.wait_for_answer(last)
        assert page.cells_a_side() == [m, m]
        assert [len(axis) for axis in page.whole_cuts()] == [m - 1, m - 1]
        assert f"M = {m}: {m * m} mega-patch" in page.find(".title").nth(1).inner_text()
        assert f"M² = {m * m} " in page.find(".tokens").inner_text()
    assert page.kernel() == f"2 0 {page.whole_cuts()}"


def test_a_line_is_dragged_with_the_mouse_and_never_crosses(page):
    (rows, columns), picture = page.whole_cuts(), page.picture()
    assert rows[3] - rows[2] > 2  # seed 0: rows 1, 6, 7, 10
    page.drag("row", 2, 1)
    last = page.wait_for_answer(0)
    moved = [rows[0], rows[1], rows[2] + 1, rows[3]]
    assert page.whole_cuts() == [moved, columns] and page.picture() != picture
    assert page.kernel() == f"5 0 {[moved, columns]}"

    page.drag("row", 2, 9)  # far beyond its neighbour, where it stays below
    last = page.wait_for_answer(last)
    assert page.whole_cuts() == [[*rows[:2], rows[3] - 1, rows[3]], columns]
    page.drag("column", 0, -9)
    last = page.wait_for_answer(last)
    assert page.whole_cuts()[1] == [1, *columns[1:]]
    page.drag("column", 2, -20)
    page.wait_for_answer(last)
    assert page.whole_cuts()[1] == [1, columns[1], columns[1] + 1, columns[3]]
    assert page.kernel() == f"5 0 {page.whole_cuts()}"


def test_a_line_is_drawn_at_once_and_the_kernel_asked_ten_times_a_second(page):
    page.cells.evaluate(
        """canvas => {
            window.answers = [];
            new MutationObserver(() => window.answers.push(canvas.dataset.number))
                .observe(canvas, { attributes: true, attributeFilter: ["data-number"] });
        }"""
    )
    x, y = page.handle("column", 2)
    unit = page.find("img").bounding_box()["width"] / SIDE
    browser, mouse, places, at = page.book.page, page.book.page.mouse, [], page.whole_cuts()[1][2]
    assert at - 7 >= page.whole_cuts()[1][1]
    mouse.move(x, y)
    mouse.down()
    begin = browser.evaluate("performance.now()")
    for k in range(60):
        mouse.move(x - unit * (1 + k % 6), y)
        places.append(page.whole_cuts()[1][2])  # in the same breath, whatever the kernel does
    end = browser.evaluate("performance.now()")
    mouse.up()
    page.wait_for_answer(0)
    assert places == [at - 1 - k % 6 for k in range(60)]
    answers = set(browser.evaluate("window.answers")) - {"0"}
    # One question at once, one every 100 ms, and the last one after the end; fewer where the kernel is slower.
    assert 1 < len(answers) <= (end - begin) / 100 + 2, (len(answers), end - begin)
    assert page.kernel() == f"5 0 {page.whole_cuts()}"  # the last one wins


def test_lines_move_by_the_keyboard(page):
    (rows, columns), keyboard = page.whole_cuts(), page.book.page.keyboard
    line = page.find(".cut.row").nth(2)
    line.focus()
    assert line.get_attribute("aria-label") == "Row cut 3 of 4"
    for key, at in (("ArrowDown", 8), ("ArrowDown", 9), ("ArrowDown", 9), ("ArrowUp", 8), ("Home", 7), ("End", 9)):
        keyboard.press(key)
        assert page.whole_cuts()[0] == [*rows[:2], at, rows[3]]
        assert line.get_attribute("aria-valuenow") == str(at)
    keyboard.press("ArrowLeft")  # means nothing to a row's cut
    assert page.whole_cuts()[0][2] == 9
    page.find(".cut.column").nth(0).focus()
    keyboard.press("ArrowLeft")
    last = page.wait_for_answer(0)
    assert page.whole_cuts() == [[*rows[:2], 9, rows[3]], [columns[0] - 1, *columns[1:]]]
    keyboard.press("Tab")
    assert page.find(".cut.column").nth(1).evaluate("line => line === document.activeElement")
    shown = page.find(".cut.column").nth(1).evaluate("line => getComputedStyle(line, '::after').backgroundColor")
    assert shown == "rgb(230, 159, 0)"  # a visible focus
    assert page.number() == last
    assert page.kernel() == f"5 0 {page.whole_cuts()}"


def test_new_cuts_and_the_seed(page):
    first, pictures = page.whole_cuts(), {page.picture()}
    button, seed = page.find("button"), page.find("input[type=number]")
    last = page.number()
    for k in (1, 2):
        button.click()
        last = page.wait_for_answer(last)
        assert seed.input_value() == str(k) and page.kernel() == f"5 {k} {page.whole_cuts()}"
        pictures.add(page.picture())
    assert len(pictures) == 3
    page.drag("row", 3, 1)
    page.drag("row", 3, -1)
    last = page.wait_for_answer(last)
    seed.fill("0")
    page.wait_for_answer(last)
    assert page.whole_cuts() == first and page.picture() in pictures


def test_augmentations_are_switched_on_and_off(page):
    last, plain = page.number(), page.picture()
    alone = set()
    for name in ("crop", "jitter", "grey"):
        page.find(f"input[name={name}]").check()
        last = page.wait_for_answer(last)
        alone.add(page.picture())
        page.find(f"input[name={name}]").uncheck()
        last = page.wait_for_answer(last)
        assert page.picture() == plain
    assert len(alone | {plain}) == 4
    for name in ("crop", "jitter", "grey"):
        page.find(f"input[name={name}]").check()
    last = page.wait_for_answer(last)
    assert page.picture() not in alone
    page.cells.hover(position={"x": 200, "y": 120})
    assert "cropped to the 14 × 14 pixels" in page.words()


def test_the_same_cuts_both_ways(page):
    last, box = page.number(), page.find("input[name=shared]")
    rows, columns = page.whole_cuts()
    assert rows != columns
    box.check()
    last = page.wait_for_answer(last)
    assert page.whole_cuts() == [rows, rows]
    page.drag("row", 2, 1)
    last = page.wait_for_answer(last)
    moved = [*rows[:2], rows[2] + 1, rows[3]]
    assert page.whole_cuts() == [moved, moved]
    box.uncheck()
    page.wait_for_answer(last)
    page.drag("column", 0, 1)
    assert page.whole_cuts()[0] == moved and page.whole_cuts()[1] != moved


def test_pointing_at_a_cell_says_where_it_comes_from(page):
    rows, columns = ([0, *axis, SIDE] for axis in page.whole_cuts())
    number, size = page.number(), page.cells.bounding_box()["width"]
    overlay, plain, picture = page.find(".panel canvas").first, page.words(), page.picture()
    shade = overlay.evaluate("canvas => canvas.toDataURL()")
    for y, x in ((0, 0), (1, 2), (4, 4)):
        page.cells.hover(position={"x": size * (x + 0.5) / 5, "y": size * (y + 0.5) / 5})
        height, width = rows[y + 1] - rows[y], columns[x + 1] - columns[x]
        said = page.words()
        assert said.startswith(f"Mega-patch {5 * y + x} (row {y}, column {x})") and f"{height} × {width} = " in said
        first_row = f"rows {rows[y]} to {rows[y + 1] - 1}" if height > 1 else f"row {rows[y]},"
        assert first_row in said and f"{16 * height} × {16 * width} pixels" in said
        assert overlay.evaluate("canvas => canvas.toDataURL()") != shade and page.picture() != picture
    image = page.find("img").bounding_box()
    page.book.page.mouse.move(  # the other way: in the image, between the lines
        image["x"] + image["width"] * (columns[2] + columns[3]) / 2 / SIDE,
        image["y"] + image["height"] * (rows[3] + rows[4]) / 2 / SIDE,
    )
    assert page.words().startswith("Mega-patch 17 (row 3, column 2)")
    page.book.page.mouse.move(2, 2)
    assert page.words() == plain and page.picture() == picture
    page.cells.focus()
    keyboard = page.book.page.keyboard
    for key, cell in (("ArrowRight", 1), ("ArrowDown", 6), ("ArrowLeft", 5), ("ArrowLeft", 5), ("ArrowUp", 0)):
        keyboard.press(key)
        assert page.words().startswith(f"Mega-patch {cell} ")
    assert page.number() == number  # and the kernel was not asked


def test_an_image_of_ones_own(opened):
    own = Explorer(opened, "own")
    assert "The image of 60 x 40 pixels was cropped to its centre." == own.find(".note").inner_text()
    assert own.cells_a_side() == [3, 3] and own.kernel() == f"3 8 {own.whole_cuts(10)}"
    assert opened.complaints == [] and opened.errors() == []


def test_while_the_kernel_is_busy_lines_move_and_it_says_so(page):
    before, picture, tokens = page.whole_cuts(), page.picture(), page.find(".tokens")
    page.book.run_cell("busy")
    page.book.wait_until(lambda: "busy" in "".join(page.book.outputs("busy")), "the kernel is busy")
    page.drag("row", 2, 1)
    page.drag("column", 2, -1)
    moved = page.whole_cuts()
    assert moved != before and page.picture() == picture
    page.book.wait_until(lambda: "Waiting for the kernel" in tokens.inner_text(), "it says that it waits")
    page.book.execute("notebook:interrupt-kernel")
    page.wait_for_answer(0)
    assert "Waiting" not in tokens.inner_text() and page.picture() != picture
    assert page.whole_cuts() == moved and page.kernel() == f"5 0 {moved}"


def test_the_slider_redraws_in_time(page, record_property):
    """From the slider's input event to the frame that shows the kernel's cells.

    Of up to three rounds the best counts. Too slow is a failure, unless other programs hold the machine: then nothing
    was measured, and it is skipped.
    """
    rounds = [redraws(page)]
    while median(rounds[-1]) >= 200 and len(rounds) < 3:
        rounds.append(redraws(page))
    times = min(rounds, key=median)
    record_property("milliseconds", median(times))
    print(f"redrawn after {median(times):.0f} ms (median of {len(times)}), at most {max(times):.0f} ms")
    waiting = os.getloadavg()[0] / os.cpu_count()
    if median(times) >= 200 and waiting > 3:
        pytest.skip(f"{median(times):.0f} ms, but {waiting:.0f} programs want each core: repeat it on an idle machine")
    assert median(times) < 2000, rounds  # it is printed; CI has two workers on two cores


def redraws(page: Explorer) -> list[float]:
    """Milliseconds for each of some moves of the slider."""
    return page.cells.evaluate(
        """async canvas => {
            const slider = canvas.closest(".mega-patches").querySelector("input[type=range]");
            const frame = () => new Promise(resolve => requestAnimationFrame(resolve));
            const times = [];
            for (let k = 0; k < 20; k++) {
                await new Promise(resolve => setTimeout(resolve, 150));
                const before = canvas.dataset.number;
                const begin = performance.now();
                slider.value = 3 + k % 12;
                slider.dispatchEvent(new Event("input", { bubbles: true }));
                while (canvas.dataset.number === before) await frame();
                times.push(performance.now() - begin);
            }
            return times;
        }"""
    )


def test_pointing_is_fast_with_all_196_cells(page, record_property):
    """The handler of a pointer's move, forced layout included, each time over another cell."""
    page.find("input[type=range]").focus()
    page.book.page.keyboard.press("End")
    page.wait_for_answer(0)
    times, frames = page.cells.evaluate(
        """async canvas => {
            const frame = () => new Promise(resolve => requestAnimationFrame(resolve));
            const box = canvas.getBoundingClientRect();
            const words = canvas.closest(".mega-patches").querySelector(".words");
            const times = [], frames = [];
            for (let k = 0; k < 100; k++) {
                const clientX = box.left + box.width * (k % 14 + 0.5) / 14;
                const clientY = box.top + box.height * (Math.floor(k / 8) + 0.5) / 14;
                await frame();
                const begin = performance.now();
                canvas.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY, bubbles: true }));
                words.getBoundingClientRect();
                times.push(performance.now() - begin);
                const cell = Math.floor(k / 8) * 14 + k % 14;
                let count = 0;
                while (!words.textContent.startsWith(`Mega-patch ${cell} `) && count < 9) { await frame(); count++; }
                frames.push(count);
            }
            return [times, frames];
        }"""
    )
    record_property("milliseconds", median(times))
    print(f"handled in {median(times):.2f} ms (median of {len(times)}), at most {max(times):.1f} ms")
    assert median(times) < 80 and max(frames) <= 1, (times, frames)
