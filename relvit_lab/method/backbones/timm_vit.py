"""Beyond Table 1: a VisionTransformer of timm by its own name, as a backbone: `timm:vit_tiny_patch16_224`.

Nothing is downloaded: weights are fresh, or come from a file.
"""

import difflib
import functools

import timm
import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.backbones.base import Backbone, KnownWeights, TokenBackbone


class TimmViT(KnownWeights, VisionTransformer):
    """What create adds to a model of timm's."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W), float, normalised, to what timm's classifier reads, (B, D), and the patch tokens
        (B, N, D), without CLS and registers. Where timm has its last norm behind the pooling, it is applied to both."""
        z = self.forward_features(images)  # (B,prefix+N,D)
        return self.forward_head(z, pre_logits=True), self.fc_norm(z[:, self.num_prefix_tokens :])

    def timm_state_dict(self) -> dict[str, Tensor]:
        zeros = {} if self.pos_embed is None else {"pos_embed": self.pos_embed.detach().clone()}
        return super().timm_state_dict() | zeros  # which are no parameter, see create


def create(
    model: str, image_size: int, patch: int, pos_embed: bool = True, dropout: float = 0.0, drop_path: float = 0.0
) -> TokenBackbone:
    """timm's model of that name with fresh weights, no classification head, and the interface of a backbone.

    image_size, patch: in pixels. pos_embed, dropout, drop_path: as ViT has them.
    """
    vit = timm.create_model(
        model, pretrained=False, num_classes=0, img_size=image_size, pos_drop_rate=dropout, proj_drop_rate=dropout,
        drop_path_rate=drop_path,
    )  # fmt: skip
    # The object that timm made, of a class that has our forward in front: parameters keep timm's names.
    vit.__class__ = type("TimmViT", (TimmViT, type(vit)), {})
    if not pos_embed and vit.pos_embed is not None:
        # Zeros that are no parameter, for some versions of timm drop the CLS token of a model without pos_embed.
        zeros = torch.zeros_like(vit.pos_embed.detach())
        del vit.pos_embed
        vit.register_buffer("pos_embed", zeros, persistent=False)
    vit.dim, vit.image_size, vit.patch = vit.num_features, image_size, patch
    vit.side = vit.task_side = image_size // patch
    return vit


def knows(name: str) -> bool:
    """Whether timm has a model of that name, its tag included."""
    return timm.is_model(name.partition(".")[0])


@functools.cache
def entry(model: str) -> Backbone:
    """The registry entry of timm's model of that name. Raises RelvitError for an unknown one, naming the nearest, and
    for one that is no VisionTransformer over patches."""
    arch, _, tag = model.partition(".")
    if not timm.is_model(arch):
        near = difflib.get_close_matches(arch, timm.list_models(), n=1, cutoff=0.5)
        hint = f"did you mean 'timm:{near[0]}'?" if near else "timm.list_models('vit*') lists its vision transformers"
        raise RelvitError(f"timm has no model '{arch}': {hint}")
    if tag:
        raise RelvitError(
            f"'timm:{model}' names weights ('{tag}'), and none are downloaded: take 'timm:{arch}', and weights from a "
            "file with checkpoint"
        )
    with torch.random.fork_rng(devices=[]):  # a look at a model leaves the draws of the next one as they are
        try:
            vit = timm.create_model(arch, pretrained=False, num_classes=0, depth=1)  # one block: quick and small
        except Exception:  # other families raise what they like: depth is not a number there, or unknown
            vit = None
    embed = getattr(vit, "patch_embed", None)
    if not isinstance(vit, VisionTransformer) or not isinstance(embed, PatchEmbed):
        raise RelvitError(
            f"timm's '{arch}' is no VisionTransformer whose tokens are patches of the image{_reason(vit)}: take "
            "another, such as 'timm:vit_tiny_patch16_224'"
        )
    build = functools.partial(create, arch)
    return Backbone(f"timm:{arch}", build, image_size=embed.img_size[0], patch=embed.patch_size[0], label=arch)


INSIDE = ("rel_pos", "relative_position_bias_table", "rel_pos_h")  # of attentions that know where tokens lie
KNOWS = "so it knows where patches lie even without positional embeddings"


def _reason(model: object) -> str:
    """Why a model of timm cannot be used, where one can tell. model: of one block, or None where it has none."""
    blocks = getattr(model, "blocks", None)
    inside = (getattr(blocks[0], "attn", None) if isinstance(blocks, nn.Sequential | nn.ModuleList) else None, model)
    if getattr(model, "rope", None) is not None:
        return f" alone (each attention turns them by their place, RoPE, {KNOWS})"
    if any(getattr(part, name, None) is not None for part in inside for name in (*INSIDE, "shared_rel_pos")):
        return f" alone (each attention adds a bias for their relative positions, {KNOWS})"
    if isinstance(model, VisionTransformer):
        return f" (they come out of a {type(model.patch_embed).__name__}, which looks beyond each patch)"
    return "" if model is None else f" (its class is {type(model).__name__})"
