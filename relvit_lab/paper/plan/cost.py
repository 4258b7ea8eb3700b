"""§4 (cost): the plan of runs as a table: what is done, begun and missing, and how many GPU hours are left.

    print(plan_table(plan.cells(), ["runs"]))
    print(cell_table(plan.cells("table2"), ["runs"]))    the same, cell by cell

Hours are counted operations (flops.py) over a rate. The rate of a backbone is measured where a finished stage of it on
a GPU is among the run folders or in results/; else it is an assumption, and is called one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.paths import resolve
from relvit_lab.common.sealed_json import misfit
from relvit_lab.common.table import Column, Table, compare
from relvit_lab.common.words import plural
from relvit_lab.data import DATASETS
from relvit_lab.method.backbones import get as get_backbone
from relvit_lab.paper.numbers import label, short_title
from relvit_lab.paper.plan.cells import Cell, stages
from relvit_lab.paper.records.store import MEASURED, read_records
from relvit_lab.paper.tables.finished import Runs, collect
from relvit_lab.train.experiment import Experiment, Stage
from relvit_lab.train.flops import stage_flops
from relvit_lab.train.stage_folder import RunFolder

TFLOPS = 100.0  # assumed, in TFLOP/s, where nothing was measured
MEASURABLE = 10.0  # seconds of training from which a run's rate counts: a shorter one measures its start


@dataclass(frozen=True)
class Rate:
    """Operations a second that a backbone sustained in training, in so many runs on these GPUs."""

    flops: float
    runs: int
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """Where a stage is. state: done, begun or missing. hours: left on a GPU, None where the images are not known."""

    stage: Stage
    state: str
    hours: float | None
    measured: bool


@dataclass(frozen=True)
class Tally:
    """A line of the plan: some cells. survey: where every stage is, by id."""

    name: str
    recipe: str
    cells: Sequence[Cell]
    survey: Mapping[str, Work]

    @cached_property
    def works(self) -> list[Work]:
        """Of the stages that the cells need, each once."""
        needed = dict.fromkeys(stage.id for cell in self.cells for seed in cell.seeds for stage in cell.stages(seed))
        return [self.survey[name] for name in needed]

    def seeds(self, cell: Cell) -> int:
        """How many of its seeds have a number."""
        return sum(self.survey[cell.stages(seed)[-1].id].state == "done" for seed in cell.seeds)

    def count(self, state: str) -> int:
        return sum(work.state == state for work in self.works)

    @property
    def hours(self) -> str:
        """To one decimal; "?" where a part is not known."""
        hours = [work.hours for work in self.works if work.state != "done"]
        return "?" if None in hours else f"{sum(hours):,.1f}"

    @property
    def rate(self) -> str | None:
        measured = {work.measured for work in self.works if work.state != "done"}
        return {(): None, (True,): "measured", (False,): "assumed"}.get(tuple(measured), "partly assumed")


WORK: tuple[Column, ...] = (  # what both tables say of a line's stages
    ("Stages", lambda t: len(t.works)), ("done", lambda t: t.count("done")), ("begun", lambda t: t.count("begun")),
    ("missing", lambda t: t.count("missing")), ("GPU hours left", lambda t: t.hours), ("Rate", lambda t: t.rate),
)  # fmt: skip


def plan_table(
    cells: Iterable[Cell], run_dirs: Sequence[str | Path] = (), records: str | Path = "results", tflops: float = TFLOPS
) -> Table:
    """A line for each table and recipe, and their sums where there are several.

    run_dirs: where finished and begun stages are looked for; none: the cells' own. records: a folder of records, for
    their rates. tflops: the rate in TFLOP/s that is assumed where none was measured. Raises RelvitError as the plan and
    read_records do.
    """
    cells = tuple(cells)
    survey, caption = _survey(cells, run_dirs, records, tflops)
    groups = [
        (short_title(table), recipe, [cell for cell in cells if (cell.table, cell.recipe) == (table, recipe)])
        for recipe, table in dict.fromkeys((cell.recipe, cell.table) for cell in cells)
    ]
    recipes = dict.fromkeys(cell.recipe for cell in cells)
    if len({cell.table for cell in cells}) > 1:
        groups += [("together", recipe, [cell for cell in cells if cell.recipe == recipe]) for recipe in recipes]
    if len(recipes) > 1:
        groups.append(("together", "both", cells))
    lines = [Tally(*group, survey) for group in groups]
    columns = [
        ("Table", lambda t: t.name), ("Recipe", lambda t: t.recipe), ("Cells", lambda t: len(t.cells)),
        ("with a number", lambda t: sum(t.seeds(cell) > 0 for cell in t.cells)),
        *WORK,
    ]  # fmt: skip
    shared = "Each line counts every stage that it needs; sums count a stage once that several tables share."
    return compare(lines, columns, (shared, *caption))


def cell_table(
    cells: Iterable[Cell], run_dirs: Sequence[str | Path] = (), records: str | Path = "results", tflops: float = TFLOPS
) -> Table:
    """A line for each cell: how many of its seeds are there, and what is left. Arguments as of plan_table."""
    cells = tuple(cells)
    survey, caption = _survey(cells, run_dirs, records, tflops)
    lines = [Tally(short_title(cell.table), cell.recipe, [cell], survey) for cell in cells]
    columns = [
        ("Table", lambda t: t.name), ("Row", lambda t: label(t.cells[0].row)),
        ("Column", lambda t: label(t.cells[0].column)), ("Recipe", lambda t: t.recipe),
        ("Seeds", lambda t: f"{t.seeds(t.cells[0])}/{len(t.cells[0].seeds)}"),
        *WORK,
    ]  # fmt: skip
    return compare(lines, columns, ("A stage that several cells share is counted in each.", *caption))


# What is there, and what is left


def _survey(
    cells: Sequence[Cell], run_dirs: Sequence[str | Path], records: str | Path, tflops: float
) -> tuple[dict[str, Work], tuple[str, ...]]:
    """Every stage of the cells, by id, and what is to be said above a table of them. Raises RelvitError."""
    if not tflops > 0:
        raise RelvitError(f"tflops is {tflops}, but must be more than 0")
    needed = stages(cells)
    own = dict.fromkeys(stage.experiment.run_folder() for stage in needed.values())
    folders = tuple(map(resolve, run_dirs)) or tuple(own)
    runs = collect(folders)
    rates = measured_rates([*_of_runs(runs), *read_records(records, whole=False).values()])
    works = {name: _work(stage, folders, runs, rates, tflops) for name, stage in needed.items()}
    return works, tuple(_captions(works.values(), folders, runs, rates, tflops))


def _work(stage: Stage, folders: Sequence[Path], runs: Runs, rates: Mapping[str, Rate], tflops: float) -> Work:
    rate = rates.get(stage.experiment.backbone)
    measured = rate is not None
    if stage.id in runs.by_id or stage.id in runs.differing:
        return Work(stage, "done", 0.0, measured)
    places = [folder / stage.id for folder in folders]
    begun = [own for own in places if (own / "metrics.jsonl").exists() or (own / "checkpoint.pt").exists()]
    epochs = max((_epochs(folder) for folder in begun), default=0)
    flops = training_flops(stage)
    left = 1 - min(epochs / stage.experiment.epochs, 1)
    hours = None if flops is None else flops * left / (rate.flops if rate else tflops * 1e12) / 3600
    return Work(stage, "begun" if begun else "missing", hours, measured)


def _epochs(folder: Path) -> int:
    try:
        return len(RunFolder(folder).metrics())
    except RelvitError:  # counted as not begun: what is wrong is said where the stage goes on
        return 0


def training_flops(stage: Stage) -> float | None:
    """All operations of a stage: its epochs over the training images, and the evaluation after each. None where the
    number of images is not known without reading the data set."""
    e = stage.experiment
    there = DATASETS.get(e.dataset).info.images if e.dataset in DATASETS else {}
    if not there:
        return None
    train, *tested = there.values()  # the test images, and validation images beside them or in their place
    if e.train_on == "train+val":
        train, tested = train + there["val"], [there["test"]]
    train = min(train, e.train_images or train) * (e.label_fraction if stage.classifies else 1)
    evaluated = sum(min(images, e.test_images or images) for images in tested)
    one = stage_flops(stage)
    return e.epochs * (one.train * train + one.evaluate * evaluated)


def measured_rates(records: Iterable[Mapping[str, Any]]) -> dict[str, Rate]:
    """By backbone, the rate over all training on GPUs that records tell of; runs under ten seconds are left out.

    records: as in results/: {experiment, stage: {name}, counts, environment, cost: {images_per_second}}.
    """
    spent: dict[str, list[tuple[float, float, str]]] = {}
    for record in records:
        device, cost = record["environment"]["device"], record["cost"]
        e, count = record["experiment"], record["counts"]["train_images"]
        if device.startswith("cpu") or not cost["images_per_second"] > 0:
            continue
        seconds = count * e["epochs"] / cost["images_per_second"]
        if seconds < MEASURABLE:
            continue
        known = {name: value for name, value in e.items() if name in Experiment.names() and name != "init_from"}
        try:
            stage = Stage(record["stage"]["name"], Experiment.create(known).resolved())
        except RelvitError:  # a backbone, task or data set that only its maker has
            continue
        flops = stage_flops(stage).train * count * e["epochs"]
        spent.setdefault(stage.experiment.backbone, []).append((flops, seconds, device))
    return {
        backbone: Rate(
            sum(flops for flops, _, _ in runs) / sum(seconds for _, seconds, _ in runs),
            len(runs),
            tuple(sorted({device for _, _, device in runs})),
        )
        for backbone, runs in spent.items()
    }


def _of_runs(runs: Runs) -> Iterator[dict[str, Any]]:
    """Results of run folders in the form of records, where they have all that a rate is made of."""
    for run in runs:
        record = {**run.result, "id": run.id, "cost": run.result.get("timing")}
        if misfit(record, MEASURED) is None:
            yield record


def _captions(
    works: Iterable[Work], folders: Sequence[Path], runs: Runs, rates: Mapping[str, Rate], tflops: float
) -> Iterator[str]:
    yield f"Looked in {', '.join(map(str, folders))}."
    for name, places in runs.differing.items():
        yield f"{name} is in {' and '.join(map(str, places))} with different results: remove all but one."
    yield from (f"Left out: {what}" for what in runs.unreadable)
    left = [work for work in works if work.state != "done"]
    for backbone in dict.fromkeys(work.stage.experiment.backbone for work in left if work.measured):
        rate = rates[backbone]
        yield (
            f"Measured: {get_backbone(backbone).label} at {rate.flops / 1e12:.3g} TFLOP/s "
            f"({plural(rate.runs, 'run')} on {', '.join(rate.devices)})."
        )
    assumed = dict.fromkeys(work.stage.experiment.backbone for work in left if not work.measured)
    if assumed:
        yield (
            f"ASSUMED, not measured: {tflops:g} TFLOP/s (--tflops) for "
            f"{', '.join(get_backbone(name).label for name in assumed)}."
        )
    unknown = dict.fromkeys(work.stage.experiment.dataset for work in left if work.hours is None)
    if unknown:
        yield f"No hours for {', '.join(unknown)}: how many images there are is not known before they are read."
