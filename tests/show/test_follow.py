"""The faces of the loop, on records made by hand: which one, what it shows, how it ends."""

import io
import sys

import pytest

from relvit_lab.common.errors import RelvitError
from relvit_lab.show import follow as progress
from relvit_lab.show import wording
from relvit_lab.train.events import EpochDone, Note, StageFinished, StageStarted, StepDone

UNITS = {"accuracy": "%", "best_accuracy": "%", "sprel": "%", "abspos": "%", "dist": "MSE x 100"}


def started(name="pretrain", **more):
    given = {
        "name": name, "id": "a1", "folder": f"/runs/{name}", "epochs": 2, "steps_per_epoch": 21, "train_images": 1297,
        "test_images": 500, "parameters": 461_234, "device": "cpu", "precision": "float32",
    }  # fmt: skip
    return StageStarted(**(given | more))


def epoch(k, epochs=2, replayed=False, accuracy=None):
    train = {"loss": 3.0 / k, "sprel": 1.0 / k, "abspos": 2.0 / k}
    test = {"loss": 2.5, "sprel": min(20.0 * k, 90.0), "abspos": min(4.0 * k, 50.0)}
    if accuracy is not None:
        train, test = (
            {"loss": 1.0 / k, "classification": 1.0 / k, "accuracy": 50.0},
            {"loss": 1.0, "accuracy": accuracy},
        )
    timing = {"seconds": 1.0, "images_per_second": 1234.4}
    return EpochDone(k, epochs, {"epoch": k, "train": train, "test": test, "timing": timing}, replayed)


def finished(name="pretrain", replayed=False, accuracy=None):
    metrics = {"accuracy": None, "best_accuracy": None, "best_epoch": None, "loss": 2.5, "sprel": 40.0, "abspos": 8.0}
    if accuracy is not None:
        metrics = {"accuracy": accuracy, "best_accuracy": accuracy + 1, "best_epoch": 1, "loss": 1.0}
    result = {"metrics": metrics, "timing": {"seconds": 130.2, "images_per_second": 1234.4}}
    return StageFinished(name, "a1", f"/runs/{name}", result, replayed)


def run(face="log", records=(), **more):
    out = io.StringIO()
    done = progress.follow(records, face=face, out=out, units=UNITS, **more)
    return done, out.getvalue().splitlines()


class Loop:
    """Records as a loop yields them; remembers whether it was closed before it had ended."""

    def __init__(self, *records, fails=None):
        self.records, self.fails, self.closed = records, fails, 0
        self.generator = self._generate()

    def _generate(self):
        try:
            yield from self.records
            if self.fails:
                raise self.fails
        except GeneratorExit:
            self.closed += 1
            raise


# -- the log -------------------------------------------------------------------------------------------------------


def test_the_log_of_two_stages(monkeypatch):
    monkeypatch.setattr("relvit_lab.show.faces.time.monotonic", lambda: 100.0)
    records = [
        started(notes=("batch clipped to 1,297",)),
        *(StepDone(k, 42, 1, 0.2 * k, 61.0 - k, 1200.0) for k in (1, 2, 3, 4)),
        epoch(1),
        Note("this may take long"),
        StepDone(42, 42, 2, 61.0, 0.0, 1234.4),
        epoch(2),
        finished(),
        started("finetune", epochs=1, steps_per_epoch=1, resumed="epoch 1, step 1"),
        epoch(1, epochs=1, accuracy=69.8),
        finished("finetune", accuracy=69.8),
    ]
    done, lines = run(records=records)
    assert [stage.name for stage in done] == ["pretrain", "finetune"]
    assert lines == [
        "pretrain: 1,297 + 500 images, 2 epochs of 21 steps, 461 k parameters, cpu, float32",
        "  in /runs/pretrain",
        "  note: batch clipped to 1,297",
        "  measured: 1,200 img/s, about 58 s to the end of this stage",
        "epoch 1/2  loss 3.000 (sprel 1.000, abspos 2.000)  sprel 20.0 %  abspos  4.0 %  |  1,234 img/s  ETA 57 s",
        "  note: this may take long",
        "epoch 2/2  loss 1.500 (sprel 0.500, abspos 1.000)  sprel 40.0 %  abspos  8.0 %  |  1,234 img/s",
        "pretrain done in 2 min 10 s, 1,234 img/s: sprel 40.0 %, abspos 8.0 %",
        "finetune: 1,297 + 500 images, 1 epoch of 1 step, 461 k parameters, cpu, float32",
        "  in /runs/finetune",
        "  going on from epoch 1, step 1",
        "epoch 1/1  loss 1.000  accuracy 69.8 %  |  1,234 img/s",
        "finetune done in 2 min 10 s, 1,234 img/s: accuracy 69.8 % (best 70.8 %, epoch 1)",
    ]


