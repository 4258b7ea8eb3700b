"""What the training loop yields: plain data. Faces draw it (show/follow.py), the run folder keeps it (stage_folder.py).

The order of a stage: StageStarted, then for each epoch StepDone (at most about five a second) and EpochDone, then
StageFinished; a Note may come anywhere. A stage that was done before yields the same events with replayed=True and
no StepDone. A run is the events of its stages, one stage after the other.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias


@dataclass(frozen=True)
class StageStarted:
    """A stage begins, goes on (`resumed` says from where, e.g. "epoch 12, step 480"), or is read back (`replayed`)."""

    name: str  # "supervised", "supervised2", "pretrain", "finetune", "joint"
    id: str
    folder: str | Path
    epochs: int
    steps_per_epoch: int
    train_images: int
    test_images: int
    parameters: int  # of the model, heads included
    device: str
    precision: str
    notes: tuple[str, ...] = ()
    resumed: str | None = None
    replayed: bool = False
    classes: tuple[str, ...] = ()  # their names
    image_size: int | None = None  # side in pixels
    compiled: bool = False


@dataclass(frozen=True)
class StepDone:
    """Where the stage is. `step` of `steps` counts over the whole stage; times in seconds; `left` is to its end."""

    step: int
    steps: int
    epoch: int  # from 1
    elapsed: float
    left: float | None  # None until it has been measured
    images_per_second: float | None


@dataclass(frozen=True)
class EpochDone:
    """An epoch with its line of metrics.jsonl. train.*: losses (and accuracy in %); test.*: metrics and the loss.

    {"epoch": 1, "step": 21, "lr": 1e-3, "train": {"loss", "classification", "sprel", "accuracy"},
     "test": {"loss", "accuracy", "sprel", "abspos"}, "timing": {"seconds", "images_per_second"}}
    A pre-training has no "accuracy" and no "classification"; a supervised stage has no task names.
    """

    epoch: int  # from 1
    epochs: int
    metrics: dict[str, Any]
    replayed: bool = False


@dataclass(frozen=True)
class Note:
    """Something a person should know now."""

    text: str


@dataclass(frozen=True)
class StageFinished:
    """The stage is complete; `result` is its result.json."""

    name: str
    id: str
    folder: str | Path
    result: dict[str, Any] = field(repr=False)
    replayed: bool = False


Event: TypeAlias = StageStarted | StepDone | EpochDone | Note | StageFinished
