"""§4, Tables 2 to 5 and Figure 4: each cell as experiments, and the stages that they consist of, each once.

    cells("table2")                                  everything that Table 2 needs, both recipes, five seeds
    cells(preset="smoke", seeds=(0, 1))              all tables, small and short
    jobs(cells("all"))                               the stages in the order in which to train them

A cell is an accuracy or a task's metric; improvements are computed from cells, and Table 1 needs no training.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from relvit_lab import data
from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.method import backbones
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.records.store import given_fields
from relvit_lab.train.experiment import PLACES, Experiment, Stage

RECIPES = ("released", "paper")  # the first gives the numbers that are set against the paper's
SEEDS = (0, 1, 2, 3, 4)
DATASETS = paper.rows("table2")
SMALL = paper.columns("table3")
OTHERS = {"Swin": ("swin_t", "RelSwin"), "T2T": ("t2t_vit_14", "RelT2T-ViT")}  # Table 3: its backbone, its own row


@dataclass(frozen=True)
class Curve:
    """A setting of Figure 4. row: its name in tables. short: in the figure. fields: of Experiment."""

    row: str
    short: str
    fields: Mapping[str, Any]


FIGURE_4 = {
    f"pe_{'on' if pe else 'off'}{'_shuffled' if shuffle else ''}": Curve(
        f"PE {'on' if pe else 'off'}, {'shuffle' if shuffle else 'no shuffle'}",
        f"{'PE' if pe else 'no PE'}{' + shuffle' if shuffle else ''}",
        {"tasks": ("sprel",), "pos_embed": pe, "shuffle": shuffle},
    )
    for pe in (False, True)
    for shuffle in (False, True)
}
"""Its settings, by the names that studies have for them."""

SUPERVISED = {"scenario": "supervised", "supervised_stages": 1}
TWICE = {"scenario": "supervised", "supervised_stages": 2}
FINETUNED = {"scenario": "pretrain_finetune", "tasks": ("sprel", "abspos")}
JOINT = {"scenario": "downstream_only", "tasks": ("sprel", "abspos")}

OPEN = {name: field for name, field in Experiment.settings().items() if not field.planned}
"""Fields of Experiment that an override may change: the others make a cell what it is."""


@dataclass(frozen=True)
class Cell:
    """One number of a table (or curve of Figure 4) under one recipe, and the runs that give it.

    table, row, column: as in numbers.py. fields: of Experiment, without recipe, seed and places. stage: whose result
    counts, the "first" of the run (pre-training) or the "last". metric: our headline: "accuracy" (last epoch, test
    images), or a task's name (that metric, last epoch). like: what is set against the paper's number:
    "best_accuracy", for Flower-102 "best_val_accuracy", or a task's name: that metric at the epoch that was kept (the
    result's kept_epoch; the last where there is none). places: data_dir, run_dir, device and the like.
    """

    table: str
    row: str
    column: str
    recipe: str
    fields: Mapping[str, Any] = field(hash=False)
    stage: str = "last"
    metric: str = "accuracy"
    like: str = "best_accuracy"
    seeds: tuple[int, ...] = SEEDS
    places: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """(table, row, column, recipe)."""
        return self.table, self.row, self.column, self.recipe

    def experiment(self, seed: int) -> Experiment:
        """The run of one seed. Raises RelvitError for a field that is none."""
        return Experiment.create({**self.fields, **self.places, "recipe": self.recipe, "seed": seed})

    def stages(self, seed: int) -> tuple[Stage, ...]:
        """What has to be trained for this number, parents first; the last is the one whose result counts."""
        return _cell_stages(self, seed)


@lru_cache(maxsize=4096)  # the whole plan is 1,450 runs, asked for again and again
def _cell_stages(cell: Cell, seed: int) -> tuple[Stage, ...]:
    stages = _stages(cell.experiment(seed))
    return stages[:1] if cell.stage == "first" else stages


@lru_cache(maxsize=4096)  # cells of one run (Table 4's columns) share its stages, whose ids cost a hash each
def _stages(experiment: Experiment) -> tuple[Stage, ...]:
    return experiment.stages()


@dataclass(frozen=True)
class Job:
    """A stage to train, and the cells that need it, with their seeds."""

    stage: Stage
    needed_by: tuple[tuple[Cell, int], ...]

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that need it."""
        return tuple(dict.fromkeys(cell.table for cell, _ in self.needed_by))


