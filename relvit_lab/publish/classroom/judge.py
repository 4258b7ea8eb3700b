"""The process that runs one student's cells and judges them: python -m relvit_lab.publish.classroom.judge TASKS OUT.

TASKS: a JSON file, [{"path": notebook, "name": exercise, "answer": "to_patches"}, ...]. OUT gets a JSON line for each
step: {"ready": true}, {"begun": name}, {"name", "status", "text"}. The one who started it keeps the time (grade.py).
"""

import ast
import json
import os
import sys
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from relvit_lab.lessons.ask import EXERCISES, Exercise
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.publish.classroom import submissions
from relvit_lab.publish.classroom.copies import choose

MEMORY = 4 * 2**30  # bytes that a student's code may take
BORROWED = "The package's own answer was handed in, not one of the student's."
DEFINING = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def verdict(book: NotebookNode, exercise: Exercise, answer: str, judge=ask.judge) -> ask.Verdict:
    """Run what the exercise's cells need, then these cells, then judge `answer`, an expression.

    Of the cells above, imports, functions, classes and plain constants count; what else they compute does not, so that
    a notebook is judged in seconds. Never raises.
    """
    own = submissions.own_cells(book, exercise.name)
    space: dict[str, Any] = {"__name__": "__main__", "display": lambda *_, **__: None}
    for cell in book.cells[: max(own)]:
        if cell.cell_type == "code":
            _define(submissions.code_of(cell), space)
    try:
        for k in own:
            tree = ast.parse(submissions.code_of(book.cells[k]))
            if _borrows(tree):
                return ask.Verdict("mistake", BORROWED)
            tree.body = [part for part in tree.body if not _is_check(part)]
            exec(compile(tree, "<exercise>", "exec"), space)
        value = eval(answer, space)
        if value is not None and (value is exercise.reference or _is_ours(value)):
            return ask.Verdict("mistake", BORROWED)
        return judge(exercise, value)
    except BaseException as error:  # SystemExit and KeyboardInterrupt are a student's, too
        said = (str(error).splitlines() or [""])[0][:200]
        return ask.Verdict("mistake", f"The cell stopped with {type(error).__name__}{': ' + said if said else ''}.")


def _define(source: str, space: dict) -> None:
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


def _borrows(tree: ast.AST) -> bool:
    """Whether the code reads a right answer out of the package."""
    for node in ast.walk(tree):
        names = [getattr(node, key, None) for key in ("id", "name", "attr")]
        if any(str(name).split(".")[-1] in ("EXERCISES", "answer_or_reference") for name in names):
            return True
        if isinstance(node, ast.Attribute) and node.attr == "reference":
            return True
    return False


def _is_ours(value: Any) -> bool:
    return callable(value) and str(getattr(value, "__module__", "")).startswith("relvit_lab")


def _warm_up(numbers: set[str]) -> None:
    """Import what the notebooks import (as the project has them), so that no exercise's time is spent on it."""
    for path in choose(sorted(numbers)):
        for cell in submissions.read_book(path).cells:
            if cell.get("id") == "imports":
                _define(submissions.code_of(cell), {"__name__": "__main__"})


def _limit_memory() -> None:
    """MEMORY beyond what is mapped now; on systems that can do it."""
    try:
        import resource

        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, hard))
    except (ImportError, OSError, ValueError):
        pass


def main(tasks: str, out: str) -> None:
    with open(out, "a", encoding="utf-8") as lines:

        def say(**what: Any) -> None:
            lines.write(json.dumps(what) + "\n")
            lines.flush()

        todo = json.loads(Path(tasks).read_text())
        ask.load_all()
        exercises, judge = {task["name"]: EXERCISES.get(task["name"]) for task in todo}, ask.judge
        _warm_up({task["name"][:2] for task in todo})
        books = {path: submissions.read_book(Path(path)) for path in {task["path"] for task in todo}}
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        _limit_memory()
        say(ready=True)
        for task in todo:
            say(begun=task["name"])
            said = verdict(books[task["path"]], exercises[task["name"]], task["answer"], judge)
            say(name=task["name"], status=said.status, text=said.text)
    os._exit(0)  # a thread that a student left running does not keep us


if __name__ == "__main__":
    main(*sys.argv[1:])
