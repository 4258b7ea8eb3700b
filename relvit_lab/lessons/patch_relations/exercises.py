"""Exercises and predictions of notebook 01_patch_relations."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from relvit_lab.lessons.ask.base import EXERCISES, PREDICTIONS, Exercise, Mistake, Prediction, call
from relvit_lab.method.patches import patchify
from relvit_lab.method.relations import RELATION_NAMES, distances, permuted, spatial_relations

# Predictions

for prediction in (
    Prediction(
        "01-strips",
        "numbers has the shape (1, 6, 6) and holds 0 to 35, row by row. What stands first in "
        "numbers.reshape(9, 1, 2, 2)?",
        "0 1 2 3",
        "reshape never moves a number: it reads on in memory, along the first row. The left top patch is 0 1 6 7.",
    ),
    Prediction(
        "01-tokens",
        "An image of 32 x 32 pixels, patches of 4 x 4. How many tokens go through the transformer?",
        "65",
        "8 x 8 = 64 patches, one token each, and the CLS token.",
    ),
    Prediction(
        "01-view",
        "On a 3 x 3 grid patch 4 is the centre and patch 0 the left top corner. Where does patch 4 lie, seen from "
        "patch 0: what is r[4, 0]?",
        "RB: right bottom",
        "One stands on j = 0 and looks at i = 4: to the right, and down. r[0, 4] is the other way round, LT.",
    ),
    Prediction(
        "01-majority",
        "On an 8 x 8 grid somebody always gives the same one of the nine answers, without looking. How many of all "
        "pairs can they have right at most?",
        "19 %",
        "The nine classes are not equally frequent: each diagonal one has 784 of the 4,096 pairs, 19.1 %. So 19.1 %, "
        "not 11.1 %, is what a model has to beat.",
    ),
    Prediction(
        "01-angle",
        "On a 3 x 3 grid, patch 0 is the left top corner and patch 8 the right bottom one. Which angle is alpha[0, 8]?",
        "0 degrees",
        "Both position vectors point the same way from the origin, one is only longer. The angle of eq. 7 is between "
        "these vectors, and says nothing about the way from i to j.",
    ),
    Prediction(
        "01-shuffle",
        "After the shuffle, token t holds patch p[t]. What must the target of the tokens (t, u) be?",
        "r[p[t], p[u]]",
        "The target belongs to the patches, so both of its indices go through p: rows and columns.",
    ),
):
    PREDICTIONS.add(prediction)


# 01-patchify


def _judge_patchify(answer: Callable) -> str:
    numbered = torch.arange(36).reshape(1, 6, 6)  # small first: its messages can be followed on paper
    for image, patch in ((numbered, 2), (torch.arange(3 * 8 * 8).reshape(3, 8, 8), 4)):
        shown = f"to_patches(a {tuple(image.shape)} image, {patch})"
        got = _tensor(call(answer, image, patch, shown=shown), shown)
        right = patchify(image[None], patch)[0]  # (1,N,C,P,P) -> (N,C,P,P)
        n, c, p, _ = right.shape
        if got.shape != right.shape:
            pixels_first = "; the channels come before the rows of pixels" if got.shape == (n, p, p, c) else ""
            batch = "; there is one image here, no batch" if got.shape == (1, *right.shape) else ""
            rows = "; the grid's rows and columns become one axis, N" if got.dim() == 5 and not batch else ""
            raise Mistake(
                f"the shape: {shown} should be (N, C, P, P) = {tuple(right.shape)}, got {tuple(got.shape)}"
                f"{pixels_first}{batch}{rows}"
            )
        if torch.equal(got, right):
            continue
        if torch.equal(got, image.reshape(right.shape)):
            raise Mistake(
                "reshape alone reads on along a row of the whole image, so these are strips, not squares: the first "
                f"patch holds {_numbers(right[0])}, got {_numbers(got[0])}. An axis has to move in between (permute)"
            )
        if torch.equal(got, right.mT):
            raise Mistake(
                "each patch is mirrored at its diagonal: the two axes inside a patch are swapped, rows of pixels come "
                f"before columns. The first patch should hold {_numbers(right[0])}, got {_numbers(got[0])}"
            )
        side = math.isqrt(n)
        columns_first = right.unflatten(0, (side, side)).transpose(0, 1).flatten(0, 1)
        if torch.equal(got, columns_first):
            raise Mistake(
                "the patches are counted column by column; patch 1 lies right of patch 0, so the grid's rows come first"
            )
        k = int((got != right).flatten(1).any(1).nonzero()[0])
        raise Mistake(f"{shown}: patch {k} should hold {_numbers(right[k])}, got {_numbers(got[k])}")
    return "Reshape to name the axes, permute to order them, reshape to join them: that is all of patchify."


def _numbers(patch: Tensor) -> str:
    numbers = patch.flatten().tolist()
    return " ".join(map(str, numbers[:4])) + (" ..." if len(numbers) > 4 else "")


def _split(image: Tensor, patch: int) -> Tensor:
    """(C, H, W) -> (C, rows, P, columns, P)."""
    c, h, w = image.shape
    return image.reshape(c, h // patch, patch, w // patch, patch)


EXERCISES.add(
    Exercise(
        "01-patchify", "An image into patches", 2, 8, _judge_patchify,
        reference=lambda image, patch: patchify(image[None], patch)[0],
        wrong={
            "strips": lambda image, patch: image.reshape(-1, len(image), patch, patch),
            "column by column": lambda image, patch: _split(image, patch).permute(3, 1, 0, 2, 4).flatten(0, 1),
            "mirrored": lambda image, patch: _split(image, patch).permute(1, 3, 0, 4, 2).flatten(0, 1),
            "channels come before": lambda image, patch: _split(image, patch).permute(1, 3, 2, 4, 0).flatten(0, 1),
            "rows and columns become one axis": lambda image, patch: _split(image, patch).permute(1, 3, 0, 2, 4),
        },
    )
)  # fmt: skip


# 01-relation


def _judge_relation(answer: Callable) -> str:
    for side in (3, 5):  # the second: 3 written where side belongs shows only there
        right, n = spatial_relations(side), side * side
        got = torch.empty(n, n, dtype=torch.int64)
        for i in range(n):
            for j in range(n):
                shown = f"spatial_relation({i}, {j}, {side})"
                value = call(answer, i, j, side, shown=shown)
                try:
                    number = int(value)
                except (TypeError, ValueError):
                    raise Mistake(f"your {shown} should be a number from 0 to 8, got {str(value)[:40]!r}") from None
                if number != value or not 0 <= number <= 8:
                    raise Mistake(f"your {shown} should be a whole number from 0 to 8, got {value}")
                got[i, j] = number
        if torch.equal(got, right):
            continue
        y, x = right // 3, right % 3
        for wrong, says in (
            (8 - right, "transposed: you say where j lies seen from i"),
            (3 * x + y, "x and y are swapped: s_y (top, centre, bottom) counts threes, s_x counts ones"),
            (3 * (2 - y) + x, "top and bottom are swapped: rows count downwards, so a smaller y is higher up"),
            (3 * y + 2 - x, "left and right are swapped"),
        ):
            if torch.equal(got, wrong):
                raise Mistake(f"{says}. {_pair(right, got)}")
        if side != 3:
            raise Mistake(f"it is right for side 3, but not for {side}: a row has `side` columns. {_pair(right, got)}")
        raise Mistake(_pair(right, got))
    return "That is eq. 5, for any grid."


def _pair(right: Tensor, got: Tensor) -> str:
    i, j = (got != right).nonzero()[0].tolist()
    side = math.isqrt(len(right))
    r, g = int(right[i, j]), int(got[i, j])
    return f"On {side} x {side}, [{i}, {j}] should be {r} ({RELATION_NAMES[r]}), got {g} ({RELATION_NAMES[g]})"


def _relation(i: int, j: int, side: int) -> int:
    return int(spatial_relations(side)[i, j])


EXERCISES.add(
    Exercise(
        "01-relation", "On which side?", 1, 5, _judge_relation,
        reference=_relation,
        wrong={
            "transposed": lambda i, j, side: _relation(j, i, side),
            "x and y are swapped": lambda i, j, side: _relation(i, j, side) % 3 * 3 + _relation(i, j, side) // 3,
            "top and bottom": lambda i, j, side: 3 * (2 - _relation(i, j, side) // 3) + _relation(i, j, side) % 3,
            "right for side 3": lambda i, j, side: _relation(i, j, 3) if i < 9 and j < 9 else _relation(i, j, side),
            "from 0 to 8": lambda i, j, side: RELATION_NAMES[_relation(i, j, side)],
        },
    )
)  # fmt: skip


# 01-distance


def _raw_distances(side: int) -> Tensor:
    """Eq. 6 before it is scaled."""
    k = torch.arange(side * side)
    p = torch.stack([k % side, k // side], 1).double()  # (N,2)
    return (p[:, None] - p[None]).norm(dim=-1)  # (N,N,2) -> (N,N)


def _manhattan(side: int) -> Tensor:
    k = torch.arange(side * side)
    y, x = k // side, k % side
    return ((y[:, None] - y).abs() + (x[:, None] - x).abs()).double()


def _judge_distance(answer: Callable) -> str:
    for side in (3, 4):
        shown = f"my_distances({side})"
        got = _tensor(call(answer, side, shown=shown), shown).double()
        right, raw, n = distances(side).double(), _raw_distances(side), side * side
        if got.shape != (n, n):
            raise Mistake(f"your {shown} should have the shape (N, N) = ({n}, {n}), got {tuple(got.shape)}")
        if _close(got, right):
            continue
        for wrong, says in (
            (raw, "not normalised: these are distances in patches, the model learns values in [-1, 1]"),
            (raw / raw.max(), "the range is [0, 1], so one step is missing: [0, 1] becomes [-1, 1] by * 2 - 1"),
            (raw / side * 2 - 1, "you divide by side; the largest distance is that from corner to corner"),
            (raw / (side - 1) * 2 - 1, "you divide by side - 1; the largest distance is that from corner to corner"),
            (raw.square() / raw.max() ** 2 * 2 - 1, "the square root is missing: these are squared distances"),
            (
                _manhattan(side) / (2 * side - 2) * 2 - 1,
                "these are |dx| + |dy|, steps; eq. 6 is Euclidean",
            ),
        ):
            if _close(got, wrong):
                raise Mistake(says)
        if got.isnan().any():
            raise Mistake(f"{shown} holds values that are not a number")
        i, j = divmod(int((got - right).abs().argmax()), n)
        raise Mistake(f"{shown}[{i}, {j}] should be {right[i, j]:.4f}, got {got[i, j]:.4f}")
    return "-1 for a patch and itself, 1 from corner to corner."


EXERCISES.add(
    Exercise(
        "01-distance", "How far, in [-1, 1]?", 2, 8, _judge_distance,
        reference=distances,
        wrong={
            "not normalised": _raw_distances,
            "range is [0, 1]": lambda side: _raw_distances(side) / _raw_distances(side).max(),
            "divide by side;": lambda side: _raw_distances(side) / side * 2 - 1,
            "squared": lambda side: _raw_distances(side).square() / _raw_distances(side).max() ** 2 * 2 - 1,
            "Euclidean": lambda side: _manhattan(side) / _manhattan(side).max() * 2 - 1,
        },
    )
)  # fmt: skip


# 01-angle


def _position(k: int, side: int, shift: float) -> tuple[float, float]:
    return k % side + shift, k // side + shift


def _turn(i: int, j: int, side: int, shift: float | None = None) -> float:
    """The angle between two position vectors, in degrees."""
    shift = side / 2 if shift is None else shift
    (a, b), (c, d) = _position(i, side, shift), _position(j, side, shift)
    return abs(math.degrees(math.atan2(b, a) - math.atan2(d, c)))


def _direction(i: int, j: int, side: int) -> float:
    """The way from j to i, as an angle in degrees: what eq. 7 is not."""
    return math.degrees(math.atan2(i // side - j // side, i % side - j % side))


def _judge_angle(answer: Callable) -> str:
    side = 3
    pairs = [(0, 8), (2, 6), (0, 1), (7, 8), (5, 1), (3, 3)]
    got = []
    for i, j in pairs:
        shown = f"angle_degrees({i}, {j}, {side})"
        value = call(answer, i, j, side, shown=shown)
        try:
            got.append(float(value))
        except (TypeError, ValueError):
            raise Mistake(f"your {shown} should be a number, got {str(value)[:40]!r}") from None
    right = [_turn(i, j, side) for i, j in pairs]
    # epsilon and rounding turn an angle of 0 into up to a degree: both forms are right
    if not all(abs(g - r) < 1 for g, r in zip(got, right)):
        radians = [math.radians(r) for r in right]
        ways = [(_direction(i, j, side) % 360, _direction(j, i, side) % 360) for i, j in pairs]
        (i, j), g, r = next((pair, g, r) for pair, g, r in zip(pairs, got, right) if not abs(g - r) < 1)
        seen = f"[{i}, {j}] on 3 x 3 should be {r:.1f} degrees, got {g:.1f}"
        if all(abs(g - r) < 0.02 for g, r in zip(got, radians)):
            raise Mistake(f"these are radians: multiply by 180 / pi. {seen}")
        if all(min(abs(g % 360 - w) for w in way) < 1 for g, way in zip(got, ways)):
            raise Mistake(
                f"this is the direction of the way between the patches, not the angle between vectors. {seen}"
            )
        if all(math.isnan(g) or abs(g - _turn(i, j, side, 0)) < 1 or 0 in (i, j) for (i, j), g in zip(pairs, got)):
            raise Mistake(f"the shift is missing: patch 0 lies on the origin and has no direction. {seen}")
        if all(abs(math.cos(math.radians(r)) - g) < 0.01 for g, r in zip(got, right)):
            raise Mistake(f"this is the cosine; the angle is its arccos. {seen}")
        if any(map(math.isnan, got)):
            raise Mistake("not a number: rounding has made a cosine larger than 1; the epsilon of eq. 7 prevents that")
        raise Mistake(seen)
    for i, j in ((0, 15), (3, 12), (5, 6)):
        g, r = float(call(answer, i, j, 4, shown=f"angle_degrees({i}, {j}, 4)")), _turn(i, j, 4)
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
            "cosine": lambda i, j, side: math.cos(math.radians(_turn(i, j, side))),
            "right for side 3": lambda i, j, side: _turn(i, j, side, 1.5),
        },
    )
)  # fmt: skip


# 01-shuffle


def _judge_shuffle(answer: Callable) -> str:
    named = spatial_relations(3)
    draws = torch.Generator().manual_seed(2)
    anything = torch.randint(0, 100, (16, 16), generator=draws)  # not symmetric, so nothing agrees by accident
    for target, p in (
        (named, torch.tensor([1, 2, 0, 3, 4, 5, 6, 7, 8])),
        (anything, torch.randperm(16, generator=draws)),
    ):
        shown = f"shuffled_target(a {tuple(target.shape)} target, p)"
        kept = target.clone()
        got = _tensor(call(answer, target, p, shown=shown), shown)
        if not torch.equal(target, kept):
            target.copy_(kept)
            raise Mistake("the target that came in was changed; make a new one")
        right = permuted(target, p)
        if got.shape != right.shape:
            raise Mistake(f"your {shown} should have the target's shape {tuple(right.shape)}, got {tuple(got.shape)}")
        if torch.equal(got, right):
            continue
        inverse = p.argsort()
        for wrong, says in (
            (target, "nothing has moved: the patches are shuffled, and their labels stay behind"),
            (target[p], "only the rows are permuted: the columns are patches, too, and move the same way"),
            (target[:, p], "only the columns are permuted: the rows are patches, too, and move the same way"),
            (
                permuted(target, inverse),
                "this is the inverse: token t holds patch p[t]; patch t does not go to p[t]",
            ),
            (right.T, "transposed: [t, u] asks about token t, seen from token u"),
        ):
            if torch.equal(got, wrong):
                t, u = (got != right).nonzero()[0].tolist()
                raise Mistake(
                    f"{says}. With p = {p.tolist()}, [{t}, {u}] should be target[{p[t]}, {p[u]}] = {right[t, u]}, "
                    f"got {got[t, u]}"
                )
        t, u = (got != right).nonzero()[0].tolist()
        raise Mistake(f"[{t}, {u}] should be target[{p[t]}, {p[u]}] = {right[t, u]}, got {got[t, u]}")
    return "Rows and columns, with the same p: the labels go where their patches go."


EXERCISES.add(
    Exercise(
        "01-shuffle", "Labels that follow their patches", 2, 6, _judge_shuffle,
        reference=permuted,
        wrong={
            "nothing has moved": lambda target, p: target,
            "only the rows": lambda target, p: target[p],
            "only the columns": lambda target, p: target[:, p],
            "inverse": lambda target, p: permuted(target, p.argsort()),
            "transposed": lambda target, p: permuted(target, p).T,
        },
    )
)  # fmt: skip


def _tensor(value: Any, shown: str) -> Tensor:
    """What was given as a tensor: lists and arrays are welcome."""
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(f"your {shown} should give a tensor, got {type(value).__name__}") from None


def _close(got: Tensor, wanted: Tensor) -> bool:
    return bool(torch.allclose(got, wanted.to(got.dtype), atol=1e-4, rtol=0))
