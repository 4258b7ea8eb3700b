"""§4 (cost): how a stage computes on its device: precision, attention fused or written out, compiled or as it stands.

None of this changes what is trained, only how sums are rounded. In float32 on a CPU, not compiled, everything is as
the records in results/ were made. What was chosen is kept in a stage's checkpoint and followed when it goes on.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from relvit_lab.common.compute.compiler import set_up_compiler
from relvit_lab.method.backbones.base import TokenBackbone
from relvit_lab.method.heads import PairScores, TokenScores
from relvit_lab.method.model import RelViT
from relvit_lab.method.tasks import predict_and_compare

if TYPE_CHECKING:
    from relvit_lab.train.experiment import Stage

LONGEST_WRITTEN_OUT = 257  # tokens: beyond, the maps (B, heads, T, T) take more memory than they save time
COMPILING = "compiling, about 20 s; a few where this was compiled before"
# What a stage has to cost on a CPU, in floating point operations, for `compile auto`: a third of its time in bf16 is
# then some four times what compiling takes. float32 is never worth it: 1.05 times as fast for ViT-nano and 1.03 for
# ViT-S/4 (benchmarks/engine.py with compile=true, AMD EPYC without bf16), and not to the bit what the records are.
WORTH_COMPILING = 1e14
WORTH_COMPILING_STEPS = 5_000  # on a GPU, where small steps wait for launches; not measured
BACKEND = "inductor"


# -- attention -----------------------------------------------------------------------------------------------------


def fuses_attention(device: str, precision: str, compiled: bool, tokens: int) -> bool:
    """Whether attention over so many tokens goes through torch's fused kernel, or is written out (matmul, softmax,
    matmul). device: its type.

    On a CPU the fused kernel's backward pass is half of a step in bf16, and the compiler cannot see into it; in float32
    as it stands both are about equal (benchmarks/engine.py), and the records were made with it.
    """
    if device != "cpu" or tokens > LONGEST_WRITTEN_OUT:
        return True
    return precision == "float32" and not compiled


def _tokens(attention: Any, backbone: TokenBackbone) -> int:
    """Over which one attention goes: a window of Swin's, else all of the image's."""
    window = getattr(attention, "window_area", None)
    return window or backbone.side**2 + getattr(backbone, "num_prefix_tokens", 1)


def fuses_optimizer(device: str, precision: str, compiled: bool) -> bool:
    """Whether AdamW is one kernel for all weights. On a CPU that rounds otherwise, so not where records were made."""
    return device == "cuda" or (device == "cpu" and (compiled or precision != "float32"))


# -- compiling -----------------------------------------------------------------------------------------------------


def worth_compiling(stage: "Stage", images: int, device: torch.device, precision: str) -> bool:
    """`compile auto`: whether a stage is long enough. From the experiment and the device alone, so that it is the same
    whenever it is asked. images: of an epoch."""
    from relvit_lab.train.flops import backbone_flops  # here, not above: it takes a while to import

    e = stage.experiment
    seen = images * e.epochs
    if device.type == "cuda":
        return seen / e.batch_size >= WORTH_COMPILING_STEPS
    if device.type != "cpu" or precision != "bf16" or seen < 10_000:  # no image costs that much: nothing is built
        return False
    return seen * backbone_flops(e.backbone, stage.input_size, e.patch_size).train >= WORTH_COMPILING


def set_up(model: RelViT, device: torch.device, precision: str, compiled: bool) -> None:
    """Make a model compute in that way, whichever it had before. Compiling itself comes with the first call."""
    attentions: list[Any] = [module for module in model.backbone.modules() if hasattr(module, "fused_attn")]  # timm's
    for attention in attentions:
        tokens = _tokens(attention, model.backbone)
        attention.fused_attn = fuses_attention(device.type, precision, compiled, tokens)
    for module in model.modules():
        module._compiled_call_impl = None
    model.compiled = compiled
    model.losses = {task.name: task.loss for task in model.tasks}
    if compiled:
        set_up_compiler()
        _leave_drop_path_out()
        model.losses = {name: _compiled_loss(loss) for name, loss in model.losses.items()}
        for module in _regions(model):
            module.compile(backend=BACKEND, dynamic=False)


def _regions(model: RelViT) -> Iterator[nn.Module]:
    """What is compiled, each by itself: the blocks of a backbone, which share their code, so that twelve take no longer
    to compile than one; Swin's stages each have their own. And the heads, but for those of one's own tasks."""
    for name, blocks in model.backbone.named_modules():
        if name.rpartition(".")[2] == "blocks":
            yield from blocks
    yield from (head for head in model.heads.values() if isinstance(head, (PairScores, TokenScores)))


@functools.cache
def _leave_drop_path_out() -> None:
    """Each block has a rate of its own: compiled with it, each would be other code."""
    from timm.layers import DropPath

    DropPath.forward = torch.compiler.disable(DropPath.forward)


def _compiled_loss(loss: Callable) -> Callable:
    """A task's loss with its comparison compiled, where it is the default one. A loss of one's own, and one that draws
    pairs, stays as it is."""
    if not isinstance(loss, partial) or loss.func is not predict_and_compare:
        return loss
    (compare,) = loss.args
    return partial(predict_and_compare, torch.compile(compare, backend=BACKEND, dynamic=False))


def whole_batches_only(model: RelViT, whole: bool) -> AbstractContextManager:
    """Around the passes of a batch: one that is smaller than the others (the last) goes uncompiled, for it would need
    code of its own."""
    if whole or not getattr(model, "compiled", False):
        return nullcontext()
    return torch.compiler.set_stance("force_eager")
