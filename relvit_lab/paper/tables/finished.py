"""Run folders as the tables read them: every finished stage once, by its id, from one or several places."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from relvit_lab.common.regular import read_regular
from relvit_lab.train.stage_folder import RunFolder


@dataclass(frozen=True)
class Run:
    """A finished stage. copies: other folders that hold the same result."""

    id: str
    folder: Path
    result: Mapping[str, Any]
    copies: tuple[Path, ...] = ()

    @cached_property
    def lines(self) -> list[dict]:
        """The lines of its metrics.jsonl. Raises RelvitError where they cannot be read."""
        return RunFolder(self.folder).metrics()

    def value(self, metric: str, kept: bool = False) -> float | None:
        """One of its metrics; kept: a task's metric at the epoch whose weights were kept. None where it has none."""
        epoch = self.result["stage"].get("kept_epoch")
        if kept and epoch is not None and "accuracy" not in metric:
            return next((line["test"].get(metric) for line in self.lines if line["epoch"] == epoch), None)
        return self.result["metrics"].get(metric)


@dataclass(frozen=True)
class Runs:
    """Finished stages by id. differing: folders of one id whose results are not the same: none of them counts.

    unreadable: what is wrong with folders that were left out.
    """

    by_id: Mapping[str, Run] = field(default_factory=dict)
    differing: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.by_id)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.by_id.values())


def collect(run_dirs: Sequence[str | Path]) -> Runs:
    """All finished stages under some run folders, by the id that their result.json names (a folder may be a copy).

    The same stage in two folders counts once where the results are equal, and not at all where they differ.
    """
    found: dict[str, list[Run]] = {}
    unreadable = []
    folders = {file.parent.resolve() for run_dir in run_dirs for file in Path(run_dir).glob("*/result.json")}
    for folder in sorted(folders):
        try:
            result = json.loads(read_regular(folder / "result.json"))
            run = Run(result["stage"]["id"], folder, result)
            result["metrics"].keys(), result["experiment"].keys(), result["environment"].keys()
            found.setdefault(run.id, []).append(run)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            unreadable.append(f"{folder}: its result.json cannot be read ({type(error).__name__}: {error})")
    by_id, differing = {}, {}
    for name, same in found.items():
        first, *others = sorted(same, key=lambda run: -len(run.result["metrics"]))  # one may have probes on top
        if all(_equal(first, other) for other in others):
            by_id[name] = Run(name, first.folder, first.result, tuple(run.folder for run in others))
        else:
            differing[name] = tuple(run.folder for run in same)
    return Runs(by_id, differing, tuple(unreadable))


def _equal(one: Run, other: Run) -> bool:
    return all(one.result["metrics"].get(name) == value for name, value in other.result["metrics"].items())
