"""The process in which one student's code runs. It holds no right answer and no judge: inputs come in, outputs go out.

    python -m relvit_lab.publish.classroom.student     stdin has what the judge says, stdout what is answered

First {"warm": sources, "bytes": n}: what the notebooks import is imported, then the limits hold. Then, in turn:
{"above", "own", "answer"} runs an exercise's cells and says what the expression `answer` is; {"call": number, "with":
arguments} calls a function of that. Within a call the code may call what it was given: {"ask": number, "with"}.
"""

import ast
import os
import pickle
import tempfile
from typing import Any

import torch

from relvit_lab.publish.classroom import wire

DEFINING = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Student:
    """Answers what the judge says, one thing after the other."""

    def __init__(self, source: Any, sink: Any):
        self.source, self.sink = source, sink
        self.given: list[Any] = []  # functions that went out, by number
        self.received: dict[int, Any] = {}  # what came from the judge and is his: by number
        self.generators: dict[int, Any] = {}

    def serve(self) -> None:
        while (frame := wire.read(self.source)) is not None:
            (said, blobs), self.turn = frame, frame[0]["turn"]
            try:
                blobs, answer = [], self._answer(said, blobs)
                words = {"answer": wire.pack(answer, blobs, self._words), "generators": self._states(blobs)}
                self._say(words, blobs)
            except BaseException as error:  # SystemExit and KeyboardInterrupt are a student's, too
                self._say({"stopped": _said(error), "own": isinstance(error, Exception)}, [])

    def _answer(self, said: dict, blobs: list[bytes]) -> Any:
        if "warm" in said:
            for source in said["warm"]:
                define(source, {"__name__": "__main__"})
            os.dup2(1, 2)  # what went wrong until now was told to the judge
            limit(said["bytes"])
            return None
        if "own" in said:
            self.received, self.generators = {}, {}
            return run(said["above"], said["own"], said["answer"])
        self.generators = {}
        arguments = wire.unpack(said["with"], blobs, self._known)
        return self.given[said["call"]](*arguments)

    def _ask(self, number: int, arguments: tuple) -> Any:
        """Call what the judge gave."""
        blobs: list[bytes] = []
        words = {"ask": number, "with": wire.pack(arguments, blobs, self._words), "generators": self._states(blobs)}
        self._say(words, blobs)
        said, blobs = wire.read(self.source)
        self.turn = said["turn"]
        if "stopped" in said:
            raise RuntimeError(": ".join(said["stopped"]))
        return wire.unpack(said["answer"], blobs, self._known)

    def _say(self, words: dict, blobs: list[bytes]) -> None:
        wire.write(self.sink, words | {"turn": self.turn}, blobs)

    def _states(self, blobs: list[bytes]) -> list:
        return [[number, wire.pack(made.get_state(), blobs, self._words)] for number, made in self.generators.items()]

    def _words(self, value: Any, _blobs: list[bytes]) -> dict:
        """What is no plain value: the judge's own, a function, or something of which only a name goes."""
        for number, theirs in self.received.items():
            if theirs is value:
                return {"is": "yours", "number": number}
        if callable(value):
            self.given.append(value)
            names = {key: str(getattr(value, f"__{key}__", "")) for key in ("name", "module")}
            return {"is": "function", "number": len(self.given) - 1, **names}
        return {"is": "thing", "class": type(value).__name__, "text": str(value)[:200]}

    def _known(self, words: dict, blobs: list[bytes]) -> Any:
        """What the judge gives: a function to call back, a generator, a network, a task."""
        kind, number = words["is"], words.get("number")
        if number in self.received and kind != "generator":
            return self.received[number]
        if kind == "function":
            made = lambda *arguments: self._ask(number, arguments)  # noqa: E731
        elif kind == "generator":
            made = torch.Generator()
            made.set_state(wire.unpack(words["state"], blobs, self._known))
            self.generators[number] = made
        elif kind == "network":
            made = pickle.loads(blobs[words["blob"]])
        else:
            from relvit_lab.method.tasks import Task

            made = Task(**{name: wire.unpack(value, blobs, self._known) for name, value in words["fields"].items()})
        self.received[number] = made
        return made


def _said(error: BaseException) -> list[str]:
    """The name of an error and its first line."""
    try:
        text = (str(error).splitlines() or [""])[0][:200]
    except BaseException:  # a __str__ that fails
        text = ""
    return [type(error).__name__[:80], text]


def run(above: list[str], own: list[str], answer: str) -> Any:
    """Run what the exercise's cells need, then these cells, without their checks. Returns the value of `answer`."""
    space: dict[str, Any] = {"__name__": "__main__", "display": lambda *_, **__: None}
    for source in above:
        define(source, space)
    for source in own:
        tree = ast.parse(source)
        tree.body = [part for part in tree.body if not _is_check(part)]
        exec(compile(tree, "<exercise>", "exec"), space)
    return eval(answer, space)


def define(source: str, space: dict) -> None:
    """Run a cell's imports, functions, classes and plain constants, and nothing that it computes."""
    try:
        parts = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for part in parts:
        if isinstance(part, DEFINING) or _is_constant(part):
            try:
                exec(compile(ast.Module([part], []), "<above>", "exec"), space)
            except BaseException:  # another cell's fault; if the exercise needs it, that shows there
                continue


def _is_constant(part: ast.stmt) -> bool:
    if not isinstance(part, ast.Assign | ast.AnnAssign) or part.value is None:
        return False
    try:
        ast.literal_eval(part.value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _is_check(part: ast.stmt) -> bool:
    call = part.value if isinstance(part, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("check", "progress")


def limit(most: int) -> None:
    """`most` bytes of memory beyond what is mapped now, and not a byte in any file; on systems that can do it."""
    tempfile.gettempdir()  # it looks for a folder by writing a file
    try:
        import resource

        with open("/proc/self/statm") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        for kind, value in (("AS", mapped + most), ("FSIZE", 0), ("CORE", 0)):
            which = getattr(resource, f"RLIMIT_{kind}")
            resource.setrlimit(which, (value, value))
    except (ImportError, OSError, ValueError):
        pass


def main() -> None:
    source, sink = (os.fdopen(os.dup(stream), mode) for stream, mode in ((0, "rb"), (1, "wb")))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # what a student reads and prints is not the judge's
        os.dup2(nowhere, stream)
    Student(source, sink).serve()
    os._exit(0)  # a thread that a student left running does not keep us


if __name__ == "__main__":
    main()
