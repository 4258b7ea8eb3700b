"""§4.2: which of a file's weights are the backbone's, and positional embeddings of another image size."""

import math
from collections.abc import Mapping

from torch import Tensor

HEADS = (  # what stands on a backbone, and what only pre-training needs (MAE, iBOT, DINO v2), as programs name it
    "head.", "head_dist.", "heads.", "classifier.", "fc.", "dino_head.", "ibot_head.", "decoder", "mask_token",
)  # fmt: skip


def backbone_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone's part of a model's weights, names as the backbone has them: those under `backbone.` where there
    are any, else all but the heads'. {} where nothing is left."""
    own = {name.removeprefix("backbone."): value for name, value in weights.items() if name.startswith("backbone.")}
    return {name: value for name, value in (own or weights).items() if not name.startswith(HEADS)}


def resized_pos_embed(pos_embed: Tensor, side: int, tokens: int) -> Tensor | None:
    """Positional embeddings (1, T, D) of a square grid for a grid of side x side, as timm resamples them (bicubic, with
    antialiasing), those of CLS and its like as they are. tokens: side^2 and those. None where the grid is no square."""
    from timm.layers import resample_abs_pos_embed  # late: seconds

    prefix = tokens - side**2
    patches = pos_embed.shape[1] - prefix
    if pos_embed.ndim != 3 or prefix < 0 or patches < 1 or math.isqrt(patches) ** 2 != patches:
        return None
    return resample_abs_pos_embed(pos_embed, [side, side], num_prefix_tokens=prefix)
