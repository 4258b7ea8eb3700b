"""§4 (cost): the floating point operations of a stage for one image, counted by running its model without data.

A multiplication and an addition count as two. Counted are matrix products and convolutions, attention's included:
elementwise work, the optimiser's and the augmentation's are left out, as is the classifier's (a few thousandths).
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from relvit_lab.common.compute.flop_count import counted
from relvit_lab.method.backbones import BACKBONES, create_backbone
from relvit_lab.method.backbones.base import TokenBackbone
from relvit_lab.method.backbones.vit import ViT
from relvit_lab.method.model import RelViT
from relvit_lab.method.tasks import Task
from relvit_lab.method.tasks import get as get_task
from relvit_lab.train.experiment import Stage


@dataclass(frozen=True)
class Flops:
    """Of one image: train, forward and backward; evaluate, forward with all metrics."""

    train: int
    evaluate: int

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(self.train + other.train, self.evaluate + other.evaluate)


def stage_flops(stage: Stage) -> Flops:
    """What one image costs in a stage: its backbone, on mega-patches where it sees them, and the heads of its tasks."""
    e = stage.experiment
    total, dim, side = _backbone(e.backbone, stage.input_size, e.patch_size)
    for task in stage.tasks:
        total += _head(get_task(task, e.drloc_form), dim, side, e.factored_heads, e.pair_head)
    return total


def backbone_flops(name: str, image_size: int, patch: int) -> Flops:
    """What one image costs in a backbone alone."""
    return _backbone(name, image_size, patch)[0]


@lru_cache
def _backbone(name: str, image_size: int, patch: int) -> tuple[Flops, int, int]:
    """Also its dim and the side of the tasks' grid."""
    if sizes := _vit_sizes(name):
        return vit_flops(image_size, patch, *sizes), sizes[0], image_size // patch
    flops, model = counted_backbone(name, image_size, patch)
    return flops, model.dim, getattr(model, "task_side", model.side)


@lru_cache
def _vit_sizes(name: str) -> tuple[int, int] | None:
    """D and the number of blocks of a ViT of Table 1 or vit_nano, None for any other backbone."""
    if name not in BACKBONES or not BACKBONES.get(name).is_vit:
        return None
    with torch.device("meta"):
        model = create_backbone(name)
    return (model.dim, len(model.blocks)) if type(model) is ViT else None


def vit_flops(image_size: int, patch: int, dim: int, depth: int) -> Flops:
    """Eq. 1-4 for an image of N patches, n = N + 1 tokens: the products of the embedding and of each block.

    What counting gives as well, without running a model for each of Table 5's sizes. Backward, each product has two
    more of its size, for the gradients of its two sides; the embedding has one, for images need none.
    """
    patches = (image_size // patch) ** 2
    n = patches + 1
    embedding = 2 * patches * 3 * patch**2 * dim
    attention = 2 * n * 4 * dim**2 + 2 * 2 * n**2 * dim  # q, k, v and the output; q k^T and its product with v
    mlp = 2 * n * 2 * 4 * dim**2
    blocks = depth * (attention + mlp)
    return Flops(train=2 * embedding + 3 * blocks, evaluate=embedding + blocks)


def counted_backbone(name: str, image_size: int, patch: int) -> tuple[Flops, TokenBackbone]:
    """A backbone's operations, counted, and the backbone, which holds no weights."""

    def build() -> TokenBackbone:
        return create_backbone(name, image_size=image_size, patch=patch)

    def forward(model: nn.Module, device: torch.device) -> Tensor:
        feature, tokens = model(torch.zeros(1, 3, image_size, image_size, device=device))
        return feature.sum() + tokens.sum()

    model, (train, once) = counted(build, forward)
    return Flops(train, once), model


@lru_cache
def _head(task: Task, dim: int, side: int, factored: bool, pair_head: str | None) -> Flops:
    """A task's head and loss on one image's tokens. Evaluation computes the loss, and the metric beside it."""

    def build() -> RelViT:
        return RelViT(_Tokens(dim, side), [task], factored=factored, pair_head=pair_head)

    def tokens(device: torch.device) -> Tensor:
        return torch.zeros(1, side * side, dim, device=device, requires_grad=True)

    _, (train, loss) = counted(build, lambda model, device: model.task_losses(tokens(device))[task.name])
    _, (_, metric) = counted(build, lambda model, device: model.task_metrics(tokens(device))[task.name], False)
    return Flops(train, loss + metric)


class _Tokens(TokenBackbone):
    """In place of a backbone where the tokens are given."""

    def __init__(self, dim: int, side: int):
        super().__init__()
        self.dim, self.side = dim, side
