"""A wrong answer drawn beside the right one: what the student's own function gave, and where it differs."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

LARGEST = 64  # entries a side; nothing larger is drawn


@dataclass(frozen=True)
class Difference:
    """The outputs on one input. shown: the call in words. place: index of the first entry that differs from the right
    one; () for a number, or another shape; None where there is no difference."""

    shown: str
    arguments: tuple
    right: Any
    got: Any
    place: tuple[int, ...] | None

    def draw(self) -> Any:
        """Both outputs as a Drawing, entries that differ framed: matrices, rows of numbers, and images. Of more than
        two dimensions, the part in which the first difference lies. None where there is nothing to look at: a number, a
        text, another shape, or more than LARGEST entries a side."""
        if not self.place or isinstance(self.right, str):
            return None
        right, got = (torch.as_tensor(value).detach().cpu().double().numpy() for value in (self.right, self.got))
        images = right.ndim >= 3 and right.shape[-3] in (1, 3) and min(right.shape[-2:]) > 1
        part = self.place[: right.ndim - (3 if images else 2)] if right.ndim > 2 else ()
        right, got = right[part], got[part]
        if max(right.shape[-2:]) > LARGEST:
            return None
        if right.ndim == 1 and (side := math.isqrt(right.size)) > 2 and side * side == right.size:  # one entry a patch
            right, got = (values.reshape(side, side) for values in (right, got))  # (N,) -> (side,side)
        from relvit_lab.lessons.ask.difference_picture import drawn  # here: matplotlib is not needed for a right answer

        where = f", [{', '.join(map(str, part))}]" if part else ""
        return drawn(f"{self.shown}{where}", np.atleast_2d(right), np.atleast_2d(got))
