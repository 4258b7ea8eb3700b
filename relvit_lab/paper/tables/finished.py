"""Run folders as the tables read them: every finished stage once, by its id, from one or several places."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.sealed_json import Damaged, misfit
from relvit_lab.train.stage_folder import RunFolder


@dataclass(frozen=True)
class Run:
    """A finished stage. folder: None where only its record is there (recorded.py). copies: other folders that hold the
    same result."""

    id: str
    folder: Path | None
    result: Mapping[str, Any]
    copies: tuple[Path, ...] = ()

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
            by_id[name] = Run(name, first.folder, first.result, tuple(run.folder for run in others))
        else:
            differing[name] = tuple(run.folder for run in same)
    return Runs(by_id, differing, tuple(unreadable))


def _equal(one: Run, other: Run) -> bool:
    return all(one.result["metrics"].get(name) == value for name, value in other.result["metrics"].items())
