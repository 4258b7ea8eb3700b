"""What a student's function gave, read as what is asked for: a tensor, a number. Each says what came instead."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from relvit_lab.lessons.ask.base import Mistake
from relvit_lab.lessons.ask.difference import Difference


def tensor(value: Any, shown: str, shape: tuple[int, ...] | None = None) -> Tensor:
    """The value, where it is a tensor, of this shape if one is given. `shown`: the call in words. Raises Mistake."""
    if not isinstance(value, Tensor):
        raise Mistake(f"{shown} should give a tensor, got {type(value).__name__}")
    if shape is not None and tuple(value.shape) != shape:
        raise Mistake(f"{shown} should have the shape {shape}, got {tuple(value.shape)}")
    return value


def tensor_or_list(value: Any, shown: str) -> Tensor:
    """The value as a tensor: lists and arrays are welcome. Raises Mistake."""
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return tensor(value, shown)


def number(value: Any, shown: str, asked: str = "a number") -> float:
    """The value as a float: a tensor of one number is welcome, a boolean is none. Raises Mistake."""
    if not isinstance(value, str | bytes | bool):
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError):
            pass
    what = repr(value)[:40] if isinstance(value, str | bool) else f"a {type(value).__name__}"
    raise Mistake(f"{shown} should be {asked}, got {what}")


def numbers(value: Any, shown: str) -> list[float]:
    """The values of a list, a tuple or a tensor as floats. Raises Mistake."""
    try:
        return [float(each) for each in value]
    except (TypeError, ValueError):
        raise Mistake(f"{shown} should give numbers, one after another, got {str(value)[:60]}") from None


def name_mistake(known: Mapping[str, object], difference: Difference | None = None) -> None:
    """Raise Mistake with the first text whose condition holds. difference: what is drawn with it."""
    for says, holds in known.items():
        if holds:
            raise Mistake(says, difference)
