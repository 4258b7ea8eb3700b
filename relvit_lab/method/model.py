"""Section 3.2: RelViT, a backbone with the heads of its tasks and a classifier."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.method.backbones.base import TokenBackbone
from relvit_lab.method.heads import PAIR_HEADS, PairMLP, PairScores
from relvit_lab.method.relations import permuted
from relvit_lab.method.tasks import Task, predict_and_compare


class Output(NamedTuple):
    """What a forward pass gives: class logits (B, classes), or None without a classifier, and the tokens that the tasks
    use, (B, N, D): after the last norm, but from before it where a task wants a Swin's so."""

    logits: Tensor | None
    tokens: Tensor


class RelViT(nn.Module):
    """A backbone, one head for each task (section 3.1), and a linear classifier on its feature (eq. 4).

    backbone: as create_backbone gives it; where its task_side is not the side of its own grid (T2T: 7 for 14), its
    tokens are pooled to that side, and heads and targets are for the pooled ones. tasks: in the order in which losses
    are summed. classes: None leaves the classifier out. factored: attention-score heads in the two-factor form of rank
    D // K (the released code's). pair_head: "scores" or "mlp" gives every task on pairs a PairScores or a PairMLP of as
    many outputs; None: each task's own. Raises RelvitError for another pair_head, and for sides that pooling does not
    connect.
    """

    def __init__(
        self,
        backbone: TokenBackbone,
        tasks: Sequence[Task] = (),
        classes: int | None = None,
        factored: bool = False,
        pair_head: str | None = None,
    ):
        super().__init__()
        if pair_head is not None and pair_head not in PAIR_HEADS:
            raise RelvitError(f"unknown pair_head '{pair_head}': {nearest(pair_head, PAIR_HEADS)}")
        self.backbone = backbone
        self.side: int = getattr(backbone, "task_side", backbone.side)  # of the tasks' grid
        if self.side not in (backbone.side, (backbone.side + 1) // 2):
            raise RelvitError(
                f"a grid of side {backbone.side} pools to side {(backbone.side + 1) // 2}, not {self.side}: "
                "correct the backbone's task_side"
            )
        self.tasks = tuple(tasks)
        self.before_norm = hasattr(backbone, "before_norm") and any(task.before_norm for task in self.tasks)
        self.losses = {task.name: task.loss for task in self.tasks}  # engine.py compiles them
        self.compiled = False
        self.heads = nn.ModuleDict()
        for task in self.tasks:
            self.heads[task.name] = _make_head(task, backbone.dim, self.side, factored, pair_head)
            self.register_buffer(f"target_{task.name}", task.target(self.side), persistent=False)
        self.classifier = nn.Linear(backbone.dim, classes) if classes else None
        if self.classifier is not None:  # as timm does for a ViT
            nn.init.trunc_normal_(self.classifier.weight, std=0.02)
            nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Output:
        """Images (B, 3, H, W), float, normalised."""
        feature, tokens = self.backbone.before_norm(images) if self.before_norm else self.backbone(images)
        if self.side != self.backbone.side:
            tokens = pool(tokens, self.backbone.side)
        return Output(None if self.classifier is None else self.classifier(feature), tokens)

    def tokens_for(self, task: Task, tokens: Tensor) -> Tensor:
        """The output tokens as the task's head reads them, both (B, N, D)."""
        return self.backbone.norm(tokens) if self.before_norm and not task.before_norm else tokens

    def targets(self, task: Task, permutation: Tensor | None = None) -> Tensor:
        """The task's targets, (N, N) or (N,); with a permutation (B, N), which goes with the patches, (B, ...)."""
        target = self.get_buffer(f"target_{task.name}")
        return target if permutation is None else permuted(target, permutation)

    def task_losses(
        self, tokens: Tensor, permutation: Tensor | None = None, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The unweighted loss of each task (eq. 10-13) from all output tokens (B, N, D)."""
        return {
            task.name: self.losses[task.name](
                self.heads[task.name], self.tokens_for(task, tokens), self.targets(task, permutation), generator
            )
            for task in self.tasks
        }

    def task_metrics(self, tokens: Tensor) -> dict[str, Tensor]:
        """Each task's metric on tokens (B, N, D) of images whose patches were not shuffled."""
        return {
            task.name: predict_and_compare(
                lambda said, targets, task=task: task.metric(said.float(), targets),
                self.heads[task.name], self.tokens_for(task, tokens), self.targets(task),
            )
            for task in self.tasks
        }  # fmt: skip

    def predictions(self, images: Tensor, task: str) -> Tensor:
        """What the head of a task says, (B, N, N) or (B, N): classes as int64, or values as float.

        Where it says several values at once (drloc), all of them, as its head gives them: (B, K, N, N) or (B, N, K).
        """
        (record,) = (own for own in self.tasks if own.name == task)
        scores = self.heads[task](self.tokens_for(record, self(images).tokens)).float()
        dim = 1 if scores.dim() == 4 else 2  # of the classes or values
        if scores.shape[dim] == 1:
            return scores.squeeze(dim)
        return scores if self.get_buffer(f"target_{task}").is_floating_point() else scores.argmax(dim)


def _make_head(task: Task, dim: int, side: int, factored: bool, pair_head: str | None) -> nn.Module:
    head = task.make_head(dim, side)
    if pair_head is not None and isinstance(head, (PairScores, PairMLP)):
        kind = PAIR_HEADS[pair_head]
        head = head if isinstance(head, kind) else kind(dim, head.outputs)
    return head.factored() if factored and isinstance(head, PairScores) else head


def pool(tokens: Tensor, side: int) -> Tensor:
    """Means over 3 x 3 tokens, every second row and column, what lies outside not counted: (B, side^2, D) to
    (B, s^2, D), s = (side + 1) // 2. So T2T's 14 x 14 become the 7 x 7 of the tasks."""
    grid = tokens.mT.unflatten(2, (side, side))  # (B,N,D) -> (B,D,side,side)
    pooled = F.avg_pool2d(grid, 3, stride=2, padding=1, count_include_pad=False)  # (B,D,s,s)
    return pooled.flatten(2).mT  # (B,D,s,s) -> (B,s*s,D)
