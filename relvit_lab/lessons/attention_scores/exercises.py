"""Exercises and predictions of notebook 03_attention_scores."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from relvit_lab.lessons.ask.base import EXERCISES, PREDICTIONS, Exercise, Mistake, NotYet, Prediction, call
from relvit_lab.method.relations import spatial_relations


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _tensor(value, what: str) -> Tensor:
    """What a student's function gave, as a tensor. Raises Mistake where it is none."""
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(f"{what} is a tensor, not {type(value).__name__}") from None


def _same(value: Tensor, expected: Tensor) -> bool:
    return value.shape == expected.shape and torch.allclose(value.float(), expected.float(), atol=1e-4, rtol=1e-4)


def _name_mistake(value: Tensor, known: dict[str, Tensor]) -> None:
    """Raise Mistake with the first text whose value was given."""
    for text, wrong in known.items():
        if _same(value, wrong):
            raise Mistake(text)


# 03-scores: eq. 8, batched


def pair_scores(z: Tensor, w: Tensor) -> Tensor:
    """Eq. 8. z (B, N, D), w (K, D, D) -> (B, K, N, N)."""
    return torch.einsum("bid,kde,bje->bkij", z, w, z) / math.sqrt(z.shape[-1])


def _judge_scores(answer: Callable) -> str:
    for b, n, d, k in ((2, 4, 3, 5), (1, 6, 8, 2), (3, 5, 5, 5)):
        z, w = _random(b, n, d, seed=n), _random(k, d, d, seed=k)
        shown = f"pair_scores(z {(b, n, d)}, w {(k, d, d)})"
        value, right = _tensor(call(answer, z, w, shown=shown), shown), pair_scores(z, w)
        axes = {"(B, N, N, K): K comes second": right.permute(0, 2, 3, 1), "(K, B, N, N): B comes first": right.mT}
        if value.shape != right.shape:
            told = [text for text, other in axes.items() if value.shape == other.shape]
            told = f", which looks like {told[0]}" if told else ""
            raise Mistake(f"the shape of {shown} is {tuple(right.shape)}, not {tuple(value.shape)}{told}")
        if _same(value, right):
            continue
        root = math.sqrt(d)
        _name_mistake(
            value,
            {
                f"not divided by the square root of D: every score is {root:.2f} times too large": right * root,
                "divided by D, not by its square root": right / root,
                f"divided by the square root of N = {n}, not of D = {d}": right * root / math.sqrt(n),
                f"i and j are swapped: [0, 0, 0, 1] is {right[0, 0, 0, 1]:.3f}, from z[0] on the left and z[1] on the "
                "right (transposing W does the same)": right.mT,
                "a softmax was taken: eq. 8 has none": right.softmax(-1),
                "a softmax was taken over K: eq. 8 has none, the loss takes it": right.softmax(1),
                "W is left out: that is z zᵀ for every k": (z @ z.mT)[:, None].expand_as(right) / root,
            },
        )
        raise Mistake(f"the score [0, 0, 0, 1] of {shown} is {right[0, 0, 0, 1]:.4f}, not {value[0, 0, 0, 1]:.4f}")
    return "Three sizes, all scores as the loops give them."


EXERCISES.add(
    Exercise(
        "03-scores",
        "Eq. 8 without loops",
        difficulty=2,
        minutes=10,
        judge=_judge_scores,
        reference=pair_scores,
        wrong={
            "not divided by the square root of D": lambda z, w: torch.einsum("bid,kde,bje->bkij", z, w, z),
            "divided by D": lambda z, w: torch.einsum("bid,kde,bje->bkij", z, w, z) / z.shape[-1],
            "swapped": lambda z, w: pair_scores(z, w.mT),
            "eq. 8 has none": lambda z, w: pair_scores(z, w).softmax(-1),
            "K comes second": lambda z, w: pair_scores(z, w).permute(0, 2, 3, 1),
        },
    )
)


# 03-above: a W by hand


