"""The whole of CIFAR-10: accuracy against the images seen so far, so that equal budgets stand above one another."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from relvit_lab.common.words import plural
from relvit_lab.paper.records import whole_study as whole
from relvit_lab.paper.records.results import WHAT
from relvit_lab.paper.records.store import Record, read_records
from relvit_lab.paper.records.whole_report import NOT_YET, WholeReport
from relvit_lab.show.style import BLUE, VERMILLION, Drawing, apart, dark, new_drawing, styled

LOOK = {"twice": {"color": VERMILLION, "linestyle": "--", "marker": "s"}, "finetuned": {"color": BLUE, "marker": "o"}}
"""The two arms that are compared, each of two stages: colour, line and marker tell them apart."""
NUMBERS_APART = 0.05  # of the panel's height, the least between two numbers at the ends of lines

End = tuple[float, float, str]  # of a line: millions of images, %, colour


@styled
def images_seen_figure(records: Mapping[str, Record] | None = None) -> Drawing:
    """Class accuracy on the test images after each epoch, of both arms, from the records (results/ where None).

    Lines are means over the seeds on record, bands reach from the lowest to the highest. What has not been run is said
    in the picture, and drawn as nothing.
    """
    report = WholeReport(read_records() if records is None else records)
    drawing = new_drawing(11, 5.6)
    ax = drawing.subplots()
    drawn = {name: _draw(ax, report, name) for name in LOOK}
    said = [f"{WHAT[name]}: {words}" for name, (words, _) in drawn.items()]
    total = report.images_seen("twice") / 1e6
    ax.set_xlim(0, total * 1.05)  # room for the last numbers
    ax.axvline(total / 2, color="0.7", linewidth=1, zorder=0)
    ax.set_xlabel("training images seen, millions (both stages)", fontsize=13)
    ax.set_ylabel("class accuracy (%)", fontsize=13)
    ax.tick_params(labelsize=12)
    _number(ax, [end for _, ends in drawn.values() for end in ends])
    if ax.has_data() and ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower right", fontsize=12, frameon=False)
    else:
        ax.set_yticks([])
        ax.text(0.5, 0.5, f"{NOT_YET}:\n{whole.STUDY.listed_by}", transform=ax.transAxes, ha="center", fontsize=14)
    drawing.suptitle("Pre-training, or the same time on the classes?", fontsize=16, weight="bold")
    note = f"CIFAR-10, {report.settings().replace('`', '')}. {'. '.join(said)}."
    drawing.supxlabel(textwrap.fill(note, 130), fontsize=11, x=0.01, ha="left")
    drawing.alt = f"Class accuracy by training images seen. {note}"
    return drawing


def _draw(ax: Axes, report: WholeReport, name: str) -> tuple[str, list[End]]:
    """Both stages of an arm, as far as they are on record. Returns what is there, in words, and where its lines end."""
    look, there, ends = LOOK[name], [], []
    for number, stage in enumerate(("first", "last")):
        runs = [r["curves"]["test"].get("accuracy") for r in report.there(name, stage)]
        before = number * report.images_seen("supervised") / 1e6
        if not runs:
            continue
        if None in runs or runs[0][0] is None:  # pre-training knows no classes
            ax.plot((before, report.images_seen("supervised") / 1e6), (0, 0), color=look["color"], linewidth=5,
                    alpha=0.35, solid_capstyle="butt", transform=ax.get_xaxis_transform(), clip_on=False)  # fmt: skip
            there.append(f"pre-trained with {plural(len(runs), 'seed')}, no classes yet")
            continue
        values = np.array(runs, dtype=float)  # (seeds, epochs)
        epochs = np.arange(1, values.shape[1] + 1)
        images = before + epochs / len(epochs) * report.images_seen("supervised") / 1e6
        mean = values.mean(0)
        if len(values) > 1:
            ax.fill_between(images, values.min(0), values.max(0), color=look["color"], alpha=0.18, linewidth=0)
        label = WHAT[name] if stage == "last" or not report.there(name) else None
        ax.plot(images, mean, label=label, linewidth=2.2, markersize=5, markevery=3, **look)
        ends.append((images[-1], mean[-1], dark(look["color"])))
        there.append(f"{mean[-1]:.1f} % after stage {number + 1} ({plural(len(values), 'seed')})")
    return ", ".join(there) or NOT_YET, ends


def _number(ax: Axes, ends: list[End]) -> None:
    """The number at the end of each line, moved where two that end together lie close."""
    low, high = ax.get_ylim()
    for last in {images for images, *_ in ends}:
        here = [(value, colour) for images, value, colour in ends if images == last]
        heights = apart(np.array([value for value, _ in here]), NUMBERS_APART * (high - low), low, high)
        for (value, colour), height in zip(here, heights):
            ax.annotate(f"{value:.1f}", (last, height), xytext=(6, 0), textcoords="offset points", va="center",
                        color=colour, fontsize=12)  # fmt: skip
