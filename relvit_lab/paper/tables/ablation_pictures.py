"""Section 4.3, Table 4 as pictures: which combination of tasks gives what, what each task adds, what chance does."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from relvit_lab.common.errors import RelvitError
from relvit_lab.paper import ablation
from relvit_lab.paper import numbers as paper
from relvit_lab.show.style import BLUE, FAINT, INK, ORANGE, SKY, VERMILLION, Drawing, new_drawing, styled, to_array

TASKS = paper.TASK_NAMES


@styled
def upset(
    numbers: Mapping[str, Any],
    baseline: float | None = None,
    ours: Mapping[str, Sequence[float]] | None = None,
    spread: float | None = None,
    our_baseline: Sequence[float] = (),
) -> Drawing:
    """A column for each combination, the best left: its accuracy above, its tasks as dots below; right, main effects.

    numbers: accuracy in % by combination, a float or something with a `value` (paper.Number).
    baseline: the supervised accuracy, a dashed line, or in words where it lies far below. ours: our accuracies by
    combination, a list over seeds each, in a panel of their own; those without stay empty, and their effects are drawn
    once all are there. spread: of the same setting in another table, a band around the best. Raises RelvitError for a
    name that is no combination.
    """
    ours = {row: to_array(values) for row, values in (ours or {}).items() if len(values)}
    for row in (*numbers, *ours):
        if row not in ablation.COMBINATIONS:
            raise RelvitError(f"'{row}' is no combination of {', '.join(TASKS)}: name it as in numbers.py")
    values = {row: float(getattr(number, "value", number)) for row, number in numbers.items()}
    order = ablation.ranked(values) + [row for row in ablation.COMBINATIONS if row not in values]
    panels = 1 + bool(ours)
    figure = new_drawing(11.5, 2.2 + 2.9 * panels)
    grid = figure.add_gridspec(panels + 1, 2, width_ratios=[4.6, 1.3], height_ratios=[1.3] * panels + [0.85])
    top = figure.add_subplot(grid[0, 0])
    _columns(top, order, {row: [value] for row, value in values.items()}, BLUE, baseline, "the paper, accuracy, %")
    if spread is not None:
        best = max(values.values())
        top.axhspan(best - spread, best + spread, color=ORANGE, alpha=0.3, linewidth=0, zorder=0)
        top.text(len(order) - 0.4, best, f"best ± {spread:.2f}", ha="right", va="center", fontsize=9)
    words = [f"The paper: {'; '.join(f'{paper.label(row)} {values[row]:.2f}' for row in order if row in values)}"]
    if ours:
        axes = figure.add_subplot(grid[1, 0])
        base = mean(our_baseline) if len(our_baseline) else None
        _columns(axes, order, ours, VERMILLION, base, "our runs, accuracy, %")
        words.append(f"Our runs: {'; '.join(f'{paper.label(row)} {mean(v):.2f}' for row, v in ours.items())}")
    matrix = figure.add_subplot(grid[panels, 0])
    _matrix(matrix, order)
    both = [(values, BLUE, "the paper")]
    if len(ours) == len(ablation.COMBINATIONS):
        both.append(({row: mean(v) for row, v in ours.items()}, VERMILLION, "our runs"))
    both = [entry for entry in both if len(entry[0]) == len(ablation.COMBINATIONS)]
    if both:
        words += _effects(figure.add_subplot(grid[panels, 1]), both)
    figure.alt = ". ".join(words) + "."
    return figure


def _columns(
    ax: Axes,
    order: Sequence[str],
    values: Mapping[str, Sequence[float]],
    colour: str,
    baseline: float | None,
    label: str,
) -> None:
    """A dot for each seed, a bar at their mean and its number above; combinations without a number have none."""
    for x, row in enumerate(order):
        if row not in values:
            continue
        ax.plot([x] * len(values[row]), values[row], "o", color=colour, markersize=7, zorder=3)
        if len(values[row]) > 1:
            ax.plot([x - 0.3, x + 0.3], [mean(values[row])] * 2, color=INK, linewidth=1.6, zorder=4)
        said, top = f"{mean(values[row]):.2f}", max(values[row])
        ax.annotate(said, (x, top), (0, 7), textcoords="offset points", ha="center", fontsize=9)
    ax.set(xlim=(-0.6, len(order) - 0.4), xticks=[])
    ax.set_ylabel(label, color=colour)
    ax.margins(y=0.16)
    if baseline is None:
        return
    low, high = min(map(min, values.values())), max(map(max, values.values()))
    if baseline < low - 1.5 * (high - low):  # on the axis, it would press all the others together
        said = f"supervised: {baseline:.2f}, {low - baseline:.2f} below the lowest"
        ax.text(0.01, 0.03, said, transform=ax.transAxes, fontsize=10)
        return
    ax.axhline(baseline, color=INK, linewidth=1.4, linestyle="--", zorder=1)
    said, right = f"supervised: {baseline:.2f}", len(order) - 0.4
    ax.annotate(said, (right, baseline), (0, 3), textcoords="offset points", ha="right", va="bottom", fontsize=9)


def _matrix(ax: Axes, order: Sequence[str]) -> None:
    """UpSet's dots: row by row the tasks, filled where the column's combination has it, joined by a line."""
    for y in range(0, len(TASKS), 2):
        ax.axhspan(y - 0.5, y + 0.5, color="#F2F2F2", linewidth=0, zorder=0)
    for x, row in enumerate(order):
        there = [y for y, task in enumerate(TASKS) if ablation.has(row, task)]
        ax.plot([x] * len(TASKS), range(len(TASKS)), "o", color="#D4D4D4", markersize=7, zorder=1)
        ax.plot([x] * len(there), there, "o-", color=INK, markersize=8, zorder=2)
    ax.set(xlim=(-0.6, len(order) - 0.4), ylim=(len(TASKS) - 0.5, -0.5), xticks=[])
    ax.set_yticks(range(len(TASKS)), [paper.label(task) for task in TASKS])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def _effects(ax: Axes, sources: Sequence[tuple[Mapping[str, float], str, str]]) -> list[str]:
    """Main effects as bars, in the rows of the matrix. Returns them in words."""
    words, high = [], 0.7 / len(sources)
    for k, (values, colour, name) in enumerate(sources):
        effects = [ablation.main_effect(values, task) for task in TASKS]
        places = [y + (k - (len(sources) - 1) / 2) * high for y in range(len(TASKS))]
        ax.barh(places, effects, height=high, color=colour)
        for y, effect in zip(places, effects):
            place = (max(effect, 0), y)
            ax.annotate(f"{effect:+.2f}", place, (4, 0), textcoords="offset points", va="center", fontsize=9)
        said = ", ".join(f"{paper.label(task)} {effect:+.2f}" for task, effect in zip(TASKS, effects))
        words.append(f"Main effects, {name}: {said}")
    ax.axvline(0, color=INK, linewidth=1)
    ax.set(ylim=(len(TASKS) - 0.5, -0.5), yticks=[])
    ax.set_title("main effects: with less without", fontsize=10)
    ax.set_xlabel("points")
    ax.margins(x=0.25)
    ax.spines["left"].set_visible(False)
    return words


@styled
def interaction_lines(values: Mapping[str, float], one: str, other: str) -> Drawing:
    """Two tasks: means without and with `one`, a line without and one with `other`; parallel lines: no interaction.

    values: accuracy in % by combination, all 15. Small dots are the combinations. Raises RelvitError where one is
    missing.
    """
    means = ablation.two_by_two(values, one, other)
    figure = new_drawing(6.4, 4.2)
    ax = figure.subplots()
    words = []
    for there, colour, marker in ((False, SKY, "s"), (True, BLUE, "o")):
        line = [means[False, there], means[True, there]]
        title = f"{'with' if there else 'without'} {paper.label(other)}"
        ax.plot([0, 1], line, marker=marker, color=colour, markersize=9, zorder=3)
        said = f"{title}:\n{paper.label(one)} adds {line[1] - line[0]:+.2f}"
        ax.annotate(said, (1, line[1]), (12, 0), textcoords="offset points", va="center")
        for row, value in values.items():
            if ablation.has(row, other) == there:
                x = ablation.has(row, one) + (0.03 if there else -0.03)
                ax.plot(x, value, marker, color=colour, markersize=4, alpha=0.6, zorder=2)
        words.append(f"{title}: {line[0]:.2f} without {paper.label(one)}, {line[1]:.2f} with it")
    ax.set_xticks([0, 1], [f"without {paper.label(one)}", f"with {paper.label(one)}"])
    ax.set(xlim=(-0.2, 1.75), ylabel="accuracy, %")
    apart = ablation.interaction(values, one, other)
    ax.set_title(f"Interaction of {paper.label(one)} and {paper.label(other)}: {apart:+.2f} points", loc="left")
    figure.alt = f"Means of the combinations. {'; '.join(words)}. Interaction {apart:+.2f} points."
    return figure


@styled
def chance_histograms(draws: Mapping[float, Any], printed: float) -> Drawing:
    """How far the best of equal models lies above the worst, by the spread of one run, beside what is printed.

    draws: by spread, in points, the best minus the worst of each simulated table. printed: that of the real table.
    """
    figure = new_drawing(8.6, 3.6)
    ax = figure.subplots()
    top = max(max(float(to_array(d).max()) for d in draws.values()), printed) * 1.05
    bins = np.linspace(0, top, 81)
    words = []
    for (spread, gaps), colour in zip(draws.items(), (SKY, ORANGE, FAINT)):
        gaps = to_array(gaps)
        counts, _, _ = ax.hist(gaps, bins, density=True, color=colour, alpha=0.75)
        ax.annotate(
            f"spread ± {spread:.2f}\nmean {gaps.mean():.2f}", (gaps.mean(), counts.max()), (0, 4),
            textcoords="offset points", ha="center", va="bottom", fontsize=10,
        )  # fmt: skip
        share = (gaps >= printed).mean()
        words.append(f"spread {spread:.2f}: mean {gaps.mean():.2f}, {share:.1%} reach the printed one")
    ax.axvline(printed, color=VERMILLION, linewidth=2.5)
    ax.annotate(
        f"printed: {printed:.2f}", (printed, 0.75), (6, 0), xycoords=("data", "axes fraction"),
        textcoords="offset points", color=VERMILLION, va="center", fontsize=11,
    )  # fmt: skip
    ax.set(xlabel="best minus worst of 15 equal models, points", yticks=[], xlim=(0, top))
    ax.spines["left"].set_visible(False)
    ax.margins(y=0.25)
    figure.alt = f"Best minus worst of 15 equal models. {'; '.join(words)}. Printed: {printed:.2f}."
    return figure