def positions(side: int) -> Tensor:
    """Hand-made tokens (x, y, 1) for a grid of side x side patches: (N, 3) float32."""
    index = torch.arange(side * side)
    return torch.stack([index % side, index // side, torch.ones_like(index)], 1).float()


ABOVE = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def _judge_above(answer) -> str:
    w = _tensor(answer, "W")
    if w.shape != (3, 3):
        raise Mistake(f"W has a row and a column for each of x, y and 1: (3, 3), not {tuple(w.shape)}")
    w = w.float()
    if not w.any():
        raise NotYet
    for side in (3, 5, 8):
        z = positions(side)
        (x, y, _), scores = z.T, z @ w @ z.T
        given = scores.sign()
        down, right = (y[None, :] - y[:, None]).sign(), (x[None, :] - x[:, None]).sign()  # [i, j]: y_j - y_i
        if torch.equal(given, down):
            continue
        if torch.equal(given, -down):
            raise Mistake(
                f"upside down: patch 0 lies above patch {side}, but its score [0, {side}] is {scores[0, side]:g}; "
                "rows are counted from the top"
            )
        if torch.equal(given, right) or torch.equal(given, -right):
            raise Mistake(f"that is {'LEFT' if torch.equal(given, right) else 'RIGHT'}: it compares x, not y")
        if torch.equal(w, w.T):
            raise Mistake(
                f"W is symmetric: [0, {side}] and [{side}, 0] get the same score {scores[0, side]:g}, "
                "but only one of the two lies above the other"
            )
        for one, alone in (("j", (scores == scores[:1]).all()), ("i", (scores == scores[:, :1]).all())):
            if alone:
                raise Mistake(f"the score looks at {one} alone: above is a comparison of two patches, y_i with y_j")
        i, j = (int(place) for place in (given != down).nonzero()[0])
        if down[i, j] == 0:
            raise Mistake(
                f"patches {i} and {j} lie in one row: their score should be 0, not {scores[i, j]:g}. "
                "The y of i and the y of j must cancel"
            )
        word = "above" if down[i, j] > 0 else "below"
        raise Mistake(f"on a grid of side {side} patch {i} lies {word} patch {j}, but its score is {scores[i, j]:g}")
    return "It holds on grids of side 3, 5 and 8: nothing in it depends on the size."


EXERCISES.add(
    Exercise(
        "03-above",
        "A matrix that answers “above?”",
        difficulty=2,
        minutes=8,
        judge=_judge_above,
        reference=ABOVE,
        wrong={
            "upside down": ABOVE.T,
            "LEFT": torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
            "W is symmetric": ABOVE.abs(),
            "at j alone": torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        },
    )
)


# 03-parameters: what a head costs


def parameters(dim: int, outputs: int, rank: int | None = None) -> int:
    """Weights of eq. 8's head: K full matrices, or K pairs of factors of D x r."""
    return outputs * dim * dim if rank is None else 2 * outputs * dim * rank


def _judge_parameters(answer: Callable) -> str:
    for d, k, rank in ((384, 9, None), (384, 9, 42), (96, 1, None), (96, 1, 96), (768, 9, 85)):
        shown = f"parameters({d}, {k})" if rank is None else f"parameters({d}, {k}, {rank})"
        value = call(answer, d, k, *([] if rank is None else [rank]), shown=shown)
        right = parameters(d, k, rank)
        if value == right:
            continue
        side = d if rank is None else rank
        known = {
            d * d: f"K is missing: there are {k} matrices, one for each output",
            k * d * side + k * side: "a bias was counted: eq. 8 has none",
            k * d: "a matrix of D x D has D times D numbers",
        }
        if rank is not None:
            known |= {
                3
                * k
                * d
                * rank: "that counts v too: the scores need only q and k (the released code holds an unused v)",
                k * d * rank: "only one factor was counted: W = Q Kᵀ has two, for q and for k",
                2 * d * rank: f"K is missing: there are {k} pairs of factors, one for each output",
                k * d * d: "the rank makes no difference: with rank r the factors are D x r, not D x D",
                2 * k * d * d: "the factors are D x r, not D x D",
            }
        hint = known.get(value) if isinstance(value, int | float) else None
        given = f"{value:,}" if isinstance(value, int | float) else repr(value)
        raise Mistake(f"the value of {shown} is {right:,}, not {given}{': ' + hint if hint else ''}")
    return "So 9 full matrices at D = 384 are 1,327,104 numbers, 6.2 % of ViT-S/4."


EXERCISES.add(
    Exercise(
        "03-parameters",
        "Count the weights of a head",
        difficulty=1,
        minutes=5,
        judge=_judge_parameters,
        reference=parameters,
        wrong={
            "K is missing": lambda D, K, rank=None: D * D if rank is None else 2 * D * rank,
            "counts v": lambda D, K, rank=None: K * D * D if rank is None else 3 * K * D * rank,
            "only one factor": lambda D, K, rank=None: K * D * (rank or D),
            "makes no difference": lambda D, K, rank=None: K * D * D,
            "bias": lambda D, K, rank=None: K * D * D + K * D,
        },
    )
)


# 03-cross-entropy: eq. 10 by hand


def sprel_loss(scores: Tensor, relations: Tensor) -> Tensor:
    """Eq. 10. scores (K, N, N), relations (N, N) int64 -> a scalar."""
    chosen = scores.gather(0, relations[None])[0]  # (1,N,N) -> (N,N): the score of the true class
    return (scores.logsumexp(0) - chosen).mean()


def _judge_cross_entropy(answer: Callable) -> str:
    shown = "sprel_loss(scores, relations)"
    for side, size, name in ((3, 1.0, "3 x 3"), (4, 2.0, "4 x 4"), (3, 300.0, "large scores")):
        n, truth = side * side, spatial_relations(side)
        scores = size * _random(9, n, n, seed=side)
        value, right = _tensor(call(answer, scores, truth, shown=shown), shown), sprel_loss(scores, truth)
        if value.dim():
            raise Mistake(f"one number for all pairs: take the mean; now it has the shape {tuple(value.shape)}")
        if not torch.isfinite(value):
            raise Mistake(
                f"it is {value.item()} where scores are large (here up to {scores.max():.0f}): exp overflows. Subtract "
                "the largest score first, or use torch.logsumexp"
            )
        if torch.allclose(value.float(), right, rtol=1e-4, atol=1e-4):
            continue
        each = F.cross_entropy(scores[None], truth[None], reduction="none")[0]
        chosen = scores.gather(0, truth[None])[0]
        off = ~torch.eye(n, dtype=torch.bool)
        _name_mistake(
            value,
            {
                f"summed over the pairs: eq. 10 divides by N² = {n * n}": each.sum(),
                f"divided by N = {n}: there are N² = {n * n} pairs": each.sum() / n,
                "the diagonal is left out: eq. 10 sums over all i and j, i = j too": each[off].mean(),
                "the sign: a loss is −log p, above 0": -right,
                "without the logarithm: that is the mean probability of the true class": (-each).exp().mean(),
                "without the logarithm: that is 1 minus the probability of the true class": 1 - (-each).exp().mean(),
                "only the true class is there: its score alone, without the log-sum-exp of all nine": -chosen.mean(),
                "softmax over j: it should go over the nine scores of a pair, axis 0": -_taken(scores, truth, 2),
                "softmax over i: it should go over the nine scores of a pair, axis 0": -_taken(scores, truth, 1),
                "the relations are transposed: [i, j] says where i lies seen from j": F.cross_entropy(
                    scores[None], truth.T[None]
                ),
            },
        )
        raise Mistake(f"on {name} patches it is {right:.4f}, not {value:.4f}")
    return "Also where scores are large enough for exp to overflow."


def _taken(scores: Tensor, truth: Tensor, axis: int) -> Tensor:
    return scores.log_softmax(axis).gather(0, truth[None]).mean()


EXERCISES.add(
    Exercise(
        "03-cross-entropy",
        "Eq. 10 by hand",
        difficulty=2,
        minutes=12,
        judge=_judge_cross_entropy,
        reference=sprel_loss,
        wrong={
            "summed": lambda s, r: F.cross_entropy(s[None], r[None], reduction="sum"),
            "divided by N =": lambda s, r: F.cross_entropy(s[None], r[None], reduction="sum") / len(r),
            "diagonal": lambda s, r: F.cross_entropy(s[None], r[None], reduction="none")[0][
                ~torch.eye(len(r), dtype=torch.bool)
            ].mean(),
            "softmax over j": lambda s, r: -_taken(s, r, 2),
            "without the log-sum-exp": lambda s, r: -s.gather(0, r[None]).mean(),
            "overflows": lambda s, r: (s.exp().sum(0).log() - s.gather(0, r[None])[0]).mean(),
            "transposed": lambda s, r: F.cross_entropy(s[None], r.T[None]),
        },
    )
)


# 03-predictions: from scores to answers


def predictions(scores: Tensor) -> Tensor:
    """The class of the largest score of each pair: (K, N, N) -> (N, N) int64."""
    return scores.argmax(0)


def _judge_predictions(answer: Callable) -> str:
    for n in (9, 16, 4):
        scores = _random(9, n, n, seed=n)
        shown = f"predictions(scores {(9, n, n)})"
        value, right = _tensor(call(answer, scores, shown=shown), shown), predictions(scores)
        if _same(value, right) and not value.is_floating_point():
            continue
        _name_mistake(
            value,
            {
                "the largest over j: that says which token, not which relation. K is axis 0": scores.argmax(2),
                "the largest over i: that says which token, not which relation. K is axis 0": scores.argmax(1),
                f"transposed: [0, 1] is {right[0, 1]}, not {right[1, 0]}": right.T,
                "the smallest score was taken, not the largest": scores.argmin(0),
                "those are the largest scores themselves; asked is which of the nine it is": scores.amax(0),
                "those are probabilities; asked is which of the nine is the largest": scores.softmax(0).amax(0),
                "numbers of classes are integers (int64)": right.float(),
            },
        )
        if value.shape != right.shape:
            raise Mistake(f"the shape of {shown} is (N, N) = {tuple(right.shape)}, not {tuple(value.shape)}")
        raise Mistake(f"the relation [0, 1] of {shown} is {right[0, 1]}, not {value[0, 1]}")
    return "An answer 0 to 8 for every ordered pair."


EXERCISES.add(
    Exercise(
        "03-predictions",
        "From scores to relations",
        difficulty=1,
        minutes=4,
        judge=_judge_predictions,
        reference=predictions,
        wrong={
            "over j": lambda scores: scores.argmax(2),
            "over i": lambda scores: scores.argmax(1),
            "transposed": lambda scores: scores.argmax(0).T,
            "scores themselves": lambda scores: scores.amax(0),
            "smallest": lambda scores: scores.argmin(0),
        },
    )
)


for _prediction in (
    Prediction(
        "03-symmetric",
        "All nine W are symmetric (W = Wᵀ). What can the nine scores of a pair still tell?",
        "neither left from right, nor top from bottom",
        "Then z_i W z_jᵀ = z_j W z_iᵀ: the pairs (i, j) and (j, i) get the same nine scores, so the same answer. Of "
        "two opposite relations at most one is right.",
    ),
    Prediction(
        "03-share",
        "Nine full matrices W at D = 384 (eq. 8 as printed): how many parameters is that, of ViT-S/4's 21.3 million?",
        "6 %",
        "9 × 384² = 1,327,104, which is 6.2 %. The “+2 %” of the paper is the released code's smaller form.",
    ),
    Prediction(
        "03-zero",
        "All scores are 0. How large is the loss of SpRel (eq. 10)?",
        "log 9, about 2.20",
        "Nine equal scores are nine probabilities of 1/9, and −log(1/9) = log 9 for each pair, so also for the mean.",
    ),
    Prediction(
        "03-confused",
        "A patch of a digit lies left of another in its row (LC), and the model errs. What does it say most often?",
        "LT or LB: left is right, the row is not",
        "The classes are not equally far apart: LC, LT and LB are all left, and one row up or down is a small step.",
    ),
    Prediction(
        "03-shuffle",
        "The patches of an image are shuffled by p (token t holds patch p[t]). Without positional embeddings, what "
        "happens to a score matrix S?",
        "it becomes S[p][:, p]",
        "Nothing tells the model where a patch was put, so each token stays what it was and only its number changes: "
        "rows and columns move together.",
    ),
    Prediction(
        "03-rows",
        "A softmax makes probabilities p[k, i, j] of the nine scores of each pair. For one i and one k, they are added "
        "up over all N patches j. What comes out?",
        "another number for each i and k",
        "The softmax goes over k, so the nine probabilities of a pair sum to 1. Nothing ties the pairs of a row "
        "together. Inside the backbone it is the other way round: there the softmax goes over j.",
    ),
    Prediction(
        "03-even",
        "Fresh weights: at how many of the 17 tokens (CLS and 16 patches) does a patch look, counted in equal parts?",
        "nearly all 17",
        "Fresh queries and keys are so small that all their products are near 0: every row is almost even, 1/17 each. "
        "Only training makes heads choosy.",
    ),
):
    PREDICTIONS.add(_prediction)
