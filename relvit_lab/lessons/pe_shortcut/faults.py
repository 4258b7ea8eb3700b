"""A failure gallery: four runs on digits that went wrong, and a healthy one. See the symptom, name the fault.

The runs have letters for names, so that nothing but the symptom gives them away.
"""

from functools import partial

import torch
from torch import Tensor, nn

from relvit_lab.method.heads import PairScores
from relvit_lab.method.patches import draw_permutations
from relvit_lab.method.relations import permuted, spatial_relations
from relvit_lab.method.tasks import TASKS, Task, accuracy, cross_entropy
from relvit_lab.train.experiment import Experiment

EPOCHS = 6
NAMES = ("transposed labels", "labels shuffled without their patches", "patch too large", "learning rate too high")
FAULTS = {"A": NAMES[3], "B": NAMES[0], "C": NAMES[2], "D": NAMES[1]}
"""What went wrong in each run but the healthy one."""


def _transposed(side: int) -> Tensor:
    """The fault: [i, j] says where j lies seen from i."""
    return spatial_relations(side).T


def _against_the_truth(predictions: Tensor, targets: Tensor) -> Tensor:
    """The metric of a run must not share its fault: the right labels, in %."""
    return accuracy(predictions, targets.mT)


def _labels_alone(head: nn.Module, tokens: Tensor, targets: Tensor, draws: torch.Generator | None) -> Tensor:
    """The fault: the labels are shuffled, each image its own way, and the patches stay where they are."""
    p = draw_permutations(*tokens.shape[:2], generator=draws, device=tokens.device)
    return cross_entropy(head(tokens), permuted(targets, p))


_nine_scores = partial(PairScores, outputs=9)


def _head(dim: int, grid: int) -> nn.Module:
    return _nine_scores(dim)


_RUNS: dict[str, tuple[Task | None, dict]] = {  # a faulty task, fields of the experiment
    "healthy": (None, {}),
    "A": (None, {"lr": 0.5}),
    "B": (Task("sprel_b", _head, metric=_against_the_truth, target=_transposed, title="SpRel"), {}),
    "C": (None, {"patch_size": 4}),
    "D": (Task("sprel_d", _head, loss=_labels_alone, target=spatial_relations, title="SpRel"), {}),
}
RUNS = tuple(_RUNS)


def experiment(name: str, **fields: object) -> Experiment:
    """Pre-training on SpRel without PE. name: one of RUNS; a faulty task is added to TASKS. Raises KeyError."""
    task, changed = _RUNS[name]
    if task is not None:
        TASKS.add(task)
    return Experiment(
        dataset="digits", tasks=(task.name if task else "sprel",), pos_embed=False, stop_after="pretrain",
        preset="demo", **{"epochs": EPOCHS, **changed, **fields},
    )  # fmt: skip
