"""§4.3 and beyond, figures from run folders: Table 5 as curves over M, accuracy against the share of labels, Figure 4.

The paper's numbers are grey and dashed, ours coloured. What is missing is left out, and said.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.stats import mean_sd
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.figures.figure_4 import shortcut_curves
from relvit_lab.paper.plan.cells import FIGURE_4, Cell
from relvit_lab.paper.tables.ablation_pictures import upset
from relvit_lab.paper.tables.entries import PaperTable
from relvit_lab.paper.tables.finished import Run, Runs, one_data_set
from relvit_lab.show.style import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, VERMILLION, Drawing, new_drawing, styled
from relvit_lab.train.experiment import PLACES, Experiment

LOOKS = {"released": (BLUE, "o", "-"), "paper": (VERMILLION, "s", "-.")}  # of our curves, by recipe


# -- Table 4 -------------------------------------------------------------------------------------------------------


def combinations(table: PaperTable, recipe: str) -> Drawing:
    """Table 4 as viz_ablation draws it, with ours of a recipe beside the paper's. Raises RelvitError for no such
    column of the table."""
    if table.name != "table4" or recipe not in table.sources:
        raise RelvitError(f"{table.name} has no combinations of tasks under recipe '{recipe}'")
    entries = {row: table.entries[row, "Finetuning"] for row in table.rows}
    numbers = {row: entry.number for row, entry in entries.items() if row != "Supervised"}
    ours = {row: list(entry.ours[recipe].like.by_seed.values()) for row, entry in entries.items()}
    baseline = ours.pop("Supervised")
    spread = paper.get("table2", "cifar10", "RelViT").spread
    return upset(numbers, entries["Supervised"].number.value, ours, spread, baseline)


# -- Table 5 -------------------------------------------------------------------------------------------------------


@styled
def over_m(table: PaperTable) -> Drawing:
    """Table 5 as curves over M, a panel for each column: the paper's, and ours where there are any.

    Bars: sample standard deviation over seeds. Horizontal lines: without mega-patches. All panels span as many points,
    so that slopes compare. Raises RelvitError for another table.
    """
    if table.name != "table5":
        raise RelvitError(f"curves over M are of table5, not {table.name}")
    drawing = new_drawing(12.6, 7.2)
    axes = drawing.subplots(2, 3).ravel()
    curves = [_curves(table, column) for column in table.columns]
    spans = [_span(own) for own in curves]
    half = 0.56 * max(high - low for low, high in spans)
    said = []
    for ax, column, own, (low, high) in zip(axes, table.columns, curves, spans):
        for label, (values, sds, without) in own.items():
            colour, marker, line = LOOKS.get(label, (FAINT, "D", (0, (4, 2))))
            m = sorted(values)
            ax.errorbar(m, [values[k] for k in m], [sds.get(k, 0) for k in m], color=colour, marker=marker,
                        linestyle=line, capsize=3, label="paper" if label == "" else f"ours, recipe {label}",
                        zorder=2 if label == "" else 3)  # fmt: skip
            if without is not None:
                ax.axhline(without, color=colour, linestyle=line, linewidth=1.2, alpha=0.75)
        ax.set(xlim=(2.6, 10.4), ylim=((low + high) / 2 - half, (low + high) / 2 + half), xticks=[3, 4, 5, 6, 8, 10])
        ax.set_title(paper.label(column), loc="left")
        ax.grid(axis="y", color="#E4E4E4", linewidth=0.8)
        said += [f"{paper.label(column)}: {_said(name, *curve)}." for name, curve in own.items()]
    for ax in axes[3:]:
        ax.set_xlabel("M: mega-patches a side")
    for ax in axes[::3]:
        ax.set_ylabel("accuracy, %")
    longest = max(axes, key=lambda ax: len(ax.get_legend_handles_labels()[1]))
    drawing.legend(*longest.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False,
                   title="thin horizontal lines: no mega-patches")  # fmt: skip
    drawing.alt = f"Accuracy after fine-tuning by M, mega-patches a side. {' '.join(said)}"
    return drawing


Curve = tuple[dict[int, float], dict[int, float], float | None]  # by M, their spreads, and without mega-patches


def _curves(table: PaperTable, column: str) -> dict[str, Curve]:
    """The paper's curve, named "", and ours by recipe; only those with a value."""
    rows = [row for row in table.rows if row.isdigit()]
    numbers = {int(row): table.entries[row, column].number for row in rows}
    none = table.entries["No-Mega-Patches", column]
    curves: dict[str, Curve] = {"": ({m: n.value for m, n in numbers.items() if n}, {}, none.number.value)}
    for recipe in table.sources:
        own = {int(row): table.entries[row, column].ours.get(recipe) for row in rows}
        like = {m: ours.like for m, ours in own.items() if ours and ours.like.n}
        without = none.ours[recipe].like.mean if recipe in none.ours else None
        if like or without is not None:
            sds = {m: values.sd for m, values in like.items() if values.sd is not None}
            curves[recipe] = ({m: values.mean for m, values in like.items()}, sds, without)
    return curves


