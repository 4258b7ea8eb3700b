"""The clock of a stage: when to show, when to save, how long it will take."""

import time
from collections.abc import Iterator

from relvit_lab.common.words import human_time
from relvit_lab.train.events import Event, Note, StepDone

SHOW_EVERY = 0.2  # seconds between StepDone events
PATIENCE = 3600  # seconds of a paper preset on a CPU after which the demo preset is pointed out


class Clock:
    """The clock of a stage.

    step: steps done before, of `steps` in all. batch_size: images a step. epoch_seconds: already spent on this epoch.
    save_every: seconds between checkpoints within an epoch. hint: whether to point out, once, how long it takes.
    """

    def __init__(
        self, step: int, steps: int, batch_size: int, epoch_seconds: float, save_every: float, hint: bool = False
    ):
        self.first_step, self.steps, self.batch_size = step, steps, batch_size
        self.save_every, self.hint = save_every, hint
        self.began = self.shown = self.last_save = time.perf_counter()
        self.epoch_began = self.began - epoch_seconds

    def start_epoch(self) -> None:
        self.epoch_began = time.perf_counter()

    def epoch_seconds(self) -> float:
        return time.perf_counter() - self.epoch_began

    def skip(self, seconds: float) -> None:
        """Time that was spent on something else than training."""
        self.began += seconds
        self.epoch_began += seconds

    def after_step(self, step: int, epoch: int) -> Iterator[Event]:
        now, done = time.perf_counter(), step - self.first_step
        if done > 1 and now - self.shown < SHOW_EVERY and step < self.steps:
            return
        self.shown = now
        elapsed = now - self.began
        left = elapsed / done * (self.steps - step)
        yield StepDone(step, self.steps, epoch, elapsed, left, done * self.batch_size / elapsed)
        if self.hint and done >= 3:
            self.hint = False
            if left > PATIENCE:
                yield Note(
                    f"on this CPU the stage takes about {human_time(left)}. preset=demo is a small model on a few "
                    "thousand images, in about two minutes; the paper preset is meant for a GPU"
                )

    def checkpoint_is_due(self) -> bool:
        return time.perf_counter() - self.last_save >= self.save_every

    def saved(self) -> None:
        self.last_save = time.perf_counter()
