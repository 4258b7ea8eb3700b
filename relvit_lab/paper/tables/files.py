"""`python -m relvit_lab tables`: tables and figures as files, and what is in them and what is not."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.paths import resolve
from relvit_lab.common.table import Table, compare
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.figures.draw import Plate, render
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.tables import pictures as viz_tables
from relvit_lab.paper.tables.entries import BUILT, PaperTable
from relvit_lab.paper.tables.finished import Runs, collect
from relvit_lab.paper.tables.html import to_page
from relvit_lab.paper.tables.numbers import paper_table
from relvit_lab.paper.tables.text import row_label, to_csv, to_latex, to_markdown

TABLES = tuple(name for name in paper.TITLES if name != "figure4")
NAMED = 2  # holes are named up to so many


def choose(
    run_dir: str | Sequence[str] = "runs",
    names: Sequence[str] = (),
    recipes: str | Sequence[str] = plan.RECIPES,
    seeds: str | Sequence[int | str] | None = None,
    **overrides: Any,
) -> tuple[Runs, tuple[plan.Cell, ...]]:
    """The runs under some folders, and the cells of tables (none: all of them, and figure4) that look for them.

    run_dir, recipes, seeds: lists, or texts with commas, as papermill and the command line hand them over. overrides:
    fields of Experiment for all cells, None: as the plan says. Raises RelvitError for unknown names and values.
    """
    try:
        seeds = None if seeds is None else tuple(int(seed) for seed in _listed(seeds))
    except ValueError:
        raise RelvitError(f"seeds are whole numbers, such as 0,1,2, not '{seeds}'") from None
    folders = _listed(run_dir)
    fields = {name: value for name, value in overrides.items() if value is not None}
    trained = [name for name in names if name != "table1"]
    for name in names:
        if name not in (*TABLES, "figure4"):
            raise RelvitError(f"unknown table '{name}': {nearest(name, (*TABLES, 'figure4'))}")
    cells = plan.cells(trained or None, _listed(recipes), seeds, run_dir=folders[0], **fields)
    return collect([resolve(folder) for folder in folders]), cells


def _listed(value: str | Sequence[Any]) -> list[Any]:
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else list(value)


def make_tables(runs: Runs, cells: Sequence[plan.Cell], names: Sequence[str] = ()) -> list[PaperTable]:
    """Tables of the paper (none named: all five) with the runs' numbers for the cells."""
    wanted = [name for name in names if name != "figure4"] if names else TABLES
    return [paper_table(name, runs, cells) for name in wanted]


def write_tables(tables: Sequence[PaperTable], folder: str | Path = "tables") -> list[Path]:
    """Each table as Markdown, LaTeX, CSV and HTML; returns the files. Links to runs are seen from the folder."""
    target = resolve(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        texts = {
            "md": to_markdown(table, target), "tex": to_latex(table), "csv": to_csv(table, target),
            "html": to_page(table, target),
        }  # fmt: skip
        for ending, text in texts.items():
            written.append(target / f"{table.name}.{ending}")
            written[-1].write_text(text, encoding="utf-8", newline="\n")
    return written


def plates(runs: Runs, tables: Sequence[PaperTable], cells: Sequence[plan.Cell] = ()) -> dict[str, Plate]:
    """The figures of runs, by name: Tables 4 and 5 where they are among the tables, accuracy against the share of
    labels, and Figure 4 from its cells. Drawing one raises RelvitError where it lacks runs that it needs."""
    found: dict[str, Plate] = {}
    for table in tables:
        if table.name == "table4":
            for recipe in table.sources:
                draw = functools.partial(viz_tables.combinations, table, recipe)
                found[f"table4_{recipe}"] = Plate(draw, f"Table 4: combinations of tasks, recipe {recipe}")
        if table.name == "table5":
            found["table5"] = Plate(functools.partial(viz_tables.over_m, table), "Table 5: accuracy over M")
    for k, (title, series) in enumerate(viz_tables.by_labels(run.result for run in runs).items()):
        draw = functools.partial(viz_tables.labels, series, title, "Last epoch, test images. Bars: standard deviation.")
        found[f"labels_{k + 1}"] = Plate(draw, f"Accuracy against the share of labels: {title}")
    for recipe in dict.fromkeys(cell.recipe for cell in cells if cell.table == "figure4"):
        draw = functools.partial(viz_tables.figure4, runs, cells, recipe)
        found[f"figure4_{recipe}"] = Plate(draw, f"Figure 4, recipe {recipe}")
    return found


def write_figures(
    runs: Runs, tables: Sequence[PaperTable], cells: Sequence[plan.Cell] = (), folder: str | Path = "tables"
) -> tuple[list[Path], list[str]]:
    """The figures of runs (plates) as SVG and PNG. Returns the files, and what could not be drawn and why."""
    target = resolve(folder)
    target.mkdir(parents=True, exist_ok=True)
    written, problems = [], []
    for name, plate in plates(runs, tables, cells).items():
        try:
            files = render(plate, ("svg", "png"))
        except RelvitError as error:
            problems.append(str(error))
            continue
        for kind in ("svg", "png"):
            written.append(target / f"{name}.{kind}")
            written[-1].write_bytes(files[kind])
    return written, problems


def inventory(tables: Sequence[PaperTable]) -> Table:
    """What is there and what is missing: a line for each table and recipe. Improvements are not counted."""
    lines = [_holes(table, source) for table in tables for source in table.sources if source != BUILT]
    columns = [
        ("Table", "table"), ("Recipe", "recipe"), ("Numbers", "numbers"), ("with all seeds", "whole"),
        ("with some", lambda line: len(line["partly"])), ("missing", lambda line: len(line["missing"])),
        ("Seeds", "seeds"), ("Holes", _named),
    ]  # fmt: skip
    return compare(lines, columns)


def _holes(table: PaperTable, source: str) -> dict[str, Any]:
    own = {f"{row_label(table, r)}, {paper.label(c)}": ours.like for (r, c), ours in table.own(source).items()}
    holes = {name: like for name, like in own.items() if like.missing}
    return {
        "table": paper.short_title(table.name),
        "recipe": source,
        "numbers": len(own),
        "whole": len(own) - len(holes),
        "partly": [f"{name} (seed {' '.join(map(str, like.missing))})" for name, like in holes.items() if like.n],
        "missing": [name for name, like in holes.items() if not like.n],
        "seeds": "{}/{}".format(*table.seeds(source)),
    }


def _named(line: dict[str, Any]) -> str:
    holes = [*line["partly"], *line["missing"]]
    if len(line["missing"]) == line["numbers"]:
        return "all"
    more = f"; and {len(holes) - NAMED} more" if len(holes) > NAMED else ""
    return "; ".join(holes[:NAMED]) + more if holes else "none"
