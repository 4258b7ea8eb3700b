"""§4: one self-contained HTML page of the runs: tables, figures, deviations from the paper, environment, cost, holes.

    write_page("report.html", run_dir="runs")          the same runs give the same bytes

Like the tables it reads run folders and nothing else, and does not say when it was made: it names its newest run.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.paths import resolve
from relvit_lab.common.words import plural
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.figures.draw import Plate, render
from relvit_lab.paper.page.cost import UNKNOWN, cost, environment
from relvit_lab.paper.page.html import definitions, document, figure, folded, paragraph, table, text
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.plan.cells import Cell
from relvit_lab.paper.tables.deviation_rules import Made
from relvit_lab.paper.tables.deviations import deviations, fewer_seeds
from relvit_lab.paper.tables.files import choose, make_tables, plates
from relvit_lab.paper.tables.html import to_html
from relvit_lab.paper.tables.numbers import Aggregate, Ours, PaperTable, Runs, aggregate
from relvit_lab.train.environment import commit

COMMAND = "python -m relvit_lab page"
TITLE = "RelViT: the paper's tables, and runs of our own beside them"
SECTIONS = {
    "tables": "Tables", "figures": "Figures", "deviations": "Deviations from the paper",
    "environment": "Environment", "cost": "Cost", "missing": "What is missing",
}  # fmt: skip


def write_page(
    out: str | Path = "report.html",
    command: str = COMMAND,
    run_dir: str | Sequence[str] = "runs",
    names: Sequence[str] = (),
    **options: Any,
) -> Path:
    """Write the page and return its path. Run folders are linked as seen from it.

    command: what is said to have made it. The rest as in tables_files.choose. Raises RelvitError for unknown names and
    values, and where `out` cannot be written.
    """
    target = resolve(out)
    if target.is_dir():
        raise RelvitError(f"{target} is a folder: give --out the name of a file, such as report.html")
    runs, cells = choose(run_dir=run_dir, names=names, **options)
    page = make_page(runs, cells, names, target.parent.resolve(), command)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise RelvitError(f"{target} cannot be written ({error.strerror}): give another file with --out") from None
    return target


def make_page(runs: Runs, cells: Sequence[Cell], names: Sequence[str], start: Path, command: str = COMMAND) -> str:
    """The page as HTML. cells: what the tables look for. names: of the tables, none: all. start: the page's folder."""
    jobs = plan.jobs(cells)
    made = [Made(runs.by_id[name], job.stage, job.tables) for name, job in jobs.items() if name in runs.by_id]
    numbers = {cell: aggregate(cell, runs) for cell in cells}
    tables = make_tables(runs, cells, names)
    sections = {
        "tables": _tables(tables, start), "figures": _figures(runs, tables, cells),
        "deviations": _deviations(made, numbers), "environment": environment(made), "cost": cost(made),
        "missing": _missing(numbers),
    }  # fmt: skip
    body = [f"<header>\n<h1>{text(TITLE)}</h1>", *_about(runs, made, cells, command), _contents(tables), "</header>"]
    for name, content in sections.items():
        body += [f'<section id="{name}">\n<h2>{text(SECTIONS[name])}</h2>', *content, "</section>"]
    return document(TITLE, body)


def _contents(tables: Sequence[PaperTable]) -> str:
    links = {table.name: f"Table {table.name[-1]}" for table in tables}
    links |= {name: title for name, title in SECTIONS.items() if name != "tables" or not tables}
    items = "\n".join(f'<li><a href="#{name}">{text(title)}</a></li>' for name, title in links.items())
    return f'<nav aria-label="Contents">\n<ul>\n{items}\n</ul>\n</nav>'


# -- What this is --------------------------------------------------------------------------------------------------


def _about(runs: Runs, made: Sequence[Made], cells: Sequence[Cell], command: str) -> Iterator[str]:
    yield paragraph(
        "Every number that the paper (Camporese, Izzo, Ballan: Where are my Neighbors? Exploiting Patches Relations in "
        "Self-Supervised Vision Transformer) prints in its tables; beside it, where it was run again, ours, with links "
        "to the folders of the runs that it is from."
    )
    if not made:
        yield paragraph(_no_runs(runs), "note")
    small = [one for one in made if one.preset != "paper" or one.stage.experiment.train_images]
    if small:
        which = "These runs are" if len(small) == len(made) else f"{len(small)} of these {len(made)} runs are"
        yield paragraph(f"{which} not at the paper's scale: differences to its numbers say nothing about it.", "note")
    for name, folders in sorted(runs.differing.items()):
        where = " and ".join(str(folder) for folder in folders)
        yield paragraph(f"Not counted: {name} is in {where}, with different results.", "note")
    yield from (paragraph(f"Left out: {what}", "note") for what in runs.unreadable)
    others = len(runs) - len(made)
    said = f"{plural(len(made), 'finished stage')} behind the numbers here"
    said += f"; {others:,} further in the same place, in no table here" if others else ""
    facts = [("Made by", f"<code>{text(command)}</code>"), ("at commit", text(commit() or UNKNOWN)), ("Runs", said)]
    if made:
        facts += [
            ("Newest result", _newest(made)),
            ("Presets", _counted(Counter(one.preset for one in made))),
            ("Recipes", _counted(Counter(one.stage.experiment.recipe for one in made))),
            ("Seeds", _counted(Counter(one.stage.experiment.seed for one in made))),
        ]
    else:
        looked = {
            "preset": [cell.fields.get("preset") or "paper" for cell in cells],
            "recipe": [cell.recipe for cell in cells],
            "seed": [str(seed) for cell in cells for seed in cell.seeds],
        }
        said = (f"{name} {', '.join(dict.fromkeys(values))}" for name, values in looked.items())
        facts.append(("Looked for", text("; ".join(said))))
    yield definitions(facts)


