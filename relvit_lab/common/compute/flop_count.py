"""The floating point operations of a model, counted without data: a multiplication and an addition are two."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

Built = TypeVar("Built", bound=nn.Module)


def counted(
    build: Callable[[], Built], run: Callable[[Built, torch.device], Tensor], backward: bool = True
) -> tuple[Built, tuple[int, int]]:
    """The model, and the operations of run (to a scalar) with its backward pass and without.

    On tensors without data, which costs next to nothing: those of the device "meta"; for what asks for a real device
    (T2T-ViT's performer switches autocast off), fake ones of the CPU; for what looks at values (a task of one's own),
    real ones.
    """
    meta, cpu = torch.device("meta"), torch.device("cpu")
    unfit = (RuntimeError, NotImplementedError)
    try:
        with meta:
            model = build()
        try:
            return model, _count(model, run, backward, meta)
        except unfit:
            with FakeTensorMode(allow_non_fake_inputs=True):
                return model, _count(model.to_empty(device=cpu), run, backward, cpu)
    except unfit:
        model = build()
        return model, _count(model, run, backward, cpu)


def _count(
    model: Built, run: Callable[[Built, torch.device], Tensor], backward: bool, device: torch.device
) -> tuple[int, int]:
    # attention as plain products, for the counter knows no fused kernel of the CPU
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        out = run(model, device)
        forward = counter.get_total_flops()
        if backward:
            out.backward()
        return counter.get_total_flops(), forward
