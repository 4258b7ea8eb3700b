"""Exercises of notebook 03_attention_scores."""

import math

import torch
from torch import Tensor

from relvit_lab.lessons.ask.answers import name_mistake, number, tensor_or_list
from relvit_lab.lessons.ask.base import EXERCISES, Exercise, Mistake, NotYet
from relvit_lab.lessons.ask.difference import Difference
from relvit_lab.lessons.ask.tables import compared
from relvit_lab.method.relations import spatial_relations


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 03-scores: eq. 8, batched


def pair_scores(z: Tensor, w: Tensor) -> Tensor:
    """Eq. 8. z (B, N, D), w (K, D, D) -> (B, K, N, N)."""
    return torch.einsum("bid,kde,bje->bkij", z, w, z) / math.sqrt(z.shape[-1])


compared(
    "03-scores", "Eq. 8 without loops", 2, 10,
    asks="pair_scores(z, w)",
    on=[
        (_random(b, n, d, seed=n), _random(k, d, d, seed=k))
        for b, n, d, k in ((2, 4, 3, 5), (1, 6, 8, 2), (3, 5, 5, 5))
    ],
    reads=tensor_or_list, shape="the shape (B, K, N, N) =",
    reference=pair_scores,
    wrong={
        "not divided by the square root of D: every score is too large by that":
            lambda z, w: pair_scores(z, w) * math.sqrt(z.shape[2]),
        "divided by D, not by its square root": lambda z, w: pair_scores(z, w) / math.sqrt(z.shape[2]),
        "divided by the square root of N, not of D":
            lambda z, w: pair_scores(z, w) * math.sqrt(z.shape[2] / z.shape[1]),
        "i and j are swapped: z_i belongs on the left of W, z_j on the right (transposing W does the same)":
            lambda z, w: pair_scores(z, w.mT),
        "a softmax was taken: eq. 8 has none": lambda z, w: pair_scores(z, w).softmax(-1),
        "a softmax was taken over K: eq. 8 has none, the loss takes it": lambda z, w: pair_scores(z, w).softmax(1),
        "W is left out: that is z zᵀ for every k": lambda z, w: pair_scores(z, torch.eye(z.shape[2]).expand_as(w)),
        "that looks like (B, N, N, K): K comes second": lambda z, w: pair_scores(z, w).permute(0, 2, 3, 1),
        "that looks like (K, B, N, N): B comes first": lambda z, w: pair_scores(z, w).transpose(0, 1),
    },
    praise="Three sizes, all scores as the loops give them.",
)  # fmt: skip


# 03-above: a W by hand


