"""Section 3, eq. 1-4: the vision transformer, of timm's parts.

B images, N patches of P x P pixels on a grid of side x side, D dimensions, L blocks.
"""

from functools import partial

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from relvit_lab.method.backbones.base import KnownWeights


class ViT(KnownWeights, VisionTransformer):
    """timm's VisionTransformer (its parameters, names and initialisation) that gives its tokens as well.

    image_size, patch: in pixels, the first a multiple of the second. dim: D. depth: L. heads: of each attention.
    pos_embed: False leaves E_pos of eq. 1 out, parameter and all: the model then does not know where a patch lies.
    dropout: of the embedded tokens, of each attention's output and of both layers of each MLP (timm's pos_drop and
    proj_drop), but not of the attention maps. drop_path: stochastic depth, rising linearly to this rate in the last
    block. Both act in training only.
    """

    def __init__(
        self,
        image_size: int,
        patch: int,
        dim: int,
        depth: int,
        heads: int,
        pos_embed: bool = True,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ):
        super().__init__(
            img_size=image_size, patch_size=patch, num_classes=0, embed_dim=dim, depth=depth, num_heads=heads,
            mlp_ratio=4, qkv_bias=True, class_token=True, pos_embed="learn" if pos_embed else "none",
            pos_drop_rate=dropout, proj_drop_rate=dropout, drop_path_rate=drop_path,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )  # fmt: skip
        self.dim, self.image_size, self.patch = dim, image_size, patch
        self.side = self.task_side = image_size // patch

    def forward_features(self, images: Tensor) -> Tensor:
        """Eq. 1-4, for all tokens: images (B, 3, H, W) to (B, 1 + N, D), the CLS token first."""
        x = self.patch_embed(images)  # x_p E: (B,3,H,W) -> (B,N,D)
        z = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)  # (B,1,D) (B,N,D) -> (B,1+N,D)
        if self.pos_embed is not None:
            z = z + self.pos_embed  # E_pos is (1,1+N,D)
        z = self.blocks(self.pos_drop(z))  # eq. 2, 3 (whose second MSA is the MLP)
        return self.norm(z)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W), float, normalised, to the feature y (B, D) of eq. 4 (CLS) and the tokens (B, N, D)."""
        z = self.forward_features(images)
        return z[:, 0], z[:, 1:]

    def timm_state_dict(self) -> dict[str, Tensor]:
        """See KnownWeights. Without positional embedding there is one of zeros, which is the same function: some
        versions of timm, 1.0.20 among them, drop the CLS token of a model made with pos_embed="none"."""
        zeros = self.cls_token.new_zeros(1, 1 + self.side**2, self.dim)
        return super().timm_state_dict() | ({} if self.pos_embed is not None else {"pos_embed": zeros})
