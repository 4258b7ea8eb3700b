"""What a stage leaves: what it is (experiment.json), what came out (result.json), and its weights."""

import hashlib

from relvit_lab import data
from relvit_lab.train.environment import environment
from relvit_lab.train.state import Training


def about(training: Training) -> dict:
    """experiment.json."""
    d, stage = training.dataset, training.stage
    described = {
        "name": d.name, "digest": d.digest, "classes": list(d.classes), "mean": list(d.mean), "std": list(d.std),
        "test_split": d.test_split, "stamp": data.stamp(stage.experiment.dataset, stage.experiment.data_dir),
    }  # fmt: skip
    return {
        "experiment": stage.experiment.as_dict(), "stage": _names(training), "fields": stage.fields,
        "data": described, "environment": environment(training.device, training.model.compiled),
    }  # fmt: skip


def result(training: Training, weights: bytes) -> dict:
    """result.json of a stage whose epochs are done. weights: what model.safetensors holds."""
    stage, history = training.stage, training.history
    metrics = {"accuracy": None, "best_accuracy": None, "best_epoch": None} | history[-1]["test"]
    if stage.classifies:
        metrics["best_accuracy"], metrics["best_epoch"] = _best_accuracy(history, "test")
        if training.val is not None:
            metrics["val_accuracy"] = history[-1]["val"]["accuracy"]
            metrics["best_val_accuracy"], metrics["best_val_epoch"] = _best_accuracy(history, "val")
    count = len(training.train)
    spent = sum(count / line["timing"]["images_per_second"] for line in history)
    return {
        "experiment": stage.experiment.as_dict(),
        "stage": _names(training) | ({"kept_epoch": training.best["epoch"]} if training.best else {}),
        "metrics": metrics,
        "units": {name: "%" for name in metrics if name.endswith("accuracy")}
        | {task.name: task.unit for task in training.model.tasks},
        "test_split": training.dataset.test_split,
        "counts": {
            "steps_per_epoch": training.steps_per_epoch, "train_images": count, "test_images": len(training.test),
            "parameters": sum(p.numel() for p in training.model.parameters()),
        },
        "data": {"name": training.dataset.name, "digest": training.dataset.digest},
        "weights": {"sha256": hashlib.sha256(weights).hexdigest()},
        "environment": environment(training.device, training.model.compiled)
        | ({"versions": training.versions} if len(training.versions) > 1 else {}),
        "timing": {
            "seconds": training.seconds, "compiling": training.compiling,
            "images_per_second": stage.experiment.epochs * count / spent,
        },
    }  # fmt: skip


def weights(training: Training) -> bytes:
    """model.safetensors: the last epoch's weights, or the best one's where the stage keeps that."""
    from safetensors.torch import save

    kept = training.best["model"] if training.best else training.model.state_dict()
    return save({name: value.detach().cpu().contiguous() for name, value in kept.items()}, {"stage": training.stage.id})


def _names(training: Training) -> dict:
    stage = training.stage
    return {"name": stage.name, "id": stage.id, "parent": stage.parent.id if stage.parent else None}


def _best_accuracy(history: list[dict], split: str) -> tuple[float, int]:
    """The highest accuracy on a split's images, and the first epoch that had it."""
    accuracies = [line[split]["accuracy"] for line in history]
    best = max(accuracies)
    return best, accuracies.index(best) + 1
