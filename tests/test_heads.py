"""The heads against loops over i, j and k, their sizes, and what they do to a permutation."""

import math

import pytest
import torch
from torch import nn

from relvit_lab.errors import RelvitError
from relvit_lab.heads import PairScores, TokenScores

B, N, D, K = 2, 5, 12, 3


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture
def z():
    return torch.randn(B, N, D, generator=torch.Generator().manual_seed(0))


def loops(z, w, scale):
    """Eq. 8, one score at a time; w (K, D, D)."""
    scores = torch.empty(len(z), len(w), N, N)
    for b in range(len(z)):
        for k in range(len(w)):
            for i in range(N):
                for j in range(N):
                    scores[b, k, i, j] = sum(
                        z[b, i, s] * w[k, s, t] * z[b, j, t] for s in range(D) for t in range(D)
                    ) / math.sqrt(scale)
    return scores


def test_full_pair_scores_are_equation_8(z):
    head = PairScores(D, K)
    w = torch.stack([head.w.weight[k * D : (k + 1) * D].T for k in range(K)]).detach()  # nn.Linear holds W^T
    assert (w - w.mT).abs().max() > 0.1  # so that i and j cannot change places unseen
    assert head(z).shape == (B, K, N, N)
    torch.testing.assert_close(head(z), loops(z, w, D), atol=1e-5, rtol=1e-4)


def test_factored_pair_scores_are_attention_scores(z):
    rank = 4
    head = PairScores(D, K, rank)
    w = torch.stack(
        [head.q.weight[k * rank : (k + 1) * rank].T @ head.k.weight[k * rank : (k + 1) * rank] for k in range(K)]
    ).detach()
    assert head(z).shape == (B, K, N, N)
    torch.testing.assert_close(head(z), loops(z, w, rank), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rank", [None, 4])
def test_i_comes_first(rank):
    """A head that sees only whether a token is the marked one scores [marked, other] and not [other, marked]."""
    head = PairScores(2, 1, rank)
    mark, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    nn.init.zeros_(head.w.weight) if rank is None else [nn.init.zeros_(p) for p in head.parameters()]
    with torch.no_grad():
        if rank is None:
            head.w.weight[1, 0] = 1  # W = [[0, 1], [0, 0]]
        else:
            head.q.weight[0, 0] = head.k.weight[0, 1] = 1
    scores = head(torch.stack([mark, other])[None])[0, 0]
    assert scores[0, 1] > 0 and scores[1, 0] == 0


@pytest.mark.parametrize("rank", [None, 4])
def test_matrices(z, rank):
    head = PairScores(D, K, rank)
    slow = torch.stack([torch.stack([z[b] @ w @ z[b].T for w in head.matrices()]) for b in range(B)])
    torch.testing.assert_close(head(z), slow)


def test_sizes():
    """FACTS of the paper: +6.2, +1.4, +0.7 and +0.1 % of ViT-S/4."""
    with torch.device("meta"):
        sprel, dist = PairScores(384, 9), PairScores(384, 1)
        assert parameters(sprel) == 1_327_104
        assert parameters(sprel.factored()) == parameters(PairScores(384, 9, 42)) == 290_304
        assert parameters(dist) == 147_456
        assert parameters(dist.factored()) == 2 * 147_456  # rank D: two factors of D x D
        assert parameters(TokenScores(384, 64)) == 24_640
        assert parameters(PairScores(768, 9)) == 5_308_416


def test_factored_is_a_fresh_head_of_the_released_form():
    head = PairScores(D, K)
    assert head.factored().rank == D // K and head.factored(2).rank == 2
    assert (head.factored().dim, head.factored().outputs) == (D, K)
    assert head.rank is None and not torch.equal(head.factored().q.weight, head.factored().q.weight)


def test_initialised_as_linear_layers():
    torch.manual_seed(0)
    w = PairScores(64, 9).matrices() * math.sqrt(64)
    reference = nn.Linear(64, 64, bias=False).weight
    assert w.abs().max() <= 1 / 8 and w.abs().max() > 0.124  # uniform within 1 / sqrt(D)
    for k in range(9):
        assert w[k].std().item() == pytest.approx(reference.std().item(), rel=0.05)
    assert PairScores(64, 9, 4).k.weight.abs().max() <= 1 / 8


@pytest.mark.parametrize("rank", [None, 4])
def test_pair_scores_follow_a_permutation(z, rank):
    head, p = PairScores(D, K, rank), torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(head(z[:, p]), head(z)[:, :, p][..., p])


@pytest.mark.parametrize("rank", [None, 4])
def test_every_weight_and_token_gets_a_gradient(z, rank):
    head, z = PairScores(D, K, rank).double(), z.double().requires_grad_()
    head(z).square().sum().backward()
    assert all(torch.all(p.grad != 0) for p in head.parameters()) and torch.all(z.grad != 0)
    assert torch.autograd.gradcheck(head, z[:1, :3].detach().requires_grad_())


def test_token_scores_are_equation_9(z):
    head, p = TokenScores(D, K), torch.tensor([3, 0, 4, 1, 2])
    scores = head(z)
    assert scores.shape == (B, N, K)
    for b in range(B):
        for i in range(N):
            for k in range(K):
                expected = sum(z[b, i] * head.fc.weight[k]) + head.fc.bias[k]
                assert scores[b, i, k].item() == pytest.approx(expected.item(), abs=1e-5)
    torch.testing.assert_close(head(z[:, p]), scores[:, p])


@pytest.mark.parametrize("head", [PairScores(96, 9), PairScores(96, 9, 10), TokenScores(96, 64)])
def test_bfloat16_stays_close(head):
    z = torch.randn(4, 64, 96, generator=torch.Generator().manual_seed(0))  # tokens after a LayerNorm are of this size
    exact = head(z)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = head(z)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).square().mean().sqrt() < 0.01 * exact.std()


@pytest.mark.parametrize("sizes", [(0, 9), (8, 0), (8, 9, 0)])
def test_sizes_below_one(sizes):
    with pytest.raises(RelvitError, match="at least 1, not 0"):
        PairScores(*sizes)


def test_no_rank_is_left_where_there_are_more_outputs_than_dimensions():
    with pytest.raises(RelvitError, match="rank"):
        PairScores(8, 9).factored()
