"""Weights from a file, as training programs write them."""

import argparse
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
