"""Section 3, eq. 1-4: the vision transformer, of timm's parts.

B images, N patches of P x P pixels on a grid of side x side, D dimensions, L blocks.
"""

from functools import partial

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn


class ViT(VisionTransformer):
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
            img_size=image_size,
            patch_size=patch,
            num_classes=0,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            mlp_ratio=4,
            qkv_bias=True,
            class_token=True,
            pos_embed="learn" if pos_embed else "none",
            pos_drop_rate=dropout,
            proj_drop_rate=dropout,
            drop_path_rate=drop_path,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )
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

    @torch.no_grad()
    def attention(self, images: Tensor) -> Tensor:
        """The attention maps of all blocks: (B, L, heads, 1 + N, 1 + N), softmaxed: each row sums to 1.

        [b, l, h, i, j] is how much token i looks at token j; token 0 is CLS. forward uses a fused kernel that never
        holds them, so they are computed here once more, from each block's queries and keys. No gradient; weights, mode
        and output of the model stay as they were, and dropout acts as its mode says: call eval() before.
        """
        maps = []

        def keep(qkv_layer: nn.Module, _, qkv: Tensor, heads: int) -> None:
            b, n, width = qkv.shape
            q, k, _ = qkv.reshape(b, n, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)  # 3 of (B,heads,1+N,d)
            scores = (q * q.shape[-1] ** -0.5) @ k.mT  # (B,heads,1+N,d) (B,heads,d,1+N) -> (B,heads,1+N,1+N)
            maps.append(scores.float().softmax(-1))

        hooks = [
            block.attn.qkv.register_forward_hook(partial(keep, heads=block.attn.num_heads)) for block in self.blocks
        ]
        try:
            self.forward_features(images)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack(maps, dim=1)  # L of (B,heads,1+N,1+N) -> (B,L,heads,1+N,1+N)

    def timm_state_dict(self) -> dict[str, Tensor]:
        """The weights for timm: create_model("vit_small_patch16_224", img_size=.., patch_size=.., num_classes=0) loads
        them with strict=True, and gives the same feature.

        Without positional embedding the dict holds one of zeros, which is the same function (some versions of timm,
        1.0.20 among them, drop the CLS token of a model made with pos_embed="none").
        """
        state = {name: value.detach().clone() for name, value in self.state_dict().items()}
        if self.pos_embed is None:
            state["pos_embed"] = self.cls_token.new_zeros(1, 1 + self.side**2, self.dim)
        return state