def _span(curves: Mapping[str, Curve]) -> tuple[float, float]:
    values = [v for by_m, sds, without in curves.values() for v in
              (*(y + s for m, y in by_m.items() for s in (-sds.get(m, 0), sds.get(m, 0))),
               *([without] if without is not None else []))]  # fmt: skip
    return min(values), max(values)


def _said(name: str, by_m: Mapping[int, float], sds: Mapping[int, float], without: float | None) -> str:
    values = ", ".join(f"M {m} {by_m[m]:.2f}" for m in sorted(by_m))
    whose = f"ours, recipe {name}" if name else "paper"
    return f"{whose} {values or 'no M yet'}" + (f", none {without:.2f}" if without is not None else "")


# -- Share of labels -----------------------------------------------------------------------------------------------

STAGES = {
    "supervised": "supervised, one stage",
    "supervised2": "supervised, two stages",
    "finetune": "pre-trained, fine-tuned",
    "joint": "joint",
}
PRETEXT = tuple(name for name, field in Experiment.settings().items() if field.counts in ("tasks", "drloc", "run"))
"""What a supervised stage does not depend on, beside what its name tells."""
LABELLED = {"dataset", "backbone", "recipe", "preset", "tasks", "label_fraction", "seed"}  # what a line is told by
LINES = 5  # in one picture
Series = dict[str, dict[float, list[float]]]  # by name and share of labels: an accuracy for each seed


