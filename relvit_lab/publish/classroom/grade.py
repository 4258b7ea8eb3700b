"""Grading: each student's exercise cells are run again, in a process without answers and judges, and judged from here.

Stored outputs, verdicts and claims count for nothing. What walls the code in: sandbox.py, docs/security.md.
"""

import ast
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from tqdm import tqdm

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.ask import EXERCISES, Exercise
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.lessons.ask.progress_view import states
from relvit_lab.publish.classroom import submissions, wire
from relvit_lab.publish.classroom.copies import choose
from relvit_lab.publish.classroom.remote import Ended, Function, Process, Quit, Stopped

RANK = {"right": 2, "mistake": 1, "not yet": 0}
BORROWED = "The package's own answer was handed in, not one of the student's."
SECONDS = 60  # for one exercise


@dataclass(frozen=True)
class Result:
    """One exercise of one student. status: "right", "mistake" or "not yet". text: the mistake. checked: whether it was
    run again here; False: only the student's own progress file says so, which gives no points."""

    student: str
    exercise: str
    status: str
    text: str = ""
    checked: bool = True


@dataclass(frozen=True)
class Results:
    """results: one for each student and exercise. problems: (student, what could not be read)."""

    results: tuple[Result, ...]
    problems: tuple[tuple[str, str], ...]

    @property
    def students(self) -> tuple[str, ...]:
        return tuple(sorted({r.student for r in self.results} | {student for student, _ in self.problems}))

    @property
    def exercises(self) -> tuple[str, ...]:
        """All exercises of each notebook of which somebody handed in one, in order."""
        numbers = {r.exercise[:2] for r in self.results}
        return tuple(sorted((n for n in EXERCISES.names() if n[:2] in numbers), key=lambda n: n[:2]))

    def of(self, student: str, exercise: str) -> Result | None:
        return next((r for r in self.results if (r.student, r.exercise) == (student, exercise)), None)

    def points(self, student: str, notebook: str = "") -> int:
        """An exercise that is right counts its difficulty, 1 to 3; one that was not checked here, nothing."""
        mine = [r for r in self.results if r.student == student and r.exercise.startswith(notebook)]
        return sum(EXERCISES.get(r.exercise).difficulty for r in mine if r.status == "right" and r.checked)

    def most(self, notebook: str = "") -> int:
        return sum(EXERCISES.get(name).difficulty for name in self.exercises if name.startswith(notebook))


def grade(places: Sequence[str | Path], seconds: float = SECONDS, jobs: int = 1, progress: bool = True) -> Results:
    """Read and judge what was handed in. places: folders and files, see submissions.find.

    seconds: for one exercise; one that takes longer, or ends the process, is a mistake, and the next goes on in a new
    process. jobs: students at a time. progress: whether a bar says how far it is. Of several answers of one student to
    an exercise the best counts, and one that was run again counts before one that a progress file claims. Raises
    RelvitError where nothing was handed in.
    """
    ask.load_all()
    expressions, found, problems = submissions.answer_expressions(), [], []
    without = {path.stem for path in choose(())} - {path.stem for path in choose(sorted({n[:2] for n in expressions}))}
    tasks: dict[str, list[dict]] = {}
    for handed in submissions.find(places):
        try:
            if handed.path.suffix == ".json":
                found += _claims(handed)
            else:
                book = submissions.read_book(handed.path)
                names = submissions.answered(book, expressions)
                if not names and not any(stem in handed.path.stem for stem in without):
                    raise RelvitError(f"{handed.path.name} has no cell of an exercise")
                missing = [n for n in expressions if n[:2] in {name[:2] for name in names} and n not in names]
                found += [Result(handed.student, name, "not yet", "the cell is missing") for name in missing]
                tasks.setdefault(handed.student, []).extend(
                    {"path": handed.path, "name": name, "answer": expressions[name]} for name in names
                )
        except RelvitError as error:
            problems.append((handed.student, str(error)))
    total = sum(map(len, tasks.values()))
    bar = tqdm(total=total, desc="grading", unit=" exercises", delay=2, disable=not progress)
    with bar, ThreadPoolExecutor(jobs) as pool:
        for results in pool.map(lambda student: list(_judge(student, tasks[student], seconds, bar)), tasks):
            found += results
    return Results(_best(found), tuple(problems))


