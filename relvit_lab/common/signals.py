"""Signals that end a stage early: at the end of a step, with a checkpoint."""

import os
import signal
import sys
import threading
from typing import Any

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Of a scheduler, and of a terminal that was closed (there is none on Windows)."""


class Terminated(SystemExit):
    """One of ENDING: a checkpoint was written; the process ends with code 75 (try again later)."""

    def __init__(self, folder: object):
        super().__init__(75)
        self.message = f"terminated: a checkpoint is in {folder}; the same command goes on from there"

    def __str__(self) -> str:
        return self.message


class Signals:
    """SIGTERM, SIGHUP and Ctrl-C wait for the end of the step, so that the checkpoint is whole; a second Ctrl-C does
    not wait. A second SIGTERM changes nothing: schedulers send it to every process of a job, and the job's own passes
    it on. A signal that was ignored before (SIGHUP under nohup) still is.

    A notebook's kernel has a watcher, a thread that ends it at once when papermill or its server is gone, whatever
    ended those. While a stage trains this counts as SIGTERM, and the watcher waits for the checkpoint.
    """

    def __enter__(self) -> "Signals":
        self.received: int | None = None
        self.before: dict[int, Any] = {}
        self.ended = threading.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (*ENDING, signal.SIGINT):
                if signal.getsignal(number) != signal.SIG_IGN:
                    self.before[number] = signal.signal(number, self._note)
        self.watcher = sys.modules.get("ipykernel.parentpoller")
        if self.watcher is not None:
            vars(self.watcher)["os"] = _PatientOs(self)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}
        if self.watcher is not None:
            vars(self.watcher)["os"] = os
            self.watcher = None
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
