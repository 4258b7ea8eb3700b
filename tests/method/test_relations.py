"""The four targets against plain loops written from eq. 5-7, their symmetries, and what a shuffle does to them."""

import math

import pytest
import torch

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.relations import (
    RELATION_NAMES,
    absolute_positions,
    angles,
    distances,
    offsets,
    permuted,
    spatial_relations,
)

SIDES = range(2, 17)


def pairs(side):
    """Every (i, j, x_i, y_i, x_j, y_j)."""
    for i in range(side * side):
        for j in range(side * side):
            yield i, j, i % side, i // side, j % side, j // side


def loop_relations(side):
    table = [[None] * side**2 for _ in range(side**2)]
    for i, j, x_i, y_i, x_j, y_j in pairs(side):
        s_x = "L" if x_i < x_j else "R" if x_i > x_j else "C"
        s_y = "T" if y_i < y_j else "B" if y_i > y_j else "C"
        table[i][j] = RELATION_NAMES.index(s_x + s_y)
    return torch.tensor(table)


def loop_distances(side):
    raw = [[0.0] * side**2 for _ in range(side**2)]
    for i, j, x_i, y_i, x_j, y_j in pairs(side):
        raw[i][j] = math.hypot(x_i - x_j, y_i - y_j)
    largest = max(map(max, raw))
    return torch.tensor([[value / largest * 2 - 1 for value in row] for row in raw])


def loop_angles(side):
    raw = [[0.0] * side**2 for _ in range(side**2)]
    for i, j, *positions in pairs(side):
        x_i, y_i, x_j, y_j = (position + side / 2 for position in positions)
        if i != j:
            cosine = (x_i * x_j + y_i * y_j) / (math.hypot(x_i, y_i) * math.hypot(x_j, y_j) + 1e-4)
            raw[i][j] = math.acos(cosine)
    largest = max(map(max, raw))
    return torch.tensor([[value / largest * 2 - 1 for value in row] for row in raw])


@pytest.mark.parametrize("side", SIDES)
def test_targets_are_the_equations(side):
    relations = spatial_relations(side)
    assert relations.dtype == torch.int64 and distances(side).dtype == angles(side).dtype == torch.float32
    assert torch.equal(relations, loop_relations(side))
    torch.testing.assert_close(distances(side), loop_distances(side), atol=1e-6, rtol=0)
    torch.testing.assert_close(angles(side), loop_angles(side), atol=1e-6, rtol=0)
    assert absolute_positions(side).tolist() == list(range(side * side))


def test_known_values_on_a_three_by_three_grid():
    r, d, a = spatial_relations(3), distances(3), angles(3)
    assert r[0].tolist() == [4, 3, 3, 1, 0, 0, 1, 0, 0]
    assert RELATION_NAMES[r[0, 1]] == "LC"  # patch 0 is left of patch 1
    assert RELATION_NAMES[r[4, 0]] == "RB"  # the centre is right of and below the first
    by_offset = {(0, 0): -1, (0, 1): -0.2929, (1, 1): 0, (0, 2): 0.4142, (1, 2): 0.5811, (2, 2): 1}
    for i, j, x_i, y_i, x_j, y_j in pairs(3):
        offset = tuple(sorted((abs(x_i - x_j), abs(y_i - y_j))))
        assert d[i, j].item() == pytest.approx(by_offset[offset], abs=1e-4)
    first = [-1, -0.3560, 0.0001, -0.3560, -0.9864, -0.5658, 0.0001, -0.5658, -0.9885]
    assert a[0].tolist() == pytest.approx(first, abs=1e-4)


@pytest.mark.parametrize("side", [1, 2, 3, 7, 14])
def test_offsets_of_the_peer(side):
    target = offsets(side)
    assert target.shape == (side**2, side**2, 2) and target.dtype == torch.float32
    for i, j, x_i, y_i, x_j, y_j in pairs(side):
        assert target[i, j].tolist() == [abs(x_i - x_j), abs(y_i - y_j)]


