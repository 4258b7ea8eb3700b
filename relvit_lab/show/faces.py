"""How events of training are shown as text: the base of all faces, a line an epoch, and a line that moves."""

import shutil
import time
from collections.abc import Mapping
from typing import TextIO

from relvit_lab.common.words import human_rate, human_time
from relvit_lab.show import wording
from relvit_lab.train.events import EpochDone, Event, Note, StageFinished, StageStarted, StepDone


class Face:
    """One way to show events. Subclasses say what they do with each; this one knows the stage it is in."""

    def __init__(self, units: Mapping[str, str]):
        self.units = units
        self.stage: StageStarted | None = None
        self.left: float | None = None  # to the stage's end, as last measured
        self._measured = 0.0

    def show(self, event: Event) -> None:
        match event:
            case StageStarted():
                self.stage, self.left = event, None
                self.started(event)
            case StepDone():
                self.left, self._measured = event.left, time.monotonic()
                self.step(event)
            case EpochDone():
                self.epoch(event)
            case Note():
                self.note(event.text)
            case StageFinished():
                self.finished(event)

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
        self._steps_shown = 0  # events of steps in this stage

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
