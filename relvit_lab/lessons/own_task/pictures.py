"""A task of one's own in pictures: its classifier beside the others', and its check-up."""

import math
from collections.abc import Mapping, Sequence
from statistics import mean

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.own_task.checkup import Checkup
from relvit_lab.show.style import BLUE, FAINT, GREEN, INK, ORANGE, VERMILLION, Drawing, new_drawing, styled

ASKED = {  # of a check-up: label, colour, marker
    "images": ("images", BLUE, "o"),
    "shuffled": ("shuffled, labels too", GREEN, "s"),
    "noise": ("noise", VERMILLION, "X"),
    "standard": ("shuffled, labels of the standard order", ORANGE, "D"),
}
ROW = 0.42  # inches


@styled
def accuracies(runs: Mapping[str, Sequence[float]], baselines: Mapping[str, Sequence[float]]) -> Drawing:
    """Class accuracy in % of each run, a dot for each seed, their mean as a bar; baselines as lines, at their means.

    runs, baselines: accuracies by name, at least one each. Raises RelvitError where there are none.
    """
    if not runs or not all(map(len, [*runs.values(), *baselines.values()])):
        raise RelvitError("there is nothing to draw: each run needs at least one accuracy")
    figure = new_drawing(8.6, 1.5 + ROW * len(runs))
    ax = figure.subplots()
    names = list(runs)
    for y, name in enumerate(names):
        ax.plot(runs[name], [y] * len(runs[name]), "o", color=BLUE, markersize=8, alpha=0.75, zorder=3)
        ax.vlines(mean(runs[name]), y - 0.3, y + 0.3, color=INK, linewidth=2, zorder=4)
        beside = (max(runs[name]), y)
        ax.annotate(f"{mean(runs[name]):.1f}", beside, (9, 0), textcoords="offset points", va="center", fontsize=10)
    for (name, values), style, colour in zip(baselines.items(), ("--", ":", "-."), (ORANGE, VERMILLION, GREEN)):
        ax.axvline(mean(values), linestyle=style, color=colour, linewidth=2, label=f"{name}: {mean(values):.1f}")
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))
    ax.set_xlabel("class accuracy on test images, %")
    ax.margins(x=0.09)
    ax.grid(axis="x", color="#E4E4E4", linewidth=0.8)
    ax.set_axisbelow(True)
    figure.legend(loc="outside upper left", ncols=max(1, len(baselines)), frameon=False)
    said = [f"{name} {mean(values):.1f}" for name, values in (*runs.items(), *baselines.items())]
    figure.alt = f"Class accuracy in %, means over the seeds: {'; '.join(said)}."
    return figure


@styled
def checkups(found: Sequence[Checkup], names: Sequence[str] = ()) -> Drawing:
    """The four skills of each check-up on one scale: 0 is the floor, 100 the best; right, what follows.

    names: of the rows; the tasks' titles when empty. A skill below -30 is drawn at the edge.
    """
    names = list(names) or [one.title for one in found]
    if not found or len(names) != len(found):
        raise RelvitError(f"{len(found)} check-ups and {len(names)} names: as many of each are needed, at least one")
    figure = new_drawing(9.6, 1.7 + ROW * len(found))
    ax = figure.subplots()
    lowest = -30
    for y, one in enumerate(found):
        skills = one.skills()
        ax.hlines(y, lowest, 100, color="#ECECEC", linewidth=1, zorder=1)
        for k, (key, (_, colour, marker)) in enumerate(ASKED.items()):  # a little apart, or they hide one another
            value = skills[key] if math.isfinite(skills[key]) else lowest
            ax.plot(max(value, lowest), y + 0.12 * (k - 1.5), marker, color=colour, markersize=8, zorder=3 + k)
        ax.text(104, y, one.verdict, va="center", weight="normal" if one.verdict == "looks" else "bold")
    for label, colour, marker in ASKED.values():
        ax.plot([], [], marker, color=colour, markersize=8, label=label)
    ax.axvline(0, color=FAINT, linewidth=1.2, zorder=2)
    ax.set(xlim=(lowest - 3, 102), yticks=range(len(found)), yticklabels=names, ylim=(len(found) - 0.4, -0.6))
    ax.set_xticks([0, 25, 50, 75, 100], ["0\nthe floor", "25", "50", "75", "100\nall right"])
    ax.set_xlabel("skill, % of the way from the floor to the best", labelpad=0)
    ax.grid(axis="x", color="#E4E4E4", linewidth=0.8)
    ax.set_axisbelow(True)
    figure.legend(loc="outside upper left", ncols=4, frameon=False, handletextpad=0.2, columnspacing=1.2)
    said = [
        f"{name}: {', '.join(f'{ASKED[key][0]} {value:.0f}' for key, value in one.skills().items())}, {one.verdict}"
        for name, one in zip(names, found)
    ]
    figure.alt = f"Skill in %, 0 the floor: {'; '.join(said)}."
    return figure
