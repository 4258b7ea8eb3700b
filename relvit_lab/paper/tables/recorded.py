"""The recorded runs (results/) in the tables, where there are none of one's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from relvit_lab.common.table import Table
from relvit_lab.paper.plan.cells import Cell
from relvit_lab.paper.records.comparisons import available
from relvit_lab.paper.records.report import ROW, TABLES, Report
from relvit_lab.paper.records.store import Record, read_records
from relvit_lab.paper.tables.files import choose
from relvit_lab.paper.tables.finished import Run, Runs, made_for

BEFORE = {"shortcut": "pre-trained on SpRel, ", "mega": "pre-trained on mega-patches, "}  # what these tables leave out
SCALE = "demo"  # the preset of the records at laptop scale


@dataclass(frozen=True)
class RecordedRun(Run):
    """A run of which the record alone is here: its folder is None, so no table links to it."""

    @cached_property
    def lines(self) -> list[dict]:
        curves = self.result["curves"]
        return [
            {"epoch": epoch, "test": {name: values[k] for name, values in curves["test"].items()}}
            for k, epoch in enumerate(curves["epoch"])
        ]


def recorded_table(records: Mapping[str, Record] | None = None) -> Table:
    """The recorded runs at laptop scale, a line for each setting: accuracy by seed, and the tasks' scores.

    records: those of results/ where None. A setting without a record is left out.
    """
    report = Report(read_records() if records is None else records)
    places = {name: table for table in reversed(TABLES) for name in TABLES[table]}  # the first table names it
    names = available(report, list(dict.fromkeys(name for table in TABLES.values() for name in table)))
    rows = []
    for name in names:
        what, *more = report.row(places[name], name)
        rows.append((BEFORE.get(places[name], "") + what, *more))
    said = f"CIFAR-10, {report.shared('train_images')} training images, the small ViT; the last epoch" if rows else ""
    return Table(ROW, tuple(rows), (said,) if said else ())


def choose_or_recorded(
    run_dir: str | Sequence[str] = "runs", names: Sequence[str] = (), *more: Any, **overrides: Any
) -> tuple[Runs, tuple[Cell, ...]]:
    """files.choose; where no run is there that its tables look for, the recorded ones, and cells of their scale."""
    runs, cells = choose(run_dir, names, *more, **overrides)
    if not made_for(runs, cells):
        results = {name: record | {"timing": record["cost"]} for name, record in read_records().items()}
        found = {name: RecordedRun(name, None, result) for name, result in results.items()}
        ours = Runs(found, runs.differing, runs.unreadable, recorded=True)
        _, at_scale = choose("results", names, *more, preset=SCALE)
        if made_for(ours, at_scale):
            return ours, at_scale
    return runs, cells
