"""Section 3.1, eq. 5-7: the four targets, and Table 3's peer's; all are known from where the patches lie.

Patch i of N = side * side lies at row y = i // side and column x = i % side; [i, j] asks about i, seen from j.
"""

import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.values import is_whole

RELATION_NAMES = ("LT", "CT", "RT", "LC", "CC", "RC", "LB", "CB", "RB")
"""The nine classes of eq. 5: left, centre or right, then top, centre or bottom."""

EPSILON = 1e-4  # in the denominator of eq. 7


def _rows_columns(side: int) -> tuple[Tensor, Tensor]:
    """The row y and the column x of each patch: two (N,) int64."""
    if not is_whole(side) or side < 1:
        raise RelvitError(f"the side of a grid is a whole number of at least 1, not {side!r}")
    index = torch.arange(side * side)
    return index // side, index % side


def _to_unit_range(values: Tensor) -> Tensor:
    """Divide by the largest and map [0, 1] to [-1, 1], as float32. All 0 (a single patch) gives all -1."""
    largest = values.max()
    return (values / torch.where(largest > 0, largest, 1.0) * 2 - 1).float()


def spatial_relations(side: int) -> Tensor:
    """Eq. 5. Returns (N, N) int64 in 0..8; [i, j] says where i lies seen from j.

    The classes are RELATION_NAMES, row by row from the left top: 3 is "left of", 4 (the diagonal) "the same place".
    Raises RelvitError for side < 1. Side 1 gives [[4]].
    """
    y, x = _rows_columns(side)
    s_y = torch.sign(y[:, None] - y[None, :])  # (N,1) (1,N) -> (N,N): -1 top, 0 centre, 1 bottom
    s_x = torch.sign(x[:, None] - x[None, :])  # likewise: -1 left, 0 centre, 1 right
    return 3 * (s_y + 1) + (s_x + 1)


def distances(side: int) -> Tensor:
    """Eq. 6. Returns (N, N) float32 in [-1, 1]: how far i lies from j, -1 on the diagonal, 1 from corner to corner.

    Euclidean between grid positions, divided by the grid's largest, then scaled.
    Raises RelvitError for side < 1. Side 1, which has no largest distance, gives [[-1]].
    """
    y, x = _rows_columns(side)
    p = torch.stack([x, y], 1).double()  # (N,2)
    return _to_unit_range((p[:, None] - p[None, :]).square().sum(-1).sqrt())  # (N,N,2) -> (N,N)


def angles(side: int) -> Tensor:
    """Eq. 7. Returns (N, N) float32 in [-1, 1]: the angle between the position vectors of i and j, scaled.

    It is the angle at which the two patches are seen from an origin outside the grid (the shift s of the text is
    side / 2, so the origin lies half a grid up and left), not the direction from i to j. The diagonal is -1.
    Small angles are ill-conditioned: computed in float64. Raises RelvitError for side < 1. Side 1 gives [[-1]].
    """
    y, x = _rows_columns(side)
    p = torch.stack([x, y], 1).double() + side / 2  # (N,2), no vector of length 0
    norm = p.norm(dim=1)
    angle = torch.acos(p @ p.T / (norm[:, None] * norm[None, :] + EPSILON))  # (N,2) (2,N) -> (N,N)
    return _to_unit_range(angle.fill_diagonal_(0))  # epsilon would leave the diagonal a little above 0


def absolute_positions(side: int) -> Tensor:
    """Section 3.1. Returns (N,) int64: the class of token i is i (the paper counts from 1, we from 0).

    Raises RelvitError for side < 1.
    """
    return torch.arange(_rows_columns(side)[0].numel())


def offsets(side: int) -> Tensor:
    """The peer's target (Liu et al., NeurIPS 2021). Returns (N, N, 2) float32: (|x_i - x_j|, |y_i - y_j|) in patches.

    The diagonal is 0, the largest is side - 1. Raises RelvitError for side < 1. Side 1 gives [[[0, 0]]].
    """
    y, x = _rows_columns(side)
    p = torch.stack([x, y], 1)  # (N,2)
    return (p[:, None] - p[None, :]).abs().float()  # (N,1,2) (1,N,2) -> (N,N,2)


def permuted(target: Tensor, p: Tensor) -> Tensor:
    """The target after shuffling, where token t holds patch p[t].

    target: (N, N), any pair target (values may be vectors: (N, N, ...)), or (N,), a token target.
    p: (N,) or (B, N) int64, a permutation each.
    Returns T[p][:, p], (N, N, ...) or (B, N, N, ...), or T[p], (N,) or (B, N), of the target's dtype.
    Raises RelvitError where the numbers of tokens differ.
    """
    n = p.shape[-1]
    if target.shape[:2] not in ((n,), (n, n)):
        raise RelvitError(
            f"a permutation of {n} tokens needs a target of shape ({n},) or ({n}, {n}), not {tuple(target.shape)}"
        )
    if target.dim() == 1:
        return target[p]
    if target.dim() > 2:
        return target[p[..., :, None], p[..., None, :]]  # (...,N,1) (...,1,N) -> (...,N,N,V)
    rows = target[p]  # (...,N,N): rows, then columns, which is up to 7 times as fast as both at once
    return rows.gather(-1, p[..., None, :].expand_as(rows))