def test_the_time_left_runs_on_between_two_measurements(monkeypatch):
    now = iter([100.0, 107.0])  # of the measurement, and of the epoch's end: an evaluation lies between
    monkeypatch.setattr("relvit_lab.show.faces.time.monotonic", lambda: next(now))
    _, lines = run(records=[started(), StepDone(21, 42, 1, 20.0, 20.0, 1200.0), epoch(1)])
    assert lines[-1].endswith("ETA 13 s")


def test_a_new_stage_forgets_the_time_left_of_the_one_before():
    _, lines = run(records=[started(), StepDone(42, 42, 2, 60.0, 20.0, 1.0), started("finetune"), epoch(1)])
    assert lines[-1].endswith("ETA ?")


def test_a_replayed_stage_is_told_once_and_its_epochs_are_not_repeated():
    replay = [started(replayed=True), epoch(1, replayed=True), epoch(2, replayed=True), finished(replayed=True)]
    done, lines = run(records=replay)
    assert len(done) == 1 and done[0].replayed
    assert lines == [
        "pretrain: already done, replayed from /runs/pretrain",
        "pretrain took 2 min 10 s, 1,234 img/s: sprel 40.0 %, abspos 8.0 %",
    ]


def test_every_line_is_flushed_at_once():
    class Out(io.StringIO):
        flushed = ""

        def flush(self):
            self.flushed = self.getvalue()

    out = Out()

    def records():
        yield started()
        yield epoch(1)
        assert "epoch 1/2" in out.flushed

    progress.follow(records(), face="log", out=out, units=UNITS)


# -- how it ends ---------------------------------------------------------------------------------------------------


def test_an_interrupt_in_the_loop_says_how_to_go_on():
    loop = Loop(started(), fails=KeyboardInterrupt())
    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        progress.follow(loop.generator, face="log", out=out, units=UNITS)
    assert out.getvalue().splitlines()[-1] == (
        "Interrupted in pretrain. Its checkpoint is in /runs/pretrain; run the same command again to go on from there."
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])  # of writing itself none comes: test_printing
def test_whatever_fails_in_the_face_the_loop_is_closed_first(error):
    loop = Loop(started(), epoch(1), epoch(2))
    seen = []

    class Out(io.StringIO):
        def write(self, text):
            if text.startswith("epoch 1/2"):
                raise error
            seen.append((text, loop.closed))
            return len(text)

    with pytest.raises(error):
        progress.follow(loop.generator, face="log", out=Out(), units=UNITS)
    assert loop.closed == 1
    promises = [closed for text, closed in seen if text.startswith("Interrupted")]
    assert promises == ([1] if error is KeyboardInterrupt else [])  # said after the checkpoint is there, not before


def test_an_error_of_a_stage_is_passed_on():
    with pytest.raises(RelvitError, match="NaN in step 7"):
        run(records=Loop(started(), fails=RelvitError("NaN in step 7")).generator)


def test_an_unknown_face_is_named_with_the_nearest(monkeypatch):
    with pytest.raises(RelvitError, match=r"'lvie'.*'live'"):
        run(face="lvie")
    monkeypatch.setenv("RELVIT_FACE", "lgo")
    with pytest.raises(RelvitError, match=r"'lgo'.*'log'"):
        run(face="auto")


