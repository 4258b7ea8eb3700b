"""Notebook 01's checks beyond the listed wrong answers: other right ways pass, further mistakes are named."""

import math

import numpy as np
import pytest
import torch

from relvit_lab.lessons.ask import EXERCISES, check
from relvit_lab.method.patches import patchify
from relvit_lab.method.relations import distances, permuted, spatial_relations


def patches_by_loop(image, patch):
    rows, columns = (range(0, size, patch) for size in image.shape[1:])
    return [image[:, y : y + patch, x : x + patch].tolist() for y in rows for x in columns]


def patches_by_one_range(image, patch):
    both = range(0, image.shape[1], patch)
    return torch.stack([image[:, y : y + patch, x : x + patch] for y in both for x in both])


def patches_by_unfolding(image, patch):
    windows = image.unfold(1, patch, patch).unfold(2, patch, patch)  # (C,H,W) -> (C,rows,columns,P,P)
    return windows.permute(1, 2, 0, 3, 4).flatten(0, 1).float()


def relation_by_comparing(i, j, side):
    names = ["LT", "CT", "RT", "LC", "CC", "RC", "LB", "CB", "RB"]
    (y_i, x_i), (y_j, x_j) = divmod(i, side), divmod(j, side)
    across = "L" if x_i < x_j else "R" if x_i > x_j else "C"
    return names.index(across + ("T" if y_i < y_j else "B" if y_i > y_j else "C"))


def distances_by_loop(side):
    raw = np.array(
        [
            [math.hypot(i % side - j % side, i // side - j // side) for j in range(side * side)]
            for i in range(side * side)
        ]
    )
    return raw / raw.max() * 2 - 1


def position(k, side):
    return torch.tensor([k % side + side / 2, k // side + side / 2], dtype=torch.float64)


def angle(i, j, side, epsilon=1e-4):
    p, q = position(i, side), position(j, side)
    return torch.rad2deg(torch.acos(p @ q / (p.norm() * q.norm() + epsilon)))


def angle_by_python(i, j, side, shift):
    (x, y), (u, v) = ((k % side + shift, k // side + shift) for k in (i, j))
    return math.degrees(math.acos((x * u + y * v) / (math.sqrt(x * x + y * y) * math.sqrt(u * u + v * v))))


def attend_by_loop(query, keys, values):
    powers = [math.exp(sum(float(a * b) for a, b in zip(query, key)) / math.sqrt(len(query))) for key in keys]
    return [sum(p / sum(powers) * float(v) for p, v in zip(powers, column)) for column in values.T]


def shares(query, keys):
    return torch.softmax(keys @ query / len(query) ** 0.5, 0)


def shuffled_by_loop(target, p):
    return torch.tensor([[target[p[t], p[u]] for u in range(len(p))] for t in range(len(p))])


@pytest.mark.parametrize(
    "name, answer",
    [
        ("01-patchify", patches_by_loop),
        ("01-patchify", patches_by_unfolding),
        ("01-attend", attend_by_loop),
        ("01-attend", lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q[None], k, v)[0]),
        ("01-attend", lambda q, k, v: (shares(q, k)[:, None] * v.double()).sum(0)),
        ("01-relation", relation_by_comparing),
        ("01-relation", lambda i, j, side: spatial_relations(side)[i, j]),
        ("01-distance", distances_by_loop),
        ("01-distance", lambda side: distances(side).double()),
        ("01-angle", angle),
        ("01-shuffle", shuffled_by_loop),
        ("01-shuffle", lambda target, p: target[p[:, None], p].numpy()),
    ],
)
def test_other_right_ways_pass(name, answer):
    assert check(name, answer).status == "right", check(name, answer)


def test_the_reference_of_patchify_is_the_librarys():
    image = torch.rand(3, 12, 12)
    assert torch.equal(EXERCISES.get("01-patchify").reference(image, 4), patchify(image[None], 4)[0])


@pytest.mark.parametrize(
    "name, answer, says",
    [
        ("01-patchify", lambda image, patch: patchify(image[None], patch), "no batch"),
        ("01-patchify", lambda image, patch: patchify(image[None], patch)[0].flip(0), "patch 0 should hold 0 1 6 7"),
        ("01-patchify", patches_by_one_range, "need not be a square"),
        ("01-patchify", lambda image, patch: "patches", "should give a tensor, got str"),
        ("01-attend", lambda q, k, v: shares(q, k)[None] @ v, "should have the shape (m,) = (2,), got (1, 2)"),
        ("01-attend", lambda q, k, v: (shares(q, k) @ v).sum(), "should have the shape (m,) = (2,), got one number"),
        ("01-attend", lambda q, k, v: v[0], "values (2, 2))[0] should be 0.9990, got 4.0000"),
        ("01-attend", lambda q, k, v: shares(q, -k) @ v, "should be 0.9990"),
        ("01-attend", lambda q, k, v: shares(q, k) @ v if len(k) == 2 else v[0], "was right"),
        ("01-attend", lambda q, k, v: v * q, "RuntimeError"),
        ("01-relation", lambda i, j, side: 9, "from 0 to 8, got 9"),
        ("01-relation", lambda i, j, side: 4, "[0, 1] should be 3 (LC), got 4 (CC)"),
        ("01-distance", lambda side: distances(side)[0], "should have the shape (N, N) = (9, 9), got (9,)"),
        ("01-distance", lambda side: distances(side) * torch.nan, "not a number"),
        ("01-distance", lambda side: distances(3), "shape (N, N) = (16, 16), got (9, 9)"),
        ("01-distance", lambda side: -distances(side), "[0, 0] should be -1.0000, got 1.0000"),
        ("01-angle", lambda i, j, side: math.nan if i == j else angle(i, j, side, 0), "epsilon of eq. 7"),
        ("01-angle", lambda i, j, side: math.acos(1.0000001), "epsilon of eq. 7 prevents that"),
        ("01-angle", lambda i, j, side: angle_by_python(i, j, side, 0), "The shift is missing"),
        ("01-angle", lambda i, j, side: angle_by_python(i, j, side, side / 2), "epsilon of eq. 7 prevents that"),
        ("01-angle", lambda i, j, side: int("far"), "stopped with ValueError: invalid literal"),
        ("01-angle", lambda i, j, side: 10.0, "[0, 8] on 3 x 3 should be 0.0 degrees, got 10.0"),
        ("01-angle", lambda i, j, side: "ten", "should be a number"),
        ("01-shuffle", lambda target, p: permuted(target, p)[:3], "target's shape (9, 9), got (3, 9)"),
        ("01-shuffle", lambda target, p: target.zero_(), "was changed"),
        ("01-shuffle", lambda target, p: permuted(target, p) + 1, "should be target["),
    ],
)
def test_further_mistakes_are_named(name, answer, says):
    verdict = check(name, answer)
    assert verdict.status == "mistake" and says in verdict.text, verdict