# The tables, as (row, column, fields, what else differs in the cell)

Rows = Iterator[tuple[str, str, dict[str, Any], dict[str, str]]]


def _table2(small: bool, dataset: str) -> Rows:
    for name in DATASETS:
        on = _on(name, small)
        yield name, "Supervised", on | TWICE, {}
        yield name, "RelViT", on | FINETUNED, {}


def _table3(small: bool, dataset: str) -> Rows:
    for name in SMALL:
        yield "ViT: Supervised", name, _on(name, small) | SUPERVISED, {}
        yield "ViT: RelViT", name, _on(name, small) | JOINT, {}
    for label, (backbone, own) in OTHERS.items():
        for name in SMALL:
            on = _on(name, small, backbone)
            yield f"{label}: Supervised", name, on | SUPERVISED, {}
            yield f"{label}: L_drloc", name, on | JOINT | {"tasks": ("drloc",)}, {}
            yield f"{label}: {own}", name, on | JOINT, {}


def _table4(small: bool, dataset: str) -> Rows:
    on = _on("cifar10", small)
    yield "Supervised", "Finetuning", on | TWICE, {}
    for row in paper.rows("table4")[1:]:
        tasks = tuple(row.split("+"))
        fields = on | FINETUNED | {"tasks": tasks}
        for task in reversed(tasks):  # the paper's columns run from AbsPos to SpRel
            yield row, task, fields, {"stage": "first", "metric": task, "like": task}
        yield row, "Finetuning", fields, {}


def _table5(small: bool, dataset: str) -> Rows:
    for column in paper.columns("table5"):
        on = _on(column.split()[0], small, column.split()[1])
        yield "Supervised", column, on | TWICE, {}
        yield "No-Mega-Patches", column, on | FINETUNED, {}
        for m in paper.rows("table5")[2:]:
            if paper.get("table5", m, column):  # more mega-patches than patches: the paper's dashes
                yield m, column, on | FINETUNED | {"mega_patches": int(m)}, {}


def _figure4(small: bool, dataset: str) -> Rows:
    on = _on(dataset, small)
    for curve in FIGURE_4.values():
        fields = on | FINETUNED | curve.fields
        yield curve.row, "SpRel", fields, {"stage": "first", "metric": "sprel", "like": "sprel"}
        yield curve.row, "Finetuning", fields, {}
    yield "Supervised", "Finetuning", on | SUPERVISED, {}


TABLES = {"table2": _table2, "table3": _table3, "table4": _table4, "table5": _table5, "figure4": _figure4}
SEED_0_FIRST = ("table4", "table5", "figure4")  # no spread in print: their further seeds come last


def _on(dataset: str, small: bool, backbone: str | None = None) -> dict[str, Any]:
    """A data set and a backbone (None: Table 2's); small: its small form, with patches of the same size."""
    if dataset not in DATASETS:  # of Figure 4's override: as its preset says
        return {"dataset": dataset}
    spec = backbones.get(backbone or data.describe(dataset).backbone)
    if not small:
        return {"dataset": dataset, "backbone": spec.name}
    if spec.is_vit:
        return {"dataset": dataset, "backbone": "vit_nano", "patch_size": spec.patch}
    return {"dataset": dataset, "backbone": spec.smoke}


def cells(
    tables: Sequence[str] | str | None = None,
    recipes: Sequence[str] | str = RECIPES,
    seeds: Sequence[int] | None = None,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    **overrides: Any,
) -> tuple[Cell, ...]:
    """The cells of tables, recipe by recipe, in the paper's order.

    tables: "table2" to "table5", "figure4"; None or "all": all of them. seeds: of every cell, None: 0 to 4. rows,
    columns: only these (named as in numbers.py). overrides: fields of Experiment for all cells, such as preset,
    data_dir, run_dir, epochs, train_images; `dataset` for Figure 4 alone, of which the paper names none (CIFAR-10 is
    taken).
    A preset other than paper takes small backbones with patches of the same size. Raises RelvitError for an unknown
    name, naming the nearest, for a field that a cell is defined by, and where nothing is left.
    """
    tables = _known("table", None if tables == "all" else tables, TABLES)
    recipes = _known("recipe", recipes, RECIPES)
    overrides = _checked(overrides, tables)
    dataset = overrides.pop("dataset", "cifar10")
    places = {name: value for name, value in overrides.items() if name in PLACES and name != "preset"}
    fields = {name: value for name, value in overrides.items() if name not in places}
    small = fields.get("preset") not in (None, "paper")
    found = [(table, *entry) for table in tables for entry in TABLES[table](small, dataset)]
    for what, given, place in (("row", rows, 1), ("column", columns, 2)):
        chosen = _known(what, given, dict.fromkeys(entry[place] for entry in found))
        found = [entry for entry in found if entry[place] in chosen]
    seeds = SEEDS if seeds is None else tuple(dict.fromkeys(seeds))
    if not seeds:
        raise RelvitError("the plan has no seeds: give at least one")
    return tuple(
        _cell(table, row, column, recipe, own | fields, {"seeds": seeds, "places": places} | what)
        for recipe in recipes
        for table, row, column, own, what in found
    )


