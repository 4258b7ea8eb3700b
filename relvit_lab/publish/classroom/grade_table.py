"""Grades as text, notebook by notebook, and as a CSV for a spreadsheet."""

import csv
import io
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import write_whole
from relvit_lab.common.paths import expanded
from relvit_lab.common.shown_names import printable
from relvit_lab.common.table import Table
from relvit_lab.lessons.ask import EXERCISES
from relvit_lab.publish.classroom.grade import Result, Results

MARKS = {"right": "✓", "mistake": "✗", "not yet": "…"}


def text(results: Results) -> str:
    """A table for each notebook, one of points, then each mistake in words."""
    parts, totals = [], []
    numbers = sorted({name[:2] for name in results.exercises})
    for number in numbers:
        names = [name for name in results.exercises if name.startswith(number)]
        heads = ("student", *(f"{name[3:]} {'★' * EXERCISES.get(name).difficulty}" for name in names), "points")
        rows = tuple(
            (
                printable(student),
                *(_mark(results.of(student, name)) for name in names),
                f"{results.points(student, number)} of {results.most(number)}",
            )
            for student in results.students
        )
        parts.append(str(Table(heads, rows, (f"Notebook {number}",))))
    for student in results.students:
        points = [str(results.points(student, number)) for number in numbers]
        totals.append((printable(student), *points, f"{results.points(student)} of {results.most()}"))
    if len(numbers) > 1:
        parts.append(str(Table(("student", *numbers, "points"), tuple(totals), ("All notebooks",))))
    parts.append("✓ right   ✗ a mistake   … not yet   - not handed in   points: as many as ★")
    if not all(result.checked for result in results.results):
        parts.append(
            "(In brackets: as the student's own progress file says. It was not checked again, and gives no points.)"
        )
    told = sorted((r for r in results.results if r.text), key=lambda r: (r.student, r.exercise))
    said = [printable(f"{r.student}, {r.exercise}: {r.text}") for r in told]
    said += [printable(f"{student}: {problem}") for student, problem in results.problems]
    return "\n\n".join([*parts, *(["\n".join(said)] if said else [])])


def write_csv(results: Results, path: str | Path) -> Path:
    """A line for each student: points, then by exercise "right", "mistake: which" or "not yet" ("" where nothing was
    handed in), and last what could not be read. Raises RelvitError where it cannot be written."""
    path = expanded(path).absolute()
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(["student", "points", "of", *results.exercises, "problems"])
    for student in results.students:
        said = [_words(results.of(student, name)) for name in results.exercises]
        problems = "; ".join(problem for whose, problem in results.problems if whose == student)
        row = [student, results.points(student), results.most(), *said, problems]
        lines.writerow([_harmless(value) for value in row])
    try:
        write_whole(path, text.getvalue().encode("utf-8-sig"))  # with a mark by which spreadsheets know it
    except OSError as error:
        raise RelvitError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def _mark(result: Result | None) -> str:
    if result is None:
        return "-"
    return MARKS[result.status] if result.checked else f"({MARKS[result.status]})"


def _words(result: Result | None) -> str:
    if result is None:
        return ""
    said = f"mistake: {result.text}" if result.status == "mistake" else result.status
    return said if result.checked else f"{said} (not checked again)"


def _harmless(value: object) -> object:
    """A spreadsheet takes a text that begins like this for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
