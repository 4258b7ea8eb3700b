"""The quiz of notebook 09: what it says of numbers is what the library computes."""

import math

import torch

from relvit_lab.lessons.ask import PREDICTIONS
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.method.heads import PairScores
from relvit_lab.method.patches import patchify
from relvit_lab.method.relations import RELATION_NAMES, permuted, spatial_relations

ask.load_all()


def answer(name: str) -> str:
    return PREDICTIONS.get(f"09-quiz-{name}").answer


def test_its_numbers():
    patches = patchify(torch.zeros(1, 3, 96, 96), 16).shape[1]
    assert answer("tokens") == str(patches + 1)
    assert answer("pairs") == f"{spatial_relations(6).numel():,}" and patches == 36
    r = spatial_relations(3)
    i, j = (r == RELATION_NAMES.index("RT")).nonzero()[0]
    assert answer("opposite") == RELATION_NAMES[r[j, i]]
    counts = spatial_relations(4).flatten().bincount()
    assert answer("floor") == f"{100 * counts.max() / counts.sum():.0f} %"
    assert answer("loss") == f"{math.log(9):.2f}"
    assert answer("mega") == str(spatial_relations(8).numel() // spatial_relations(4).numel())


def test_symmetric_matrices_score_both_orders_alike_and_labels_follow_their_patches():
    z, head = torch.randn(1, 5, 8), PairScores(8, 9)
    with torch.no_grad():
        for weight in head.parameters():
            square = weight.view(9, 8, 8)
            square.copy_((square + square.mT) / 2)
        scores = head(z)
    assert torch.allclose(scores, scores.mT, atol=1e-5) and answer("symmetric") == "how far"
    p, r = torch.tensor([2, 0, 3, 1]), spatial_relations(2)
    assert permuted(r, p)[1, 2] == r[p[1], p[2]] and answer("shuffle") == "r[p[t], p[u]]"
