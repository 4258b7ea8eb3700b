"""Run folders as the tables read them: every finished stage once, by its id, from one or several places; and of those
the ones behind the tables' numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.sealed_json import Damaged, misfit
from relvit_lab.paper.plan.cells import Cell, jobs
from relvit_lab.train.experiment import Experiment, Stage
from relvit_lab.train.stage_folder import RunFolder


@dataclass(frozen=True)
class Run:
    """A finished stage. folder: None where only its record is there (recorded.py)."""

    id: str
    folder: Path | None
    result: Mapping[str, Any]

    @cached_property
    def lines(self) -> list[dict]:
        """The lines of its metrics.jsonl. Raises RelvitError where they cannot be read."""
        epochs = self.result["experiment"].get("epochs") if "weights" in self.result else None
        return RunFolder(self.folder).metrics(epochs)

    @cached_property
    def digest(self) -> str | None:
        """Of the data that it was trained on; None where that is not known."""
        own = self.result.get("data")
        try:
            own = own or (RunFolder(self.folder).about() or {}).get("data")  # results of earlier versions lack it
        except RelvitError:
            own = None
        return own and own.get("digest")

    def value(self, metric: str, kept: bool = False) -> float | None:
        """One of its metrics; kept: a task's metric at the epoch whose weights were kept. None where it has none."""
        epoch = self.result["stage"].get("kept_epoch")
        if kept and epoch is not None and "accuracy" not in metric:
            return next((line.get("test", {}).get(metric) for line in self.lines if line["epoch"] == epoch), None)
        return self.result["metrics"].get(metric)


@dataclass(frozen=True)
class Runs:
    """Finished stages by id. differing: folders of one id whose results are not the same: none of them counts.

    unreadable: what is wrong with folders that were left out. recorded: whether they are records, not folders.
    """

    by_id: Mapping[str, Run] = field(default_factory=dict)
    differing: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    recorded: bool = False

    def __len__(self) -> int:
        return len(self.by_id)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.by_id.values())

    def of(self, cell: Cell) -> dict[int, Run]:
        """By seed, the run whose result a cell takes."""
        ids = {seed: cell.stages(seed)[-1].id for seed in cell.seeds}
        return {seed: self.by_id[name] for seed, name in ids.items() if name in self.by_id}


NEEDED = {"stage": {"id": str, "name?": str}, "metrics": dict, "experiment": dict, "environment": dict}


def one_data_set(runs: Iterable[Run]) -> bool:
    """Whether all were trained on the same data, as far as that is known: a name may stand for several."""
    return len({run.digest for run in runs} - {None}) <= 1


def collect(run_dirs: Sequence[str | Path]) -> Runs:
    """All finished stages under some run folders, by the id that their result.json names (a folder may be a copy).

    The same stage in two folders counts once where the results are equal, and not at all where they differ.
    """
    found: dict[str, list[Run]] = {}
    unreadable = []
    folders = {file.parent.resolve() for run_dir in run_dirs for file in Path(run_dir).glob("*/result.json")}
    for folder in sorted(folders):
        try:
            result = RunFolder(folder).result()
            wrong = misfit(result, NEEDED)
            if wrong:
                raise Damaged(folder / "result.json", wrong)
            run = Run(result["stage"]["id"], folder, result)
            if result["stage"].get("kept_epoch") is not None:  # a table asks for its line
                run.lines  # noqa: B018 (damaged ones leave the run out)
            found.setdefault(run.id, []).append(run)
        except Damaged as error:
            unreadable.append(f"{folder}: its {error.file.name} cannot be read ({error.why})")
        except RelvitError as error:
            unreadable.append(str(error))
    by_id, differing = {}, {}
    for name, same in found.items():
        first, *others = sorted(same, key=lambda run: -len(run.result["metrics"]))  # one may have probes on top
        if all(_equal(first, other) for other in others):
            by_id[name] = first
        else:
            differing[name] = tuple(run.folder for run in same)
    return Runs(by_id, differing, tuple(unreadable))


def _equal(one: Run, other: Run) -> bool:
    return all(one.result["metrics"].get(name) == value for name, value in other.result["metrics"].items())


UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Made:
    """A finished run; its stage, which has the same id and so the same scientific fields; the tables that need it."""

    run: Run
    stage: Stage
    tables: tuple[str, ...] = ()

    @property
    def result(self) -> Mapping[str, Any]:
        return self.run.result

    @property
    def experiment(self) -> Experiment:
        return self.stage.experiment

    @property
    def preset(self) -> str:
        """Changes no id, so the run itself is asked."""
        return str(self.result["experiment"].get("preset") or UNKNOWN)

    def environment(self, name: str) -> str:
        return str(self.result["environment"].get(name) or UNKNOWN)


def made_for(runs: Runs, cells: Sequence[Cell]) -> list[Made]:
    """The runs that the cells' numbers come from, their parents' too."""
    planned = jobs(cells)
    return [Made(runs.by_id[name], job.stage, job.tables) for name, job in planned.items() if name in runs.by_id]