def positions(side: int) -> Tensor:
    """Hand-made tokens (x, y, 1) for a grid of side x side patches: (N, 3) float32."""
    index = torch.arange(side * side)
    return torch.stack([index % side, index // side, torch.ones_like(index)], 1).float()


ABOVE = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def _judge_above(answer) -> str:
    w = tensor_or_list(answer, "W")
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
        i, j = (int(place) for place in (given != down).nonzero()[0])
        word = "above" if down[i, j] > 0 else "below"
        name_mistake({
            f"upside down: patch 0 lies above patch {side}, but its score [0, {side}] is {scores[0, side]:g}; "
            "rows are counted from the top": torch.equal(given, -down),
            "that is LEFT: it compares x, not y": torch.equal(given, right),
            "that is RIGHT: it compares x, not y": torch.equal(given, -right),
            f"W is symmetric: [0, {side}] and [{side}, 0] get the same score {scores[0, side]:g}, "
            "but only one of the two lies above the other": torch.equal(w, w.T),
            "the score looks at j alone: above is a comparison of two patches, y_i with y_j":
                (scores == scores[:1]).all(),
            "the score looks at i alone: above is a comparison of two patches, y_i with y_j":
                (scores == scores[:, :1]).all(),
            f"patches {i} and {j} lie in one row: their score should be 0, not {scores[i, j]:g}. "
            "The y of i and the y of j must cancel": down[i, j] == 0,
            f"on a grid of side {side} patch {i} lies {word} patch {j}, but its score is {scores[i, j]:g}": True,
        }, Difference(f"the scores' signs on a grid of side {side}", (w,), down, given, (i, j)))  # fmt: skip
    return "It holds on grids of side 3, 5 and 8: nothing in it depends on the size."


EXERCISES.add(
    Exercise(
        "03-above", "A matrix that answers “above?”", 2, 8, _judge_above,
        reference=ABOVE,
        wrong={
            "upside down": ABOVE.T,
            "LEFT": torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
            "W is symmetric": ABOVE.abs(),
            "at j alone": torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        },
    )
)  # fmt: skip


# 03-parameters: what a head costs


def parameters(dim: int, outputs: int, rank: int | None = None) -> int:
    """Weights of eq. 8's head: K full matrices, or K pairs of factors of D x r."""
    return outputs * dim * dim if rank is None else 2 * outputs * dim * rank


compared(
    "03-parameters", "Count the weights of a head", 1, 5,
    asks="parameters(D, K, rank)",
    on=[(384, 9), (384, 9, 42), (96, 1), (96, 1, 96), (768, 9, 85)],
    reads=number, rtol=0, atol=0,
    reference=parameters,
    wrong={
        "K is missing: there is a matrix (with a rank, a pair of factors) for each of the K outputs":
            lambda d, k, r=None: parameters(d, 1, r),
        "a bias was counted: eq. 8 has none": lambda d, k, r=None: k * d * (r or d) + k * (r or d),
        "a matrix of D x D has D times D numbers": lambda d, k, r=None: k * d,
        "that counts v too: the scores need only q and k (the released code holds an unused v)":
            lambda d, k, r=None: k * d * d if r is None else 3 * k * d * r,
        "only one factor was counted: W = Q Kᵀ has two, for q and for k": lambda d, k, r=None: k * d * (r or d),
        "the rank makes no difference: with rank r the factors are D x r, not D x D": lambda d, k, r=None: k * d * d,
        "the factors are D x r, not D x D": lambda d, k, r=None: k * d * d if r is None else 2 * k * d * d,
    },
    praise="So 9 full matrices at D = 384 are 1,327,104 numbers, 6.2 % of ViT-S/4.",
)  # fmt: skip


# 03-cross-entropy: eq. 10 by hand


def sprel_loss(scores: Tensor, relations: Tensor) -> Tensor:
    """Eq. 10. scores (K, N, N), relations (N, N) int64 -> a scalar."""
    return _pair_losses(scores, relations).mean()


def _chosen(scores: Tensor, relations: Tensor) -> Tensor:
    return scores.gather(0, relations[None])[0]  # (1,N,N) -> (N,N): the score of the true class


def _pair_losses(scores: Tensor, relations: Tensor) -> Tensor:
    return scores.logsumexp(0) - _chosen(scores, relations)


def _far_apart() -> Tensor:
    """Scores (9, 9, 9) of which one of a pair's nine is about 120 above the others; no exp overflows."""
    k, i, j = torch.meshgrid(*[torch.arange(9)] * 3, indexing="ij")
    return _random(9, 9, 9, seed=5) + torch.where((i + 2 * j) % 9 == k, 60.0, -60.0)


def _less_the_largest_of_all(scores: Tensor, relations: Tensor) -> Tensor:
    lower = scores - scores.max()
    return (lower.exp().sum(0).log() - _chosen(lower, relations)).mean()


compared(
    "03-cross-entropy", "Eq. 10 by hand", 2, 12,
    asks="sprel_loss(scores, relations)",
    on={
        "3 x 3 patches": (_random(9, 9, 9, seed=3), spatial_relations(3)),
        "4 x 4 patches": (2 * _random(9, 16, 16, seed=4), spatial_relations(4)),
        "scores that are far lower in some pairs than in others":
            (_random(9, 9, 9, seed=6) + torch.where(torch.arange(81).view(9, 9) % 2 == 0, 60.0, -60.0),
             spatial_relations(3)),
        "pairs of which one score is far above the other eight": (_far_apart(), spatial_relations(3)),
        "large scores": (300 * _random(9, 9, 9, seed=3), spatial_relations(3)),
    },
    reads=tensor_or_list,
    reference=sprel_loss,
    wrong={
        "where scores are large (here up to 1,070), exp overflows. Subtract the largest of the nine first, or use "
        "torch.logsumexp": lambda s, r: (s.exp().sum(0).log() - _chosen(s, r)).mean(),
        "the largest of all scores was subtracted: where the nine of a pair lie far below it, each exp is 0, and so is "
        "their sum. Subtract the largest of the nine first, of each pair its own (axis 0)": _less_the_largest_of_all,
        "a softmax can become 0, and the log of 0 is minus infinity. Use log_softmax, or logsumexp less the true "
        "class's score": lambda s, r: -_chosen(s.softmax(0).log(), r).mean(),
        "one number for all pairs: take the mean": _pair_losses,
        "summed over the pairs: eq. 10 divides by N²": lambda s, r: _pair_losses(s, r).sum(),
        "divided by N: there are N² pairs": lambda s, r: _pair_losses(s, r).sum() / len(r),
        "the diagonal is left out: eq. 10 sums over all i and j, i = j too":
            lambda s, r: _pair_losses(s, r)[~torch.eye(len(r), dtype=torch.bool)].mean(),
        "the sign: a loss is −log p, above 0": lambda s, r: -sprel_loss(s, r),
        "without the logarithm: that is the mean probability of the true class":
            lambda s, r: (-_pair_losses(s, r)).exp().mean(),
        "without the logarithm: that is 1 minus the probability of the true class":
            lambda s, r: 1 - (-_pair_losses(s, r)).exp().mean(),
        "only the true class is there: its score alone, without the log-sum-exp of all nine":
            lambda s, r: -_chosen(s, r).mean(),
        "softmax over j: it should go over the nine scores of a pair, axis 0":
            lambda s, r: -_chosen(s.log_softmax(2), r).mean(),
        "softmax over i: it should go over the nine scores of a pair, axis 0":
            lambda s, r: -_chosen(s.log_softmax(1), r).mean(),
        "the relations are transposed: [i, j] says where i lies seen from j": lambda s, r: sprel_loss(s, r.T),
    },
    praise="Also where scores are large enough for exp to overflow.",
)  # fmt: skip


# 03-predictions: from scores to answers


def _classes(value: object, shown: str) -> Tensor:
    value = tensor_or_list(value, shown)
    whole = value.is_floating_point() and torch.equal(value, value.round())  # other floats are no classes at all
    name_mistake({f"numbers of classes are integers (int64): {shown} gave {value.dtype}": whole})
    return value


compared(
    "03-predictions", "From scores to relations", 1, 4,
    asks="predictions(scores)",
    on=[_random(9, n, n, seed=n) for n in (9, 16, 4)],
    reads=_classes, shape="the shape (N, N) =",
    reference=lambda scores: scores.argmax(0),
    wrong={
        "the largest over j: that says which token, not which relation. K is axis 0": lambda scores: scores.argmax(2),
        "the largest over i: that says which token, not which relation. K is axis 0": lambda scores: scores.argmax(1),
        "transposed: [i, j] belongs to the scores [:, i, j]": lambda scores: scores.argmax(0).T,
        "the smallest score was taken, not the largest": lambda scores: scores.argmin(0),
        "those are the largest scores themselves; asked is which of the nine it is": lambda scores: scores.amax(0),
        "those are probabilities; asked is which of the nine is the largest": lambda scores: scores.softmax(0).amax(0),
    },
    praise="An answer 0 to 8 for every ordered pair.",
)  # fmt: skip
