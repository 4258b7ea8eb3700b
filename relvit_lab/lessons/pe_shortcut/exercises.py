"""Exercises of notebook 05_pe_shortcut."""

import itertools
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from relvit_lab.lessons.ask.answers import name_mistake, number, tensor
from relvit_lab.lessons.ask.base import EXERCISES, Exercise, call
from relvit_lab.lessons.ask.difference import Difference
from relvit_lab.lessons.ask.tables import assigned, compared
from relvit_lab.lessons.pe_shortcut.faults import FAULTS, NAMES
from relvit_lab.method.model import pool
from relvit_lab.method.patches import draw_permutations, patchify, permute, unpatchify
from relvit_lab.method.relations import RELATION_NAMES, permuted, spatial_relations


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- 05-lost: what a try of the shortcut lab lost with its embeddings ------------------------------------------------


def _fall(steps: list[int], sprel: list[float], switch: dict) -> float:
    first = steps.index(switch["step"])  # at a switch there are two values for one step
    return sprel[first] - sprel[first + 1]


def _falls(steps: list[int], sprel: list[float], switches: list[dict]) -> list[float]:
    """SpRel just before less SpRel just after, each time that PE was taken away; [0] where it never was."""
    away = [switch for switch in switches if switch["setting"] == "pos_embed" and not switch["on"]]
    return [_fall(steps, sprel, switch) for switch in away] or [0.0]


def _lost(steps: list[int], sprel: list[float], switches: list[dict]) -> float:
    return _falls(steps, sprel, switches)[0]


def _switch(step: int, setting: str, on: bool) -> dict:
    return {"step": step, "setting": setting, "on": on}


_AWAY = _switch(12, "pos_embed", False)

compared(
    "05-lost", "how much of it was read off E_pos", 1, 8,
    asks="lost_with_pe",
    on={
        "a try whose PE was taken away at step 12":
            ([0, 6, 12, 12, 18, 24], [12.0, 40.0, 90.0, 25.0, 30.0, 35.0], [_AWAY]),
        "a try without a switch (nothing was taken away)": ([0, 6, 12], [12.0, 20.0, 30.0], []),
        "a try that was shuffled at step 6, before PE was taken away at step 12":
            ([0, 6, 12, 12, 18], [10.0, 50.0, 70.0, 20.0, 25.0], [_switch(6, "shuffle", True), _AWAY]),
        "a try that began without PE, and got it at step 6":
            ([0, 6, 6, 12, 12], [12.0, 30.0, 31.0, 95.0, 15.0], [_switch(6, "pos_embed", True), _AWAY]),
        "a try whose PE was taken away at step 12, came back, and was taken away again":
            ([0, 12, 12, 18, 18, 24, 24], [12.0, 70.0, 30.0, 35.0, 45.0, 60.0, 45.0],
             [_AWAY, _switch(18, "pos_embed", True), _switch(24, "pos_embed", False)]),
        "a try whose shuffle and crop were switched off before its PE":
            ([0, 3, 6, 12, 12, 18], [12.0, 20.0, 50.0, 90.0, 35.0, 40.0],
             [_switch(3, "shuffle", False), _switch(6, "crop", False), _AWAY]),
        "a try that fell further at other steps than when PE was taken away":
            ([0, 6, 6, 12, 12, 18, 24, 30], [12.0, 50.0, 20.0, 60.0, 50.0, 52.0, 8.0, 33.0],
             [_switch(6, "pos_embed", True), _AWAY, _switch(18, "shuffle", True)]),
        "a try that was better without PE": ([0, 12, 12, 18], [12.0, 30.0, 35.0, 60.0], [_AWAY]),
    },
    reads=lambda value, shown: number(value, shown, "one number, in points"),
    reference=_lost,
    wrong={
        "a rise is a loss below 0: give the difference as it is, without abs()": lambda *a: abs(_lost(*a)),
        "a rise is a loss below 0, not 0: give the difference as it is": lambda *a: max(0.0, _lost(*a)),
        "that is the last time that PE was taken away: the first is asked for": lambda *a: _falls(*a)[-1],
        "that is the sum over all times that PE was taken away: the first alone is asked for":
            lambda *a: sum(_falls(*a)),
        "`on` is False for other settings, too: the switch must be one of pos_embed":
            lambda steps, sprel, switches: next((_fall(steps, sprel, one) for one in switches if not one["on"]), 0.0),
        "that is the largest fall at any step that is there twice: PE may come there, too, not only go":
            lambda steps, sprel, switches: max(
                (sprel[k] - sprel[k + 1] for k in range(len(steps) - 1) if steps[k] == steps[k + 1]), default=0.0
            ),
        "that is the largest fall from one value to the next, wherever it is: the fall at the switch may be smaller":
            lambda steps, sprel, switches: max(0.0, *(a - b for a, b in itertools.pairwise(sprel))),
        "that is the largest fall between any two values: what was lost when PE was taken away may be less":
            lambda steps, sprel, switches: max(0.0, *(a - b for a, b in itertools.combinations(sprel, 2))),
        "the sign is wrong: before less after": lambda *a: -_lost(*a),
        "that is the same value twice. At the switch there are two values for one step": lambda *a: 0.0,
        "what was learnt before or later is mixed in. Take the two values at the step of the switch":
            lambda steps, sprel, switches: max(sprel) - sprel[-1],
        "first less last mixes in what was learnt before or later. Take the two values at the step of the switch":
            lambda steps, sprel, switches: sprel[0] - sprel[-1],
        "only the switch counts that sets pos_embed to False":
            lambda steps, sprel, switches: _fall(steps, sprel, switches[0]) if switches else 0.0,
    },
    hint="Only the switch counts that sets pos_embed to False: the value just before it less the value just after",
    praise="At that step the weights are the same: what is lost is what was read off E_pos.",
)  # fmt: skip


