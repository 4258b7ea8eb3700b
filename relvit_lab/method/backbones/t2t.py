"""§4.1, Table 1: T2T-ViT-14 (Yuan et al., ICCV 2021), with the parameter names of its published checkpoints.

B images, N tokens on a grid of side x side (image side / 16), D dimensions. Three soft splits cut overlapping windows,
4, 2 and 2 pixels or tokens apart; a token performer mixes the tokens after each of the first two. The windows at the
border hold zeros for what lies outside, so position can be read from the tokens even before E_pos is added.
"""

import math
from functools import partial

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from relvit_lab.method.backbones.base import TokenBackbone


class T2T(TokenBackbone):
    """A T2T-ViT without classification head, which gives its tokens as well.

    image_size: in pixels, a multiple of 16. dim: D. depth, heads: of the transformer, whose MLPs are 3 D wide.
    token_dim: width of the token performers. dropout: in the token performers only. drop_path: stochastic depth, rising
    linearly to this rate in the last block. Both act in training only. patch: 16, for the interface.
    """

    def __init__(
        self,
        image_size: int,
        patch: int = 16,
        dim: int = 384,
        depth: int = 14,
        heads: int = 6,
        token_dim: int = 64,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.dim, self.image_size, self.patch, self.side = dim, image_size, patch, image_size // patch
        self.task_side = (self.side + 1) // 2  # tasks see them averaged, two grid steps apart: 7 x 7 of 14 x 14
        self.tokens_to_token = TokensToToken(dim, token_dim, dropout)
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.pos_embed = nn.Parameter(sinusoid(1 + self.side**2, dim), requires_grad=False)
        block = partial(Block, dim, heads, mlp_ratio=3, qkv_bias=False, norm_layer=partial(nn.LayerNorm, eps=1e-5))
        self.blocks = nn.Sequential(*(block(drop_path=drop_path * i / max(1, depth - 1)) for i in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def forward_features(self, images: Tensor) -> Tensor:
        """Eq. 1-4, for all tokens: images (B, 3, H, W) to (B, 1 + N, D), the CLS token first."""
        x = self.tokens_to_token(images)  # (B,3,H,W) -> (B,N,D)
        z = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)  # (B,1,D) (B,N,D) -> (B,1+N,D)
        return self.norm(self.blocks(z + self.pos_embed))  # E_pos is (1,1+N,D)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W), float, normalised, to the CLS token (B, D) and the tokens (B, N, D), after the norm."""
        z = self.forward_features(images)
        return z[:, 0], z[:, 1:]

    def no_weight_decay(self) -> set[str]:
        """The parameters that weight decay spares, as timm's models name theirs; E_pos is not trained."""
        return {"cls_token"}


class TokensToToken(nn.Module):
    """Images (B, 3, H, W) to tokens (B, N, D)."""

    def __init__(self, dim: int, token_dim: int, dropout: float):
        super().__init__()
        self.attention1 = TokenPerformer(3 * 7 * 7, token_dim, dropout)
        self.attention2 = TokenPerformer(token_dim * 3 * 3, token_dim, dropout)
        self.project = nn.Linear(token_dim * 3 * 3, dim)

    def forward(self, images: Tensor) -> Tensor:
        x = _soft_split(images, kernel=7, stride=4, padding=2)  # (B,3,H,W) -> (B,HW/16,147)
        x = _as_grid(self.attention1(x))  # -> (B,d,H/4,W/4)
        x = _soft_split(x, kernel=3, stride=2, padding=1)  # -> (B,HW/64,9d)
        x = _as_grid(self.attention2(x))  # -> (B,d,H/8,W/8)
        return self.project(_soft_split(x, kernel=3, stride=2, padding=1))  # (B,HW/256,9d) -> (B,N,D)


class TokenPerformer(nn.Module):
    """One transformer layer whose attention costs O(N): softmax approximated by m positive random features.

    Tokens (B, N, width) to (B, N, d), float32 also under autocast: its exponentials and quotients are what gave NaN in
    half precision. w (m, d): orthogonal rows of length sqrt(m), drawn once, never trained, part of a checkpoint.
    """

    def __init__(self, width: int, dim: int, dropout: float):
        super().__init__()
        m = dim // 2
        self.kqv = nn.Linear(width, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.Dropout(dropout))
        self.drop = nn.Dropout(dropout)
        self.w = nn.Parameter(nn.init.orthogonal_(torch.empty(m, dim)) * math.sqrt(m), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(torch.promote_types(x.dtype, torch.float32))  # float64 stays
            k, q, v = self.kqv(self.norm1(x)).chunk(3, dim=-1)  # (B,N,3d) -> 3 of (B,N,d)
            k, q = self.random_features(k), self.random_features(q)
            total = q @ k.sum(1, keepdim=True).mT  # (B,N,m) (B,m,1) -> (B,N,1): softmax's denominator
            y = q @ (k.mT @ v) / (total + 1e-8)  # (B,N,m) [(B,m,N) (B,N,d) -> (B,m,d)] -> (B,N,d)
            x = v + self.drop(self.proj(y))  # v, not x, for the width changes
            return x + self.mlp(self.norm2(x))

    def random_features(self, x: Tensor) -> Tensor:
        """(B, N, d) to (B, N, m), all positive: their products average to exp(x . y) over draws of w."""
        m = len(self.w)
        return torch.exp(x @ self.w.T - x.square().sum(-1, keepdim=True) / 2) / math.sqrt(m)


def sinusoid(positions: int, dim: int) -> Tensor:
    """E_pos (1, positions, dim), float32, dim even: [0, p, 2i] = sin(p / 10000^(2i / dim)), [0, p, 2i + 1] its cos."""
    p = torch.arange(positions, dtype=torch.float64)[:, None]
    angles = p / 10000 ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)  # (positions,1) (dim/2) -> (.., dim/2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[None].float()  # (..,dim/2,2) -> (1,..,dim)


def _soft_split(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """(B, C, H, W) to (B, N, C * kernel^2): each token is a window, channel by channel; zeros outside the image."""
    return F.unfold(x, kernel, stride=stride, padding=padding).mT


def _as_grid(x: Tensor) -> Tensor:
    side = math.isqrt(x.shape[1])
    return x.mT.unflatten(2, (side, side))  # (B,N,d) -> (B,d,side,side)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
