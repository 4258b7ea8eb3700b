"""Section 3.2, eq. 8 and 9: the heads, from tokens to what a task predicts.

B images, N tokens each of dimension D, K outputs; r is the rank of a factored head.
"""

import math

from torch import Tensor, nn

from relvit_lab.errors import RelvitError


class PairScores(nn.Module):
    """Eq. 8: K attention scores for every pair of tokens, a_k = z W_k z^T / sqrt(D).

    dim: D. outputs: K. rank: None for full W_k (D x D), as in the text; r for W_k = Q_k K_k^T with factors of D x r and
    a_k = z Q_k (z K_k)^T / sqrt(r): the scores of ordinary multi-head attention, before its softmax.
    Weights start as those of nn.Linear(D, ., bias=False). Raises RelvitError for a size below 1.
    """

    def __init__(self, dim: int, outputs: int, rank: int | None = None):
        super().__init__()
        for name, size in {"dim": dim, "outputs": outputs, "rank": 1 if rank is None else rank}.items():
            if size < 1:
                raise RelvitError(f"{name} of PairScores is at least 1, not {size}")
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


class TokenScores(nn.Module):
    """Eq. 9: K scores for every token, z W + b. dim: D. outputs: K."""

    def __init__(self, dim: int, outputs: int):
        super().__init__()
        self.fc = nn.Linear(dim, outputs)

    def forward(self, z: Tensor) -> Tensor:
        """Tokens (B, N, D) to scores (B, N, K)."""
        return self.fc(z)