# -- 05-cheat: a head that reads the embeddings --------------------------------------------------------------------


def _cheat(e: Tensor, target: Tensor) -> Tensor:
    read = torch.linalg.pinv(e)  # (D,N): e @ read is the identity (N,N)
    pairs = torch.stack([(target == k).to(e.dtype) for k in range(9)])  # (9,N,N)
    return read @ pairs @ read.T  # (D,N) (9,N,N) (N,D) -> (9,D,D)


def _said_by_head(answer: Callable, shown: str, e: Tensor, target: Tensor) -> Tensor:
    """What the head that the student built says of each pair: (N, N)."""
    dim = e.shape[1]
    w = tensor(call(answer, e, target, shown=shown), shown, (9, dim, dim)).to(e.dtype)
    return (e @ w @ e.T).argmax(0)  # (N,D) (9,D,D) (D,N) -> (9,N,N) -> (N,N)


def _pairs_differ(d: Difference) -> str:
    i, j = d.place
    right, got = (RELATION_NAMES[said[i, j]] for said in (d.right, d.got))
    return (
        f"{int((d.got == d.right).sum())} of {d.right.numel()} pairs are right with {d.shown}; all can be. "
        f"Pair [{i}, {j}] should be {right}, got {got}{', like all others' * (len(d.got.unique()) == 1)}"
    )


compared(
    "05-cheat", "building the head that cheats", 3, 15,
    asks="cheating_head(e, target)",
    on=[
        (torch.randn(side * side, dim, generator=_seeded(seed)), spatial_relations(side))
        for side, dim, seed in ((3, 24, 0), (4, 16, 1), (2, 7, 2))
    ],
    gather=_said_by_head, tell=_pairs_differ,
    reference=_cheat,
    wrong={
        "transposed: row i of the pairs belongs to the left factor": lambda e, target: _cheat(e, target).mT,
        "e.T in place of the pseudo-inverse: rows of e are not orthogonal, so e @ e.T is no identity":
            lambda e, target: torch.stack([e.T @ (target == k).float() @ e for k in range(9)]),
        "the nine matrices do not depend on the class": lambda e, target: torch.ones(9, e.shape[1], e.shape[1]),
    },
    praise="One head of eq. 8, no training, no image: every pair right.",
)  # fmt: skip


# -- 05-detect: a test that finds the shortcut ---------------------------------------------------------------------