def _claims(handed: submissions.Submission) -> list[Result]:
    name, lines = submissions.read_export(handed.path)
    return [
        Result(name or handed.student, exercise, state.status, state.text * (state.status != "right"), checked=False)
        for exercise, state in states(lines).items()
        if exercise in EXERCISES
    ]


def _best(found: Sequence[Result]) -> tuple[Result, ...]:
    best: dict[tuple[str, str], Result] = {}
    for result in sorted(found, key=lambda result: (result.checked, RANK[result.status]), reverse=True):
        best.setdefault((result.student, result.exercise), result)
    return tuple(best.values())


def _judge(student: str, tasks: Sequence[dict], seconds: float, bar: tqdm) -> Iterator[Result]:
    """One student's exercises, in as many processes as it takes."""
    warm, left = _warm({task["name"][:2] for task in tasks}), list(tasks)
    while left:
        with Process(warm) as process:
            while left:
                task, ended = left.pop(0), False
                try:
                    book = submissions.read_book(task["path"])
                    said = verdict(process, book, EXERCISES.get(task["name"]), task["answer"], seconds)
                except Ended as how:
                    said, ended = ask.Verdict("mistake", f"The cell, or a call of its answer, {how}."), True
                yield Result(student, task["name"], said.status, said.text * (said.status == "mistake"))
                bar.update(1)
                if ended:
                    break


def _warm(numbers: set[str]) -> list[str]:
    """What the notebooks import (as the project has them), so that no exercise's time is spent on it."""
    cells = (cell for path in choose(sorted(numbers)) for cell in submissions.read_book(path).cells)
    return [submissions.code_of(cell) for cell in cells if cell.get("id") == "imports"]


def verdict(
    process: Process, book: NotebookNode, exercise: Exercise, answer: str, seconds: float = SECONDS
) -> ask.Verdict:
    """Run what the exercise's cells need, then these cells, then judge `answer`, an expression.

    Of the cells above, imports, functions, classes and plain constants count; what else they compute does not, so that
    a notebook is judged in seconds. Raises Ended where the process ends, or has had `seconds`; nothing else.
    """
    places = submissions.own_cells(book, exercise.name)
    above = [submissions.code_of(cell) for cell in book.cells[: max(places)] if cell.cell_type == "code"]
    own = [submissions.code_of(book.cells[k]) for k in places]
    try:
        if any(_borrows(ast.parse(source)) for source in own):
            return ask.Verdict("mistake", BORROWED)
        value = process.run(above, own, answer, seconds)
        if isinstance(value, Function) and value.module.split(".")[0] == "relvit_lab":
            return ask.Verdict("mistake", BORROWED)
        return ask.judge(exercise, value)
    except (Stopped, Quit, SyntaxError, NotImplementedError) as error:
        said = (str(error).splitlines() or [""])[0][:200]
        return ask.Verdict("mistake", f"The cell stopped with {type(error).__name__}{': ' + said if said else ''}.")
    except wire.Unreadable as error:
        return ask.Verdict("mistake", f"What the cell or its answer gave cannot be read: {error}.")
    except Exception as error:  # ast.parse on any text, a check on any value
        return ask.Verdict("mistake", f"What the cell or its answer gave cannot be checked ({type(error).__name__}).")


def _borrows(tree: ast.AST) -> bool:
    """Whether the code reads a right answer out of the package. (Where it runs there is none; so it is told why.)"""
    for node in ast.walk(tree):
        names = [getattr(node, key, None) for key in ("id", "name", "attr")]
        if any(str(name).split(".")[-1] in ("EXERCISES", "answer_or_reference") for name in names):
            return True
        if isinstance(node, ast.Attribute) and node.attr == "reference":
            return True
        modules = [node.module] if isinstance(node, ast.ImportFrom) else []
        modules += [name.name for name in node.names] if isinstance(node, ast.Import) else []
        if any(_holds_answers(str(module)) for module in modules):
            return True
    return False


def _holds_answers(module: str) -> bool:
    """Whether it is one of the package with right answers: a notebook's exercises, or what asks for them."""
    own = module.startswith(f"{ask.__package__}.")
    return own or (module.startswith("relvit_lab.lessons.") and module.endswith("exercises"))
