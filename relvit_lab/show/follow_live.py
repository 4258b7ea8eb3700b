"""The face in a notebook: one bar and one plot for each stage, redrawn in place while the kernel is busy.

Both are display handles, not widgets: their updates arrive while a cell runs, and stay in the saved notebook.
"""

import html
import sys
import time
from collections.abc import Mapping

from IPython.display import DisplayHandle, display

from relvit_lab.show import wording
from relvit_lab.show.curves import curves
from relvit_lab.show.faces import Face
from relvit_lab.train.events import EpochDone, StageFinished, StageStarted, StepDone

REDRAW = 1.0  # seconds between two drawings of the plot, at least
SHARE = 0.1  # of the time may go into drawing, at most


class Live(Face):
    """A bar in HTML with the head of the stage above and its notes below, and the curves as a PNG."""

    def __init__(self, units: Mapping[str, str]):
        super().__init__(units)
        self._bar: DisplayHandle | None = None
        self._plot: DisplayHandle | None = None
        self._text = ""  # what the bar says
        self._share: float | None = None  # of the bar that is full; None where there is no bar any more
        self._notes: list[str] = []
        self._lines: list[dict] = []
        self._undrawn = False
        self._next_drawing = 0.0

    def started(self, stage: StageStarted) -> None:
        self._plot, self._lines, self._undrawn = None, [], False
        self._notes = [*([f"going on from {stage.resumed}"] if stage.resumed else []), *stage.notes]
        if stage.replayed:
            self._text, self._share = f"{stage.name}: already done, replayed", None
        else:
            self._text, self._share = f"{stage.name}: starting", 0.0
        self._bar = display(self._as_bundle(), raw=True, display_id=True)

    def step(self, step: StepDone) -> None:
        self._text, self._share = wording.step_line(self.stage, step), step.step / max(step.steps, 1)
        self._update_bar()
        if self._undrawn:
            self._draw()

    def epoch(self, epoch: EpochDone) -> None:
        self._lines.append(dict(epoch.metrics))
        self._undrawn = True
        if not epoch.replayed:
            self._draw()

    def note(self, text: str) -> None:
        self._notes.append(text)
        if self._bar is None:  # before the first stage
            self._bar = display(self._as_bundle(), raw=True, display_id=True)
        self._update_bar()

    def finished(self, finished: StageFinished) -> None:
        said = wording.end_line(finished, self.units)
        self._text = f"{self._text}; {said.removeprefix(f'{finished.name} ')}" if finished.replayed else said
        self._share = None
        self._update_bar()
        if self._undrawn:
            self._draw(final=True)

    def interrupted(self) -> None:
        said = wording.go_on_line(self.stage, "this cell")
        self._notes.append(said)
        error = sys.exception()
        if error is not None:  # IPython shows this in place of 30 lines of traceback: nothing went wrong
            last = said if self._bar is None else "Interrupted: see above how to go on."
            error._render_traceback_ = lambda: [last]

    def close(self) -> None:
        """Leave everything as it stands: the last curves, and no bar that seems to move."""
        if self._share is not None:
            self._text, self._share = f"{self._text}: stopped here", None
        if self._bar is not None:
            self._update_bar()
        if self._undrawn:
            self._draw(final=True)

    def _draw(self, final: bool = False) -> None:
        begun = time.monotonic()
        if not final and begun < self._next_drawing:
            return
        self._undrawn = False
        try:
            bundle, metadata = curves([(self.stage.name, self._lines)], self.units)._repr_mimebundle_()
        except Exception as error:  # a picture never ends a run
            self._next_drawing = float("inf")
            self.note(f"the curves cannot be drawn ({type(error).__name__}: {error})")
            return
        if self._plot is None:
            self._plot = display(bundle, raw=True, metadata=metadata, display_id=True)
        else:
            self._plot.update(bundle, raw=True, metadata=metadata)
        ended = time.monotonic()
        self._next_drawing = begun + max(REDRAW, (ended - begun) / SHARE)

    def _update_bar(self) -> None:
        self._bar.update(self._as_bundle(), raw=True)

    def _as_bundle(self) -> dict[str, str]:
        head = "" if self.stage is None or self._share is None else wording.head_line(self.stage)
        folder = "" if self.stage is None else f"in {self.stage.folder}"
        first, second = (head, self._text) if head else (self._text, "")
        plain = [line for line in (first, folder, second, *self._notes) if line]
        parts = []
        if first:
            below = f"<br><small>{html.escape(folder)}</small>" if folder else ""
            parts.append(f"<div>{html.escape(first)}{below}</div>")
        if self._share is not None:
            percent, said = round(100 * self._share), html.escape(self._text)
            name = html.escape(f"progress of the stage {self.stage.name}")
            parts.append(
                f'<div><progress role="progressbar" max="100" value="{percent}" aria-label="{name}" aria-valuemin="0" '
                f'aria-valuemax="100" aria-valuenow="{percent}" aria-valuetext="{said}" style="width:16em">'
                f"</progress> {said}</div>"
            )
        if self._notes:
            notes = "".join(f"<li>{html.escape(note)}</li>" for note in self._notes)
            parts.append(f'<ul style="margin-top:0; margin-bottom:0.3em">{notes}</ul>')
        return {"text/html": "".join(parts), "text/plain": "\n".join(plain)}


class Still(Live):
    """What Live leaves, drawn once, at the end of a stage: for pages, which nobody watches being made."""

    def _draw(self, final: bool = False) -> None:
        if final:
            super()._draw(final)
