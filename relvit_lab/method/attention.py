"""Section 3, eq. 2: how much each token looks at each other one in the blocks of a backbone; attention layer by layer.

Not the attention scores of section 3.2: those come from a head, behind the last block, and have no softmax over j.
B images, T tokens (the patches behind CLS and what else comes before them), d dimensions of a head.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from relvit_lab.common.errors import RelvitError


def without_maps(backbone: nn.Module) -> str:
    """Why a backbone has no attention maps over all tokens; "" where it has: a vision transformer of timm's parts."""
    from timm.models.vision_transformer import Attention, VisionTransformer  # late: takes seconds to import

    if not isinstance(backbone, VisionTransformer):
        return f"{type(backbone).__name__} has no attention of every token to every other in each block"
    kinds = {type(getattr(block, "attn", None)).__name__ for block in backbone.blocks}
    if kinds != {Attention.__name__}:
        return f"its blocks have an attention of their own ({', '.join(sorted(kinds))})"
    return ""


def _attentions(vit: Any) -> list[Any]:
    """Of each block; timm's, which have no types."""
    return [block.attn for block in vit.blocks]


@contextmanager
def recorded(backbone: nn.Module) -> Iterator[list[Tensor]]:
    """While it is open, each forward pass adds the attention of each block to a list: (B, heads, T, T) float32.

    [b, h, i, j] is how much token i looks at token j: each row sums to 1. The first backbone.num_prefix_tokens tokens
    are CLS (and registers), the patches follow. forward uses a fused kernel that never holds these maps, so they are
    computed once more from the queries and keys of each block, without gradient; weights, mode and output of the model
    stay as they were. Raises RelvitError for a backbone that has none, see without_maps.
    """
    if reason := without_maps(backbone):
        raise RelvitError(f"no attention maps: {reason}; vit_* and timm:vit_* have them")
    maps: list[Tensor] = []
    queries: list[Tensor] = []

    def keep_keys(_: nn.Module, __: tuple, k: Tensor, scale: float) -> None:
        with torch.no_grad():  # (B,heads,T,d) (B,heads,d,T) -> (B,heads,T,T)
            maps.append(((queries.pop() * scale) @ k.mT).float().softmax(-1))

    hooks = []
    for attention in _attentions(backbone):  # behind q_norm and k_norm, which do nothing in most models
        hooks.append(attention.q_norm.register_forward_hook(lambda _, __, q: queries.append(q)))
        hooks.append(attention.k_norm.register_forward_hook(partial(keep_keys, scale=attention.scale)))
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def attention_maps(backbone: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    """The attention of each block: (B, heads, T, T) float32, as `recorded` has it.

    images: (B, 3, H, W) float, normalised. Dropout acts as the model's mode says: call eval() before. Raises
    RelvitError as `recorded` does.
    """
    with recorded(backbone) as maps:
        backbone(images)
    return tuple(maps)
