"""§3.1, eq. 10, 12, 13: a loss over all pairs of tokens, a few images at a time.

SpRel's scores for 256 images of 256 tokens are 151 million numbers (600 MB in float32), z W_k is 226 million, and a
backward pass needs both twice. Here each block's gradients are computed with its loss, so that no more than one block
is ever held; the result is that of the whole batch to rounding, and no product is computed twice.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BLOCK = 2**25  # values of a head's largest tensor held at a time: 128 MiB in float32


def mean_in_blocks(
    compare: Callable[[Tensor, Tensor], Tensor], head: nn.Module, tokens: Tensor, targets: Tensor, images: int
) -> Tensor:
    """compare(head(tokens), targets), a mean over images, computed `images` at a time. Scalar.

    tokens: (B, N, D). targets: (N, N), or (B, N, N), a set for each image. head: its output for an image depends on
    that image alone, and draws nothing at random. The result can be differentiated once.
    """
    each = targets.dim() == 3  # a set for each image
    blocks = [
        (block, targets[first : first + images] if each else targets)
        for first, block in zip(range(0, len(tokens), images), tokens.split(images))
    ]
    if not torch.is_grad_enabled():
        parts = [compare(head(block), target) * (len(block) / len(tokens)) for block, target in blocks]
        return sum(parts[1:], start=parts[0])
    weights = tuple(p for p in head.parameters() if p.requires_grad)
    return _Blocks.apply(compare, head, [target for _, target in blocks], images, tokens, *weights)


class _Blocks(torch.autograd.Function):
    """The mean loss, and with it, at once, its gradients for the tokens and the head's weights."""

    @staticmethod
    def forward(ctx, compare, head, targets, images, tokens, *weights):
        total = torch.zeros((), device=tokens.device)
        by_tokens, by_weights = torch.empty_like(tokens), [torch.zeros_like(w) for w in weights]
        for block, target, out in zip(tokens.split(images), targets, by_tokens.split(images)):
            with torch.enable_grad():
                block = block.detach().requires_grad_()
                loss = compare(head(block), target) * (len(block) / len(tokens))
            own, *gradients = torch.autograd.grad(loss, (block, *weights))
            out.copy_(own)
            for held, gradient in zip(by_weights, gradients):
                held += gradient
            total += loss.detach()
        ctx.save_for_backward(by_tokens, *by_weights)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, above):
        gradients = (held * above.to(held.dtype) for held in ctx.saved_tensors)
        return None, None, None, None, *gradients
