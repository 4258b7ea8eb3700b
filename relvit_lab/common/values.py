"""Values as papermill and a shell hand them over, brought to the type of their field and checked."""

import json
import math
import re
import types
import typing
from pathlib import Path

from relvit_lab.common.errors import RelvitError, nearest

CHOICES = {
    "scenario": ("supervised", "pretrain_finetune", "downstream_only"),
    "recipe": ("paper", "released"),
    "preset": ("paper", "demo", "smoke"),
    "image_crop": ("resized", "padded", "none"),
    "stop_after": ("pretrain", "finetune", "supervised", "supervised2", "joint"),
    "precision": ("auto", "float32", "bf16"),
    "compile": ("auto", "true", "false"),
    "data_source": ("packed", "files"),
    "train_on": ("train", "train+val"),
    "pair_head": ("scores", "mlp"),
    "drloc_form": ("paper", "released"),
}
RANGES = {  # inclusive
    "mega_patches": (1, 1024), "supervised_stages": (1, 2), "epochs": (1, 100_000), "batch_size": (1, 1_000_000),
    "lr": (0.0, 10.0), "weight_decay": (0.0, 10.0), "dropout": (0.0, 0.99), "drop_path": (0.0, 0.99),
    "clip": (0.0, 1e9), "train_images": (1, 10**9), "test_images": (1, 10**9), "image_size": (1, 4096),
    "patch_size": (1, 4096),
    "seed": (0, 2**31 - 1), "checkpoint_minutes": (0.0, 5.0), "label_fraction": (1e-9, 1.0),
    "knn": (1, 10_000),
}  # fmt: skip


def coerce(name: str, value: object, hint: object) -> object:
    """The value in the field's type. Raises RelvitError where it cannot be meant."""
    optional = typing.get_origin(hint) in (typing.Union, types.UnionType)
    if optional:
        hint = typing.get_args(hint)[0]
        if value is None:
            return None
        if (
            isinstance(value, str)
            and value.strip().lower() in ("", "none", "null")
            and value not in CHOICES.get(name, ())
        ):
            return None
        if name == "mega_patches" and str(value) == "0":
            return None
    try:
        if hint is bool:
            return _boolean(value)
        if typing.get_origin(hint) is tuple:
            return tuple(coerce(name, item, typing.get_args(hint)[0]) for item in _items(value))
        if "true" in CHOICES.get(name, ()):  # a choice beside yes and no
            return value if value in CHOICES[name] else _said(value)
        if isinstance(value, bool):
            raise ValueError
        if hint is int:
            number = float(value)
            if number != int(number):
                raise ValueError
            return int(value) if isinstance(value, int) else int(number)
        if hint is float:
            number = float(value)
            if not math.isfinite(number):
                raise ValueError
            return number
        if isinstance(value, (str, Path)):
            return str(value).strip()
        raise ValueError
    except (ValueError, TypeError, OverflowError):
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        raise RelvitError(f"{name} is {value!r}, but must be {kinds.get(hint, 'a list')}") from None


def _boolean(value: object) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    text = str(value).strip().lower()
    if not isinstance(value, (bool, int, str)) or text not in words:
        raise ValueError
    return words[text]


def _said(value: object) -> str:
    """ "true" or "false", where a value can be meant so; else as it is, for check to name the nearest."""
    try:
        return str(_boolean(value)).lower()
    except ValueError:
        if isinstance(value, str):
            return value.strip()
        raise


def _items(value: object) -> list:
    """A list from a list, a JSON list, or names joined by commas or plus signs."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        raise ValueError
    text = value.strip()
    if text.startswith("["):
        return list(json.loads(text))
    return [item.strip() for item in re.split(r"[,+]", text) if item.strip()]


def check(name: str, value: object) -> None:
    if name in CHOICES and value is not None and value not in CHOICES[name]:
        raise RelvitError(f"unknown {name} '{value}': {nearest(value, CHOICES[name])}")
    if name in RANGES and value is not None and not RANGES[name][0] <= value <= RANGES[name][1]:
        low, high = RANGES[name]
        raise RelvitError(f"{name} is {value}, but must be from {low:g} to {high:g}")