@pytest.mark.parametrize("side", SIDES)
def test_symmetries_and_ranges(side):
    r, d, a = spatial_relations(side), distances(side), angles(side)
    assert torch.all(r + r.T == 8)  # what lies left top of j has j right and below
    assert torch.all(r.diagonal() == 4) and torch.equal(r.unique(), torch.arange(9))
    for target in (d, a):
        torch.testing.assert_close(target, target.T)
        assert torch.all(target.diagonal() == -1) and target.max() == 1 and target.min() == -1
    mirrored = torch.arange(side * side).reshape(side, side).T.flatten()  # rows and columns swapped
    swapped = torch.tensor([0, 3, 6, 1, 4, 7, 2, 5, 8])  # LT CT RT ... with left <-> top
    assert torch.equal(permuted(r, mirrored), swapped[r])


def test_statistics_on_the_paper_grid():
    """What guessing scores on 8 x 8: the numbers that a training curve is read against."""
    share = torch.bincount(spatial_relations(8).flatten()) / 64**2
    assert share.max().item() == pytest.approx(0.191, abs=1e-3)
    assert distances(8).var(correction=0).item() == pytest.approx(0.159, abs=1e-3)
    assert angles(8).var(correction=0).item() == pytest.approx(0.166, abs=1e-3)


def test_one_patch_is_no_division_by_zero():
    assert spatial_relations(1).tolist() == [[4]] and absolute_positions(1).tolist() == [0]
    assert distances(1).tolist() == angles(1).tolist() == [[-1.0]]


@pytest.mark.parametrize("make", [spatial_relations, distances, angles, absolute_positions, offsets])
@pytest.mark.parametrize("side", [0, -1, 2.5])
def test_no_grid_without_a_side(make, side):
    with pytest.raises(RelvitError, match=f"at least 1, not {side}"):
        make(side)


@pytest.mark.parametrize("make", [spatial_relations, distances, angles, offsets])
def test_permuted_pairs(make):
    target, n = make(3), 9
    generator = torch.Generator().manual_seed(0)
    p = torch.stack([torch.randperm(n, generator=generator) for _ in range(4)])
    batch = permuted(target, p)
    assert batch.shape == (4, *target.shape) and batch.dtype == target.dtype
    for b in range(4):
        for s in range(n):
            for t in range(n):  # tokens s and t hold patches p[s] and p[t]
                assert torch.equal(batch[b, s, t], target[p[b, s], p[b, t]])
        assert torch.equal(permuted(target, p[b]), batch[b])
        assert torch.equal(permuted(batch[b], p[b].argsort()), target)  # shuffled back
    assert torch.equal(permuted(target, torch.arange(n)), target)
    p1, p2 = p[:2]
    assert torch.equal(permuted(permuted(target, p1), p2), permuted(target, p1[p2]))


def test_permuted_positions_are_the_permutation():
    p = torch.tensor([[2, 0, 3, 1], [1, 3, 0, 2]])
    assert torch.equal(permuted(absolute_positions(2), p), p)
    assert torch.equal(permuted(absolute_positions(2), p[0]), p[0])


def test_permuted_takes_any_target():
    p = torch.tensor([[2, 0, 3, 1], [1, 3, 0, 2]])
    row = torch.tensor([0.0, 0.0, 1.0, 1.0])  # a user's token target: which row
    assert permuted(row, p).tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]
    same_row = row[:, None] == row[None, :]  # a user's pair target
    assert permuted(same_row, p).dtype == torch.bool
    assert permuted(same_row, p)[0].tolist() == permuted(same_row, p[0]).tolist()
    offset = torch.randn(4, 4, 2)  # a pair target with two values
    assert torch.equal(permuted(offset, p)[1], offset[p[1]][:, p[1]])


def test_permuted_refuses_another_number_of_tokens():
    with pytest.raises(RelvitError, match=r"4 tokens.*\(4, 4\), not \(9, 9\)"):
        permuted(spatial_relations(3), torch.arange(4))
    with pytest.raises(RelvitError, match=r"not \(9,\)"):
        permuted(absolute_positions(3), torch.arange(4))
