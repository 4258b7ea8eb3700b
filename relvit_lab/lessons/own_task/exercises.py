"""Exercises and predictions of notebook 08_your_own_task."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from relvit_lab.lessons.ask.base import EXERCISES, PREDICTIONS, Exercise, Mistake, Prediction, call
from relvit_lab.lessons.own_task import fair_exercises as own_task_fair  # noqa: F401  its exercises belong to this notebook, too
from relvit_lab.method.heads import PairScores, TokenScores
from relvit_lab.method.relations import absolute_positions, distances, permuted, spatial_relations
from relvit_lab.method.tasks import Task, cross_entropy

PREDICTIONS.add(
    Prediction(
        "08-same",
        "A task on pairs, on a grid of 4 x 4: is patch i the same patch as patch j? What does a model score that says "
        "no every time?",
        "94 %",
        "Of 256 pairs 16 are a patch with itself, so no is right for 240 of them: 93.75 %.",
    )
)
PREDICTIONS.add(
    Prediction(
        "08-equal",
        "At equal time, 8 + 8 epochs on digits: where does supervised training alone stand among the pre-trained?",
        "ahead of all of them",
        "By 13 points or more over each of the eight tasks that were tried, as a mean of three seeds. Where all images "
        "have labels and training is short, time spent on labels is worth more than time spent on patches.",
    )
)
PREDICTIONS.add(
    Prediction(
        "08-noise",
        "The model that learnt this task on digits (no PE) is shown pure noise. What does it score?",
        "as high as on digits",
        "A patch is like itself, whatever it holds: on noise as on digits. No digit was ever needed, nor any place.",
    )
)
PREDICTIONS.add(
    Prediction(
        "08-id",
        "You rename a variable inside your target function, and run the training cell again. What happens?",
        "it is trained anew, under another id",
        "The id is made from the source text of the task's functions. That a change is harmless, text cannot tell.",
    )
)


def _grid_cells(grid: int) -> tuple[Tensor, Tensor]:
    index = torch.arange(grid * grid)
    return index // grid, index % grid


def _tensor(value: Any, shown: str, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(value, Tensor):
        raise Mistake(f"{shown} is a tensor, not {type(value).__name__}")
    if tuple(value.shape) != shape:
        raise Mistake(f"{shown} has the shape {shape}, not {tuple(value.shape)}")
    return value


# -- 08-manhattan: a value for each pair ---------------------------------------------------------------------------


def _steps(grid: int) -> Tensor:
    y, x = _grid_cells(grid)
    return (y[:, None] - y).abs() + (x[:, None] - x).abs()


def manhattan(grid: int) -> Tensor:
    steps = _steps(grid)  # (N,N)
    return 2 * steps / steps.max() - 1


_WRONG_MANHATTAN: dict[str, tuple[str, Callable[[int], Tensor]]] = {
    "straight line": ("that is the straight line of eq. 6 (Dist). Manhattan walks: |dx| + |dy|", distances),
    "steps": ("these are steps, not yet scaled: divide by the largest, then map 0..1 to -1..1", lambda g: _steps(g)),
    "0 to 1": (
        "it runs from 0 to 1. Map it to -1..1, as eq. 6 does: twice it, less 1",
        lambda g: _steps(g) / (2 * g - 2),
    ),
    "one axis": (
        "only one axis is counted; a walk goes along both",
        lambda g: 2 * (_grid_cells(g)[1][:, None] - _grid_cells(g)[1]).abs() / (g - 1) - 1,
    ),
    "chess king": (
        "the larger of |dx| and |dy| is how a chess king walks. Add the two",
        lambda g: 2 * torch.maximum(*((c[:, None] - c).abs() for c in _grid_cells(g))) / (g - 1) - 1,
    ),
    "sign": ("dx and dy have signs, and cancel: take abs() of each before adding", lambda g: _signed(g)),
}  # fmt: skip


def _signed(grid: int) -> Tensor:
    y, x = _grid_cells(grid)
    steps = ((y[:, None] - y) + (x[:, None] - x)).abs()
    return 2 * steps / steps.max() - 1


def _judge_manhattan(answer: Callable) -> str:
    for grid in (3, 4, 7):
        n, right = grid * grid, manhattan(grid)
        shown = f"manhattan_targets({grid})"
        got = _tensor(call(answer, grid, shown=shown), shown, (n, n))
        if not got.is_floating_point() and torch.equal(got, _steps(grid)):
            raise Mistake(_WRONG_MANHATTAN["steps"][0])
        if not got.is_floating_point():
            raise Mistake("whole numbers would make it a task with classes; values are floats")
        if torch.allclose(got.double(), right.double(), atol=1e-5):
            continue
        for says, wrong in _WRONG_MANHATTAN.values():
            if torch.allclose(got.double(), wrong(grid).double(), atol=1e-5):
                raise Mistake(says)
        i, j = ((got - right).abs() > 1e-5).nonzero()[0].tolist()
        raise Mistake(
            f"on {grid} x {grid}: patch {i} is {int(_steps(grid)[i, j])} steps from patch {j}, of at most "
            f"{2 * grid - 2}, so [{i}, {j}] is {right[i, j]:.3f}, not {got[i, j]:.3f}"
        )
    return "-1 on the diagonal, 1 from corner to corner, on every grid."


EXERCISES.add(
    Exercise(
        "08-manhattan",
        "Manhattan distances",
        difficulty=1,
        minutes=8,
        judge=_judge_manhattan,
        reference=manhattan,
        wrong={
            **{words: wrong for words, (_, wrong) in _WRONG_MANHATTAN.items()},
            "has the shape": lambda grid: manhattan(grid)[0],
            "is a tensor": lambda grid: "far",
            "whole numbers": lambda grid: 2 * _steps(grid),
            "so [0, 0] is": lambda grid: -manhattan(grid),
        },
    )
)


# -- 08-quadrant: a class for each patch ---------------------------------------------------------------------------


def quadrant(grid: int) -> Tensor:
    y, x = _grid_cells(grid)
    return 2 * (2 * y >= grid).long() + (2 * x >= grid).long()


_WRONG_QUADRANT: dict[str, tuple[str, Callable[[int], Tensor]]] = {
    "transposed": (
        "transposed: class 1 is the right top, and class 2 the left bottom",
        lambda g: quadrant(g).view(g, g).T.flatten(),
    ),
    "middle row": (
        "the middle row of an odd grid (and its middle column) belong to the upper (left) half here: 2 y >= grid",
        lambda g: 2 * (_grid_cells(g)[0] >= g // 2).long() + (_grid_cells(g)[1] >= g // 2).long(),
    ),
    "from 0": ("classes count from 0, for cross-entropy", lambda g: quadrant(g) + 1),
    "halves": ("only two classes are in it: halves, not quarters", lambda g: (2 * _grid_cells(g)[0] >= g).long()),
    "bands of rows": (
        "that cuts the row of all patches into four pieces: bands of rows. i // grid is the row, i % grid the column",
        lambda g: 4 * torch.arange(g * g) // (g * g),
    ),
}


def _judge_quadrant(answer: Callable) -> str:
    for grid in (4, 3, 7):
        n, right = grid * grid, quadrant(grid)
        shown = f"quadrant_targets({grid})"
        got = _tensor(call(answer, grid, shown=shown), shown, (n,))
        if got.is_floating_point():
            raise Mistake("classes are whole numbers (int64); floats would make it a task with values")
        if got.dtype != torch.int64:
            raise Mistake(f"cross-entropy takes classes as int64, not {str(got.dtype).removeprefix('torch.')}: .long()")
        if torch.equal(got, right):
            continue
        for says, wrong in _WRONG_QUADRANT.values():
            if torch.equal(got, wrong(grid)):
                raise Mistake(says)
        k = int((got != right).nonzero()[0])
        raise Mistake(
            f"on {grid} x {grid}: patch {k} (row {k // grid}, column {k % grid}) is of class {right[k]}, "
            f"not {got[k].item()}"
        )
    return "Four classes, on even and odd grids."


EXERCISES.add(
    Exercise(
        "08-quadrant",
        "which quadrant",
        difficulty=1,
        minutes=8,
        judge=_judge_quadrant,
        reference=quadrant,
        wrong={
            **{words: wrong for words, (_, wrong) in _WRONG_QUADRANT.items()},
            "has the shape": lambda grid: quadrant(grid).view(grid, grid),
            "whole numbers": lambda grid: quadrant(grid).float(),
            "as int64": lambda grid: quadrant(grid).int(),
            "is a tensor": lambda grid: quadrant(grid).tolist(),
            "is of class": lambda grid: 3 - quadrant(grid),
        },
    )
)


# -- 08-follows: does a task's loss go with the patches? -----------------------------------------------------------


def follows_the_patches(task: Task, head: nn.Module, tokens: Tensor, p: Tensor) -> bool:
    target = task.target(math.isqrt(tokens.shape[1]))
    before = task.loss(head, tokens, target, None)
    after = task.loss(head, tokens[:, p], permuted(target, p), None)
    return torch.allclose(before, after, atol=1e-4)


def _standard_order(head: nn.Module, tokens: Tensor, targets: Tensor, draws: torch.Generator | None) -> Tensor:
    """A loss that works its labels out itself, for patches in their own places."""
    return cross_entropy(head(tokens), spatial_relations(math.isqrt(tokens.shape[1])))


def _in_sequence(head: nn.Module, tokens: Tensor, targets: Tensor, draws: torch.Generator | None) -> Tensor:
    """A loss on tokens t and t + 1 alone: which pairs these are, changes with the order."""
    t = torch.arange(tokens.shape[1] - 1)
    return nn.functional.cross_entropy(head(tokens)[:, :, t, t + 1], targets[t, t + 1].expand(len(tokens), -1))


def _nine(dim: int, grid: int) -> nn.Module:
    return PairScores(dim, 9)


_CASES = (  # task, whether it follows, what it is
    (Task("sprel", _nine, target=spatial_relations), True, "SpRel"),
    (Task("quadrant", lambda dim, grid: TokenScores(dim, 4), target=quadrant), True, "the quadrant task"),
    (Task("dist", lambda dim, grid: PairScores(dim, 1), target=distances), True, "Dist"),
    (Task("own_labels", _nine, _standard_order, target=spatial_relations), False,
     "a loss that ignores the labels it is given, and takes those of the standard order"),
    (Task("in_sequence", _nine, _in_sequence, target=spatial_relations), False,
     "a loss on the tokens t and t + 1 alone"),
)  # fmt: skip


def _setting(task: Task, grid: int, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = task.make_head(16, grid)
        tokens = 3 * torch.randn(8, grid * grid, 16)
        return head.requires_grad_(False), tokens, torch.randperm(grid * grid)


def _judge_follows(answer: Callable) -> str:
    said = []
    for k, (task, _, words) in enumerate(_CASES):
        head, tokens, p = _setting(task, 4, k)
        value = call(answer, task, head, tokens, p, shown=f"follows_the_patches for {words}")
        value = bool(value) if isinstance(value, Tensor) and value.numel() == 1 else value
        if not isinstance(value, bool):
            raise Mistake(f"True or False is asked for, not {type(value).__name__}")
        said.append(value)
    if said == [right for _, right, _ in _CASES]:
        return "Patches and labels move together, and the loss does not notice: so shuffling is fair to the task."
    if all(said):
        raise Mistake(f"you say that every task follows; but {_CASES[3][2]} does not")
    if not all(said[:3]):
        _explain(answer)
    first = next(k for k, (_, right, _) in enumerate(_CASES) if said[k] != right)
    if not any(said):
        raise Mistake("you say that no task follows; but SpRel, Dist and the quadrants do")
    raise Mistake(f"{_CASES[first][2]}: it {'follows' if _CASES[first][1] else 'does not follow'}, you say otherwise")


def _explain(answer: Callable) -> None:
    """What a test that rejects too much hands to the loss. Raises Mistake where that is known to be wrong."""
    calls: list[tuple[Tensor, Tensor]] = []

    def spy(head: nn.Module, tokens: Tensor, targets: Tensor, draws: torch.Generator | None) -> Tensor:
        calls.append((tokens, targets))
        return cross_entropy(head(tokens), targets)

    task = Task("sprel", _nine, spy, target=spatial_relations)
    head, tokens, p = _setting(task, 4, 0)
    call(answer, task, head, tokens, p)
    target, right, back = task.target(4), permuted(task.target(4), p), permuted(task.target(4), p.argsort())
    moved = [t for z, t in calls if torch.equal(z, tokens[:, p])]
    if any(t.shape == right.shape and torch.equal(t, right) for t in moved):
        raise Mistake("the two losses are sums in another order, and differ by rounding: compare with a tolerance")
    if any(torch.equal(t, target) for t in moved):
        raise Mistake("the tokens moved and the labels stayed: permuted(target, p) goes with tokens[:, p]")
    if any(torch.equal(t, target[p]) for t in moved):
        raise Mistake("of the labels only the rows moved; pairs need both, T[p][:, p]: permuted does it")
    if any(torch.equal(t, back) for t in moved):
        raise Mistake("the labels went the other way: token t holds patch p[t], so no argsort")
    if any(torch.equal(z, tokens) and torch.equal(t, right) for z, t in calls):
        raise Mistake("the labels moved and the tokens stayed: tokens[:, p] goes with permuted(target, p)")


def _compare_losses(tokens_by: Callable, target_by: Callable, exact: bool = False) -> Callable:
    def test(task: Task, head: nn.Module, tokens: Tensor, p: Tensor) -> bool:
        target = task.target(math.isqrt(tokens.shape[1]))
        before = task.loss(head, tokens, target, None)
        after = task.loss(head, tokens_by(tokens, p), target_by(target, p), None)
        return bool(before == after) if exact else torch.allclose(before, after, atol=1e-4)

    return test


EXERCISES.add(
    Exercise(
        "08-follows",
        "does it follow the patches",
        difficulty=2,
        minutes=12,
        judge=_judge_follows,
        reference=follows_the_patches,
        wrong={
            "every task follows": lambda task, head, tokens, p: True,
            "no task follows": lambda task, head, tokens, p: False,
            "the labels stayed": _compare_losses(lambda z, p: z[:, p], lambda t, p: t),
            "the tokens stayed": _compare_losses(lambda z, p: z, permuted),
            "only the rows moved": _compare_losses(lambda z, p: z[:, p], lambda t, p: t[p]),
            "the other way": _compare_losses(lambda z, p: z[:, p], lambda t, p: permuted(t, p.argsort())),
            "rounding": _compare_losses(lambda z, p: z[:, p], permuted, exact=True),
            "it follows, you say otherwise": lambda task, head, tokens, p: task.target(4).dim() == 2,
            "true or false": lambda task, head, tokens, p: "yes",
        },
    )
)


# -- 08-floor: the best constant answer ----------------------------------------------------------------------------


def floor_of(target: Tensor) -> float:
    if target.is_floating_point():
        return 100 * (target - target.mean()).square().mean().item()
    return 100 * target.flatten().bincount().max().item() / target.numel()


def _by_kind(of_classes: Callable[[Tensor], float], of_values: Callable[[Tensor], float]) -> Callable:
    return lambda target: float((of_values if target.is_floating_point() else of_classes)(target))


_WRONG_FLOORS: dict[str, tuple[str, Callable]] = {
    "guesses": (
        "one in K is what a model reaches that guesses. A constant answer may pick the most common class",
        _by_kind(lambda t: 100 / len(t.unique()), floor_of),
    ),
    "is a share": ("that is a share; both scores are printed times 100", lambda t: floor_of(t) / 100),
    "saying 0": (
        "that is the error of saying 0. The best constant is the mean",
        _by_kind(floor_of, lambda t: 100 * t.square().mean()),
    ),
    "median": (
        "the median is best for absolute errors; for squared ones it is the mean",
        _by_kind(floor_of, lambda t: 100 * (t - t.median()).square().mean()),
    ),
    "root": (
        "that is the root of the mean square; the table prints the mean square",
        _by_kind(floor_of, lambda t: 100 * t.std(correction=0)),
    ),
    "divided by n - 1": (
        "divided by n - 1: var() does that. Every pair is there, nothing is a sample: correction=0",
        _by_kind(floor_of, lambda t: 100 * t.var()),
    ),
    "absolute": (
        "absolute errors; the metric is the mean of *squared* ones",
        _by_kind(floor_of, lambda t: 100 * (t - t.mean()).abs().mean()),
    ),
}  # fmt: skip


def _judge_floor(answer: Callable) -> str:
    targets = {
        "SpRel on 4 x 4": spatial_relations(4), "AbsPos on 4 x 4": absolute_positions(4),
        "is it the same patch, 4 x 4": torch.eye(16).long(), "Dist on 4 x 4": distances(4),
        "Manhattan on 3 x 3": manhattan(3), "values of patches": torch.tensor([0.0, 0.0, 0.0, 1.0]),
    }  # fmt: skip
    got = {}
    for name, target in targets.items():
        value = call(answer, target.clone(), shown=f"floor_of(target) for {name}")
        value = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Mistake(f"one number is asked for, not {type(value).__name__}")
        got[name] = float(value)
    if all(math.isclose(got[name], floor_of(target), rel_tol=1e-4) for name, target in targets.items()):
        return "Below it a score says nothing, and close to it not much."
    for says, wrong in _WRONG_FLOORS.values():
        if all(math.isclose(got[name], wrong(target), rel_tol=1e-4, abs_tol=1e-6) for name, target in targets.items()):
            raise Mistake(says)
    name = next(name for name, target in targets.items() if not math.isclose(got[name], floor_of(target), rel_tol=1e-4))
    raise Mistake(f"{name}: the best constant answer scores {floor_of(targets[name]):.2f}, not {got[name]:.2f}")


EXERCISES.add(
    Exercise(
        "08-floor",
        "the floor of a task",
        difficulty=2,
        minutes=10,
        judge=_judge_floor,
        reference=floor_of,
        wrong={
            **{words: wrong for words, (_, wrong) in _WRONG_FLOORS.items()},
            "one number": lambda target: target,
            "the best constant answer scores": lambda target: 50.0,
        },
    )
)
