"""Exercises and predictions of notebook 02_mega_patches."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from relvit_lab.lessons.ask.base import EXERCISES, PREDICTIONS, Exercise, Mistake, Prediction, call

PREDICTIONS.add(
    Prediction(
        "02-time",
        "A small ViT goes forward and backward once, over 25 tokens instead of 196. How much faster is it?",
        "about 8 times, like the tokens",
        "Most of a block is matrix products that treat each token alone, 12 N D². What grows with the pairs, 2 N² D, "
        "is only N / (6 D + N) of the block: about a quarter for D = 96, and 8 % for ViT-S (D = 384).",
    )
)
PREDICTIONS.add(
    Prediction(
        "02-shared",
        "The released code draws one set of cuts and uses it for the rows and for the columns. "
        "What is special about the cells on the diagonal then?",
        "all of them are square",
        "Cell (k, k) reaches from cut k to cut k + 1 both ways, so it is as high as it is wide, and keeps its shape "
        "when it is resized, in every image. Cells off the diagonal are mostly distorted.",
    )
)
PREDICTIONS.add(
    Prediction(
        "02-match",
        "Untouched, 88 % of the patches find their right neighbour by comparing the pixels of the borders. "
        "After the crop (a random 14 x 14 of the 16 x 16 pixels), how many do?",
        "about half",
        "The crop takes away up to 2 pixels at each border and shifts the rows, so edges no longer meet. But a "
        "photograph changes slowly: over a gap of a few pixels colours still agree.",
    )
)
PREDICTIONS.add(
    Prediction(
        "02-flat",
        "If colours are jittered after normalising, as the released code does, how many patches of the flower come out "
        "as one flat colour?",
        "more than a third",
        "Normalised values below the mean are negative, and torchvision clamps to [0, 1] at each step. A patch that is "
        "darker than the mean in all three channels becomes 0 throughout, and much of this photograph is dark.",
    )
)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _the_tensor(value: Any, shown: str, shape: tuple[int, ...]) -> Tensor:
    """The value, where it is a tensor of this shape."""
    if not isinstance(value, Tensor):
        raise Mistake(f"{shown} is a tensor, not {type(value).__name__}")
    if tuple(value.shape) != shape:
        raise Mistake(f"{shown} has the shape {shape}, not {tuple(value.shape)}")
    return value


# -- 02-cuts: draw the cuts ----------------------------------------------------------------------------------------


def _cuts(m: int, side: int, generator: torch.Generator) -> Tensor:
    rows, columns = (torch.randperm(side - 1, generator=generator)[: m - 1] + 1 for _ in range(2))
    return torch.stack([rows.sort().values, columns.sort().values])


def _judge_cuts(answer: Callable) -> str:
    shown = "draw_my_cuts(4, 9, generator)"

    def draw(m: int, side: int, generator: torch.Generator) -> Any:
        return call(answer, m, side, generator, shown=f"draw_my_cuts({m}, {side}, generator)")

    first = draw(4, 9, _seeded(0))
    if isinstance(first, Tensor) and first.shape == (3,):
        raise Mistake("one set of cuts: rows and columns each have M - 1 of their own, so the shape is (2, M - 1)")
    if isinstance(first, Tensor) and first.shape in ((2, 4), (2, 5)):
        raise Mistake("too many: M cells in a row have M - 1 cuts between them; the borders of the image are not cuts")
    if _the_tensor(first, shown, (2, 3)).is_floating_point():
        raise Mistake(f"cuts count patches: whole numbers (int64), not {first.dtype}")
    if not torch.equal(first, draw(4, 9, _seeded(0))):
        raise Mistake(
            "not repeatable: the same seed gave other cuts; hand the generator on to the draw (generator=generator)"
        )
    generator = _seeded(1)
    drawn = torch.stack([_the_tensor(draw(4, 9, generator), shown, (2, 3)) for _ in range(500)])  # (500,2,3)
    if (drawn < 1).any():
        raise Mistake(
            "a cut at 0 is the border of the image: it leaves a cell without any patch; cuts lie in 1..side - 1"
        )
    if (drawn > 8).any():
        raise Mistake(
            f"a cut at {int(drawn.max())} is not inside a grid of 9 patches: cuts lie in 1..8, counted in patches"
        )
    if (drawn.sort(dim=-1).values.diff(dim=-1) == 0).any():
        raise Mistake("the same place was cut twice, which leaves an empty cell: draw places without putting them back")
    if (drawn.diff(dim=-1) < 0).any():
        raise Mistake("not sorted: cell k lies between cut k and cut k + 1, so they go in rising order")
    if (drawn[:, 0] == drawn[:, 1]).all():
        raise Mistake("rows and columns got the same cuts (the released code's slip): draw each set on its own")
    if (drawn == drawn[0]).all():
        raise Mistake("the cuts are always the same: they are drawn anew for each image")
    share = torch.stack([(drawn == place).any(-1).float().mean() for place in range(1, 9)])  # each is 3/8
    if (share - 3 / 8).abs().max() > 0.09:
        low, high = share.argmin() + 1, share.argmax() + 1
        raise Mistake(
            f"not every place is as likely: place {int(high)} is cut in {100 * share.max():.0f} % of your draws and "
            f"place {int(low)} in {100 * share.min():.0f} %, where each should be in 3 of 8 (38 %)"
        )
    if not torch.equal(torch.as_tensor(draw(5, 5, _seeded(2))).long(), torch.arange(1, 5).expand(2, 4)):
        raise Mistake("draw_my_cuts(5, 5, generator) has no choice: 5 cells of 5 patches cut at every place, 1 to 4")
    if tuple(getattr(draw(1, 5, _seeded(2)), "shape", ())) != (2, 0):
        raise Mistake("draw_my_cuts(1, 5, generator) is one cell, without cuts: the shape is (2, 0)")
    return "Any of C(8, 3)² = 3,136 layouts, all equally likely, the two directions on their own."


def _with_repeats(m: int, side: int, generator: torch.Generator) -> Tensor:
    return torch.randint(1, side, (2, m - 1), generator=generator).sort().values


def _shared(m: int, side: int, generator: torch.Generator) -> Tensor:
    return _cuts(m, side, generator)[:1].expand(2, -1)


def _from_zero(m: int, side: int, generator: torch.Generator) -> Tensor:
    return _cuts(m, side, generator) - 1


def _unsorted(m: int, side: int, generator: torch.Generator) -> Tensor:
    return torch.stack([torch.randperm(side - 1, generator=generator)[: m - 1] + 1 for _ in range(2)])


def _one_by_one(m: int, side: int, generator: torch.Generator) -> Tensor:
    """Each cut somewhere after the last, with room for the rest: the later places are cut too seldom, or too often."""
    rows = []
    for _ in range(2):
        row, start = [], 1
        for k in range(m - 1):
            end = side - (m - 1 - k)  # the last place that leaves one for each cut to come
            row.append(int(torch.randint(start, end + 1, (), generator=generator)))
            start = row[-1] + 1
        rows.append(row)
    return torch.tensor(rows, dtype=torch.int64).reshape(2, m - 1)


EXERCISES.add(
    Exercise(
        "02-cuts",
        "drawing the cuts",
        difficulty=1,
        minutes=8,
        judge=_judge_cuts,
        reference=_cuts,
        wrong={
            "cut twice": _with_repeats,
            "the released code's slip": _shared,
            "border of the image": _from_zero,
            "not sorted": _unsorted,
            "not every place is as likely": _one_by_one,
            "one set of cuts": lambda m, side, generator: _cuts(m, side, generator)[0],
            "whole numbers": lambda m, side, generator: _cuts(m, side, generator).float(),
            "not repeatable": lambda m, side, generator: _cuts(m, side, torch.default_generator),
        },
    )
)


# -- 02-cell: resize one cell --------------------------------------------------------------------------------------


def _resized(cell: Tensor, patch: int, **how: Any) -> Tensor:
    how = {"mode": "bilinear", "antialias": True} | how
    return F.interpolate(cell[None], size=(patch, patch), **how)[0]  # (C,h,w) -> (1,C,h,w) -> (C,P,P)


def _rectangle(image: Tensor, cuts: Tensor, row: int, column: int, patch: int) -> Tensor:
    ys, xs = ([0, *cuts[axis].tolist(), size // patch] for axis, size in enumerate(image.shape[1:]))
    return image[:, ys[row] * patch : ys[row + 1] * patch, xs[column] * patch : xs[column + 1] * patch]


def _cell(image: Tensor, cuts: Tensor, row: int, column: int, patch: int) -> Tensor:
    return _resized(_rectangle(image, cuts, row, column, patch), patch)


def _cell_of_other_axes(image: Tensor, cuts: Tensor, row: int, column: int, patch: int) -> Tensor:
    return _cell(image, cuts.flip(0), row, column, patch)


def _cell_transposed(image: Tensor, cuts: Tensor, row: int, column: int, patch: int) -> Tensor:
    return _cell(image, cuts, column, row, patch)


def _cell_without_antialias(image: Tensor, cuts: Tensor, row: int, column: int, patch: int) -> Tensor:
    return _resized(_rectangle(image, cuts, row, column, patch), patch, antialias=False)


def _cell_nearest(image: Tensor, cuts: Tensor, row: int, column: int, patch: int) -> Tensor:
    return _resized(_rectangle(image, cuts, row, column, patch), patch, mode="nearest", antialias=False)


def _cell_to_corners(image: Tensor, cuts: Tensor, row: int, column: int, patch: int) -> Tensor:
    return _resized(_rectangle(image, cuts, row, column, patch), patch, align_corners=True)


def _cell_next(image: Tensor, cuts: Tensor, row: int, column: int, patch: int) -> Tensor:
    last = cuts.shape[1]
    return _cell(image, cuts, min(row + 1, last), min(column + 1, last), patch)


def _cell_pooled(image: Tensor, cuts: Tensor, row: int, column: int, patch: int) -> Tensor:
    return F.adaptive_avg_pool2d(_rectangle(image, cuts, row, column, patch), patch)


def _cell_in_pixels(image: Tensor, cuts: Tensor, row: int, column: int, patch: int) -> Tensor:
    ys, xs = ([0, *cuts[axis].tolist(), size] for axis, size in enumerate(image.shape[1:]))
    return _resized(image[:, ys[row] : ys[row + 1], xs[column] : xs[column + 1]], patch)


_CELL_MISTAKES = (
    (_cell_in_pixels, "cuts count patches, not pixels: multiply them by P before you slice"),
    (_cell_of_other_axes, "rows and columns are mixed up: cuts[0] cuts the rows (the height), cuts[1] the columns"),
    (_cell_transposed, "row and column are mixed up: `row` counts downwards, along the height (axis 1 of the image)"),
    (
        _cell_without_antialias,
        "no antialias, as in the released code: bilinear alone mixes 2 pixels each way and skips the others",
    ),
    (_cell_nearest, 'nearest pixels: most pixels of a large cell are skipped; mode="bilinear", antialias=True'),
    (
        _cell_to_corners,
        "align_corners=True stretches the cell so that its corner pixels meet the corners: leave it out",
    ),
    (_cell_pooled, 'averages of blocks, not a bilinear resize: F.interpolate(..., mode="bilinear", antialias=True)'),
    (_cell_next, "one too far: cell k begins at cut k - 1 (cell 0 at the border, 0) and ends at cut k"),
)


def _judge_cell(answer: Callable) -> str:
    generator = _seeded(0)
    for channels, patch, cuts in ((3, 4, [[1, 4], [2, 3]]), (1, 3, [[2, 3, 5], [1, 2, 6]])):
        cuts, m = torch.tensor(cuts), len(cuts[0]) + 1
        side = 7
        image = torch.rand(channels, side * patch, side * patch, generator=generator)
        for row, column in ((m - 1, 0), (0, 1), (1, m - 1), (m - 1, m - 1), (0, 0)):
            shown = f"my_cell(image, cuts, {row}, {column}, {patch})"
            given = call(answer, image, cuts, row, column, patch, shown=shown)
            if isinstance(given, Tensor) and given.shape == _rectangle(image, cuts, row, column, patch).shape:
                if given.shape[1:] != (patch, patch):
                    raise Mistake(f"cut, but not resized: {tuple(given.shape)} should become (C, P, P)")
            if isinstance(given, Tensor) and given.shape == (1, channels, patch, patch):
                raise Mistake("a batch dimension is left over: F.interpolate takes one; take it off again with [0]")
            given = _the_tensor(given, shown, (channels, patch, patch)).float()
            true = _cell(image, cuts, row, column, patch)
            if torch.allclose(given, true, atol=1e-4):
                continue
            for fault, words in _CELL_MISTAKES:
                try:
                    other = fault(image, cuts, row, column, patch)
                except (IndexError, RuntimeError):  # an empty slice: not this mistake
                    continue
                if torch.allclose(given, other, atol=1e-4):
                    raise Mistake(words)
            raise Mistake(
                f"{shown} for cuts {cuts.tolist()} differs from the cell by up to {(given - true).abs().max():.2f}; "
                "look at cell (0, 0) first: it reaches from 0 to cuts[0, 0] * P downwards and cuts[1, 0] * P across"
            )
    return "Cell by cell what `mega_patches` computes for all cells and images at once."


EXERCISES.add(
    Exercise(
        "02-cell",
        "cutting out and resizing one cell",
        difficulty=2,
        minutes=10,
        judge=_judge_cell,
        reference=_cell,
        wrong={
            "multiply them by P": _cell_in_pixels,
            "cuts[0] cuts the rows": _cell_of_other_axes,
            "row and column are mixed up": _cell_transposed,
            "no antialias": _cell_without_antialias,
            "nearest pixels": _cell_nearest,
            "averages of blocks": _cell_pooled,
            "align_corners": _cell_to_corners,
            "not resized": _rectangle,
        },
    )
)


# -- 02-cost: multiplications of one block -------------------------------------------------------------------------


def _cost(tokens: int, dim: int) -> int:
    return 12 * tokens * dim**2 + 2 * tokens**2 * dim


_COST_MISTAKES = (
    (
        lambda n, d: 12 * n * d**2,
        "the pairs are missing: q @ k.T and the weighted sum of the values are N x N x D each",
    ),
    (lambda n, d: 12 * n * d**2 + n**2 * d, "one of two: q @ k.T costs N² D, and the weighted sum of the values again"),
    (lambda n, d: 4 * n * d**2 + 2 * n**2 * d, "the MLP is missing: D to 4 D and back, 8 N D² in all"),
    (lambda n, d: 11 * n * d**2 + 2 * n**2 * d, "the projection after attention is missing: another N D²"),
    (lambda n, d: 9 * n * d**2 + 2 * n**2 * d, "keys and values are missing: q, k and v are three products of N D²"),
    (
        lambda n, d: 8 * n * d**2 + 2 * n**2 * d,
        "half of the MLP is missing: D to 4 D is 4 N D², and back is as much again",
    ),
    (lambda n, d: 12 * d**2 + 2 * n**2 * d, "the weights meet every token: all of the D² products happen N times"),
    (
        lambda n, d: 2 * n**2 * d,
        "only the pairs: most of a block is N D² products, q, k, v, the projection and the MLP",
    ),
    (lambda n, d: n**2, "only the number of pairs: each costs D multiplications, and there is more in a block"),
    (lambda n, d: 24 * n * d**2 + 4 * n**2 * d, "twice the number: count a multiplication with its addition once"),
)


def _judge_cost(answer: Callable) -> str:
    for tokens, dim in ((1, 1), (3, 2), (50, 96), (197, 384), (26, 7)):
        shown = f"block_cost({tokens}, {dim})"
        given = call(answer, tokens, dim, shown=shown)
        if isinstance(given, bool) or not isinstance(given, (int, float)):
            raise Mistake(f"{shown} is a number, not {type(given).__name__}")
    # 50 and 96 keep all mistakes apart
    given = [call(answer, n, d) for n, d in ((50, 96), (197, 384), (26, 7))]
    for formula, words in _COST_MISTAKES:
        if given == [formula(n, d) for n, d in ((50, 96), (197, 384), (26, 7))]:
            raise Mistake(words)
    for (n, d), value in zip(((50, 96), (197, 384), (26, 7)), given):
        if value != _cost(n, d):
            raise Mistake(
                f"block_cost({n}, {d}) is {_cost(n, d):,}, not {value:,}; "
                "q, k, v and the projection: D² a token each; scores and weighted sum: D a pair each; MLP: 8 D² a token"
            )
    return "12 N D² + 2 N² D: the square is there, but the first term is the larger one while N < 6 D."


EXERCISES.add(
    Exercise(
        "02-cost",
        "the cost of one block",
        difficulty=2,
        minutes=8,
        judge=_judge_cost,
        reference=_cost,
        wrong={words.split(":")[0]: formula for formula, words in _COST_MISTAKES},
    )
)


# -- 02-borders: how well two patches fit together -----------------------------------------------------------------


def _gaps(patches: Tensor) -> Tensor:
    right, left = patches[..., -1], patches[..., 0]  # (N,3,P,P) -> (N,3,P): the last column, the first column
    return (right[:, None] - left[None]).abs().mean(dim=(2, 3))  # (N,1,3,P) (1,N,3,P) -> (N,N,3,P) -> (N,N)


_GAP_MISTAKES = (
    (
        lambda x: _gaps(x).mT,
        "transposed: [i, j] is for j put to the right of i, so i gives its last column and j its first",
    ),
    (
        lambda x: _gaps(x.mT),
        "the last row and the first row: those fit j below i; pixel columns are the last axis of (N, 3, P, P)",
    ),
    (
        lambda x: (x[:, None, :, :, -1] - x[None, :, :, :, -1]).abs().mean((2, 3)),
        "last column against last column: on the other side of the border lies the first column of j",
    ),
    (
        lambda x: (x[:, None, :, :, 0] - x[None, :, :, :, 0]).abs().mean((2, 3)),
        "first column against first column: i touches the border with its last column",
    ),
    (
        lambda x: (x[:, None, :, :, -1] - x[None, :, :, :, 0]).mean((2, 3)),
        "no absolute value: differences up and down cancel, and patches that do not match look alike",
    ),
    (
        lambda x: (x[:, None, :, :, -1] - x[None, :, :, :, 0]).square().mean((2, 3)),
        "squared: asked for is the mean of absolute differences",
    ),
    (
        lambda x: (x[:, None, :, :, -1] - x[None, :, :, :, 0]).abs().sum((2, 3)),
        "a sum: take the mean over the channels and rows, so that the number does not depend on P",
    ),
    (
        lambda x: (x[:, None] - x[None]).abs().mean((2, 3, 4)),
        "whole patches are compared: only the two pixel columns that would touch count",
    ),
)


def _judge_gaps(answer: Callable) -> str:
    for n, p, seed in ((5, 4, 0), (9, 3, 1)):
        patches = torch.rand(n, 3, p, p, generator=_seeded(seed))
        shown = f"border_gaps(patches) for patches of shape {tuple(patches.shape)}"
        given = call(answer, patches, shown=shown)
        if isinstance(given, Tensor) and given.shape == (n,):
            raise Mistake(f"one number a patch, {tuple(given.shape)}: asked for is every pair, (N, N)")
        if isinstance(given, Tensor) and given.dim() > 2 and given.shape[:2] == (n, n):
            raise Mistake(f"still {tuple(given.shape)}: take the mean over the channels and the rows of the border")
        given = _the_tensor(given, shown, (n, n)).float()
        if torch.allclose(given, _gaps(patches), atol=1e-5):
            continue
        for fault, words in _GAP_MISTAKES:
            if torch.allclose(given, fault(patches), atol=1e-5):
                raise Mistake(words)
        i, j = divmod(int((given - _gaps(patches)).abs().argmax()), n)
        raise Mistake(
            f"[{i}, {j}] is {_gaps(patches)[i, j]:.4f}, not {float(given[i, j]):.4f}: the mean over channels and rows "
            f"of |last column of patch {i} - first column of patch {j}|"
        )
    return "Small where j continues i. Now every patch can look for its neighbour."


EXERCISES.add(
    Exercise(
        "02-borders",
        "how well two patches fit together",
        difficulty=3,
        minutes=12,
        judge=_judge_gaps,
        reference=_gaps,
        wrong={words.split(":")[0]: formula for formula, words in _GAP_MISTAKES},
    )
)
