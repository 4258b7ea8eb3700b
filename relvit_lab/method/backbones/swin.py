"""§4.1, Table 1: Swin-T (Liu et al., ICCV 2021), timm's.

B images, N tokens on a grid of side x side (image side / 32), D dimensions, after four stages of shifted windows.
"""

import re
from collections.abc import Mapping

from timm.models.swin_transformer import SwinTransformer
from torch import Tensor

from relvit_lab.method.backbones.base import KnownWeights


class Swin(KnownWeights, SwinTransformer):
    """timm's SwinTransformer (its parameters, names and initialisation) that gives its tokens as well.

    image_size: in pixels, a multiple of 32. At 224 each stage divides into windows of 7 x 7; at other sizes timm fills
    up the last window with zeros, and a grid smaller than a window is one window. width: D / 8. depths, heads: of the
    four stages. dropout: of each attention's output and of both layers of each MLP (timm's proj_drop). drop_path:
    stochastic depth, rising linearly to this rate in the last block. Both act in training only. patch: 32, for the
    interface: the pixels from one token to the next.
    """

    timm_head = "head.fc"  # where timm has its classifier

    def __init__(
        self,
        image_size: int,
        patch: int = 32,
        width: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ):
        super().__init__(
            img_size=image_size, patch_size=4, num_classes=0, embed_dim=width, depths=depths, num_heads=heads,
            window_size=7, proj_drop_rate=dropout, drop_path_rate=drop_path,
        )  # fmt: skip
        self.dim, self.image_size, self.patch = self.num_features, image_size, patch
        self.side = self.task_side = image_size // patch

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W), float, normalised, to the mean token (B, D) and the tokens (B, N, D), after the norm."""
        tokens = self.forward_features(images).flatten(1, 2)  # (B,side,side,D) -> (B,N,D)
        return tokens.mean(1), tokens

    def before_norm(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The same with the tokens as they are before the last norm: norm(tokens) are those of forward."""
        tokens = self.layers(self.patch_embed(images)).flatten(1, 2)  # (B,side,side,D) -> (B,N,D)
        return self.norm(tokens).mean(1), tokens

    def from_published(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights under the names of Swin's published checkpoints (or already under timm's), named as here.

        The published ones keep tables that follow from the sizes, and merge patches at the end of a stage, timm at the
        start of the next.
        """
        computed = ("relative_position_index", "attn_mask")
        weights = {name: value for name, value in weights.items() if not name.endswith(computed)}
        if not any(name.startswith("layers.0.downsample.") for name in weights):
            return weights

        def renamed(name: str) -> str:
            return re.sub(r"^layers\.(\d+)\.downsample\.", lambda n: f"layers.{int(n[1]) + 1}.downsample.", name)

        return {renamed(name): value for name, value in weights.items()}
