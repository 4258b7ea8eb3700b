"""docs/teaching.md: each cell that it names is there, lessons last as long as they say, and its numbers are right."""

import math
import re
import statistics
from pathlib import Path

import nbformat
import pytest
import torch

from relvit_lab.lessons.ask import EXERCISES
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.method.heads import PairScores
from relvit_lab.method.relations import absolute_positions, angles, distances, permuted, spatial_relations
from relvit_lab.publish.classroom import copies

ask.load_all()
TEXT = (Path(__file__).parents[2] / "docs" / "teaching.md").read_text()
CELLS = {path.stem[:2]: {cell.id for cell in nbformat.read(path, 4).cells} for path in copies.choose(())}


def section(title: str) -> str:
    """What stands below a heading, up to the next one of its rank or higher."""
    rank = re.search(rf"^(#+) {re.escape(title)}$", TEXT, re.MULTILINE)
    rest = TEXT[rank.end() :]
    end = re.search(rf"^#{{1,{len(rank[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def named(text: str) -> list[tuple[str, str]]:
    return re.findall(r"`(\d\d) ([\w-]+)`", text)


def test_every_cell_that_is_named_exists():
    cells = named(TEXT)
    assert len(set(cells)) > 40 and {number for number, _ in cells} == set(CELLS)
    assert [cell for cell in cells if cell[1] not in CELLS[cell[0]]] == []


def test_every_misconception_names_the_cell_that_cures_it():
    rows = [row for row in section("Misconceptions").splitlines() if row.startswith("| ")][1:]
    assert len(rows) >= 15
    for row in rows:
        thought, cure, say = (part.strip() for part in row.strip("|").split(" | "))
        assert thought and named(cure) and say, row


def minutes(table: str) -> list[int]:
    return [int(n) for n in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]


def test_lessons_last_as_long_as_they_say():
    assert sum(minutes(section("90 minutes: one lesson"))) == 90
    lessons = section("3 x 45 minutes").split("lesson: ")[1:]
    assert [sum(minutes(lesson)) for lesson in lessons] == [45, 45, 45]


def test_exercises_fit_into_the_time_that_a_lesson_gives_them():
    for row in re.findall(r"^\| (\d+) \|(.*)$", section("Plans"), re.MULTILINE):
        names = [cell.removeprefix("exercise-") for _, cell in named(row[1]) if cell.startswith("exercise-")]
        assert sum(EXERCISES[name].minutes for name in names) <= int(row[0]) + 2, row  # pairs, and the board


def test_weights_sum_up():
    table = section("What to grade")
    assert sum(int(n) for n in re.findall(r"\| (\d+) % \|", table)) == 100
    assert sum(int(n) for n in re.findall(r"\((\d\d)\)", table)) == 40


# exam questions


def block_cost(tokens: int, dim: int) -> int:
    return 12 * tokens * dim**2 + 2 * tokens**2 * dim


def head_size(dim: int, rank: int | None) -> int:
    return sum(weight.numel() for weight in PairScores(dim, 9, rank=rank).parameters())


def largest_class(side: int) -> int:
    return int(spatial_relations(side).flatten().bincount().max())


def degrees(i: int, j: int, side: int = 3) -> float:
    y, x = zip(*((k // side + side / 2, k % side + side / 2) for k in (i, j)))
    return abs(math.degrees(math.atan2(y[0], x[0]) - math.atan2(y[1], x[1])))


def answers() -> dict[int, list[str]]:
    """The numbers in bold of each answer, computed with the library."""
    r, shuffled = spatial_relations(3), permuted(spatial_relations(2), torch.tensor([3, 0, 2, 1]))
    gaps = [0.3, 0.5, 0.4, 0.2, 0.6]
    s = statistics.stdev(gaps)
    root = math.sqrt(1 / 8 + 1 / 7)
    n = len(absolute_positions(8))
    same_row = sum(i // 4 == j // 4 for i in range(16) for j in range(16))
    return {
        1: [f"{n + 1}", f"{spatial_relations(8).numel()}"],
        2: [f"{largest_class(6)}", f"{100 * largest_class(6) / 36**2:.1f} %"],
        3: [f"{r[7, 5]}", f"{r[5, 7]}"],
        4: [f"{distances(3)[0, 4]:.0f}", f"{degrees(2, 6):.1f}", f"{degrees(0, 8):.0f}"],
        5: [f"{shuffled[0, 1]}", f"{shuffled[2, 3]}"],
        6: [f"{head_size(192, None):,}", f"{head_size(192, 192 // 9):,}"],
        8: [f"{math.log(9):.2f}", f"{math.log(64):.2f}"],
        9: [f"{math.comb(13, 4) ** 2:,}", f"{196 / 25:.1f}", f"{196**2 / 25**2:.1f}"],
        10: [f"{block_cost(197, 384) / block_cost(26, 384):.1f}"],
        11: [f"{100 * largest_class(8) / 64**2:.1f} %"],
        13: [f"{statistics.mean(gaps):.2f}", f"{s:.3f}", f"{2.78 * s / math.sqrt(5):.2f}"],
        14: [f"{100 * (1 - 0.95**20):.0f} %"],
        15: [f"{0.09 * root:.3f}", f"{0.38 * root:.2f}"],
        16: [f"{100 * (1 - same_row / 256):.0f} %"],
    }


def test_the_numbers_of_the_exam_are_right():
    parts = re.split(r"^\*\*(\d+)\.\*\*", section("Exam questions"), flags=re.MULTILINE)[1:]
    questions = dict(zip(map(int, parts[::2]), parts[1::2]))
    assert list(questions) == list(range(1, 17))
    computed = answers()
    for number, text in questions.items():
        question, answer = text.split("<details><summary>Answer</summary>")
        assert question.strip().endswith(("?", ".", ")")) and answer.strip().endswith("</details>")
        assert re.findall(r"\*\*(.+?)\*\*", answer) == computed.get(number, []), number


def test_angles_as_the_library_has_them():
    """Question 4 says degrees, the library's target is scaled: the same order, and 0 degrees is its smallest."""
    a = angles(3)
    assert a[0, 8] < -0.95 < a[2, 6] and degrees(2, 6) == pytest.approx(43.6, abs=0.05)
