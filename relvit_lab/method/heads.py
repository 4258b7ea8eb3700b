"""Section 3.2, eq. 8 and 9: the heads, from tokens to what a task predicts; and the head of Table 3's peer.

B images, N tokens each of dimension D, K outputs; r is the rank of a factored head, m the number of chosen pairs.
PairScores and PairMLP take the same tokens to the same shapes, so that one can stand in for the other.
"""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from relvit_lab.common.errors import RelvitError

BLOCK = 2**24  # values of one hidden layer, of all pairs, held at a time (64 MiB in float32)


def _check_sizes(kind: str, **sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise RelvitError(f"{name} of {kind} is at least 1, not {size}")


def _both(z: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens i and j of each pair: (B, N, D) and (B, m, 2) int64 to two (B, m, D)."""
    image = torch.arange(len(z), device=z.device)[:, None]  # (B,1)
    return z[image, pairs[..., 0]], z[image, pairs[..., 1]]


class PairScores(nn.Module):
    """Eq. 8: K attention scores for every pair of tokens, a_k = z W_k z^T / sqrt(D).

    dim: D. outputs: K. rank: None for full W_k (D x D), as in the text; r for W_k = Q_k K_k^T with factors of D x r and
    a_k = z Q_k (z K_k)^T / sqrt(r): the scores of ordinary multi-head attention, before its softmax.
    Weights start as those of nn.Linear(D, ., bias=False). Raises RelvitError for a size below 1.
    """

    def __init__(self, dim: int, outputs: int, rank: int | None = None):
        super().__init__()
        _check_sizes("PairScores", dim=dim, outputs=outputs, rank=1 if rank is None else rank)
        self.dim, self.outputs, self.rank = dim, outputs, rank
        if rank is None:
            self.w = nn.Linear(dim, outputs * dim, bias=False)  # all K matrices W_k side by side
            self.scale = 1 / math.sqrt(dim)
        else:
            self.q = nn.Linear(dim, outputs * rank, bias=False)
            self.k = nn.Linear(dim, outputs * rank, bias=False)
            self.scale = 1 / math.sqrt(rank)

    def forward(self, z: Tensor) -> Tensor:
        """Tokens (B, N, D) to scores (B, K, N, N), any float; [b, k, i, j] is z_i W_k z_j^T / sqrt(D).

        i comes first, as in spatial_relations' [i, j]: where i lies seen from j.
        """
        b, n, _ = z.shape
        if self.rank is None:
            zw = self.w(z).reshape(b, n * self.outputs, self.dim)  # (B,N,K*D) -> (B,N*K,D): a view, z is never copied
            scores = zw @ (z * self.scale).mT  # (B,N*K,D) (B,D,N) -> (B,N*K,N)
            return scores.reshape(b, n, self.outputs, n).transpose(1, 2)  # -> (B,N,K,N) -> (B,K,N,N)
        q = self.q(z).reshape(b, n, self.outputs, self.rank).transpose(1, 2)  # (B,N,K*r) -> (B,K,N,r)
        k = self.k(z).reshape(b, n, self.outputs, self.rank).transpose(1, 2)  # (B,N,K*r) -> (B,K,N,r)
        return (q * self.scale) @ k.mT  # (B,K,N,r) (B,K,r,N) -> (B,K,N,N)

    def largest(self, n: int) -> int:
        """The values of its largest tensor for one image of n tokens: z W_k, or the scores."""
        return self.outputs * n * max(n, self.dim if self.rank is None else self.rank)

    def pairs(self, z: Tensor, pairs: Tensor) -> Tensor:
        """The scores of chosen pairs alone: tokens (B, N, D) and pairs (B, m, 2) int64, (i, j), to (B, m, K)."""
        first, second = _both(z, pairs)
        b, m, _ = first.shape
        if self.rank is None:
            q, k = self.w(first).reshape(b, m, self.outputs, self.dim), second[:, :, None]  # (B,m,K,D), (B,m,1,D)
        else:
            q = self.q(first).reshape(b, m, self.outputs, self.rank)  # (B,m,K*r) -> (B,m,K,r)
            k = self.k(second).reshape(b, m, self.outputs, self.rank)
        return (q * k).sum(-1) * self.scale  # (B,m,K,d) -> (B,m,K)

    def matrices(self) -> Tensor:
        """The scaled W_k: (K, D, D) such that the scores of output k are z @ matrices()[k] @ z.T."""
        if self.rank is None:
            return self.w.weight.reshape(self.outputs, self.dim, self.dim).mT * self.scale  # (K*D,D) -> (K,D,D)
        q = self.q.weight.reshape(self.outputs, self.rank, self.dim)  # (K*r,D) -> (K,r,D)
        k = self.k.weight.reshape(self.outputs, self.rank, self.dim)
        return q.mT @ k * self.scale  # (K,D,r) (K,r,D) -> (K,D,D)

    def factored(self, rank: int | None = None) -> "PairScores":
        """A new head of the same sizes in the two-factor form, freshly initialised.

        rank: None for D // K, as the released code has it (without its v, which nothing uses). Distances and angles,
        K = 1, then have rank D: more weights than the full W.
        """
        return PairScores(self.dim, self.outputs, self.dim // self.outputs if rank is None else rank)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, outputs={self.outputs}, rank={self.rank}"


class PairMLP(nn.Module):
    """The peer's head (Liu et al., NeurIPS 2021): an MLP on two tokens side by side, 2D -> hidden -> hidden -> K, ReLU.

    dim: D. outputs: K. hidden: of both hidden layers. For all pairs it costs N * N * hidden^2 multiplications an image
    (the attention scores: K * N * D * (D + N)), which is why the peer trains on a few pairs.
    Raises RelvitError for a size below 1.
    """

    def __init__(self, dim: int, outputs: int, hidden: int = 512):
        super().__init__()
        _check_sizes("PairMLP", dim=dim, outputs=outputs, hidden=hidden)
        self.dim, self.outputs, self.hidden = dim, outputs, hidden
        self.fc1 = nn.Linear(2 * dim, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, outputs)

    def forward(self, z: Tensor) -> Tensor:
        """Tokens (B, N, D) to (B, K, N, N), any float; [b, k, i, j] is output k for the pair (e_i, e_j).

        In blocks of images; where there are several, hidden layers are computed again in the backward pass, not kept:
        for 256 images of 64 tokens one of them takes 2 GiB.
        """
        parts = z.split(max(1, BLOCK // (z.shape[1] ** 2 * self.hidden)))
        if len(parts) == 1 or not torch.is_grad_enabled():
            return torch.cat([self._all_pairs(part) for part in parts])
        # nothing is drawn in here, so no state of a generator is kept
        again = partial(checkpoint, self._all_pairs, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([again(part) for part in parts])

    def _all_pairs(self, z: Tensor) -> Tensor:
        # W [e_i; e_j] = W_1 e_i + W_2 e_j: each half once for each token, not once for each pair
        first = F.linear(z, self.fc1.weight[:, : self.dim], self.fc1.bias)  # (B,N,D) -> (B,N,h)
        second = F.linear(z, self.fc1.weight[:, self.dim :])
        hidden = (first[:, :, None] + second[:, None]).relu_()  # (B,N,1,h) (B,1,N,h) -> (B,N,N,h)
        return self.fc3(self.fc2(hidden).relu_()).permute(0, 3, 1, 2)  # (B,N,N,K) -> (B,K,N,N)

    def pairs(self, z: Tensor, pairs: Tensor) -> Tensor:
        """The outputs for chosen pairs alone: tokens (B, N, D) and pairs (B, m, 2) int64, (i, j), to (B, m, K)."""
        hidden = self.fc1(torch.cat(_both(z, pairs), dim=-1)).relu_()  # (B,m,D) (B,m,D) -> (B,m,2D) -> (B,m,h)
        return self.fc3(self.fc2(hidden).relu_())  # (B,m,h) -> (B,m,K)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, outputs={self.outputs}, hidden={self.hidden}"


PAIR_HEADS: dict[str, type[PairScores] | type[PairMLP]] = {"scores": PairScores, "mlp": PairMLP}
"""The heads that can stand in for one another, by the name that a run's pair_head gives them."""


class TokenScores(nn.Module):
    """Eq. 9: K scores for every token, z W + b. dim: D. outputs: K."""

    def __init__(self, dim: int, outputs: int):
        super().__init__()
        self.fc = nn.Linear(dim, outputs)

    def forward(self, z: Tensor) -> Tensor:
        """Tokens (B, N, D) to scores (B, N, K)."""
        return self.fc(z)