# -- which face ----------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def plain_place(monkeypatch):
    for name in ("RELVIT_FACE", "JPY_SESSION_NAME", "VSCODE_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.setattr(progress, "_kernel_shell", lambda: None)
    return monkeypatch


class Shell:
    kernel = object()

    def __init__(self, **names):
        self.user_ns = names


def test_outside_a_kernel_a_terminal_has_a_bar_and_a_pipe_a_log(plain_place):
    assert progress.choose_face(Terminal()) == "bar"
    assert progress.choose_face(io.StringIO()) == "log"
    plain_place.setenv("JPY_SESSION_NAME", "04_train.ipynb")  # a command started from a notebook inherits it
    assert progress.choose_face(io.StringIO()) == "log"
    plain_place.setenv("RELVIT_FACE", "bar")
    assert progress.choose_face(io.StringIO()) == "bar"


def test_a_kernel_is_live_only_where_a_person_sits(plain_place):
    plain_place.setattr(progress, "_kernel_shell", Shell)
    assert progress.choose_face(io.StringIO()) == "log"  # papermill, nbclient
    plain_place.setattr(progress, "_kernel_shell", lambda: Shell(__vsc_ipynb_file__="04_train.ipynb"))
    assert progress.choose_face(io.StringIO()) == "live"
    plain_place.setattr(progress, "_kernel_shell", Shell)
    plain_place.setenv("JPY_SESSION_NAME", "04_train.ipynb")
    assert progress.choose_face(io.StringIO()) == "live"
    plain_place.setenv("RELVIT_FACE", "log")
    assert progress.choose_face(io.StringIO()) == "log"


# -- the bar -------------------------------------------------------------------------------------------------------


def screen(written: str, columns: int) -> list[str]:
    """What a terminal shows: a carriage return goes back to the line's start, and later text overwrites."""
    lines, at = [""], 0
    for character in written:
        if character == "\n":
            lines.append("")
            at = 0
        elif character == "\r":
            at = 0
        else:
            lines[-1] = lines[-1][:at] + character + lines[-1][at + 1 :]
            at += 1
            assert at < columns or not character.strip(), f"would wrap: {lines[-1]!r}"
    return [line.rstrip() for line in lines]


def test_the_bar_leaves_the_logs_lines_and_no_rest_of_itself(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    records = [
        started(notes=("a note",)),
        StepDone(1, 42, 1, 0.2, None, None),
        StepDone(21, 42, 1, 5.0, 12.0, 1234.0),
        epoch(1),
        StepDone(22, 42, 2, 5.2, 11.0, 1234.0),
        Note("short"),
        StepDone(42, 42, 2, 9.0, 0.0, 1234.0),
        epoch(2),
        finished(),
    ]
    monkeypatch.setattr("relvit_lab.show.faces.time.monotonic", lambda: 100.0)
    out = Terminal()
    progress.follow(iter(records), face="bar", out=out, units=UNITS)
    log = io.StringIO()
    progress.follow(iter(records), face="log", out=log, units=UNITS)
    assert screen(out.getvalue(), 200) == log.getvalue().split("\n")
    assert "[############------------] pretrain 50 %, epoch 1 of 2, 1,234 img/s, 12 s left" in out.getvalue()
    assert "[#-----------------------] pretrain 2 %, epoch 1 of 2, ? img/s, measuring the time left" in out.getvalue()
    assert "\x1b" not in out.getvalue()  # a Windows console may not know escape sequences


def test_the_bar_never_wraps(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    out = Terminal()
    progress.follow([started(), StepDone(1, 42, 1, 0.2, 3.0, 1e5)], face="bar", out=out, units=UNITS)
    moving = [part.rstrip() for part in out.getvalue().split("\r") if part.startswith("[")]
    assert len(moving) == 1 and len(moving[0]) <= 39


def test_a_shorter_bar_leaves_nothing_of_a_longer_one(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out, shown = Terminal(), []

    def records():
        yield started()
        for step, left in ((4, 1e5), (42, 1.0)):
            yield StepDone(step, 42, 1, 1.0, left, 1e3)
            shown.append(screen(out.getvalue(), 200)[-1])

    progress.follow(records(), face="bar", out=out, units=UNITS)
    assert len(shown[1]) < len(shown[0]) and shown[1].endswith("1,000 img/s, 1.0 s left")


def test_an_interrupt_takes_the_bar_away(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = Terminal()
    loop = Loop(started(), StepDone(1, 42, 1, 0.2, 3.0, 1e3), fails=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        progress.follow(loop.generator, face="bar", out=out, units=UNITS)
    shown = screen(out.getvalue(), 200)
    assert shown[-2].startswith("Interrupted in pretrain.") and not any("[#" in line for line in shown)


def test_the_head_line_names_the_data():
    line = wording.head_line(started("pretrain", classes=("elm", "oak"), image_size=32))
    assert line.startswith("pretrain: 2 classes (elm, oak), 1,297 + 500 images of 32 px, ")
    assert "102 classes (c0, c1, c2, c3, ...), " in wording.head_line(
        started("joint", classes=tuple(f"c{n}" for n in range(102)))
    )
    assert "1 class (a\\x1b[2Jb), " in wording.head_line(started("joint", classes=("a\x1b[2Jb",)))
