"""The table at the end of a run: what was trained, and what came out."""

from collections.abc import Mapping, Sequence
from typing import Any

from relvit_lab.common.table import Column, Table, cell, compare, text
from relvit_lab.common.words import human_rate, human_time
from relvit_lab.show import wording
from relvit_lab.train.events import StageFinished


def summary(finished: Sequence[StageFinished]) -> Table:
    """The table at the end of a run: a row for each stage, what was trained and what came out.

    Accuracies and task metrics are on the test images, after the last epoch; the best epoch is named beside it.
    What all stages share (scenario, backbone, data set, tasks) stands in the caption, once.
    """
    results = [stage.result for stage in finished]
    units = wording.known_units()
    for result in results:
        units |= result.get("units", {})
    trained: list[Column] = [
        ("Scenario", "experiment.scenario"),
        ("Backbone", "experiment.backbone"),
        ("Data set", "experiment.dataset"),
        ("Tasks", _tasks),
    ]
    caption, columns = [], [("Stage", "stage.name")]
    for header, what in trained:
        values = {text(cell(result, what)) for result in results}
        if len(values) > 1:
            columns.append((header, what))
        elif values - {"-"}:
            caption.append(f"{header.lower()} {values.pop()}")
    if any(cell(result, "metrics.accuracy") is not None for result in results):
        columns += [(_header("accuracy", units), "metrics.accuracy"), ("best (epoch)", _best)]
    tasks = dict.fromkeys(name for result in results for name in wording.task_metrics(result.get("metrics", {})))
    columns += [(_header(name, units), f"metrics.{name}") for name in tasks]
    columns += [
        ("Time", lambda r: human_time(cell(r, "timing.seconds"))),
        ("img/s", lambda r: _rate(cell(r, "timing.images_per_second"))),
    ]
    folders = {id(stage.result): str(stage.folder) for stage in finished}
    columns.append(("Folder", lambda r: folders[id(r)]))
    return compare(results, columns, caption=("; ".join(caption),) if caption else ())


def _header(name: str, units: Mapping[str, str]) -> str:
    unit = units.get(name, "")
    return wording.title(name) + (f" ({unit})" if unit else "")


def _tasks(result: Mapping[str, Any]) -> Any:
    """The tasks of the run that the stage is part of; a supervised run has none, whatever its fields say."""
    return None if cell(result, "experiment.scenario") == "supervised" else cell(result, "experiment.tasks")


def _best(result: Mapping[str, Any]) -> str | None:
    best, epoch = cell(result, "metrics.best_accuracy"), cell(result, "metrics.best_epoch")
    return None if best is None else f"{best:.1f} ({'?' if epoch is None else epoch})"


def _rate(images_per_second: float | None) -> str | None:
    return None if images_per_second is None else human_rate(images_per_second).removesuffix(" img/s")
