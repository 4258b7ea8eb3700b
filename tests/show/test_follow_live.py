"""The face in a notebook, in a real kernel and on a display made by hand."""

import contextlib
import itertools

import pytest

from relvit_lab.show import follow as progress
from relvit_lab.train.events import EpochDone, StageFinished, StageStarted, StepDone

UNITS = {"accuracy": "%", "best_accuracy": "%", "sprel": "%", "abspos": "%", "dist": "MSE x 100"}


def started(name="pretrain", epochs=2):
    return StageStarted(name, "a1", f"/runs/{name}", epochs, 21, 1297, 500, 461_234, "cpu", "float32")


def epoch(k, epochs):
    return EpochDone(k, epochs, {"epoch": k, "train": {"loss": 3.0 / k}, "test": {"loss": 2.5, "sprel": 40.0}})


def finished(name="pretrain"):
    return StageFinished(name, "a1", f"/runs/{name}", {"metrics": {"sprel": 40.0}, "timing": {"seconds": 5.0}})


CELL = """
import time
from relvit_lab.show import follow as progress
from relvit_lab.train.events import EpochDone, Note, StageFinished, StageStarted, StepDone

def records():
    yield StageStarted("joint", "a1", "/runs/<a1>", 3, 2, 100, 50, 1000, "cpu", "float32", notes=("a & b",))
    for k in (1, 2, 3):
        yield StepDone(2 * k, 6, k, k, 6 - 2 * k, 1234.0)
        test = {"accuracy": 20.0 * k, "sprel": 10.0 * k}
        line = {"epoch": k, "train": {"loss": 2.0 / k}, "test": test, "timing": {"images_per_second": 1234.0}}
        yield EpochDone(k, 3, line)
    if STOPS:
        raise KeyboardInterrupt
    result = {"metrics": {"accuracy": 60.0}, "timing": {"seconds": 3.0, "images_per_second": 1234.0}}
    yield StageFinished("joint", "a1", "/runs/<a1>", result)

try:
    progress.follow(records(), face="live")
except KeyboardInterrupt:
    pass
"""


@pytest.mark.filterwarnings("ignore")  # of the kernel's own libraries
def test_live_in_a_kernel_has_one_bar_and_one_plot():
    import nbclient
    import nbformat

    cells = [
        nbformat.v4.new_code_cell("STOPS = False"),
        nbformat.v4.new_code_cell(CELL),
        nbformat.v4.new_code_cell(CELL.replace("if STOPS", "if True")),
        nbformat.v4.new_code_cell("from relvit_lab.show.curves import curves\ncurves([])"),
    ]
    book = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(book, kernel_name="python3", timeout=60).execute()

    bar, plot = (output["data"] for output in book.cells[1].outputs)  # one of each: they were updated, not repeated
    assert "joint done in 3.0 s, 1,234 img/s: accuracy 60.0 %" in bar["text/plain"]
    assert "/runs/&lt;a1&gt;" in bar["text/html"] and "a &amp; b" in bar["text/html"]
    assert "<progress" not in bar["text/html"]  # one line is left of it
    assert plot["image/png"].startswith("iVBOR") and "3 epochs" in plot["text/plain"]  # the last epoch is drawn
    assert "3 epochs" in book.cells[1].outputs[1]["metadata"]["image/png"]["alt"]

    bar, plot = (output["data"] for output in book.cells[2].outputs)
    assert "stopped here" in bar["text/plain"] and "run this cell again to go on" in bar["text/plain"]
    assert "3 epochs" in plot["text/plain"]

    (shown,) = book.cells[3].outputs  # a figure as a cell's last line, without pyplot: a picture, once
    assert "image/png" in shown["data"]


def test_the_live_bar_can_be_read_aloud():
    from relvit_lab.show.follow_live import Live

    face = Live(UNITS)
    face.stage, face._text, face._share = started(), "joint 43 %, epoch 1 of 2", 0.432
    page = face._as_bundle()["text/html"]
    assert 'role="progressbar"' in page and 'aria-valuenow="43"' in page and 'value="43"' in page
    assert 'aria-label="progress of the stage pretrain"' in page
    assert 'aria-valuetext="joint 43 %, epoch 1 of 2"' in page and "</progress> joint 43 %" in page


def test_the_live_plot_is_drawn_about_once_a_second_and_at_the_end(monkeypatch):
    from relvit_lab.show import follow_live as progress_live

    now, drawn = [0.0], []

    class Handle:
        def update(self, bundle, **_):
            if "image/png" in bundle:
                drawn.append(now[0])

    def display(bundle, **_):
        handle = Handle()
        handle.update(bundle)
        return handle

    monkeypatch.setattr(progress_live, "display", display)
    monkeypatch.setattr(progress_live.time, "monotonic", lambda: now[0])

    def records():
        yield started(epochs=50)
        for k in range(1, 51):
            now[0] = 0.1 * k
            yield epoch(k, epochs=50)
        yield finished()
        now[0] = 7.0
        yield started("finetune")

    progress.follow(records(), face="live", units=UNITS)
    assert 5 <= len(drawn) <= 6 and drawn[-1] == 5.0  # five seconds of epochs, and nothing yet of the next stage
    assert all(b - a > 0.99 for a, b in itertools.pairwise(drawn[:-1]))


@pytest.mark.parametrize("stops", [False, True])
def test_still_leaves_what_live_leaves_and_draws_once(monkeypatch, stops):
    from relvit_lab.show import follow_live as progress_live

    def records():
        yield started()
        for k in (1, 2):
            yield StepDone(21 * k, 42, k, 2, 5.0, 1234.0)
            yield epoch(k, epochs=2)
        if stops:
            raise KeyboardInterrupt
        yield finished()

    class Handle:
        def __init__(self):
            self.updates, self.bundle = 0, None

        def update(self, bundle, **_):
            self.updates, self.bundle = self.updates + 1, bundle

    def display(bundle, **_):
        handles.append(Handle())
        handles[-1].update(bundle)
        return handles[-1]

    monkeypatch.setattr(progress_live, "display", display)
    left = {}
    for face in ("live", "still"):
        handles = []
        with contextlib.suppress(KeyboardInterrupt):
            progress.follow(records(), face=face, units=UNITS)
        left[face] = [handle.bundle for handle in handles]
    assert left["still"] == left["live"] and len(handles) == 2
    assert handles[1].updates == 1  # one drawing
