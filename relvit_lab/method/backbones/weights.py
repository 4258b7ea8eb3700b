"""§4.2: weights from a file: a run's own, published ones, or those of another program."""

import argparse
import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.paths import resolve

NESTED = (  # an average of weights comes first: DINO's teacher is one of its student
    "state_dict_ema", "model_ema", "teacher", "state_dict", "model_state_dict", "model", "student",
)  # fmt: skip
WRAPPERS = ("module.", "_orig_mod.")  # DistributedDataParallel, torch.compile
HEADS = (  # what stands on a backbone, and what only pre-training needs (MAE, iBOT, DINO v2), as programs name it
    "head.", "head_dist.", "heads.", "classifier.", "fc.", "dino_head.", "ibot_head.", "decoder", "mask_token",
)  # fmt: skip


def read_weights(file: str | Path) -> dict[str, Tensor]:
    """The weights in a .safetensors file, or in any other file as torch.save writes it: name to tensor, on the CPU.

    A torch file is read with weights_only, so that none of its code runs. Weights that lie one level down (under
    state_dict_ema, state_dict, model, ...) are found; of DINO's two networks it is the teacher's that are taken. The
    prefixes `module.` (DistributedDataParallel) and `_orig_mod.` (torch.compile) are taken off.
    file: relative to the project root. Raises RelvitError where it is missing, damaged or holds anything else.
    """
    file = resolve(file)
    if not file.is_file():
        raise RelvitError(f"there is no file of weights {file}: name a .safetensors file or one written by torch.save")
    try:
        content = _read(file)
    except Exception as error:  # safetensors, zip and pickle raise some ten kinds between them
        raise RelvitError(_explain(file, error)) from None
    if isinstance(content, Mapping):
        content = next((content[name] for name in NESTED if isinstance(content.get(name), Mapping)), content)
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise RelvitError(f"{file} holds no weights by name: write model.state_dict() to a file with torch.save")
    return {_unwrapped(str(name)): value for name, value in content.items()}


def _unwrapped(name: str) -> str:
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    return name


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


def _read(file: Path) -> object:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    with torch.serialization.safe_globals([argparse.Namespace]):  # training scripts save their options beside weights
        return torch.load(file, map_location="cpu", weights_only=True)


def _explain(file: Path, error: Exception) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
    if found:
        return (
            f"{file} holds Python objects ({found[1]}) beside weights, and reading those could run any code: write "
            "model.state_dict() alone to a file with torch.save"
        )
    if isinstance(error, OSError):
        return f"the weights {file} cannot be read: {error.strerror or error}"
    return f"the weights {file} cannot be read: the file is damaged, or neither safetensors nor of torch.save"