def _newest(made: Sequence[Made]) -> str:
    """When the newest result was written. Results have no date within: that of the file tells."""
    times = []
    for one in made:
        try:
            times.append((one.run.folder / "result.json").stat().st_mtime)
        except OSError:  # begun anew since it was read
            continue
    return f"{datetime.fromtimestamp(max(times), UTC):%Y-%m-%d %H:%M} UTC" if times else UNKNOWN


def _no_runs(runs: Runs) -> str:
    if not len(runs):
        return "There are no runs yet: the tables show the paper's numbers alone."
    presets = Counter(str(run.result["experiment"].get("preset") or UNKNOWN) for run in runs)
    return (
        f"None of the {plural(len(runs), 'finished stage')} here is one that these tables look for, so they show the "
        f"paper's numbers alone. The presets of those: {_counted(presets)}; --preset chooses one."
    )


def _counted(counts: Counter) -> str:
    """ "smoke (12), demo (3)" as HTML, in the order of the names."""
    return text(", ".join(f"{name} ({counts[name]:,})" for name in sorted(counts)))


# -- Tables and figures --------------------------------------------------------------------------------------------


def _tables(tables: Sequence[PaperTable], start: Path) -> Iterator[str]:
    if not tables:
        yield paragraph("No table was asked for.", "none")
    for one in tables:
        yield f'<h3 id="{one.name}">{text(one.title)}</h3>\n<div class="paper">{to_html(one, start)}</div>'


def _figures(runs: Runs, tables: Sequence[PaperTable], cells: Sequence[Cell]) -> Iterator[str]:
    found = plates(runs, tables, cells)
    for name, plate in sorted(found.items()):
        yield _figure(plate) if _has_runs(name, tables) else paragraph(f"{plate.title}: no runs.", "none")
    if not any(name.startswith("labels") for name in found):
        yield paragraph("Accuracy against the share of labels: no runs that differ in it alone.", "none")


def _has_runs(name: str, tables: Sequence[PaperTable]) -> bool:
    """Whether a figure of a table would show a number of ours; what others lack, they say when they are drawn."""
    table, _, recipe = name.partition("_")
    column = "Finetuning" if table == "table4" else None
    places = [
        ours
        for one in tables
        if one.name == table
        for (_, at), entry in one.entries.items()
        for source, ours in entry.ours.items()
        if (column is None or at == column) and recipe in ("", source)
    ]
    return not table.startswith("table") or any(isinstance(ours, Ours) and ours.like.n for ours in places)


def _figure(plate: Plate) -> str:
    try:
        drawing = plate.draw()
    except RelvitError as error:
        return paragraph(str(error), "none")
    svg = render(dataclasses.replace(plate, draw=lambda: drawing), ("svg",))["svg"]
    return figure(plate.title, svg, drawing.alt)


# -- Deviations ----------------------------------------------------------------------------------------------------


def _deviations(made: Sequence[Made], numbers: Mapping[Cell, Aggregate]) -> Iterator[str]:
    if not made:
        yield paragraph("No runs, so no deviations.", "none")
        return
    yield paragraph(
        "What these runs do otherwise than the paper says, or where it says nothing: what relvit_lab knows of, told "
        "from the runs. Recipe paper follows the text, recipe released the code that its authors published."
    )
    found = (*deviations(made), *fewer_seeds(own.n for own in numbers.values() if own.n))
    groups = {
        "In all runs concerned": [d for d in found if d.everywhere],
        "In some of the runs concerned": [d for d in found if not d.everywhere],
    }
    for title, own in groups.items():
        if own:
            yield f"<h3>{text(title)}</h3>"
            rows = [(d.name, d.paper, d.ours, d.where, d.source) for d in own]
            yield table(("What", "The paper", "These runs", "How many", "Source"), rows)


# -- What is missing -----------------------------------------------------------------------------------------------


def _missing(numbers: Mapping[Cell, Aggregate]) -> Iterator[str]:
    holes = {cell: own for cell, own in numbers.items() if own.missing}
    if not holes:
        yield paragraph("Nothing: every number has all of its planned seeds.", "none")
        return
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for cell, own in holes.items():
        row = f"M = {cell.row}" if cell.table == "table5" and cell.row.isdigit() else paper.label(cell.row)
        seeds = f" (seed {', '.join(map(str, own.missing))})" if own.n else ""
        rows = groups.setdefault((cell.table, cell.recipe), {})
        rows.setdefault(row, []).append(f"{paper.label(cell.column)}{seeds}")
    parts = []
    for (name, recipe), rows in groups.items():
        total = sum(1 for cell in numbers if (cell.table, cell.recipe) == (name, recipe))
        count = sum(map(len, rows.values()))
        short = paper.title(name).partition(":")[0]
        parts.append(f"<p><strong>{text(f'{short}, recipe {recipe}: {count} of {total} numbers')}</strong></p>")
        items = "\n".join(f"<li>{text(row)}: {text('; '.join(columns))}</li>" for row, columns in rows.items())
        parts.append(f"<ul>\n{items}\n</ul>")
    none = sum(1 for own in holes.values() if not own.n)
    lack = {"have no runs": none, "lack some of their seeds": len(holes) - none}
    summary = ", ".join(f"{count:,} {what}" for what, count in lack.items() if count)
    yield folded(f"Of {len(numbers):,} numbers, {summary}", "\n".join(parts))
    yield "<p><code>python -m relvit_lab tables --plan</code> says what is left to run, and for how long.</p>"
