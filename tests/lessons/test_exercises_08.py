"""Notebook 08's checks beyond the listed wrong answers: other right ways pass, further mistakes are named."""

import math

import numpy as np
import pytest
import torch

from relvit_lab.lessons.ask import EXERCISES, check
from relvit_lab.lessons.own_task import checkup
from relvit_lab.lessons.own_task import exercises as own_task
from relvit_lab.lessons.own_task.exercises import floor_of, manhattan, quadrant
from relvit_lab.lessons.own_task.fair_exercises import CLAIMS, REASONS, claim_rows
from relvit_lab.method.relations import permuted
from relvit_lab.method.tasks import RELVIT, TASKS, Task
from relvit_lab.train.evaluate import chance


def manhattan_by_loop(grid):
    steps = [
        [abs(i // grid - j // grid) + abs(i % grid - j % grid) for j in range(grid * grid)] for i in range(grid * grid)
    ]
    return torch.tensor(steps, dtype=torch.float64) / (grid - 1) - 1


def quadrant_by_loop(grid):
    return torch.tensor([int(k // grid * 2 >= grid) * 2 + int(k % grid * 2 >= grid) for k in range(grid * grid)])


def follows_by_predictions(task, head, tokens, p):
    """Another way: a mean over pairs is the same in any order, so both are compared in a random order of one's own."""
    target = task.target(math.isqrt(tokens.shape[1]))
    q = torch.randperm(tokens.shape[1], generator=torch.Generator().manual_seed(1))
    first, second = (task.loss(head, tokens[:, order], permuted(target, order), None) for order in (q, p))
    return abs(float(first - second)) < 1e-4


def floor_by_trying(target):
    if target.is_floating_point():
        return min(100 * float((target - c).square().mean()) for c in torch.linspace(-1, 1, 200001)[::50])
    return max(100 * float((target == k).float().mean()) for k in range(int(target.max()) + 1))


def verdict_by_share(images, noise, shuffled):
    if images < 5:
        return "learnt nothing"
    left = noise / images, shuffled / images
    return "looks" if left[0] < 0.5 else ["reads the place", "needs no place"][left[1] >= 0.5]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("08-manhattan", manhattan_by_loop),
        ("08-quadrant", quadrant_by_loop),
        ("08-follows", follows_by_predictions),
        ("08-follows", lambda *a: np.bool_(follows_by_predictions(*a))),
        ("08-floor", lambda target: torch.tensor(floor_of(target))),
        ("08-verdict", verdict_by_share),
    ],
)
def test_other_right_ways_pass(name, answer):
    assert check(name, answer).status == "right", check(name, answer)


@pytest.mark.parametrize(
    ("name", "answer", "says"),
    [
        ("08-manhattan", lambda grid: manhattan(grid) / 2, "[0, 0] is -1.000, not -0.500"),
        (
            "08-manhattan",
            lambda grid: torch.zeros(grid * grid, grid * grid) - torch.eye(grid * grid),
            "patch 0 is 1 step from patch 1, of at most 4",
        ),
        ("08-manhattan", lambda grid: manhattan(3), "(16, 16), got (9, 9)"),
        ("08-manhattan", lambda grid: 1 / 0, "ZeroDivisionError"),
        ("08-quadrant", lambda grid: quadrant(4)[: grid * grid], "patch 3 (row 1, column 0) is of class 0, not 1"),
        ("08-quadrant", lambda grid: torch.zeros(grid * grid, dtype=torch.int64), "patch 2 (row 0, column 2)"),
        ("08-follows", lambda task, head, tokens, p: None if task.name == "dist" else 1, "not int"),
        (
            "08-floor",
            lambda target: floor_of(target) + 1,
            "the best constant answer scores 14.06",
        ),
        ("08-verdict", lambda images, noise, shuffled: "Looks", "none of the four"),
        ("08-fair", dict.fromkeys("ABCDEF", "fair"), "1 of 6 right"),
    ],
)
def test_further_mistakes_are_named(name, answer, says):
    verdict = check(name, answer)
    assert verdict.status == "mistake" and says in verdict.text, verdict


def test_the_references_agree_with_the_library():
    for task in RELVIT:
        for grid in (2, 3, 5):
            assert floor_of(task.target(grid)) == pytest.approx(chance(task, grid), rel=1e-5)
    target = manhattan(3)
    assert floor_by_trying(target) == pytest.approx(floor_of(target), abs=0.01)
    assert floor_by_trying(quadrant(3)) == pytest.approx(floor_of(quadrant(3)))
    assert EXERCISES.get("08-verdict").reference is checkup.verdict


def test_the_cases_of_the_equivariance_exercise_are_what_they_claim_whatever_the_seed():
    for seed in range(10):
        for task, follows, words in own_task._CASES:
            head, tokens, p = own_task._setting(task, 4, seed)
            assert own_task.follows_the_patches(task, head, tokens, p) == follows, (words, seed)


def test_the_claims_differ_in_what_is_named():
    reasons = EXERCISES.get("08-fair").reference
    assert set(reasons) == set(CLAIMS) and set(reasons.values()) == set(REASONS)
    assert [row["claim"] for row in claim_rows()] == [name for name in CLAIMS for _ in "12"]
    column = {
        "trained longer": "epochs", "rate tuned for one only": "lr", "best of several seeds": "seeds",
        "best epoch on the test images": "measured",
    }  # fmt: skip
    for name, (own, other) in CLAIMS.items():
        differ = {key for key in own if own[key] != other[key]} - {"trained"}
        assert differ == ({column[reasons[name]]} if reasons[name] in column else set())


def test_the_quadrants_train_as_a_task():
    task = Task("quadrant", TASKS["abspos"].make_head, target=quadrant)
    head = task.make_head(8, 4)
    task.loss(head, torch.randn(2, 16, 8), task.target(4), None).backward()


def test_what_is_said_of_a_claim_that_is_called_fair_is_true_of_its_rows():
    """Where nothing but the task differs, no line is said to differ; the hint of the notebook says the same."""
    for name, (own, other) in CLAIMS.items():
        reference = EXERCISES.get("08-fair").reference
        if reference[name] == "fair":
            continue
        said = check("08-fair", {**reference, name: "fair"}).text
        differ = {key for key in own if own[key] != other[key]} - {"trained"}
        assert ("differ in more than the task" in said) == bool(differ), name
