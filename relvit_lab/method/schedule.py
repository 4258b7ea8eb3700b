"""§4.1: AdamW, the learning rate set at each step, and what weight decay applies to."""

import math
from typing import Any

import torch
from torch import nn

RELEASED_END = 1.25e-6  # where the released code's schedule ends


def learning_rate(step: int, steps: int, peak: float, recipe: str = "paper") -> float:
    """The rate of a step (from 0) of `steps`: linear warm-up over the first tenth, then a cosine.

    "paper": warm-up ends in `peak`, then half a cosine to 0. "released": warm-up starts from 0, and a quarter cosine
    counted from step 0 follows: it begins a little below `peak` and ends near 1.25e-6.
    """
    warm_up = max(1, round(steps / 10))
    if step < warm_up:
        return peak * step / warm_up if recipe == "released" else (step + 1) / warm_up * peak
    if recipe == "released":
        a = 1 - math.cos(step / steps * math.pi / 2)
        return peak * (1 - a) + RELEASED_END * a
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def make_optimizer(
    model: nn.Module, weight_decay: float, recipe: str = "paper", fused: bool | None = None
) -> torch.optim.AdamW:
    """AdamW. Recipe "released" decays every parameter; "paper" (0 unless set) spares biases, norms, and what the
    model's backbone names in no_weight_decay(): CLS and PE, Swin's relative positions. fused: one kernel for all, which
    rounds otherwise on a CPU; None: on a GPU."""
    parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    names = getattr(getattr(model, "backbone", None), "no_weight_decay", None)
    named = names() if names else ()
    spared = [p for name, p in parameters if p.dim() < 2 or name.removeprefix("backbone.") in named]
    if recipe == "released":
        spared = []
    ids = {id(p) for p in spared}
    others = [p for _, p in parameters if id(p) not in ids]
    groups: list[dict[str, Any]] = [{"params": others, "weight_decay": weight_decay}]
    if spared:
        groups.append({"params": spared, "weight_decay": 0.0})
    if fused is None:
        fused = parameters[0][1].device.type == "cuda"
    return torch.optim.AdamW(groups, lr=0.0, weight_decay=weight_decay, fused=fused)
