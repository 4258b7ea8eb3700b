"""Exercises of notebook 01_patch_relations."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from relvit_lab.lessons.ask.answers import name_mistake, number, tensor_or_list
from relvit_lab.lessons.ask.base import EXERCISES, Exercise, Mistake, call
from relvit_lab.lessons.ask.difference import Difference
from relvit_lab.lessons.ask.tables import compared
from relvit_lab.method.patches import patchify
from relvit_lab.method.relations import RELATION_NAMES, distances, permuted, spatial_relations

# 01-patchify


def _split(image: Tensor, patch: int) -> Tensor:
    """(C, H, W) -> (C, rows, P, columns, P)."""
    c, h, w = image.shape
    return image.reshape(c, h // patch, patch, w // patch, patch)


def _patches_differ(d: Difference) -> str:
    def numbers(patch: Tensor) -> str:
        return " ".join(map(str, patch.flatten().tolist()[:4])) + (" ..." if patch.numel() > 4 else "")

    k = d.place[0]
    return f"{d.shown}: patch {k} should hold {numbers(d.right[k])}, got {numbers(d.got[k])}"


compared(
    "01-patchify", "An image into patches", 2, 8,
    asks="to_patches(image, patch)",
    # small first: its messages can be followed on paper; the last is no square
    on=[
        (torch.arange(36).reshape(1, 6, 6), 2), (torch.arange(3 * 8 * 8).reshape(3, 8, 8), 4),
        (torch.arange(3 * 8 * 12).reshape(3, 8, 12), 4),
    ],
    reads=tensor_or_list, shape="the shape (N, C, P, P) =", tell=_patches_differ,
    # (C,rows,P,columns,P) -> (rows,columns,C,P,P) -> (N,C,P,P)
    reference=lambda image, patch: _split(image, patch).permute(1, 3, 0, 2, 4).flatten(0, 1),
    wrong={
        "reshape alone reads on along a row of the whole image, so these are strips, not squares. An axis has to move "
        "in between (permute)": lambda image, patch: image.reshape(-1, len(image), patch, patch),
        "each patch is mirrored at its diagonal: the two axes inside a patch are swapped, rows of pixels come before "
        "columns": lambda image, patch: _split(image, patch).permute(1, 3, 0, 4, 2).flatten(0, 1),
        "the patches are counted column by column; patch 1 lies right of patch 0, so the grid's rows come first":
            lambda image, patch: _split(image, patch).permute(3, 1, 0, 2, 4).flatten(0, 1),
        "the channels come before the rows of pixels":
            lambda image, patch: _split(image, patch).permute(1, 3, 2, 4, 0).flatten(0, 1),
        "there is one image here, no batch": lambda image, patch: patchify(image[None], patch),
        "the grid's rows and columns become one axis, N":
            lambda image, patch: _split(image, patch).permute(1, 3, 0, 2, 4),
        "an image need not be a square: rows of patches go by its height, image.shape[1], columns by its width, "
        "image.shape[2]": lambda image, patch: patchify(image[None, :, :, : image.shape[1]], patch)[0],
    },
    praise="Reshape to name the axes, permute to order them, reshape to join them: that is all of patchify.",
)  # fmt: skip


# 01-attend


def _scores(query: Tensor, keys: Tensor, divisor: float | None = None) -> Tensor:
    """(d,), (n, d) -> (n,). divisor: the root of d where None."""
    return keys @ query / (math.sqrt(len(query)) if divisor is None else divisor)


def _shares(query: Tensor, keys: Tensor, divisor: float | None = None) -> Tensor:
    return _scores(query, keys, divisor).softmax(0)  # (n,)


compared(
    "01-attend", "One token looks at all", 2, 10,
    asks="attend(query, keys, values)",
    # first the numbers of the picture; on both, values @ shares runs as well, and one output alone fits many mistakes
    on=[
        (torch.tensor([1.0, 0, 2, 1]), torch.tensor([[2.0, 1, -1, 0], [0.2, 3, 1, 0]]),
         torch.tensor([[4.0, 0], [0, 8]])),
        (torch.tensor([1.0, -2]), torch.tensor([[1.0, 0], [0, 1], [2, 1]]),
         torch.tensor([[3.0, 1, 0], [0, 5, 2], [1, 0, 7]])),
    ],
    reads=tensor_or_list, shape="the shape (m,) =", together=True,
    reference=lambda q, k, v: _shares(q, k) @ v,
    wrong={
        "the scores are not divided by the root of d, so the shares differ too much":
            lambda q, k, v: _shares(q, k, 1) @ v,
        "the scores are divided by d, not by its root": lambda q, k, v: _shares(q, k, len(q)) @ v,
        "the softmax is missing: scores are no shares, they may be negative and do not sum to 1":
            lambda q, k, v: _scores(q, k) @ v,
        "the exponential is missing: scores divided by their sum can be negative, and a sum of 0 has no shares":
            lambda q, k, v: _scores(q, k) / _scores(q, k).sum() @ v,
        "the powers are not divided by their sum, so the shares do not sum to 1":
            lambda q, k, v: _scores(q, k).exp() @ v,
        "these are the shares; the values have to be taken in these shares and added up":
            lambda q, k, v: _shares(q, k),
        "the keys are mixed instead of the values: keys are for finding, values are what is taken":
            lambda q, k, v: _shares(q, k) @ k,
        "only the value of the best key is taken; softmax gives every token a share":
            lambda q, k, v: v[_scores(q, k).argmax()],
        "the shares run along the wrong axis: value j is row j of values, so rows are weighted and added":
            lambda q, k, v: v @ _shares(q, k),
        "all values have the same share: the query has no say": lambda q, k, v: v.mean(0),
    },
    praise="Scores, shares, mix: that is attention, for one token and one head.",
)  # fmt: skip


# 01-relation


def _relation(i: int, j: int, side: int) -> int:
    y, x = ((a > b) - (a < b) for a, b in zip(divmod(i, side), divmod(j, side)))  # -1, 0 or 1: eq. 5 for one pair
    return 3 * (y + 1) + x + 1


def _all_relations(answer: Callable, shown: str, side: int) -> Tensor:
    got = torch.empty(side**2, side**2, dtype=torch.int64)
    for i, j in torch.cartesian_prod(*[torch.arange(side**2)] * 2).tolist():
        shown = f"spatial_relation({i}, {j}, {side})"
        value = call(answer, i, j, side, shown=shown)
        if number(value, shown, "a number from 0 to 8") not in range(9):
            raise Mistake(f"{shown} should be a whole number from 0 to 8, got {value}")
        got[i, j] = int(value)
    return got


def _relations_differ(d: Difference) -> str:
    side, (i, j) = d.arguments[0], d.place
    right, got = (f"{int(r[d.place])} ({RELATION_NAMES[r[d.place]]})" for r in (d.right, d.got))
    return f"On {side} x {side}, [{i}, {j}] should be {right}, got {got}"


compared(
    "01-relation", "On which side?", 1, 5,
    asks="spatial_relation",
    on={"side 3": 3, "side 5": 5},
    gather=_all_relations, tell=_relations_differ,
    reference=_relation,
    wrong={
        "transposed: you say where j lies seen from i": lambda i, j, side: _relation(j, i, side),
        "x and y are swapped: s_y (top, centre, bottom) counts threes, s_x counts ones":
            lambda i, j, side: _relation(i, j, side) % 3 * 3 + _relation(i, j, side) // 3,
        "top and bottom are swapped: rows count downwards, so a smaller y is higher up":
            lambda i, j, side: 3 * (2 - _relation(i, j, side) // 3) + _relation(i, j, side) % 3,
        "left and right are swapped": lambda i, j, side: _relation(i, j, side) // 3 * 3 + 2 - _relation(i, j, side) % 3,
        "it is right for side 3 alone: a row has `side` columns": lambda i, j, side: _relation(i, j, 3),
    },
    praise="That is eq. 5, for any grid.",
)  # fmt: skip


# 01-distance


def _raw(side: int) -> Tensor:
    """Eq. 6 before it is scaled: distances in patches."""
    k = torch.arange(side * side)
    p = torch.stack([k % side, k // side], 1).double()  # (N,2)
    return (p[:, None] - p[None]).norm(dim=-1)  # (N,N,2) -> (N,N)


def _manhattan(side: int) -> Tensor:
    k = torch.arange(side * side)
    y, x = k // side, k % side
    return ((y[:, None] - y).abs() + (x[:, None] - x).abs()).double()


compared(
    "01-distance", "How far, in [-1, 1]?", 2, 8,
    asks="my_distances(side)",
    on=[3, 4],
    reads=tensor_or_list, shape="the shape (N, N) =",
    reference=distances,
    wrong={
        "not normalised: these are distances in patches, the model learns values in [-1, 1]": _raw,
        "the range is [0, 1], so one step is missing: [0, 1] becomes [-1, 1] by * 2 - 1":
            lambda side: _raw(side) / _raw(side).max(),
        "you divide by side; the largest distance is that from corner to corner":
            lambda side: _raw(side) / side * 2 - 1,
        "you divide by side - 1; the largest distance is that from corner to corner":
            lambda side: _raw(side) / (side - 1) * 2 - 1,
        "the square root is missing: these are squared distances":
            lambda side: _raw(side).square() / _raw(side).max() ** 2 * 2 - 1,
        "these are |dx| + |dy|, steps; eq. 6 is Euclidean":
            lambda side: _manhattan(side) / _manhattan(side).max() * 2 - 1,
    },
    praise="-1 for a patch and itself, 1 from corner to corner.",
)  # fmt: skip


# 01-angle: judged by hand, for there are many right ways, and several wrong ones look alike up to a turn


def _turn(i: int, j: int, side: int, shift: float | None = None) -> float:
    """The angle between two position vectors, in degrees."""
    shift = side / 2 if shift is None else shift
    (b, a), (d, c) = ((row + shift, column + shift) for row, column in (divmod(i, side), divmod(j, side)))
    return abs(math.degrees(math.atan2(b, a) - math.atan2(d, c)))


def _by_cosine(i: int, j: int, side: int, shift: float) -> float:
    """Eq. 7 without epsilon: a cosine may come out larger than 1."""
    (b, a), (d, c) = ((row + shift, column + shift) for row, column in (divmod(i, side), divmod(j, side)))
    return math.degrees(math.acos((a * c + b * d) / (math.hypot(a, b) * math.hypot(c, d))))


def _direction(i: int, j: int, side: int) -> float:
    """The way from j to i, as an angle in degrees: what eq. 7 is not."""
    return math.degrees(math.atan2(i // side - j // side, i % side - j % side))


_ROUNDED = "rounding has made a cosine larger than 1, of which there is no arccos; the epsilon of eq. 7 prevents that"
_NO_DIRECTION = "the shift is missing: patch 0 lies on the origin and has no direction"
_STOPPED = {"math domain error": _ROUNDED, "expected a number in range": _ROUNDED, "division by zero": _NO_DIRECTION}


def _angle_given(answer: Callable, i: int, j: int, side: int) -> float:
    shown = f"angle_degrees({i}, {j}, {side})"
    try:
        value = call(answer, i, j, side, shown=shown)
    except Mistake as mistake:
        for error, why in _STOPPED.items():
            name_mistake({f"{why}. {mistake}": error in str(mistake)})
        raise
    return number(value, shown)


def _judge_angle(answer: Callable) -> str:
    given = partial(_angle_given, answer)

    def each(angle: Callable[..., float], *more: float) -> Tensor:
        return torch.tensor([angle(i, j, 3, *more) for i, j in pairs], dtype=torch.float64)

    pairs = [(0, 8), (2, 6), (0, 1), (7, 8), (5, 1), (3, 3)]
    got, right, way = each(given), each(_turn), each(_direction)
    # epsilon and rounding turn an angle of 0 into up to a degree: both forms are right
    off = ~((got - right).abs() < 1)
    if off.any():
        k = int(off.nonzero()[0])
        i, j = pairs[k]
        said = f"[{i}, {j}] on 3 x 3 should be {right[k]:.1f} degrees, got {got[k]:.1f}"
        of_0 = torch.tensor([0 in pair for pair in pairs])
        name_mistake({
            f"these are radians: multiply by 180 / pi. {said}": ((got - right.deg2rad()).abs() < 0.02).all(),
            f"this is the direction of the way between the patches, not the angle between vectors. {said}":
                (((got - way + 1) % 360 < 2) | ((got - way + 181) % 360 < 2)).all(),  # the way from i to j, or back
            f"{_NO_DIRECTION}. {said}":
                (got.isnan() | ((got - each(_turn, 0)).abs() < 1) | of_0).all(),
            f"this is the cosine; the angle is its arccos. {said}": ((got - right.deg2rad().cos()).abs() < 0.01).all(),
            f"not a number: {_ROUNDED}": got.isnan().any(),
            said: True,
        })  # fmt: skip
    for i, j in ((0, 15), (3, 12), (5, 6)):
        g, r = given(i, j, 4), _turn(i, j, 4)
        if not abs(g - r) < 1:
            raise Mistake(f"it is right for side 3, but for side 4 [{i}, {j}] should be {r:.1f} degrees, got {g:.1f}")
    return "An angle seen from the origin: 0 for every two patches on one ray."


EXERCISES.add(
    Exercise(
        "01-angle", "At what angle?", 2, 8, _judge_angle,
        reference=_turn,
        wrong={
            "direction of the way": _direction,
            "radians": lambda i, j, side: math.radians(_turn(i, j, side)),
            "shift is missing": lambda i, j, side: _turn(i, j, side, 0),
            "has no direction. angle_degrees(0, 8, 3) stopped": lambda i, j, side: _by_cosine(i, j, side, 0),
            "rounding has made a cosine larger than 1": lambda i, j, side: _by_cosine(i, j, side, side / 2),
            "cosine": lambda i, j, side: math.cos(math.radians(_turn(i, j, side))),
            "right for side 3": lambda i, j, side: _turn(i, j, side, 1.5),
        },
    )
)  # fmt: skip


# 01-shuffle


def _shuffled(answer: Callable, shown: str, target: Tensor, p: Tensor) -> Tensor:
    kept = target.clone()
    value = call(answer, target, p, shown=shown)
    if not torch.equal(target, kept):
        raise Mistake("the target that came in was changed; make a new one")
    return value


def _targets_differ(d: Difference) -> str:
    p, (t, u) = d.arguments[1].tolist(), d.place
    return f"With p = {p}, [{t}, {u}] should be target[{p[t]}, {p[u]}] = {int(d.right[t, u])}, got {d.got[t, u].item()}"


compared(
    "01-shuffle", "Labels that follow their patches", 2, 6,
    asks="shuffled_target(target, p)",
    on=[
        (spatial_relations(3), torch.tensor([1, 2, 0, 3, 4, 5, 6, 7, 8])),
        # not symmetric, so nothing agrees by accident
        (torch.arange(256).reshape(16, 16) * 7 % 100, (torch.arange(16) * 5 + 3) % 16),
    ],
    gather=_shuffled, reads=tensor_or_list, shape="the target's shape", tell=_targets_differ,
    reference=permuted,
    wrong={
        "nothing has moved: the patches are shuffled, and their labels stay behind": lambda target, p: target,
        "only the rows are permuted: the columns are patches, too, and move the same way": lambda target, p: target[p],
        "only the columns are permuted: the rows are patches, too, and move the same way":
            lambda target, p: target[:, p],
        "this is the inverse: token t holds patch p[t]; patch t does not go to p[t]":
            lambda target, p: permuted(target, p.argsort()),
        "transposed: [t, u] asks about token t, seen from token u": lambda target, p: permuted(target, p).T,
    },
    praise="Rows and columns, with the same p: the labels go where their patches go.",
)  # fmt: skip
