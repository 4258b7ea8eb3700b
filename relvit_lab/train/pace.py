"""The clock of a stage (when to show, when to save, how long it will take), and the signals that end it early."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

from relvit_lab.common.words import human_time
from relvit_lab.train.events import Event, Note, StepDone

SHOW_EVERY = 0.2  # seconds between StepDone events
PATIENCE = 3600  # seconds of a paper preset on a CPU after which the demo preset is pointed out


ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Of a scheduler, and of a terminal that was closed (there is none on Windows)."""


class Terminated(SystemExit):
    """One of ENDING: a checkpoint was written; the process ends with code 75 (try again later)."""

    def __init__(self, folder: object):
        super().__init__(75)
        self.message = f"terminated: a checkpoint is in {folder}; the same command goes on from there"

    def __str__(self) -> str:
        return self.message


class Pace:
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


class Signals:
    """SIGTERM, SIGHUP and Ctrl-C wait for the end of the step, so that the checkpoint is whole; a second Ctrl-C does
    not wait. A second SIGTERM changes nothing: schedulers send it to every process of a job, and the job's own passes
    it on. A signal that was ignored before (SIGHUP under nohup) still is.

    A notebook's kernel has a watcher, a thread that ends it at once when papermill or its server is gone, whatever
    ended those. While a stage trains this counts as SIGTERM, and the watcher waits for the checkpoint.
    """

    def __enter__(self) -> "Signals":
        self.received: int | None = None
        self.before: dict[int, object] = {}
        self.ended = threading.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (*ENDING, signal.SIGINT):
                if signal.getsignal(number) != signal.SIG_IGN:
                    self.before[number] = signal.signal(number, self._note)
        self.watcher = sys.modules.get("ipykernel.parentpoller")
        if self.watcher is not None:
            self.watcher.os = _PatientOs(self)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}
        if self.watcher is not None:
            self.watcher.os, self.watcher = os, None
        self.ended.set()

    def parent_is_gone(self) -> None:
        """By the kernel's watcher: returns when the process may end."""
        if self.received is None:
            self.received = signal.SIGTERM
        self.ended.wait()

    def _note(self, number: int, _frame: object) -> None:
        if self.received is not None and number in ENDING:
            return
        if self.received is not None:
            self.__exit__()
            raise KeyboardInterrupt
        self.received = number


class _PatientOs:
    """The module os as the kernel's watcher sees it: the process does not end before the stage has its checkpoint."""

    def __init__(self, signals: Signals):
        self.signals = signals

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def _exit(self, code: int) -> None:
        self.signals.parent_is_gone()
        os._exit(code)


def end_by(asked: int | None, folder: object) -> None:
    """After a checkpoint: end as the signal of that number asks; None: go on."""
    if asked in ENDING:
        raise Terminated(folder)
    if asked == signal.SIGINT:
        raise KeyboardInterrupt
