"""Grading: each student's exercise cells are run again, in a process of their own, with a limit on time and memory.

Stored outputs and verdicts count for nothing. The code runs with the rights of whoever grades: docs/teaching.md.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
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

SECONDS = 60  # for one exercise
START = 300  # seconds until the judge has to be there, imports and all, on a busy machine
RANK = {"right": 2, "mistake": 1, "not yet": 0}


@dataclass(frozen=True)
class Result:
    """One exercise of one student. status: "right", "mistake" or "not yet". text: the mistake. checked: whether it was
    run again here; False: only the student's own progress file says so."""

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
        """An exercise that is right counts as much as its difficulty, 1 to 3."""
        mine = [r for r in self.results if r.student == student and r.exercise.startswith(notebook)]
        return sum(EXERCISES.get(r.exercise).difficulty for r in mine if r.status == "right")

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
                    {"path": str(handed.path), "name": name, "answer": expressions[name]} for name in names
                )
        except RelvitError as error:
            problems.append((handed.student, str(error)))
    with _bar(sum(map(len, tasks.values())), progress) as bar, ThreadPoolExecutor(jobs) as pool:

        def judged(student: str) -> list[Result]:
            return list(_judge(student, tasks[student], seconds, lambda: bar.update(1)))

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


def _judge(student: str, tasks: Sequence[dict], seconds: float, done: Callable[[], None]) -> Iterator[Result]:
    """One student's exercises, in as many processes as it takes."""
    left = list(tasks)
    while left:
        for line in _lines(left, seconds):
            yield Result(student, line["name"], line["status"], line["text"] * (line["status"] == "mistake"))
            left.pop(0)
            done()


def _lines(tasks: Sequence[dict], seconds: float) -> Iterator[dict]:
    """The verdicts of one process, in order; where it hangs or dies, the last says so. Raises RelvitError where the
    judge itself does not start."""
    with tempfile.TemporaryDirectory(prefix="relvit-grade-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        (home / "cwd").mkdir()
        (home / "tasks.json").write_text(json.dumps(list(tasks)))
        out, errors = home / "out.jsonl", home / "errors.txt"
        out.touch()
        settings = {
            "RELVIT_HOME": str(home / "cwd"), "RELVIT_PROGRESS": "off", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        with errors.open("wb") as stderr, out.open(encoding="utf-8") as lines:
            process = subprocess.Popen(
                [sys.executable, "-m", "relvit_lab.publish.classroom.judge", str(home / "tasks.json"), str(out)],
                cwd=home / "cwd", env=os.environ | settings, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
            )  # fmt: skip
            try:
                yield from _follow(process, lines, [task["name"] for task in tasks], seconds, errors)
            finally:
                _end(process)


def _follow(process: subprocess.Popen, lines, names: list[str], seconds: float, errors: Path) -> Iterator[dict]:
    begun, since, limit = False, time.monotonic(), START
    waiting, part = list(names), ""
    while waiting:
        ended = process.poll() is not None  # asked before reading: what it said last is then read still
        part += lines.read()
        *whole, part = part.split("\n")
        for line in map(_read, whole):
            since, limit = time.monotonic(), seconds
            begun = begun or "begun" in line
            if waiting and line.get("name") == waiting[0] and line.get("status") in RANK:
                waiting.pop(0)
                yield {key: str(line.get(key, "")) for key in ("name", "status", "text")}
        if not waiting:
            return
        if ended or time.monotonic() - since > limit:
            if not begun:
                last = (errors.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
                raise RelvitError(f"the judge did not start: {last}")
            how = f"ended the whole process (exit code {process.returncode})" if ended else (
                f"had no end after {seconds:g} seconds"
            )  # fmt: skip
            yield {"name": waiting[0], "status": "mistake", "text": f"The cell, or a call of its answer, {how}."}
            return
        time.sleep(0.05)


def _read(line: str) -> dict:
    """A line of the judge's; {} for one that a student's code wrote there."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _end(process: subprocess.Popen) -> None:
    """The process and all that it started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    else:
        process.kill()
    process.wait()


def _bar(total: int, progress: bool | None):
    from tqdm import tqdm

    return tqdm(total=total, desc="grading", unit=" exercises", delay=0 if progress else 2, disable=progress is False)