def by_labels(results: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """Accuracies (last epoch, test images) by share of labels, from result.json contents or records.

    Returns {data set and recipe: {how it was trained: {share: accuracies by seed}}}. Only runs that differ in nothing
    but label_fraction and seed make a line, and only lines of at least two shares are there; more than five lines are
    cut into parts.
    """
    lines: dict[tuple[str, str], tuple[str, dict[float, dict[int, float]]]] = {}
    for result in results:
        e, stage = result["experiment"], result["stage"]["name"]
        if result["metrics"].get("accuracy") is None or stage not in STAGES or not LABELLED <= e.keys():
            continue
        left_out = (*PLACES, "seed", "label_fraction", *(PRETEXT if "supervised" in stage else ()))
        settings = {name: value for name, value in e.items() if name not in left_out or name == "preset"}
        key = json.dumps([stage, settings, result.get("data", {}).get("digest")], sort_keys=True)
        title = f"{paper.label(e['dataset'])}, {paper.label(e['backbone'])}, recipe {e['recipe']}, preset {e['preset']}"
        _, shares = lines.setdefault((title, key), (_name(stage, e), {}))
        shares.setdefault(e["label_fraction"], {})[e["seed"]] = result["metrics"]["accuracy"]
    found: dict[str, Series] = {}
    for (title, _), (name, shares) in lines.items():
        series = found.setdefault(title, {})
        if len(shares) > 1:
            while name in series:  # settings that the name does not tell
                name += "′"
            series[name] = {share: [of[seed] for seed in sorted(of)] for share, of in sorted(shares.items())}
    return {
        title + (f", part {k // LINES + 1}" if len(series) > LINES else ""): dict(list(series.items())[k : k + LINES])
        for title, series in found.items()
        for k in range(0, len(series), LINES)
    }


def _name(stage: str, experiment: Mapping[str, Any]) -> str:
    tasks = "" if "supervised" in stage else f" ({paper.label(paper.combination(experiment['tasks']))})"
    mega = f", M = {experiment['mega_patches']}" if stage == "finetune" and experiment.get("mega_patches") else ""
    return f"{STAGES[stage]}{tasks}{mega}"


@styled
def labels(series: Series, title: str = "", note: str = "") -> Drawing:
    """Accuracy against the share of labels, a line for each way of training (at most five).

    series: by name and share (0 to 1), an accuracy in % for each seed. Lines are means, bars the sample standard
    deviation. note: below. Raises RelvitError for no lines, or more than five.
    """
    looks = ((VERMILLION, "X", "-"), (BLUE, "o", "--"), (GREEN, "^", "-."), (ORANGE, "s", ":"), (PURPLE, "D", "-"))
    if not 0 < len(series) <= LINES:
        raise RelvitError(f"1 to {LINES} lines over the share of labels, not {len(series)}")
    drawing = new_drawing(8.6, 4.8)
    ax = drawing.subplots()
    shares = sorted({share for line in series.values() for share in line})
    said = []
    for (name, line), (colour, marker, style) in zip(series.items(), looks):
        means, sds = zip(*(mean_sd(line[share]) for share in line))
        ax.errorbar([100 * share for share in line], means, [sd or 0 for sd in sds], color=colour, marker=marker,
                    linestyle=style, markersize=8, capsize=3, label=name)  # fmt: skip
        said.append(
            f"{name}: " + ", ".join(f"{100 * share:g} % of labels {mean:.1f}" for share, mean in zip(line, means))
        )
    ax.set_xscale("log")
    ax.set_xticks([100 * share for share in shares], [f"{100 * share:g}" for share in shares])
    ax.minorticks_off()
    ax.set(xlabel="labelled images used, % of all (log scale)", ylabel="accuracy, %")
    ax.grid(axis="y", color="#E4E4E4", linewidth=0.8)
    ax.set_title(title, loc="left")
    ax.legend(frameon=False)
    if note:
        drawing.supxlabel(note, fontsize=10, x=0.01, ha="left")
    drawing.alt = " ".join(filter(None, (f"{title}." if title else "", f"{'; '.join(said)}.", note)))
    return drawing


# -- Figure 4 ------------------------------------------------------------------------------------------------------


def figure4(runs: Runs, cells: Sequence[Cell], recipe: str = "released") -> Drawing:
    """Figure 4 from run folders: those of its four settings of which both stages are there, for at least one seed.

    Raises RelvitError where there is none, or no supervised run for the dashed line.
    """
    mine = [cell for cell in cells if cell.table == "figure4" and cell.recipe == recipe]
    own = {(cell.row, cell.column): runs.of(cell) for cell in mine}
    series, seeds = {}, {}
    for curve in FIGURE_4.values():
        first, last = (own.get((curve.row, column), {}) for column in ("SpRel", "Finetuning"))
        common = [seed for seed in last if seed in first]
        if common:
            series[curve.short] = {
                "sprel": [_curve(first[seed], "sprel") for seed in common],
                "accuracy": [_curve(last[seed], "accuracy") for seed in common],
            }
            seeds[curve.short] = common
    scratch = own.get(("Supervised", "Finetuning"), {})
    if not series or not scratch:
        missing = "the supervised run from scratch" if series else "a setting with both of its stages"
        raise RelvitError(f"Figure 4 (recipe {recipe}) lacks {missing}: python -m relvit_lab tables figure4 --plan")
    if not one_data_set(run for by_seed in own.values() for run in by_seed.values()):
        raise RelvitError(f"Figure 4 (recipe {recipe}): its runs were trained on different images under one name")
    e = next(iter(scratch.values())).result["experiment"]
    many = f"{e['train_images']:,} training images" if e.get("train_images") else "all training images"
    counts = "; ".join(f"{name} {', '.join(map(str, of))}" for name, of in (seeds | {"scratch": list(scratch)}).items())
    note = (
        f"{paper.label(e['dataset'])}, {paper.label(e['backbone'])}, {many}, {e['epochs']} epochs a stage, recipe "
        f"{recipe}, pre-trained on SpRel alone; test images, unshuffled. Seeds: {counts}. Lines are means, bands reach "
        "from the lowest to the highest seed. Dashed: supervised from scratch, one stage, last epoch."
    )
    title = "Positional embeddings (PE) and shuffling in pre-training"
    return shortcut_curves(series, [run.result["metrics"]["accuracy"] for run in scratch.values()], title, note)


def _curve(run: Run, metric: str) -> list[float]:
    try:
        return [line["test"][metric] for line in run.lines]
    except KeyError:
        raise RelvitError(f"{run.folder / 'metrics.jsonl'} has an epoch without {metric}: train it anew") from None


# -- Seeds ---------------------------------------------------------------------------------------------------------


@styled
def seed_by_seed(one: Mapping[int, float], other: Mapping[int, float], names: tuple[str, str]) -> Drawing:
    """Why to pair: two settings' accuracies in % by seed, a line for each seed that both have; and their differences.

    names: of `one` and `other`. Raises RelvitError where no seed is in both.
    """
    seeds = [seed for seed in one if seed in other]
    if not seeds:
        raise RelvitError("the two settings have no seed in common")
    drawing = new_drawing(8.6, 3.6)
    left, right = drawing.subplots(1, 2, width_ratios=(3, 2))
    gaps = [other[seed] - one[seed] for seed in seeds]
    for seed in seeds:
        left.plot([0, 1], [one[seed], other[seed]], color=BLUE, marker="o", markersize=7)
        left.annotate(f"seed {seed}", (1, other[seed]), (8, 0), textcoords="offset points", va="center")
    for x, values in ((-0.12, one), (1.42, other)):
        mean, sd = mean_sd(list(values.values()))
        left.errorbar([x], [mean], [sd or 0], color=INK, marker="_", markersize=16, capsize=4)
    left.set(xlim=(-0.3, 1.6), ylabel="accuracy, %")
    left.set_xticks([0, 1], names)
    left.set_title("each alone: mean ± sd in black", loc="left")
    mean, sd = mean_sd(gaps)
    right.axhline(0, color=FAINT, linewidth=1.2)
    right.plot(np.zeros(len(gaps)), gaps, color=BLUE, marker="o", linestyle="", markersize=7)
    right.errorbar([0.25], [mean], [sd or 0], color=INK, marker="_", markersize=16, capsize=4)
    right.set(xlim=(-0.5, 0.8), xticks=[], ylabel="points")
    right.set_title("seed by seed: differences", loc="left")
    spread = f" ± {sd:.2f}" if sd is not None else ""
    drawing.alt = (
        f"{names[0]} and {names[1]} by seed: "
        + "; ".join(f"seed {s}: {one[s]:.2f} and {other[s]:.2f}" for s in seeds)
        + f". Differences: {mean:+.2f}{spread} points."
    )
    return drawing
