"""The heads against loops over i, j and k, their sizes, and what they do to a permutation."""

import math

import pytest
import torch
from torch import nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.method import heads
from relvit_lab.method.heads import PAIR_HEADS, PairMLP, PairScores, TokenScores

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


# -- the peer's head, and chosen pairs -----------------------------------------------------------------------------


def concatenated(head, z):
    """The peer's MLP, one real concatenated pair after the other."""
    out = torch.empty(len(z), head.outputs, z.shape[1], z.shape[1])
    for b in range(len(z)):
        for i in range(z.shape[1]):
            for j in range(z.shape[1]):
                hidden = torch.cat([z[b, i], z[b, j]])
                for layer in (head.fc1, head.fc2):
                    hidden = (layer.weight @ hidden + layer.bias).clamp(min=0)
                out[b, :, i, j] = head.fc3.weight @ hidden + head.fc3.bias
    return out


def test_pair_mlp_is_the_mlp_on_concatenated_pairs(z):
    head = PairMLP(D, K, hidden=16)
    slow = concatenated(head, z)
    assert (slow - slow.mT).abs().max() > 0.01  # so that i and j cannot change places unseen
    assert head(z).shape == (B, K, N, N)
    torch.testing.assert_close(head(z), slow)


def test_pair_mlp_has_the_published_sizes():
    with torch.device("meta"):
        head = PairMLP(768, 2)
    shapes = [tuple(p.shape) for p in head.parameters()]
    assert shapes == [(512, 1536), (512,), (512, 512), (512,), (2, 512), (2,)]


def test_pair_mlp_in_blocks_of_images(z, monkeypatch):
    head = PairMLP(D, K, hidden=16).double()
    z = z.double().repeat(3, 1, 1).requires_grad_()  # 6 images

    def gradients():
        return torch.autograd.grad(head(z).square().sum(), [z, *head.parameters()])

    whole, expected, calls = head(z), gradients(), []
    monkeypatch.setattr(heads, "BLOCK", 2 * N * N * 16)  # two images
    all_pairs = head._all_pairs
    monkeypatch.setattr(head, "_all_pairs", lambda part: calls.append(len(part)) or all_pairs(part), raising=False)
    torch.testing.assert_close(head(z), whole)
    assert calls == [2, 2, 2]
    torch.testing.assert_close(gradients(), expected)
    assert calls == [2, 2, 2] * 3  # hidden layers are computed again in the backward pass
    with torch.no_grad():
        torch.testing.assert_close(head(z), whole)
    monkeypatch.setattr(heads, "BLOCK", 1)  # less than an image: one at a time
    torch.testing.assert_close(head(z), whole)


@pytest.mark.parametrize("head", [PairScores(D, K), PairScores(D, K, 4), PairMLP(D, K, 16)], ids=repr)
class TestPairHeads:
    def test_chosen_pairs_are_those_of_all(self, head, z):
        pairs = torch.tensor([[[0, 1], [1, 0], [2, 2]], [[4, 3], [4, 3], [0, 4]]])  # twice the same, too
        all_of_them, chosen = head(z), head.pairs(z, pairs)
        assert chosen.shape == (B, 3, K)
        for b in range(B):
            for m, (i, j) in enumerate(pairs[b].tolist()):
                torch.testing.assert_close(chosen[b, m], all_of_them[b, :, i, j])

    def test_chosen_pairs_see_no_other_token(self, head, z):
        z.requires_grad_()
        head.pairs(z, torch.tensor([[[0, 1]], [[3, 3]]])).sum().backward()
        assert z.grad.abs().sum(-1).bool().tolist() == [[True, True, False, False, False], [False] * 3 + [True, False]]

    def test_they_follow_a_permutation(self, head, z):
        p = torch.tensor([3, 0, 4, 1, 2])
        torch.testing.assert_close(head(z[:, p]), head(z)[:, :, p][..., p])

    def test_bfloat16(self, head, z):
        with torch.autocast("cpu", torch.bfloat16):
            rounded, chosen = head(z), head.pairs(z, torch.tensor([[[1, 2]], [[0, 3]]]))
        torch.testing.assert_close(rounded.float(), head(z), atol=0.05, rtol=0.05)
        torch.testing.assert_close(chosen[1, 0].float(), head(z)[1, :, 0, 3], atol=0.05, rtol=0.05)


def test_gradients_of_the_pair_mlp(z):
    head, z = PairMLP(D, K, 8).double(), z.double()[:1, :3].requires_grad_()
    assert torch.autograd.gradcheck(head, z)
    assert torch.autograd.gradcheck(lambda z: head.pairs(z, torch.tensor([[[0, 2], [1, 1]]])), z)


def test_heads_by_name():
    assert {name: type(head(D, 2)) for name, head in PAIR_HEADS.items()} == {"scores": PairScores, "mlp": PairMLP}


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


@pytest.mark.parametrize("sizes", [(0, 9), (8, 0), (8, 9, 0)])
def test_sizes_of_the_pair_mlp_below_one(sizes):
    with pytest.raises(RelvitError, match="of PairMLP is at least 1, not 0"):
        PairMLP(*sizes)


def test_no_rank_is_left_where_there_are_more_outputs_than_dimensions():
    with pytest.raises(RelvitError, match="rank"):
        PairScores(8, 9).factored()
