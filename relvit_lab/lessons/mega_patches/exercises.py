"""Exercises of notebook 02_mega_patches."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from relvit_lab.lessons.ask.answers import name_mistake, number, tensor
from relvit_lab.lessons.ask.base import EXERCISES, Exercise, call
from relvit_lab.lessons.ask.tables import compared


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- 02-cuts: draw the cuts ----------------------------------------------------------------------------------------


def _unsorted(m: int, side: int, generator: torch.Generator) -> Tensor:
    return torch.stack([torch.randperm(side - 1, generator=generator)[: m - 1] + 1 for _ in range(2)])


def _cuts(m: int, side: int, generator: torch.Generator) -> Tensor:
    return _unsorted(m, side, generator).sort().values


DRAWS = 2000
FURTHEST = 0.085
"""How far a share of fair draws may lie from its probability. By Hoeffding's inequality one is further off in less than
2 exp(-2 * 2000 * 0.085²) = 6e-13 of all cases, and any of the 136 that are looked at in less than 1e-10."""


def _furthest(shares: Tensor, fair: float) -> tuple[list[int], float]:
    """Where shares (..., 8) are furthest from what they should be: the index there, and how far; nan counts as fair."""
    off = (shares - fair).abs().nan_to_num()
    return [int(k) for k in torch.unravel_index(off.argmax(), off.shape)], float(off.max())


def _name_unlike(drawn: Tensor) -> None:
    """Raise Mistake where not all sets of 3 cuts in each direction of a side of 9 are as likely."""
    here = (drawn[..., None] == torch.arange(1, 9)).any(2).double()  # (n,2,3) -> (n,2,8): 1 where a place is cut
    (way, place), off = _furthest(here.mean(0), 3 / 8)
    name_mistake({
        f"not every place is as likely: place {place + 1} is cut in {100 * here[:, way, place].mean():.0f} % of your "
        f"draws of {('rows', 'columns')[way]}, where each should be in 3 of 8 (38 %)": off > FURTHEST,
        "the columns are the rows, counted from the other end: draw each set on its own":
            torch.equal(drawn[:, 1], 9 - drawn[:, 0].flip(-1)),
        "the columns never have a place that the rows have: each set is drawn from all places, on its own":
            not (here[:, 0] * here[:, 1]).any(),
    })  # fmt: skip
    both = torch.einsum("na,nb->ab", here[:, 0], here[:, 1]) / len(drawn)  # (n,8) (n,8) -> (8,8): 3/8 * 3/8
    (row, column), off = _furthest(both, 9 / 64)
    name_mistake({
        f"the columns depend on the rows: row place {row + 1} and column place {column + 1} are both cut in "
        f"{100 * both[row, column]:.0f} % of your draws, where it should be 9 of 64 (14 %): draw each set on its own":
            off > FURTHEST,
    })  # fmt: skip
    two = torch.einsum("nwa,nwb->wab", here, here) / len(drawn)  # (n,2,8) twice -> (2,8,8): 3/8 * 2/7 each
    two.diagonal(dim1=1, dim2=2).fill_(torch.nan)
    (way, a, b), off = _furthest(two, 3 / 28)
    name_mistake({
        f"every place is as likely, but not every set: places {a + 1} and {b + 1} are both cut in "
        f"{100 * two[way, a, b]:.0f} % of your draws of {('rows', 'columns')[way]}, where it should be 3 of 28 (11 %)":
            off > FURTHEST,
    })  # fmt: skip


def _judge_cuts(answer: Callable) -> str:
    shown = "draw_my_cuts(4, 9, generator)"

    def draw(m: int, side: int, generator: torch.Generator) -> Any:
        return call(answer, m, side, generator, shown=f"draw_my_cuts({m}, {side}, generator)")

    first = draw(4, 9, _seeded(0))
    shape = tuple(getattr(first, "shape", ()))
    name_mistake({
        "one set of cuts: rows and columns each have M - 1 of their own, so the shape is (2, M - 1)": shape == (3,),
        "too many: M cells in a row have M - 1 cuts between them; the borders of the image are not cuts":
            shape in ((2, 4), (2, 5)),
    })  # fmt: skip
    name_mistake({
        f"cuts count patches: whole numbers (int64), not {getattr(first, 'dtype', '')}":
            tensor(first, shown, (2, 3)).is_floating_point(),
        "not repeatable: the same seed gave other cuts; hand the generator on to the draw (generator=generator)":
            not torch.equal(first, draw(4, 9, _seeded(0))),
    })  # fmt: skip
    generator = _seeded(1)
    drawn = torch.stack([tensor(draw(4, 9, generator), shown, (2, 3)) for _ in range(DRAWS)])  # (n,2,3)
    name_mistake({
        "a cut at 0 is the border of the image: it leaves a cell without any patch; cuts lie in 1..side - 1":
            (drawn < 1).any(),
        f"a cut at {int(drawn.max())} is not inside a grid of 9 patches: cuts lie in 1..8, counted in patches":
            (drawn > 8).any(),
        "the same place was cut twice, which leaves an empty cell: draw places without putting them back":
            (drawn.sort(dim=-1).values.diff(dim=-1) == 0).any(),
        "not sorted: cell k lies between cut k and cut k + 1, so they go in rising order":
            (drawn.diff(dim=-1) < 0).any(),
        "rows and columns got the same cuts (the released code's slip): draw each set on its own":
            (drawn[:, 0] == drawn[:, 1]).all(),
        "the cuts are always the same: they are drawn anew for each image": (drawn == drawn[0]).all(),
    })  # fmt: skip
    _name_unlike(drawn)
    name_mistake({
        "draw_my_cuts(5, 5, generator) has no choice: 5 cells of 5 patches cut at every place, 1 to 4":
            not torch.equal(torch.as_tensor(draw(5, 5, _seeded(2))).long(), torch.arange(1, 5).expand(2, 4)),
        "draw_my_cuts(1, 5, generator) is one cell, without cuts: the shape is (2, 0)":
            tuple(getattr(draw(1, 5, _seeded(2)), "shape", ())) != (2, 0),
    })  # fmt: skip
    return "Any of C(8, 3)² = 3,136 layouts, all equally likely, the two directions on their own."


def _one_by_one(m: int, side: int, generator: torch.Generator) -> Tensor:
    """Each cut somewhere after the last, with room for the rest: the later places are cut too seldom, or too often."""
    cuts = torch.zeros(2, m, dtype=torch.int64)
    for row in cuts:
        for k in range(1, m):
            # up to the last place that leaves one for each cut to come
            row[k] = torch.randint(int(row[k - 1]) + 1, side - m + k + 1, (), generator=generator)
    return cuts[:, 1:]


def _columns_of_rows(of: Callable[[Tensor, int], Tensor], m: int, side: int, generator: torch.Generator) -> Tensor:
    """Rows that are drawn as they should be, and columns made from them and the side."""
    rows = _cuts(m, side, generator)[0]
    return torch.stack([rows, of(rows, side).sort().values])


def _left_over(m: int, side: int, generator: torch.Generator) -> Tensor:
    places = torch.randperm(side - 1, generator=generator) + 1
    return torch.stack([places[: m - 1].sort().values, places[m - 1 : 2 * (m - 1)].sort().values])


def _in_a_row(m: int, side: int, generator: torch.Generator) -> Tensor:
    """Neighbouring places; after the last one comes the first."""
    first = torch.randint(side - 1, (2, 1), generator=generator)
    return ((first + torch.arange(m - 1)) % (side - 1) + 1).sort().values


EXERCISES.add(
    Exercise(
        "02-cuts", "drawing the cuts", 1, 8, _judge_cuts,
        reference=_cuts,
        wrong={
            "cut twice": lambda m, side, generator:
                torch.randint(1, side, (2, m - 1), generator=generator).sort().values,
            "the released code's slip": lambda m, side, generator: _cuts(m, side, generator)[:1].expand(2, -1),
            "border of the image": lambda m, side, generator: _cuts(m, side, generator) - 1,
            "not sorted": _unsorted,
            "not every place is as likely": _one_by_one,
            "counted from the other end": partial(_columns_of_rows, lambda rows, side: side - rows),
            "never have a place that the rows have": _left_over,
            "the columns depend on the rows": partial(_columns_of_rows, lambda rows, side: rows % (side - 1) + 1),
            "but not every set": _in_a_row,
            "one set of cuts": lambda m, side, generator: _cuts(m, side, generator)[0],
            "whole numbers": lambda m, side, generator: _cuts(m, side, generator).float(),
            "not repeatable": lambda m, side, generator: _cuts(m, side, torch.default_generator),
        },
    )
)  # fmt: skip


# -- 02-cell: resize one cell --------------------------------------------------------------------------------------


def _rectangle(image: Tensor, cuts: Tensor, row: int, column: int, patch: int, unit: int = 0) -> Tensor:
    """The cell before it is resized. unit: what cuts count, in pixels; a patch, if it is not given."""
    unit = unit or patch
    ys, xs = ([0, *(unit * cuts[axis]).tolist(), size] for axis, size in enumerate(image.shape[1:]))
    return image[:, ys[row] : ys[row + 1], xs[column] : xs[column + 1]]


def _resized(cell: Tensor, patch: int, **how: Any) -> Tensor:
    how = {"mode": "bilinear", "antialias": True} | how
    return F.interpolate(cell[None], size=(patch, patch), **how)[0]  # (C,h,w) -> (1,C,h,w) -> (C,P,P)


def _cell(image: Tensor, cuts: Tensor, row: int, column: int, patch: int) -> Tensor:
    return _resized(_rectangle(image, cuts, row, column, patch), patch)


def _other_resize(**how: Any) -> Callable:
    return lambda image, *where: _resized(_rectangle(image, *where), where[-1], **how)


compared(
    "02-cell", "cutting out and resizing one cell", 2, 10,
    asks="my_cell(image, cuts, row, column, patch)",
    on=[
        (torch.rand(channels, 7 * patch, 7 * patch, generator=_seeded(m)), torch.tensor(cuts), row, column, patch)
        for channels, patch, m, cuts in ((3, 4, 3, [[1, 4], [2, 3]]), (1, 3, 4, [[2, 3, 5], [1, 2, 6]]))
        for row, column in ((m - 1, 0), (0, 1), (1, m - 1), (m - 1, m - 1), (0, 0))
    ],
    shape="the shape (C, P, P) =",
    reference=_cell,
    wrong={
        "cuts count patches, not pixels: multiply them by P before you slice":
            lambda image, cuts, row, column, patch: _resized(_rectangle(image, cuts, row, column, patch, 1), patch),
        "rows and columns are mixed up: cuts[0] cuts the rows (the height), cuts[1] the columns":
            lambda image, cuts, *where: _cell(image, cuts.flip(0), *where),
        "row and column are mixed up: `row` counts downwards, along the height (axis 1 of the image)":
            lambda image, cuts, row, column, patch: _cell(image, cuts, column, row, patch),
        "no antialias, as in the released code: bilinear alone mixes 2 pixels each way and skips the others":
            _other_resize(antialias=False),
        'nearest pixels: most pixels of a large cell are skipped; mode="bilinear", antialias=True':
            _other_resize(mode="nearest", antialias=False),
        "align_corners=True stretches the cell so that its corner pixels meet the corners: leave it out":
            _other_resize(align_corners=True),
        'averages of blocks, not a bilinear resize: F.interpolate(..., mode="bilinear", antialias=True)':
            lambda image, *where: F.adaptive_avg_pool2d(_rectangle(image, *where), where[-1]),
        "one too far: cell k begins at cut k - 1 (cell 0 at the border, 0) and ends at cut k":
            lambda image, cuts, row, column, patch: _cell(
                image, cuts, min(row + 1, cuts.shape[1]), min(column + 1, cuts.shape[1]), patch
            ),
        "cut, but not resized": _rectangle,
        "a batch dimension is left over: F.interpolate takes one; take it off again with [0]":
            lambda image, *where: _cell(image, *where)[None],
    },
    hint="Look at cell (0, 0) first: it reaches from 0 to cuts[0, 0] * P downwards and cuts[1, 0] * P across",
    praise="Cell by cell what `mega_patches` computes for all cells and images at once.",
)  # fmt: skip

compared(
    "02-cost", "the cost of one block", 2, 8,
    asks="block_cost(tokens, dim)",
    on=[(50, 96), (197, 384), (26, 7), (1, 1)],  # the first keeps all mistakes apart
    reads=number, rtol=0, atol=0,
    reference=lambda n, d: 12 * n * d**2 + 2 * n**2 * d,
    wrong={
        "the pairs are missing: q @ k.T and the weighted sum of the values are N x N x D each":
            lambda n, d: 12 * n * d**2,
        "one of two: q @ k.T costs N² D, and the weighted sum of the values again":
            lambda n, d: 12 * n * d**2 + n**2 * d,
        "the MLP is missing: D to 4 D and back, 8 N D² in all": lambda n, d: 4 * n * d**2 + 2 * n**2 * d,
        "the projection after attention is missing: another N D²": lambda n, d: 11 * n * d**2 + 2 * n**2 * d,
        "keys and values are missing: q, k and v are three products of N D²":
            lambda n, d: 9 * n * d**2 + 2 * n**2 * d,
        "half of the MLP is missing: D to 4 D is 4 N D², and back is as much again":
            lambda n, d: 8 * n * d**2 + 2 * n**2 * d,
        "the weights meet every token: all of the D² products happen N times": lambda n, d: 12 * d**2 + 2 * n**2 * d,
        "only the pairs: most of a block is N D² products, q, k, v, the projection and the MLP":
            lambda n, d: 2 * n**2 * d,
        "only the number of pairs: each costs D multiplications, and there is more in a block": lambda n, d: n**2,
        "twice the number: count a multiplication with its addition once": lambda n, d: 24 * n * d**2 + 4 * n**2 * d,
    },
    hint="q, k, v and the projection: D² a token each; scores and weighted sum: D a pair each; MLP: 8 D² a token",
    praise="12 N D² + 2 N² D: the square is there, but the first term is the larger one while N < 6 D.",
)  # fmt: skip


# -- 02-borders: how well two patches fit together -----------------------------------------------------------------


def _differences(x: Tensor, own: int = -1, other: int = 0) -> Tensor:
    """Patch i's pixel column less patch j's: (N,1,3,P) (1,N,3,P) -> (N,N,3,P)."""
    return x[:, None, :, :, own] - x[None, :, :, :, other]


def _gaps(x: Tensor) -> Tensor:
    return _differences(x).abs().mean((2, 3))  # (N,N,3,P) -> (N,N)


compared(
    "02-borders", "how well two patches fit together", 3, 12,
    asks="border_gaps(patches)",
    on=[torch.rand(5, 3, 4, 4, generator=_seeded(0)), torch.rand(9, 3, 3, 3, generator=_seeded(1))],
    shape="the shape (N, N) =",
    reference=_gaps,
    wrong={
        "transposed: [i, j] is for j put to the right of i, so i gives its last column and j its first":
            lambda x: _gaps(x).mT,
        "the last row and the first row: those fit j below i; pixel columns are the last axis of (N, 3, P, P)":
            lambda x: _gaps(x.mT),
        "last column against last column: on the other side of the border lies the first column of j":
            lambda x: _differences(x, -1, -1).abs().mean((2, 3)),
        "first column against first column: i touches the border with its last column":
            lambda x: _differences(x, 0, 0).abs().mean((2, 3)),
        "no absolute value: differences up and down cancel, and patches that do not match look alike":
            lambda x: _differences(x).mean((2, 3)),
        "squared: asked for is the mean of absolute differences": lambda x: _differences(x).square().mean((2, 3)),
        "a sum: take the mean over the channels and rows, so that the number does not depend on P":
            lambda x: _differences(x).abs().sum((2, 3)),
        "whole patches are compared: only the two pixel columns that would touch count":
            lambda x: (x[:, None] - x[None]).abs().mean((2, 3, 4)),
        "one number a patch: asked for is every pair": lambda x: _gaps(x).diagonal(),
        "take the mean over the channels, too": lambda x: _differences(x).abs().mean(3),
        "take the mean over the rows of the border, too": lambda x: _differences(x).abs().mean(2),
        "take the mean over the channels and the rows of the border": lambda x: _differences(x).abs(),
    },
    hint="The mean over channels and rows of |last column of patch i - first column of patch j| is asked for",
    praise="Small where j continues i. Now every patch can look for its neighbour.",
)  # fmt: skip
