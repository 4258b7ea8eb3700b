"""Tables 1 to 5, the paper's numbers and ours side by side. A table is a query: it reads run folders and nothing else.

    runs = collect([Path("runs")])
    paper_table("table2", runs, plan.cells("table2"))   text.py and html.py write it

Like for like: the paper's number stands beside our accuracy of the best epoch (of Flower-102 on its validation images),
because that is how it was taken; our headline beside it is the last epoch's accuracy on the test images.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.stats import half_width
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.plan.cells import RECIPES, Cell
from relvit_lab.paper.slips import model, parameters, slips
from relvit_lab.paper.tables.entries import BUILT, Aggregate, Counted, Entry, Ours, PaperTable, comparison, paired
from relvit_lab.paper.tables.finished import Runs, one_data_set
from relvit_lab.paper.tables.html import ShownTable
from relvit_lab.train import environment

Values = Mapping[tuple[str, str], tuple[Aggregate, Aggregate]]  # by row and column: like the paper's, and our headline

# -- From cells to numbers -----------------------------------------------------------------------------------------


def aggregate(cell: Cell, runs: Runs, metric: str | None = None) -> Aggregate:
    """A cell's number over the seeds that exist; none where these were trained on several data sets. metric: None for
    the one set against the paper's (cell.like, at the epoch that was kept), or a name such as cell.metric, as in the
    result."""
    by_seed, folders = {}, {}
    found = runs.of(cell)
    for seed, run in found.items() if one_data_set(found.values()) else ():
        value = run.value(cell.like, kept=True) if metric is None else run.value(metric)
        if value is not None:
            by_seed[seed], folders[seed] = value, (run.folder,) if run.folder else ()
    data = next((run.digest for seed, run in found.items() if seed in by_seed and run.digest), None)
    return Aggregate(by_seed, folders, tuple(seed for seed in cell.seeds if seed not in by_seed), data)


def paper_table(table: str, runs: Runs, cells: Sequence[Cell] = ()) -> PaperTable:
    """A table of the paper with our numbers beside it, a column for each recipe among the cells; missing ones empty.

    cells: of the plan, for this table (others are passed over). Table 1 needs neither runs nor cells: its models are
    built. Raises RelvitError for no such table, and for one without numbers (figure4).
    """
    rows, columns = paper.rows(table), paper.columns(table)
    footnotes = tuple(f"{slip.place}: {slip.text}" for slip in slips() if table in slip.tables)
    if table == "table1":
        entries = {(r, c): Entry(paper.get(table, r, c), {BUILT: built(r, c)}) for r in rows for c in columns}
        return ShownTable(table, rows, columns, (BUILT,), entries, (), footnotes)
    if table == "figure4":
        raise RelvitError("Figure 4 has curves and no numbers: viz_tables.figure4 draws it from runs")
    own = [cell for cell in cells if cell.table == table]
    sources = tuple(recipe for recipe in RECIPES if any(cell.recipe == recipe for cell in own)) or RECIPES
    values: dict[str, dict] = {source: {} for source in sources}  # Values by source
    for cell in own:
        values[cell.recipe][cell.row, cell.column] = aggregate(cell, runs), aggregate(cell, runs, cell.metric)
    entries = {}
    for row in rows:
        for column in columns:
            number = paper.get(table, row, column)
            ours = {source: _ours(table, (row, column), number, values[source]) for source in sources}
            entries[row, column] = Entry(number, {name: own for name, own in ours.items() if own is not None})
    notes = (*_differing(own, runs), *mixed(own, runs), *_across(table, values), *_made_by(own, runs))
    if runs.recorded and not any(map(runs.of, own)):
        notes += ("None of the recorded runs belongs to this table: these are the paper's numbers alone.",)
    return ShownTable(table, rows, columns, sources, entries, notes, footnotes, filled=runs.recorded)


def _ours(table: str, place: tuple[str, str], number: paper.Number | None, values: Values) -> Ours | None:
    shown, base = comparison(table, *place)
    own = values.get(shown or place)
    if own is None or (shown and base not in values):
        return None
    like, headline = own
    gain = paired(headline, values[base][1]) if base in values else None
    if shown:
        like, headline = paired(like, values[base][0]), gain
    difference = like.mean - number.value if number and like.n else None
    # an improvement's printed spread is unknown: its two numbers may have been paired or not
    noise = half_width(list(like.by_seed.values()), number.spread) if difference is not None and not shown else None
    return Ours(like, headline, difference, noise, gain)


def built(backbone: str, column: str) -> Counted:
    """A number of Table 1, read off the model built here."""
    if column == "params":
        exact = parameters(backbone)
        return Counted(exact / 1e6, exact)
    vit = model(backbone)
    return Counted(
        {
            "image size": vit.image_size, "patch": vit.patch, "blocks": len(vit.blocks), "dim": vit.dim,
            "heads": vit.blocks[0].attn.num_heads, "tokens": vit.pos_embed.shape[1],  # with CLS
        }[column]
    )  # fmt: skip


# -- What is to be said of our runs --------------------------------------------------------------------------------


def _differing(cells: Sequence[Cell], runs: Runs) -> Iterator[str]:
    for name in dict.fromkeys(cell.stages(seed)[-1].id for cell in cells for seed in cell.seeds):
        if name in runs.differing:
            folders = " and ".join(map(str, runs.differing[name]))
            yield f"NOT COUNTED: {name} is in {folders}, with different results. Remove all but one of them."


def mixed(cells: Sequence[Cell], runs: Runs) -> Iterator[str]:
    """The cells whose seeds were trained on several data sets of one name."""
    for cell in cells:
        found = runs.of(cell)
        if not one_data_set(found.values()):
            said = "; ".join(f"seed {seed} on {str(run.digest)[:8]} ({run.folder})" for seed, run in found.items())
            yield (
                f"NOT COUNTED: {paper.short_title(cell.table)}, {paper.label(cell.row)}, "
                f"{paper.label(cell.column)}, recipe {cell.recipe}: its seeds were trained on different images under "
                f"one name: {said}. Run those of the wrong data again with --fresh true."
            )


def _across(table: str, values: Mapping[str, Values]) -> Iterator[str]:
    """The places that are compared with one trained on another data set of the same name."""
    for source, own in values.items():
        for place, (like, _) in own.items():
            _, base = comparison(table, *place)
            other = own[base][0].data if base in own else None
            if like.data and other and like.data != other:
                yield (
                    f"NOT COMPARED: {paper.label(place[0])}, {paper.label(place[1])}, recipe {source}: it was trained "
                    f"on {like.data[:8]}, what it is compared with on {other[:8]}: different images under one name."
                )


def _made_by(cells: Sequence[Cell], runs: Runs) -> Iterator[str]:
    """The scale, commits and precisions of the runs in a table: not an error where they differ, but to be known."""
    used = list({run.id: run for cell in cells for run in runs.of(cell).values()}.values())
    if not used:
        return
    presets = Counter(str(run.result["experiment"].get("preset")) for run in used)
    epochs = Counter(run.result["experiment"].get("epochs") for run in used)
    if set(presets) != {"paper"} or any(run.result["experiment"].get("train_images") for run in used):
        yield (
            f"Our runs are not at the paper's scale: preset {_counted(presets)}; epochs a stage {_counted(epochs)}. "
            "The differences to the paper then say nothing about it."
        )
    made = Counter(str(run.result["environment"].get("commit")) for run in used)
    if len(made) > 1 or environment.commit() not in made:
        yield f"Our runs were made by commit {_counted(made)}; this table by {environment.commit()}."
    several = [run for run in used if run.result["environment"].get("versions")]
    if several:
        where = ", ".join(str(run.folder) for run in several[:3]) + (", ..." if len(several) > 3 else "")
        yield f"{len(several)} of our runs went on under another version than they began with: {where}."
    precisions = Counter(str(run.result["environment"].get("precision")) for run in used)
    if len(precisions) > 1:
        yield f"Our runs have precision {_counted(precisions)}."


def _counted(counts: Counter) -> str:
    return ", ".join(str(name) if len(counts) == 1 else f"{name} ({n})" for name, n in counts.most_common())
