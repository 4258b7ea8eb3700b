"""Exercises of notebook 08_your_own_task."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from relvit_lab.common.words import plural
from relvit_lab.lessons.ask.answers import name_mistake, number, tensor
from relvit_lab.lessons.ask.base import EXERCISES, Exercise, Mistake, call
from relvit_lab.lessons.ask.difference import Difference
from relvit_lab.lessons.ask.tables import compared
from relvit_lab.lessons.own_task import fair_exercises as own_task_fair  # noqa: F401  its exercises belong to this notebook, too
from relvit_lab.method.heads import PairScores, TokenScores
from relvit_lab.method.relations import absolute_positions, distances, permuted, spatial_relations
from relvit_lab.method.tasks import Task, cross_entropy


def _rows_columns(grid: int) -> tuple[Tensor, Tensor]:
    index = torch.arange(grid * grid)
    return index // grid, index % grid


# -- 08-manhattan: a value for each pair ---------------------------------------------------------------------------


def _ways(grid: int) -> tuple[Tensor, Tensor]:
    """dy and dx of each pair: two (N, N)."""
    y, x = _rows_columns(grid)
    return y[:, None] - y, x[:, None] - x


def _steps(grid: int) -> Tensor:
    return sum(way.abs() for way in _ways(grid))


def _scaled(steps: Tensor) -> Tensor:
    return 2 * steps / steps.max() - 1


def manhattan(grid: int) -> Tensor:
    return _scaled(_steps(grid))


def _steps_differ(d: Difference) -> str:
    (grid,), (i, j) = d.arguments, d.place
    whole = "" if d.got.is_floating_point() else ". Whole numbers would make it a task with classes; values are floats"
    steps = plural(int(_steps(grid)[i, j]), "step")
    return (
        f"On {grid} x {grid}: patch {i} is {steps} from patch {j}, of at most {2 * grid - 2}, "
        f"so [{i}, {j}] is {d.right[i, j]:.3f}, not {float(d.got[i, j]):.3f}{whole}"
    )


compared(
    "08-manhattan", "Manhattan distances", 1, 8,
    asks="manhattan_targets(grid)",
    on=[3, 4, 7],
    shape="the shape (N, N) =", tell=_steps_differ,
    reference=manhattan,
    wrong={
        "that is the straight line of eq. 6 (Dist). Manhattan walks: |dx| + |dy|": distances,
        "these are steps, not yet scaled: divide by the largest, then map 0..1 to -1..1": _steps,
        "it runs from 0 to 1. Map it to -1..1, as eq. 6 does: twice it, less 1": lambda g: _steps(g) / (2 * g - 2),
        "only one axis is counted; a walk goes along both": lambda g: _scaled(_ways(g)[1].abs()),
        "only one axis is counted, that of the rows; a walk goes along both": lambda g: _scaled(_ways(g)[0].abs()),
        "the larger of |dx| and |dy| is how a chess king walks. Add the two":
            lambda g: _scaled(torch.maximum(*(way.abs() for way in _ways(g)))),
        "dx and dy have signs, and cancel: take abs() of each before adding": lambda g: _scaled(sum(_ways(g)).abs()),
    },
    praise="-1 on the diagonal, 1 from corner to corner, on every grid.",
)  # fmt: skip


# -- 08-quadrant: a class for each patch ---------------------------------------------------------------------------


def _halves(grid: int, middle: int | None = None) -> tuple[Tensor, Tensor]:
    """Whether a patch lies in the lower half, and in the right one, which begin at the row (column) `middle`."""
    return tuple((at >= ((grid + 1) // 2 if middle is None else middle)).long() for at in _rows_columns(grid))


def quadrant(grid: int) -> Tensor:
    low, right = _halves(grid)
    return 2 * low + right


def _classes(value: object, shown: str) -> Tensor:
    dtype = str(tensor(value, shown).dtype).removeprefix("torch.")
    name_mistake({
        "classes are whole numbers (int64); floats would make it a task with values": value.is_floating_point(),
        f"cross-entropy takes classes as int64, not {dtype}: .long()": dtype != "int64",
    })  # fmt: skip
    return value


def _classes_differ(d: Difference) -> str:
    (grid,), (k,) = d.arguments, d.place
    where = f"patch {k} (row {k // grid}, column {k % grid})"
    return f"On {grid} x {grid}: {where} is of class {d.right[k]}, not {d.got[k].item()}"


compared(
    "08-quadrant", "which quadrant", 1, 8,
    asks="quadrant_targets(grid)",
    on=[4, 3, 7],
    reads=_classes, shape="the shape (N,) =", tell=_classes_differ,
    reference=quadrant,
    wrong={
        "transposed: class 1 is the right top, and class 2 the left bottom":
            lambda g: quadrant(g).view(g, g).T.flatten(),
        "the middle row of an odd grid (and its middle column) belong to the upper (left) half here: 2 y >= grid":
            lambda g: 2 * _halves(g, g // 2)[0] + _halves(g, g // 2)[1],
        "classes count from 0, for cross-entropy": lambda g: quadrant(g) + 1,
        "only two classes are in it: halves, not quarters": lambda g: _halves(g)[0],
        "that cuts the row of all patches into four pieces: bands of rows. i // grid is the row, i % grid the column":
            lambda g: 4 * torch.arange(g * g) // (g * g),
        "a class for each patch in one row, (N,): flatten the grid": lambda g: quadrant(g).view(g, g),
    },
    praise="Four classes, on even and odd grids.",
)  # fmt: skip


# -- 08-follows: does a task's loss go with the patches? -----------------------------------------------------------


def _compare_losses(tokens_by: Callable, target_by: Callable, exact: bool = False) -> Callable:
    def test(task: Task, head: nn.Module, tokens: Tensor, p: Tensor) -> bool:
        target = task.target(math.isqrt(tokens.shape[1]))
        before = task.loss(head, tokens, target, None)
        after = task.loss(head, tokens_by(tokens, p), target_by(target, p), None)
        return bool(before == after) if exact else torch.allclose(before, after, atol=1e-4)

    return test


def _moved(tokens: Tensor, p: Tensor) -> Tensor:
    return tokens[:, p]


follows_the_patches = _compare_losses(_moved, permuted)


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
        value = call(answer, task, *_setting(task, 4, k), shown=f"follows_the_patches for {words}")
        if isinstance(value, np.bool_) or (isinstance(value, Tensor) and value.numel() == 1):
            value = bool(value)
        if not isinstance(value, bool):
            raise Mistake(f"True or False is asked for, not {type(value).__name__}")
        said.append(value)
    wrong = [case for case, value in zip(_CASES, said) if value != case[1]]
    if not wrong:
        return "Patches and labels move together, and the loss does not notice: so shuffling is fair to the task."
    name_mistake({f"you say that every task follows; but {_CASES[3][2]} does not": all(said)})
    if not all(said[:3]):
        _explain(answer)
    _, follows, words = wrong[0]
    name_mistake({
        "you say that no task follows; but SpRel, Dist and the quadrants do": not any(said),
        f"{words}: it {'follows' if follows else 'does not follow'}, you say otherwise": True,
    })  # fmt: skip


def _explain(answer: Callable) -> None:
    """What a test that rejects too much hands to the loss. Raises Mistake where that is known to be wrong."""
    calls: list[tuple[Tensor, Tensor]] = []

    def spy(head: nn.Module, tokens: Tensor, targets: Tensor, draws: torch.Generator | None) -> Tensor:
        calls.append((tokens, targets))
        return cross_entropy(head(tokens), targets)

    task = Task("sprel", _nine, spy, target=spatial_relations)
    head, tokens, p = _setting(task, 4, 0)
    call(answer, task, head, tokens, p)
    target = task.target(4)

    def seen(z: Tensor, labels: Tensor) -> bool:
        return any(torch.equal(z, given) and torch.equal(labels, with_it) for given, with_it in calls)

    name_mistake({
        "the two losses are sums in another order, and differ by rounding: compare with a tolerance":
            seen(tokens[:, p], permuted(target, p)),
        "the tokens moved and the labels stayed: permuted(target, p) goes with tokens[:, p]":
            seen(tokens[:, p], target),
        "of the labels only the rows moved; pairs need both, T[p][:, p]: permuted does it":
            seen(tokens[:, p], target[p]),
        "the labels went the other way: token t holds patch p[t], so no argsort":
            seen(tokens[:, p], permuted(target, p.argsort())),
        "the labels moved and the tokens stayed: tokens[:, p] goes with permuted(target, p)":
            seen(tokens, permuted(target, p)),
    })  # fmt: skip


EXERCISES.add(Exercise(
    "08-follows", "does it follow the patches", 2, 12, _judge_follows,
    reference=follows_the_patches,
    wrong={
        "every task follows": lambda task, head, tokens, p: True,
        "no task follows": lambda task, head, tokens, p: False,
        "the labels stayed": _compare_losses(_moved, lambda t, p: t),
        "the tokens stayed": _compare_losses(lambda z, p: z, permuted),
        "only the rows moved": _compare_losses(_moved, lambda t, p: t[p]),
        "the other way": _compare_losses(_moved, lambda t, p: permuted(t, p.argsort())),
        "rounding": _compare_losses(_moved, permuted, exact=True),
        "it follows, you say otherwise": lambda task, head, tokens, p: task.target(4).dim() == 2,
        "true or false": lambda task, head, tokens, p: "yes",
    },
))  # fmt: skip


# -- 08-floor: the best constant answer ----------------------------------------------------------------------------


def floor_of(target: Tensor) -> float:
    if target.is_floating_point():
        return 100 * (target - target.mean()).square().mean().item()
    return 100 * target.flatten().bincount().max().item() / target.numel()


def _by_kind(of_classes: Callable[[Tensor], float], of_values: Callable[[Tensor], float]) -> Callable:
    return lambda target: float((of_values if target.is_floating_point() else of_classes)(target))


compared(
    "08-floor", "the floor of a task", 2, 10,
    asks="floor_of(target)",
    on={
        "SpRel on 4 x 4": spatial_relations(4), "AbsPos on 4 x 4": absolute_positions(4),
        "is it the same patch, 4 x 4": torch.eye(16).long(), "Dist on 4 x 4": distances(4),
        "Manhattan on 3 x 3": manhattan(3), "values of patches": torch.tensor([0.0, 0.0, 0.0, 1.0]),
    },
    reads=number, atol=1e-6, together=True,
    tell=lambda d: f"{d.shown}: the best constant answer scores {d.right:.2f}, not {d.got:.2f}",
    reference=floor_of,
    wrong={
        "one in K is what a model reaches that guesses. A constant answer may pick the most common class":
            _by_kind(lambda t: 100 / len(t.unique()), floor_of),
        "that is a share; both scores are printed times 100": lambda t: floor_of(t) / 100,
        "that is the error of saying 0. The best constant is the mean":
            _by_kind(floor_of, lambda t: 100 * t.square().mean()),
        "the median is best for absolute errors; for squared ones it is the mean":
            _by_kind(floor_of, lambda t: 100 * (t - t.median()).square().mean()),
        "that is the root of the mean square; the table prints the mean square":
            _by_kind(floor_of, lambda t: 100 * t.std(correction=0)),
        "divided by n - 1: var() does that. Every pair is there, nothing is a sample: correction=0":
            _by_kind(floor_of, lambda t: 100 * t.var()),
        "absolute errors; the metric is the mean of *squared* ones":
            _by_kind(floor_of, lambda t: 100 * (t - t.mean()).abs().mean()),
    },
    praise="Below it a score says nothing, and close to it not much.",
)  # fmt: skip
