"""The faces of the training loop: it yields records, and `follow` shows them as suits the place.

"live": a bar and a plot in JupyterLab (follow_live.py); "bar": one line that moves, in a terminal; "log": a line an
epoch, for papermill, pipes and files. Tables of what came out are in summary.py, and may be had from here.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from typing import TextIO

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.printing import tolerant
from relvit_lab.common.processes import processes
from relvit_lab.common.table import Table, compare
from relvit_lab.common.words import human_rate, human_time
from relvit_lab.show import wording
from relvit_lab.show.summary import summary
from relvit_lab.train.events import EpochDone, Note, Record, StageFinished, StageStarted, StepDone

__all__ = ["FACES", "Table", "choose_face", "compare", "follow", "summary"]

FACES = ("live", "log", "bar")


def follow(
    records: Iterable[Record],
    face: str = "auto",
    out: TextIO | None = None,
    units: Mapping[str, str] | None = None,
) -> list[StageFinished]:
    """Consume the records of a run, show them, and return those of its finished stages.

    face: "live", "log", "bar", or "auto" (see choose_face). out: where "log" and "bar" write; standard output when
    None. units: the unit of each metric; those of the registered tasks when None.
    However it ends (an interrupt, an error of a stage, one of the face), the iterator is closed, so that the loop
    writes its checkpoint; an interrupt then says how to go on. The exception is raised again.
    Raises RelvitError for an unknown face.
    """
    out = tolerant(sys.stdout if out is None else out)
    drawn = _make_face(choose_face(out) if face == "auto" else face, out, units)
    finished: list[StageFinished] = []
    try:
        for record in records:
            drawn.show(record)
            if isinstance(record, StageFinished):
                finished.append(record)
    except KeyboardInterrupt:
        _close(records)  # before the words: they promise a checkpoint
        drawn.interrupted()
        raise
    finally:
        _close(records)
        drawn.close()
    return finished


def choose_face(out: TextIO) -> str:
    """The face for this place.

    RELVIT_FACE where it is set; else "live" in a kernel that a person sits at (started by a Jupyter server, VS Code or
    Colab), "log" in any other kernel (papermill, nbclient), "bar" in a terminal, and "log" for pipes and files.
    Raises RelvitError where RELVIT_FACE names no face.
    """
    wanted = os.environ.get("RELVIT_FACE", "auto")
    if wanted not in ("", "auto"):
        return wanted
    shell = _kernel_shell()
    if shell is not None:
        # The server sets JPY_SESSION_NAME for the kernels it starts; papermill and nbclient do not. VS Code starts
        # kernels itself, and outside Linux desktops only the name in the namespace gives it away.
        seen = "JPY_SESSION_NAME" in os.environ or "VSCODE_PID" in os.environ or "google.colab" in sys.modules
        return "live" if seen or "__vsc_ipynb_file__" in shell.user_ns else "log"
    return "bar" if out.isatty() else "log"


def _kernel_shell():
    """IPython's shell where this process is a notebook's kernel, else None. Does not import IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if getattr(shell, "kernel", None) is not None else None


def _make_face(name: str, out: TextIO, units: Mapping[str, str] | None) -> "Face":
    units = wording.known_units() if units is None else units
    if processes()[0]:  # of several processes the first shows what happens
        return Face(units)
    if name == "live":
        from relvit_lab.show.follow_live import Live  # late: needs IPython and matplotlib

        return Live(units)
    if name not in FACES:
        raise RelvitError(f"unknown face '{name}' of the progress: {nearest(name, ('auto', *FACES))}")
    return (Log if name == "log" else Bar)(out, units)


def _close(records: Iterable[Record]) -> None:
    """Let a generator run its cleanup now (a list of records has none). A second time does nothing."""
    close = getattr(records, "close", None)
    if close is not None:
        close()


class Face:
    """One way to show records. Subclasses say what they do with each; this one knows the stage it is in."""

    def __init__(self, units: Mapping[str, str]):
        self.units = units
        self.stage: StageStarted | None = None
        self.left: float | None = None  # to the stage's end, as last measured
        self._measured = 0.0

    def show(self, record: Record) -> None:
        match record:
            case StageStarted():
                self.stage, self.left = record, None
                self.started(record)
            case StepDone():
                self.left, self._measured = record.left, time.monotonic()
                self.step(record)
            case EpochDone():
                self.epoch(record)
            case Note():
                self.note(record.text)
            case StageFinished():
                self.finished(record)

    def left_now(self) -> float | None:
        """Seconds to the stage's end: the last measurement, less the time since (an evaluation may lie between)."""
        return None if self.left is None else max(self.left - (time.monotonic() - self._measured), 0)

    def started(self, stage: StageStarted) -> None: ...
    def step(self, step: StepDone) -> None: ...
    def epoch(self, epoch: EpochDone) -> None: ...
    def note(self, text: str) -> None: ...
    def finished(self, finished: StageFinished) -> None: ...
    def interrupted(self) -> None: ...
    def close(self) -> None: ...


class Log(Face):
    """A line an epoch, each flushed at once; no control characters."""

    again = "the same command"

    def __init__(self, out: TextIO, units: Mapping[str, str]):
        super().__init__(units)
        self.out = out
        self._steps_shown = 0  # records of steps in this stage

    def line(self, text: str) -> None:
        print(text, file=self.out, flush=True)

    def started(self, stage: StageStarted) -> None:
        self._steps_shown = 0
        if stage.replayed:
            self.line(f"{stage.name}: already done, replayed from {stage.folder}")
        else:
            self.line(wording.head_line(stage))
            self.line(f"  in {stage.folder}")
        if stage.resumed:
            self.line(f"  going on from {stage.resumed}")
        for text in stage.notes:
            self.note(text)

    def step(self, step: StepDone) -> None:
        self._steps_shown += 1
        # Once, and early, for the first epoch may take an hour; not from the first step, which is slower than the rest.
        if self._steps_shown == 3 and step.left is not None and step.left >= 30:
            rate, left = human_rate(step.images_per_second), human_time(step.left)
            self.line(f"  measured: {rate}, about {left} to the end of this stage")

    def epoch(self, epoch: EpochDone) -> None:
        if not epoch.replayed:
            self.line(wording.epoch_line(epoch, self.units, self.left_now()))

    def note(self, text: str) -> None:
        self.line(f"  note: {text}")

    def finished(self, finished: StageFinished) -> None:
        self.line(wording.end_line(finished, self.units))

    def interrupted(self) -> None:
        self.line(wording.go_on_line(self.stage, self.again))


class Bar(Log):
    """The log's lines, and under them, while a stage runs, one line that moves."""

    width = 24  # of the bar itself

    def __init__(self, out: TextIO, units: Mapping[str, str]):
        super().__init__(out, units)
        self._shown = 0  # characters of the moving line on the screen

    def line(self, text: str) -> None:
        self._clear()
        super().line(text)

    def step(self, step: StepDone) -> None:
        full = round(self.width * step.step / max(step.steps, 1))
        text = f"[{'#' * full}{'-' * (self.width - full)}] {wording.step_line(self.stage, step)}"
        # A line that wraps could not be taken back; the last column stays free, where some terminals wrap already.
        text = text[: shutil.get_terminal_size().columns - 1]
        self.out.write("\r" + text.ljust(self._shown))  # spaces over the rest of a longer line, no escape sequences
        self.out.flush()
        self._shown = len(text)

    def close(self) -> None:
        self._clear()

    def _clear(self) -> None:
        if self._shown:
            self.out.write("\r" + " " * self._shown + "\r")
            self.out.flush()
            self._shown = 0
