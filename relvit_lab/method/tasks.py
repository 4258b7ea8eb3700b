"""Section 3.1, eq. 10-13: the pretext tasks, as data; the loss of Table 3's peer is one of them.

A task is a record. The model's head, the loss, the metric, a table's column and a plot follow from it, and a
further task is one entry: TASKS.add(Task("quadrant", make_head=..., target=...)).
"""

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.registry import Registry
from relvit_lab.common.source_text import source_text
from relvit_lab.method import drloc, relations
from relvit_lab.method.blocks import BLOCK, mean_in_blocks
from relvit_lab.method.heads import PairMLP, PairScores, TokenScores


def _by_class(predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions with the classes in dim 1, as cross_entropy wants them, and targets with a batch dimension."""
    if predictions.dim() == 3:  # tokens: (B,N,K) -> (B,K,N); pairs are (B,K,N,N) already
        predictions = predictions.mT
    return predictions, targets.expand(predictions.shape[:1] + predictions.shape[2:])


def _values(predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions of one value each, and targets of the same shape: (B,1,N,N) -> (B,N,N), or (B,N,1) -> (B,N)."""
    predictions = predictions.squeeze(1 if predictions.dim() == 4 else 2)
    return predictions, targets.expand_as(predictions)


def cross_entropy(predictions: Tensor, targets: Tensor) -> Tensor:
    """Eq. 10, 11: mean over pairs (the diagonal too) or tokens. Logits (B,K,N,N) or (B,N,K); int64 targets."""
    return F.cross_entropy(*_by_class(predictions.float(), targets))


def squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Eq. 12, 13: mean over pairs (the diagonal too) or tokens. Values (B,1,N,N) or (B,N,1); float targets."""
    return F.mse_loss(*_values(predictions.float(), targets))


def accuracy(predictions: Tensor, targets: Tensor) -> Tensor:
    """The share of right classes, in %."""
    predictions, targets = _by_class(predictions, targets)
    return 100 * (predictions.argmax(1) == targets).float().mean()


def squared_error_100(predictions: Tensor, targets: Tensor) -> Tensor:
    """MSE x 100, as Table 4 prints it."""
    return 100 * squared_error(predictions, targets)


def predict_and_compare(
    compare: Callable, head: nn.Module, tokens: Tensor, targets: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """The default loss: the head's predictions from all tokens, against all targets.

    Attention scores of a large batch are compared a few images at a time: never more than about BLOCK values are held.
    """
    b, n, _ = tokens.shape
    blocks = min(b, math.ceil(b * head.largest(n) / BLOCK)) if isinstance(head, PairScores) else 1
    if blocks > 1:
        return mean_in_blocks(compare, head, tokens, targets, math.ceil(b / blocks))
    return compare(head(tokens), targets)


TAKEN = (  # metrics of every run
    "loss", "classification", "accuracy", "best_accuracy", "best_epoch", "val_accuracy", "best_val_accuracy",
    "best_val_epoch", "linear_probe",
)  # fmt: skip
BY_TARGET: Any = None  # the default of a field that Task.__post_init__ fills in, by the kind of the target


@dataclass(frozen=True, repr=False)
class Task:
    """A pretext task.

    make_head(dim, grid) -> nn.Module: from tokens (B, N, D), N = grid * grid, to predictions: (B, K, N, N) for pairs,
        (B, N, K) for tokens.
    loss(head, tokens, targets, generator) -> scalar. None: predict, then compare: cross-entropy for integer targets,
        mean squared error for others. A task may fuse the two (for memory), or sample pairs with the generator.
    metric(predictions, targets) -> scalar, shown as it is. None: accuracy in %, or MSE x 100.
    weight: of its loss in the sum.
    target(grid) -> (N, N) or (N,), of the standard order: permuted(target, p) follows a shuffle. A pair may have a
        vector of values, (N, N, V): then loss and metric are the task's own.
    title, unit: for tables and plots. higher: whether a higher metric is better.
    classes: what each class is called, where explorers and pictures show one; without names, by its number.
    ramp_epochs: the weight rises linearly from 0 over the first so many epochs, epoch by epoch; 0: it does not.
    end_epoch: from there it falls linearly, to 0 after so many epochs; 0: it does not.
    before_norm: of a Swin, its tokens come from before the last norm.
    """

    name: str
    make_head: Callable[[int, int], nn.Module]
    loss: Callable[[Any, Tensor, Tensor, torch.Generator | None], Tensor] = BY_TARGET  # Any: what make_head makes
    metric: Callable[[Tensor, Tensor], Tensor] = BY_TARGET
    weight: float = 1.0
    target: Callable[[int], Tensor] = BY_TARGET  # which has to be there
    title: str = ""
    unit: str = ""
    higher: bool = BY_TARGET
    ramp_epochs: int = 0
    classes: tuple[str, ...] = ()
    end_epoch: int = 0
    before_norm: bool = False

    def __post_init__(self):
        if not re.fullmatch(r"[\w-]+", self.name) or hasattr(nn.ModuleDict, self.name) or self.name in TAKEN:
            raise RelvitError(f"no task is called '{self.name}': take letters, digits, - and _, and no word in use")
        if self.target is None:
            raise TypeError(f"task '{self.name}' needs target(grid), which gives (N, N) or (N,)")
        target = self.target(2)
        if not isinstance(target, Tensor):
            raise RelvitError(f"task '{self.name}': target(grid) gives {type(target).__name__}, not a tensor")
        classes = not target.is_floating_point()
        defaults = {
            "loss": partial(predict_and_compare, cross_entropy if classes else squared_error),
            "metric": accuracy if classes else squared_error_100,
            "title": self.name,
            "unit": "%" if classes else "MSE x 100",
            "higher": classes,
        }
        for field, value in defaults.items():
            if getattr(self, field) in (None, ""):
                object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        target = self.target(2)
        kind = "values" if target.is_floating_point() else "classes"
        return f"Task '{self.name}': {kind} of {'patches' if target.dim() == 1 else 'pairs'}, in {self.unit}"

    def fingerprint(self) -> str:
        """A digest of the task's own code: a task that was changed in a notebook is another experiment."""
        parts = [source_text(part) for part in (self.make_head, self.loss, self.metric, self.target)]
        scalars: tuple[object, ...] = (self.ramp_epochs, self.end_epoch, self.before_norm)
        while scalars and not scalars[-1]:  # what is not set changes no digest
            scalars = scalars[:-1]
        return hashlib.sha256(repr((parts, self.weight, *scalars)).encode()).hexdigest()[:16]

    def ramp(self, epoch: float) -> float:
        """The share of its weight, 0 to 1, that counts after so many epochs; in the midst of one it stays the same."""
        whole = math.floor(epoch)
        rise = min(1.0, whole / self.ramp_epochs) if self.ramp_epochs else 1.0
        fall = (self.end_epoch - whole) / max(1, self.end_epoch - self.ramp_epochs) if self.end_epoch else 1.0
        return min(rise, max(0.0, fall))


RELVIT = (
    Task(
        "sprel", lambda dim, grid: PairScores(dim, 9), target=relations.spatial_relations, title="SpRel",
        classes=relations.RELATION_NAMES,
    ),
    Task("dist", lambda dim, grid: PairScores(dim, 1), target=relations.distances, title="Dist"),
    Task("ang", lambda dim, grid: PairScores(dim, 1), target=relations.angles, title="Ang"),
    Task("abspos", lambda dim, grid: TokenScores(dim, grid**2), target=relations.absolute_positions, title="AbsPos"),
)  # fmt: skip
"""The four tasks of the paper."""
DRLOC = Task(
    "drloc", lambda dim, grid: PairMLP(dim, 2), drloc.sampled_l1, drloc.normalised_error_in_patches, drloc.WEIGHT,
    drloc.normalised_offsets, "DRLoc", "L1 in patches", higher=False,
)  # fmt: skip
DRLOC_FORMS = {
    "paper": DRLOC,
    "released": replace(
        DRLOC, make_head=drloc.released_head, loss=drloc.released_l1, metric=drloc.error_in_patches,
        target=relations.offsets, ramp_epochs=drloc.RAMP_EPOCHS, end_epoch=drloc.END_EPOCH, before_norm=True,
    ),
}  # fmt: skip
BUILT_IN = (*RELVIT, DRLOC)
WORDS = {"relation": "sprel", "relations": "sprel", "spatial": "sprel", "position": "abspos", "absolute": "abspos"}
TASKS: Registry[Task] = Registry("task", BUILT_IN, WORDS)


def get(name: str, drloc_form: str = "paper") -> Task:
    """The task of that name; the built-in drloc as in its paper or as in its released code ("released").

    Raises RelvitError for an unknown name or form, naming the nearest.
    """
    if drloc_form not in DRLOC_FORMS:
        raise RelvitError(f"unknown form of drloc '{drloc_form}': {nearest(drloc_form, DRLOC_FORMS)}")
    task = TASKS.get(name)
    return DRLOC_FORMS[drloc_form] if task is DRLOC else task