def _right(said: Tensor, target: Tensor) -> float:
    return 100 * (said == target).float().mean().item()


def _noise_score(predict: Callable, images: Tensor, target: Tensor) -> float:
    return _right(predict(torch.rand(images.shape, generator=_seeded(0))), target)  # (B,N,N) against (N,N)


def _readable(batch: int, side: int, patch: int = 4) -> Tensor:
    """Images (B, 1, H, W) in whose patches one can see where they lie: patch t has the grey level t / (N - 1)."""
    grey = torch.linspace(0, 1, side * side).view(1, -1, 1, 1, 1)
    return unpatchify(grey.expand(batch, -1, 1, patch, patch))


def _honest(images: Tensor, side: int) -> Tensor:
    """A model that looks: it reads the place of each patch from its mean grey, and answers from that."""
    n = side * side
    seen = patchify(images.float(), images.shape[-1] // side).mean((2, 3, 4))  # (B,N,C,P,P) -> (B,N)
    place = (seen * (n - 1)).round().long().clamp(0, n - 1)
    return permuted(spatial_relations(side), place)


def _often_wrong(images: Tensor, side: int) -> Tensor:
    """A model that looks, and is right about 40 % of the pairs; of the others it says the next class."""
    pair = torch.arange(side**4).view(side**2, side**2)
    return (_honest(images, side) + (pair * 7 % 10 >= 4)) % 9


def _cheats(images: Tensor, side: int) -> Tensor:
    """A model that does not look: the right answers, whatever it is shown."""
    return spatial_relations(side).expand(len(images), -1, -1)


_MODELS = {"looks at the image": _honest, "reads its E_pos": _cheats, "looks and often errs": _often_wrong}


def _judge_detect(answer: Callable) -> str:
    for side, batch in ((3, 64), (4, 48)):
        images, target = _readable(batch, side), spatial_relations(side)
        scores = []
        for name, model in _MODELS.items():
            shown = f"score_without_image for a model that {name}"
            value = call(answer, partial(model, side=side), images.clone(), target, shown=shown)
            scores.append(number(value, shown, "one number in %"))
        looks, cheats, errs = scores
        said = f"a model that looks scores {looks:.1f}, one that reads its E_pos {cheats:.1f}"
        name_mistake({
            "the score is a share, not a percentage: multiply by 100": abs(cheats - 1) < 1e-4,
            f"the images still hold the answer: {said}, so the two are not told apart": looks > 99 and cheats > 99,
            f"the wrong way round: {said}. With labels that follow the patches the honest one wins": looks > 99,
            f"that is the share of mistakes: {said}. Count the pairs that are right": abs(cheats) < 1e-4,
            f"{said}: all pairs of the second are right, so it should score 100": not cheats >= 99.9,
            f"{said}: too much of the images is left": looks > 60,
            f"{said}, but a model that looks and is right about 40 % of the pairs scores {errs:.1f}. Its score on real "
            "images should not count: give the one without an image alone": errs > 50,
        })  # fmt: skip
    return "High without any image: the model reads something else. Near the floor: what it knows, it saw."


def _shuffled_with_labels(predict: Callable, images: Tensor, target: Tensor) -> float:
    p = draw_permutations(len(images), len(target), _seeded(0))
    return _right(predict(permute(images, p)), permuted(target, p))


EXERCISES.add(Exercise(
    "05-detect", "a test that finds the shortcut", 2, 10, _judge_detect,
    reference=_noise_score,
    wrong={
        "still hold the answer": lambda predict, images, target: _right(predict(images), target),
        "a share": lambda predict, images, target: _noise_score(predict, images, target) / 100,
        "wrong way round": _shuffled_with_labels,
        "should not count": lambda predict, images, target:
            100 - (_right(predict(images), target) - _noise_score(predict, images, target)),
        "share of mistakes": lambda predict, images, target: 100 - _noise_score(predict, images, target),
        "one number": lambda predict, images, target: predict(torch.rand(images.shape)) == target,
        "too much of the images": lambda predict, images, target:
            _right(predict(torch.cat([torch.rand(images[:2].shape), images[2:]])), target),
    },
))  # fmt: skip


# -- 05-pool: T2T's tokens for the tasks ---------------------------------------------------------------------------


def _grid(tokens: Tensor, side: int) -> Tensor:
    return tokens.mT.unflatten(2, (side, side))  # (B,N,D) -> (B,D,side,side)


def _rows(grid: Tensor) -> Tensor:
    return grid.flatten(2).mT  # (B,D,s,s) -> (B,s*s,D)


def _tokens_differ(d: Difference) -> str:
    r, c = divmod(d.place[1], d.arguments[1] // 2)
    right, got = d.right[d.place], d.got[d.place]
    return f"Token ({r}, {c}) of the new grid is off: {list(d.place)} should be {right:.4f}, got {got:.4f}"


compared(
    "05-pool", "T2T's tokens for the tasks", 2, 10,
    asks="pool_tokens(tokens, side)",
    on=[
        (torch.randn(batch, side * side, dim, generator=_seeded(seed)), side)
        for batch, side, dim, seed in ((2, 14, 5, 0), (3, 6, 4, 1))
    ],
    shape="the shape (B, N / 4, D) =", tell=_tokens_differ,
    reference=pool,
    wrong={
        "the zeros around the grid are counted, so tokens of the top row and the left column come out smaller, and can "
        "be told from the others: a leak. Divide by the number of tokens that are there":
            lambda tokens, side: _rows(F.avg_pool2d(_grid(tokens, side), 3, stride=2, padding=1)),
        "means over 2 x 2 tokens; 3 x 3 are asked for, and they overlap":
            lambda tokens, side: _rows(F.avg_pool2d(_grid(tokens, side), 2)),
        "the largest of each window, not the mean":
            lambda tokens, side: _rows(F.max_pool2d(_grid(tokens, side), 3, stride=2, padding=1)),
        "every second token, without its neighbours": lambda tokens, side: _rows(_grid(tokens, side)[:, :, ::2, ::2]),
        "D and N are mixed up: (B, N, D) has to become (B, D, N) before N is unfolded into rows and columns":
            lambda tokens, side: pool(tokens.reshape(len(tokens), -1, side * side).mT, side),
        "rows and columns of the grid are exchanged":
            lambda tokens, side: _rows(_grid(pool(tokens, side), side // 2).mT),
        "the grid's rows and columns become one axis again, and D the last":
            lambda tokens, side: _grid(pool(tokens, side), side // 2),
    },
    hint="The mean over rows and columns 2r - 1 to 2r + 1 of the old one, those outside left out",
    praise="Means over the tokens that are there: a blank image stays a blank.",
)  # fmt: skip


# -- 05-faults: name them ------------------------------------------------------------------------------------------

_CLUES = {
    "transposed labels": "its loss would fall as in the healthy run while the right labels are missed",
    "labels shuffled without their patches": "its loss would start near ln 9, as usual, and hardly fall, for labels "
    "that have lost their patches teach nothing",
    "patch too large": "its task would be easier than the healthy run's: fewer tokens, fewer pairs, a higher floor",
    "learning rate too high": "its loss would first jump far above ln 9, worse than knowing nothing",
}


def _swapped(one: str, other: str) -> dict[str, str]:
    return {**FAULTS, one: FAULTS[other], other: FAULTS[one]}


EXERCISES.add(Exercise(
    "05-faults", "naming the fault", 2, 10,
    assigned("run", FAULTS, NAMES, lambda _, said: f": {_CLUES[said]}", praise="All four."),
    reference=FAULTS,
    wrong={
        "Run A is not 'labels shuffled": _swapped("A", "D"),
        "Run B is not 'labels shuffled": _swapped("B", "D"),
        "Run A is not 'transposed": _swapped("A", "B"),
        "Run C is not 'transposed": _swapped("B", "C") | {"B": FAULTS["B"]},
        "none of these": {**FAULTS, "A": "bad luck"},
        "the keys are A, B, C, D, not 'a'": {name.lower(): fault for name, fault in FAULTS.items()},
        "dictionary": list(FAULTS.values()),
    },
))  # fmt: skip