def _cell(table: str, row: str, column: str, recipe: str, fields: dict[str, Any], what: dict[str, Any]) -> Cell:
    if "drloc" in fields.get("tasks", ()) and "drloc_form" not in fields:
        fields["drloc_form"] = recipe  # as in its paper, or as in its released code
    if fields["dataset"] == "flower102" and "like" not in what:
        what["like"] = "best_val_accuracy"  # the paper scores it on the validation images
    return Cell(table, row, column, recipe, fields, **what)


def _known(what: str, given: Sequence[str] | str | None, options: Iterable[str]) -> tuple[str, ...]:
    """The names in the order of the options, None: all of them. Raises RelvitError for one that is none."""
    options = tuple(options)
    given = (given,) if isinstance(given, str) else options if given is None else tuple(given)
    for name in given:
        if name not in options:
            raise RelvitError(f"unknown {what} '{name}' in the plan: {nearest(name, options)}")
    return tuple(name for name in options if name in given)


def _checked(overrides: Mapping[str, Any], tables: Sequence[str]) -> dict[str, Any]:
    """The overrides in the types of their fields. Raises RelvitError for a name or value that is none, and for one that
    would make the cells something else."""
    e = Experiment.create(overrides)
    for name in overrides:
        if name not in OPEN:
            raise RelvitError(f"'{name}' is what makes a cell of a table: the plan sets it itself, leave it out")
        if name == "dataset" and tuple(tables) != ("figure4",):
            raise RelvitError("'dataset' can be set for figure4 alone: the other tables name theirs, choose rows")
    return {name: getattr(e, name) for name in overrides}


# Stages and jobs


def jobs(cells: Iterable[Cell]) -> dict[str, Job]:
    """Every stage once, by id, in the order in which to train them, parents before children.

    The order: by recipe, released first; in each, seed 0 of everything, then the other seeds of Tables 2 and 3, then
    those of the rest. So what is there at any time is as complete a picture as it can be.
    """
    wanted = [(cell, seed) for cell in cells for seed in cell.seeds]
    needed: dict[str, list[tuple[Cell, int]]] = {}
    found: dict[str, Stage] = {}
    for cell, seed in sorted(wanted, key=_turn):  # a stable sort: the cells' own order within a turn
        for stage in cell.stages(seed):
            found.setdefault(stage.id, stage)
            needed.setdefault(stage.id, []).append((cell, seed))
    return {name: Job(stage, tuple(needed[name])) for name, stage in found.items()}


def _turn(wanted: tuple[Cell, int]) -> tuple:
    cell, seed = wanted
    later = seed > 0
    return RECIPES.index(cell.recipe), later, later and cell.table in SEED_0_FIRST, seed


def stages(cells: Iterable[Cell]) -> dict[str, Stage]:
    """Every stage of the cells once, by id, in the order of `jobs`."""
    return {name: job.stage for name, job in jobs(cells).items()}


def job_fields(stage: Stage) -> dict[str, Any]:
    """The fields of Experiment, as papermill parameters, with which a run trains this stage and nothing after it:
    Experiment(**fields).stages()[-1].id == stage.id. Only what differs from the defaults of the data set and preset.

    Its parents come first in that run; where they are finished, they are read.
    """
    fields = given_fields(stage.experiment.as_dict() | {"stop_after": stage.name})
    again = Experiment(**fields).stages()[-1]
    if again.id != stage.id:
        raise RuntimeError(f"{fields} give the stage {again.id}, not {stage.id}")
    return fields
