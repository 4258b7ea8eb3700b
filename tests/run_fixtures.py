"""Run folders without training: what a finished stage leaves, as training.py writes it, with numbers of choice."""

import json
from collections.abc import Mapping
from pathlib import Path

from relvit_lab.paper.plan.cells import Cell
from relvit_lab.train.experiment import Stage


def write_run(
    run_dir: Path,
    stage: Stage,
    metrics: Mapping[str, float],
    curves: Mapping[str, list[float]] | None = None,
    kept_epoch: int | None = None,
    folder: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """A stage's result.json and metrics.jsonl. curves: of the latter's test part, by epoch. Returns the folder."""
    names = {"name": stage.name, "id": stage.id, "parent": stage.parent.id if stage.parent else None}
    made = {"commit": "0123456789ab", "precision": "float32", "device": "CPU"} | dict(environment or {})
    result = {
        "experiment": stage.experiment.as_dict(),
        "stage": names | ({"kept_epoch": kept_epoch} if kept_epoch else {}),
        "metrics": {"accuracy": None, "best_accuracy": None, "best_epoch": None, "loss": 1.0} | dict(metrics),
        "units": {"accuracy": "%", "best_accuracy": "%"},
        "test_split": "test",
        "counts": {"steps_per_epoch": 3, "train_images": 96, "test_images": 48, "parameters": 1000},
        "environment": made,
        "timing": {"seconds": 1.0, "images_per_second": 96.0},
    }
    path = Path(run_dir) / (folder or stage.id)
    path.mkdir(parents=True)
    curves = curves or {name: [value] for name, value in metrics.items()}
    lines = [
        {"epoch": k + 1, "train": {"loss": 1.0}, "test": {name: values[k] for name, values in curves.items()}}
        for k in range(max(map(len, curves.values())))
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (path / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return path


def write_cell(run_dir: Path, cell: Cell, by_seed: Mapping[int, float], best: float = 0.5, **more) -> dict[int, Path]:
    """The runs that a cell's number is from: last epoch as given, the best `best` above it. Returns folders by seed.

    On Flower-102 the validation images' best is 1 below the test images'.
    """
    folders = {}
    for seed, value in by_seed.items():
        stage = cell.stages(seed)[-1]
        metrics = {cell.metric: value}
        if cell.metric == "accuracy":
            metrics |= {"best_accuracy": value + best, "best_epoch": 1}
            if cell.like == "best_val_accuracy":
                metrics |= {"val_accuracy": value - 1, "best_val_accuracy": value + best - 1, "best_val_epoch": 1}
        folders[seed] = write_run(run_dir, stage, metrics, **more)
    return folders
