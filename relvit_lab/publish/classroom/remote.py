"""The judge's side of a student's process: starts it, keeps the time, calls its functions, ends it and all its own."""

import contextlib
import itertools
import os
import pickle
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.tasks import Task
from relvit_lab.publish.classroom import sandbox, wire

START = 300  # seconds until the process has to be there, imports and all, on a busy machine
MEMORY = 3 * 2**29  # bytes that a student's code may take
PATIENCE = 10  # seconds for the keeper to end what the code started


class Ended(BaseException):
    """The process has ended, or its time has. Its text says how. No check takes it for an error of the answer's."""


class Stopped(Exception):
    """An error in the student's code, under that one's name."""


class Quit(BaseException):
    """The same of SystemExit and its like."""


class Thing:
    """Something that only its class and text are known of."""

    def __init__(self, text: str):
        self._text = text

    def __repr__(self) -> str:
        return self._text


class Function:
    """A function of the student's, in his process."""

    def __init__(self, process: "Process", number: int, name: str, module: str):
        self._process, self._number, self.__name__, self.module = process, number, name, module

    def __call__(self, *arguments: Any) -> Any:
        return self._process.call(self._number, arguments)


class Process:
    """A process for one student's code. `with` ends it. warm: sources whose imports are done before the limits hold."""

    def __init__(self, warm: Sequence[str] = ()):
        self.warm = list(warm)

    def __enter__(self) -> "Process":
        """Raises RelvitError where it does not start."""
        self._folder = tempfile.TemporaryDirectory(prefix="relvit-grade-", ignore_cleanup_errors=True)
        home = Path(self._folder.name)
        self._given: dict[int, Any] = {}  # what the check of this exercise gave, by number
        self._numbers = itertools.count()
        self.until = time.monotonic() + START
        with contextlib.ExitStack() as undo:
            undo.callback(self._folder.cleanup)
            sandbox.prepare(home)
            errors = home / "errors.txt"
            with errors.open("wb") as stderr:
                self._process = subprocess.Popen(
                    sandbox.command(home), env=sandbox.variables(home), cwd=home / "cwd", start_new_session=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                )  # fmt: skip
            self._turns: queue.SimpleQueue = queue.SimpleQueue()
            self._answers: queue.SimpleQueue = queue.SimpleQueue()
            undo.callback(self.end)
            threading.Thread(target=self._listen, daemon=True).start()
            try:
                self._turn({"warm": self.warm, "bytes": MEMORY}, [])
            except (Ended, Stopped, Quit) as error:
                last = (errors.read_text(errors="replace").strip().splitlines() or [str(error)])[-1]
                raise RelvitError(f"the process for students' code did not start: {last}") from None
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._folder.cleanup()

    def run(self, above: Sequence[str], own: Sequence[str], answer: str, seconds: float) -> Any:
        """Run an exercise's cells. Returns the value of `answer`; its functions are Functions. From here `seconds` are
        given, for the calls too. Raises Stopped, Quit or Ended."""
        self._limit, self.until = seconds, time.monotonic() + seconds
        self._given.clear()  # of another exercise: its answers may be in it
        return self._turn({"above": list(above), "own": list(own), "answer": answer}, [])

    def call(self, number: int, arguments: tuple) -> Any:
        """As Function. Raises Stopped, Quit or Ended."""
        blobs: list[bytes] = []
        return self._turn({"call": number, "with": wire.pack(arguments, blobs, self._words)}, blobs)

    def end(self) -> None:
        """The process and all that it started, daemons too."""
        self._turns.put(None)
        self._process.terminate()  # the keeper then ends all below it
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:  # the student's code has stopped it
            pass
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()

    # -- one turn: what we say, and what is answered -------------------------------------------------------------------

    def _turn(self, words: dict, blobs: list[bytes]) -> Any:
        while True:
            said, blobs = self._exchange(words, blobs)
            try:
                if "stopped" in said:
                    raise _error(*map(str, said["stopped"]), own=said["own"] is True)
                value = wire.unpack(said["with" if "ask" in said else "answer"], blobs, self._known)
                for number, state in said.get("generators", ()):
                    self._given[number].set_state(wire.unpack(state, blobs, self._known))
                if "ask" not in said:
                    return value
                asked = self._given[said["ask"]]
            except (KeyError, IndexError, TypeError, AttributeError, ValueError, RuntimeError) as error:
                raise wire.Unreadable(type(error).__name__) from None
            words, blobs = self._asked(asked, value)

    def _asked(self, function: Any, arguments: Any) -> tuple[dict, list[bytes]]:
        """The student's code calls what the check gave it."""
        blobs: list[bytes] = []
        try:
            return {"answer": wire.pack(function(*arguments), blobs, self._words)}, blobs
        except Exception as error:
            return {"stopped": [type(error).__name__, str(error)[:200]]}, []

    def _exchange(self, words: dict, blobs: list[bytes]) -> tuple[dict, list[bytes]]:
        turn = next(self._numbers)
        self._turns.put((words | {"turn": turn}, blobs))
        try:
            frame = self._answers.get(timeout=max(self.until - time.monotonic(), 0))
        except queue.Empty:
            raise Ended(f"had no end after {getattr(self, '_limit', START):g} seconds") from None
        if frame is None:
            try:
                code = self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                raise Ended("closed its pipe") from None
            raise Ended(f"ended the whole process (exit code {code})")
        if isinstance(frame, wire.Unreadable) or not isinstance(frame[0], dict) or frame[0].get("turn") != turn:
            raise Ended("wrote where answers go")
        return frame

    def _listen(self) -> None:
        """In a thread of its own, for neither writing nor reading can be given a time."""
        while (turn := self._turns.get()) is not None:
            try:
                wire.write(self._process.stdin, *turn)
                frame = wire.read(self._process.stdout)
            except wire.Unreadable as error:
                frame = error
            except (OSError, ValueError):
                frame = None
            self._answers.put(frame)

    # -- what is no plain value ----------------------------------------------------------------------------------------

    def _words(self, value: Any, blobs: list[bytes]) -> dict:
        mine = {"number": next(self._numbers)}
        self._given[mine["number"]] = value
        if isinstance(value, torch.Generator):
            return {"is": "generator", "state": wire.pack(value.get_state(), blobs, self._words), **mine}
        if isinstance(value, torch.nn.Module):
            blobs.append(pickle.dumps(value))
            return {"is": "network", "blob": len(blobs) - 1, **mine}
        if isinstance(value, Task):
            fields = {name: wire.pack(getattr(value, name), blobs, self._words) for name in value.__dataclass_fields__}
            return {"is": "task", "fields": fields, **mine}
        if callable(value):
            return {"is": "function", **mine}
        raise TypeError(f"a check gives a {type(value).__name__}, which cannot be sent")

    def _known(self, words: dict, blobs: list[bytes]) -> Any:
        if words["is"] == "yours":
            return self._given[words["number"]]
        if words["is"] == "function":
            return Function(self, int(words["number"]), str(words["name"])[:80], str(words["module"]))
        return _named(Thing, str(words["class"]))(str(words["text"])[:200])


def _error(name: str, text: str, own: bool) -> BaseException:
    if name == "NotImplementedError":
        return NotImplementedError(text)
    return _named(Stopped if own else Quit, name)(text[:200])


def _named(base: type, name: str) -> type:
    """A class of that name, for what a check says of it."""
    return type(name[:80] if name.isidentifier() else base.__name__, (base,), {})
