"""Losses, metrics and stages put into words: one way for every face, table and figure."""

from collections.abc import Mapping
from typing import Any

from relvit_lab.common.words import human_count, human_rate, human_time, plural
from relvit_lab.train.events import EpochDone, StageFinished, StageStarted, StepDone

TITLES = {
    "loss": "Loss", "accuracy": "Accuracy", "classification": "Classification", "val_accuracy": "Val accuracy",
    "best_val_accuracy": "best", "linear_probe": "Linear probe",
}  # fmt: skip
EXTRA = ("accuracy", "best_accuracy", "best_epoch", "best_val_epoch", "loss")  # of a result's metrics: not shown alone
ACCURACIES = dict.fromkeys(("accuracy", "best_accuracy", "val_accuracy", "best_val_accuracy", "linear_probe"), "%")


def known_units() -> dict[str, str]:
    """The unit of every metric: percent for the accuracies, and what the registered tasks say."""
    return ACCURACIES | {task.name: task.unit for task in _tasks()}


def title(name: str) -> str:
    """How a loss or metric is called in tables and figures: "SpRel" for "sprel", from the registry of tasks."""
    if name.startswith("knn_"):
        return f"{name.removeprefix('knn_')}-NN"
    titles = TITLES | {task.name: task.title for task in _tasks()}
    return titles.get(name, name)


def _tasks() -> tuple[Any, ...]:
    from relvit_lab.method.tasks import TASKS  # late: it needs torch, and a table of runs does not

    return tuple(TASKS)


def format_value(value: float | None, unit: str = "", width: int = 0) -> str:
    """A metric's value and unit: "45.3 %", "10.3 (MSE x 100)"; "-" where there is none."""
    if value is None:
        return "-".rjust(width)
    return f"{value:{width}.1f}" + (f" {unit}" if unit == "%" else f" ({unit})" if unit else "")


def format_metric(name: str, value: float | None, units: Mapping[str, str], width: int = 0) -> str:
    """A metric with its name: "sprel 38.2 %", "dist 10.3 (MSE x 100)". The number takes at least `width` places."""
    return f"{name} {format_value(value, units.get(name, ''), width)}"


def format_loss(train: Mapping[str, float]) -> str:
    """The training loss and, where it has several, its parts: "loss 1.234 (classification 1.104, sprel 0.130)"."""
    parts = [f"{name} {value:.3f}" for name, value in train.items() if name not in ("loss", "accuracy")]
    loss = f"loss {train['loss']:.3f}" if "loss" in train else "loss ?"
    return loss + (f" ({', '.join(parts)})" if len(parts) > 1 else "")


def head_line(stage: StageStarted) -> str:
    """What a stage is about to do, in one line."""
    return (
        f"{stage.name}: {_data(stage)}, {plural(stage.epochs, 'epoch')} of {plural(stage.steps_per_epoch, 'step')}, "
        f"{human_count(stage.parameters)} parameters, {stage.device}, {stage.precision}"
        f"{', compiled' if stage.compiled else ''}"
    )


def _data(stage: StageStarted) -> str:
    """ "2 classes (cat, dog), 40 + 10 images of 32 px": what is trained on, and tested on."""
    names = [name if name.isprintable() else repr(name)[1:-1] for name in stage.classes]
    of = f"({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"
    classes = f"{len(names)} class{'es' * (len(names) != 1)} {of}, " if names else ""
    size = f" of {stage.image_size} px" if stage.image_size else ""
    return f"{classes}{stage.train_images:,} + {stage.test_images:,} images{size}"


def epoch_line(epoch: EpochDone, units: Mapping[str, str], left: float | None = None) -> str:
    """One epoch in one line: losses, metrics on the test images, speed, time to the stage's end (if any is left)."""
    train, test = epoch.metrics.get("train", {}), epoch.metrics.get("test", {})
    digits = len(str(epoch.epochs))
    parts = [f"epoch {epoch.epoch:{digits}}/{epoch.epochs}", format_loss(train)]
    parts += [format_metric(name, value, units, width=4) for name, value in test.items() if name != "loss"]
    speed = human_rate(epoch.metrics.get("timing", {}).get("images_per_second"))
    if epoch.epoch < epoch.epochs:
        speed += f"  ETA {human_time(left)}"
    return "  ".join([*parts, "|", speed])


def step_line(stage: StageStarted, step: StepDone) -> str:
    """Where a stage is, in one line."""
    share = step.step / max(step.steps, 1)
    left = "measuring the time left" if step.left is None else f"{human_time(step.left)} left"
    rate = human_rate(step.images_per_second)
    return f"{stage.name} {100 * share:.0f} %, epoch {step.epoch} of {stage.epochs}, {rate}, {left}"


def end_line(finished: StageFinished, units: Mapping[str, str]) -> str:
    """What came out of a stage, in one line."""
    result = finished.result
    metrics, timing = result.get("metrics", {}), result.get("timing", {})
    units = {**units, **result.get("units", {})}
    parts = []
    if metrics.get("accuracy") is not None:
        best = format_value(metrics.get("best_accuracy"), units.get("accuracy", ""))
        parts.append(
            format_metric("accuracy", metrics["accuracy"], units) + f" (best {best}, epoch {metrics.get('best_epoch')})"
        )
    parts += [format_metric(name, metrics[name], units) for name in task_metrics(metrics)]
    took = f"{human_time(timing.get('seconds'))}, {human_rate(timing.get('images_per_second'))}"
    done = f"took {took}" if finished.replayed else f"done in {took}"
    return f"{finished.name} {done}" + (f": {', '.join(parts)}" if parts else "")


def task_metrics(metrics: Mapping[str, Any]) -> list[str]:
    """The names of a result's metrics beyond the accuracy on test images: the tasks', and others that were asked."""
    return [name for name, value in metrics.items() if name not in EXTRA and isinstance(value, int | float)]


def go_on_line(stage: StageStarted | None, again: str) -> str:
    """What to do after an interrupt; `again` names the thing to repeat, "this cell" or "the same command"."""
    if stage is None:
        return f"Interrupted before the first stage began; run {again} again to start."
    return f"Interrupted in {stage.name}. Its checkpoint is in {stage.folder}; run {again} again to go on from there."
