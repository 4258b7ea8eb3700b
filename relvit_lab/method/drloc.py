"""Table 3's peer, L_drloc (Liu et al., NeurIPS 2021): how far apart two tokens lie, from pairs drawn at random.

For tokens i and j on a grid of k x k the target is t = (|x_i - x_j|, |y_i - y_j|), divided by k in the paper and left
in patches in the released code; the loss is the mean of |t - f(e_i, e_j)|_1 over m pairs of each image, in the released
code over the two coordinates, too.
"""

import torch
from torch import Tensor, nn

from relvit_lab.common.compute.host import to_device
from relvit_lab.common.randomness import drawn_for
from relvit_lab.method.heads import PairMLP
from relvit_lab.method.relations import offsets

PAIRS = 64  # m
WEIGHT = 0.5  # lambda, for Swin; the paper has 0.1 for T2T
RAMP_EPOCHS, END_EPOCH = 20, 300  # in the released code lambda rises from 0 over the first 20, then falls to 0 at 300


def normalised_offsets(side: int) -> Tensor:
    """The paper's targets: (N, N, 2) float32 in [0, 1), (|dx|, |dy|) in sides of the grid."""
    return offsets(side) / side


def sampled_l1(head: nn.Module, tokens: Tensor, targets: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """L_drloc: the mean over PAIRS pairs of each image of |t - f|_1, the sum of |dx|'s and |dy|'s absolute errors.

    head: PairMLP or PairScores with two outputs. tokens: (B, N, D). targets: (N, N, 2) or (B, N, N, 2).
    Both tokens of a pair are drawn from all N, so they may coincide (their offset is 0). Drawn on the generator's
    device, the CPU where it is None (torch's global generator).
    """
    b, n, _ = tokens.shape
    drawn_on = "cpu" if generator is None else generator.device
    batch, rows = drawn_for(b, generator)
    pairs = torch.randint(n, (batch, PAIRS, 2), generator=generator, device=drawn_on)[rows]
    pairs = to_device(pairs, tokens.device)  # (b,m,2)
    i, j = pairs.unbind(-1)  # (B,m) each
    image = torch.arange(b, device=tokens.device)[:, None]  # (B,1)
    answers = targets[i, j] if targets.dim() == 3 else targets[image, i, j]  # (B,m,2)
    return (head.pairs(tokens, pairs).float() - answers).abs().sum(-1).mean()


def released_l1(head: nn.Module, tokens: Tensor, targets: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The released code's: the mean over |dx| and |dy| as well, which is half the sum."""
    return sampled_l1(head, tokens, targets, generator) / 2


def released_head(dim: int, grid: int) -> PairMLP:
    """The released code's MLP, whose weights start from a truncated normal of 0.02, biases at 0."""
    head = PairMLP(dim, 2)
    for layer in (head.fc1, head.fc2, head.fc3):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
    return head


def error_in_patches(predictions: Tensor, targets: Tensor) -> Tensor:
    """The mean over all pairs (the diagonal too) of |t - f|_1, in the unit of the targets.

    predictions: (B, 2, N, N). targets: (N, N, 2) or (B, N, N, 2).
    """
    return (predictions - targets.movedim(-1, -3)).abs().sum(-3).mean()


def normalised_error_in_patches(predictions: Tensor, targets: Tensor) -> Tensor:
    """The same for targets in sides of the grid, times that side: both forms are measured in patches."""
    side = round(predictions.shape[-1] ** 0.5)
    return side * error_in_patches(predictions, targets)
