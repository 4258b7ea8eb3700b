"""Section 3.2: RelViT, a backbone with the heads of its tasks and a classifier."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from relvit_lab.heads import PairScores
from relvit_lab.relations import permuted
from relvit_lab.tasks import Task


class Output(NamedTuple):
    """What a forward pass gives: class logits (B, classes), or None without a classifier, and tokens (B, N, D)."""

    logits: Tensor | None
    tokens: Tensor


class RelViT(nn.Module):
    """A backbone, one head for each task (section 3.1), and a linear classifier on its feature (eq. 4).

    backbone: as create_backbone gives it. tasks: in the order in which losses are summed. classes: None leaves the
    classifier out. factored: attention-score heads in the two-factor form of rank D // K (the released code's).
    """

    def __init__(
        self, backbone: nn.Module, tasks: Sequence[Task] = (), classes: int | None = None, factored: bool = False
    ):
        super().__init__()
        self.backbone = backbone
        self.tasks = tuple(tasks)
        self.heads = nn.ModuleDict()
        for task in self.tasks:
            head = task.make_head(backbone.dim, backbone.side)
            self.heads[task.name] = head.factored() if factored and isinstance(head, PairScores) else head
            self.register_buffer(f"target_{task.name}", task.target(backbone.side), persistent=False)
        self.classifier = nn.Linear(backbone.dim, classes) if classes else None
        if self.classifier is not None:  # as timm does for a ViT
            nn.init.trunc_normal_(self.classifier.weight, std=0.02)
            nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Output:
        """Images (B, 3, H, W), float, normalised."""
        feature, tokens = self.backbone(images)
        return Output(None if self.classifier is None else self.classifier(feature), tokens)

    def targets(self, task: Task, permutation: Tensor | None = None) -> Tensor:
        """The task's targets, (N, N) or (N,); with a permutation (B, N), which goes with the patches, (B, ...)."""
        target = self.get_buffer(f"target_{task.name}")
        return target if permutation is None else permuted(target, permutation)

    def task_losses(
        self, tokens: Tensor, permutation: Tensor | None = None, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The unweighted loss of each task (eq. 10-13) from all output tokens (B, N, D)."""
        return {
            task.name: task.loss(self.heads[task.name], tokens, self.targets(task, permutation), generator)
            for task in self.tasks
        }

    def task_metrics(self, tokens: Tensor) -> dict[str, Tensor]:
        """Each task's metric on tokens (B, N, D) of images whose patches were not shuffled."""
        return {
            task.name: task.metric(self.heads[task.name](tokens).float(), self.targets(task)) for task in self.tasks
        }

    def predictions(self, images: Tensor, task: str) -> Tensor:
        """What the head of a task says: (B, N, N) or (B, N), classes as int64, values as float."""
        scores = self.heads[task](self(images).tokens).float()
        scores = scores if scores.dim() == 4 else scores.mT  # classes or values in dim 1
        return scores.squeeze(1) if scores.shape[1] == 1 else scores.argmax(1)
