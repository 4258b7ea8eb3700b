"""Grading: each student's exercise cells are run again, in a process without answers and judges, and judged from here.

Stored outputs, verdicts and claims count for nothing. What walls the code in: sandbox.py, docs/security.md.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.ask import EXERCISES
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.lessons.ask.progress_view import states
from relvit_lab.publish.classroom import submissions
from relvit_lab.publish.classroom.copies import choose
from relvit_lab.publish.classroom.judge import SECONDS, verdict
from relvit_lab.publish.classroom.remote import Ended, Process

RANK = {"right": 2, "mistake": 1, "not yet": 0}


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


def grade(
    places: Sequence[str | Path], seconds: float = SECONDS, jobs: int = 1, progress: bool | None = None
) -> Results:
    """Read and judge what was handed in. places: folders and files, see submissions.find.

    seconds: for one exercise; one that takes longer, or ends the process, is a mistake, and the next goes on in a new
    process. jobs: students at a time. Of several answers of one student to an exercise the best counts, and one that
    was run again counts before one that a progress file claims. Raises RelvitError where nothing was handed in.
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
    with _bar(sum(map(len, tasks.values())), progress) as bar, ThreadPoolExecutor(jobs) as pool:

        def judged(student: str) -> list[Result]:
            warm = _warm({task["name"][:2] for task in tasks[student]})
            return list(_judge(student, tasks[student], seconds, warm, lambda: bar.update(1)))

        for results in pool.map(judged, tasks):
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
    for result in found:
        key = (result.student, result.exercise)
        if key not in best or _order(result) > _order(best[key]):
            best[key] = result
    return tuple(best.values())


def _order(result: Result) -> tuple[bool, int]:
    return result.checked, RANK[result.status]


def _judge(
    student: str, tasks: Sequence[dict], seconds: float, warm: Sequence[str], done: Callable[[], None]
) -> Iterator[Result]:
    """One student's exercises, in as many processes as it takes."""
    left = list(tasks)
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
                done()
                if ended:
                    break


def _warm(numbers: set[str]) -> list[str]:
    """What the notebooks import (as the project has them), so that no exercise's time is spent on it."""
    cells = (cell for path in choose(sorted(numbers)) for cell in submissions.read_book(path).cells)
    return [submissions.code_of(cell) for cell in cells if cell.get("id") == "imports"]


def _bar(total: int, progress: bool | None):
    from tqdm import tqdm

    return tqdm(total=total, desc="grading", unit=" exercises", delay=0 if progress else 2, disable=progress is False)
