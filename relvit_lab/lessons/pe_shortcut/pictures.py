"""§4.3 in pictures: what each token is told of its place, how a shortcut shows, where else position leaks, and faults.

In all of them a token is numbered by its place t in the sequence, and p[t] is the patch that it holds.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from relvit_lab.show.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    VERMILLION,
    Drawing,
    bare,
    cut,
    frame,
    joined,
    name_ends,
    new_drawing,
    show_picture,
    styled,
    to_array,
    to_picture,
)

SERIES = ((VERMILLION, "X", "-"), (ORANGE, "s", "--"), (BLUE, "o", "-"), (GREEN, "^", ":"), (PURPLE, "D", "-."))
"""Colour, marker and line of one curve after the other: told apart without colour, too."""

FOUR = ("PE on, no shuffle", "PE on, shuffle", "PE off, no shuffle", "PE off, shuffle")


@styled
def four_settings(image, p: Sequence[int]) -> Drawing:
    """The four settings of Figure 4 on one image: the patch in each token, what its PE says, and what its label says.

    image: (C, H, W), its sides divisible by the grid's side. p: (N,), N a square: shuffled, token t holds patch p[t].
    In each token the white tag at the left top is what E_pos says (t), the dark one at the right bottom the place that
    the labels are computed from. A thick frame marks tokens whose PE gives the label away.
    """
    p = to_array(p).astype(int)
    side = math.isqrt(p.size)
    picture = to_picture(image)
    figure = new_drawing(12.6, 4.1)
    axes = figure.subplots(1, 4)
    places, told = np.arange(p.size), []
    for ax, name in zip(axes, FOUR):
        held = p if name.endswith(", shuffle") else places
        embedded = name.startswith("PE on")
        show_picture(ax, joined(cut(picture, side)[held]), side)
        given = embedded & (held == places)
        for t in range(p.size):
            _token(ax, *divmod(t, side), said=str(t) if embedded else "", label=str(held[t]), given=bool(given[t]))
        ax.set_title(name, weight="bold")
        ax.set_xlabel(f"PE gives away {int(given.sum())} of {p.size} places" if embedded else "no PE: nothing to read")
        told.append(f"{name}: {int(given.sum())} of {p.size} places")
    figure.supxlabel(
        "white tag, left top: the place that E_pos says.   dark tag, right bottom: the place that the label means.   "
        "thick frame: the same, so the image is not needed",
        fontsize=10.5,
    )
    figure.alt = (
        f"The four settings on a grid of {side} x {side}. Places that the positional embedding gives away: "
        f"{'; '.join(told)}."
    )
    return figure


def _token(ax: Axes, y: int, x: int, said: str, label: str, given: bool) -> None:
    frame(ax, (x - 0.5, y - 0.5), 1, 1, ("white", 2.5))
    if given:
        frame(ax, (x - 0.44, y - 0.44), 0.88, 0.88, ("white", 6.5), (VERMILLION, 4.0))
    box = {"boxstyle": "round,pad=0.22", "linewidth": 1.0}
    if said:
        ax.text(x - 0.24, y - 0.24, said, ha="center", va="center", fontsize=12, color=INK,
                bbox={**box, "facecolor": "white", "edgecolor": INK})  # fmt: skip
    ax.text(x + 0.24, y + 0.24, label, ha="center", va="center", fontsize=12, color="white",
            bbox={**box, "facecolor": INK, "edgecolor": "white"})  # fmt: skip


@styled
def climb(series: Mapping[str, Sequence[float]], floor: float, title: str) -> Drawing:
    """SpRel accuracy in % by epoch for a few runs (at most five), each named at the end of its line.

    series: values after epoch 1, 2, ... by name. floor: in %, the dotted line: what knowing nothing gives.
    """
    figure = new_drawing(8.6, 4.2)
    ax = figure.subplots()
    longest = max(map(len, series.values()))
    ends = []
    for (name, values), (colour, marker, line) in zip(series.items(), SERIES):
        every = max(1, longest // 8)
        ax.plot(range(1, len(values) + 1), values, color=colour, marker=marker, linestyle=line, markevery=every,
                markersize=7, clip_on=False)  # fmt: skip
        ends.append((float(values[-1]), f"{name}: {values[-1]:.1f} %", colour))
    ax.axhline(floor, color=INK, linestyle=(0, (1, 2)), linewidth=1.5)
    ends.append((floor, f"knowing nothing: {floor:.1f} %", INK))
    ax.set(xlim=(1, max(longest, 2)), ylim=(0, 103), xlabel="epoch", ylabel="SpRel accuracy, %")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(axis="y", color="#E4E4E4", linewidth=0.8)
    ax.set_title(title, loc="left")
    name_ends(ax, ends, 0.065)
    said = "; ".join(text for _, text, _ in ends)
    figure.alt = f"{title}. SpRel accuracy by epoch, at the end: {said}."
    return figure


@styled
def leak_bars(
    images: Mapping[str, object], values: Mapping[str, Mapping[str, float]], floors: Mapping[str, float]
) -> Drawing:
    """What was learnt about position from images that hold nothing: an example of each kind, and bars beside it.

    images: (C, H, W) by the leak's title. values: for each title {"SpRel": %, "AbsPos": %}. floors: for each metric
    what knowing nothing of the place gives, in %: a dotted line.
    """
    rows, metrics = len(images), list(floors)
    figure = new_drawing(10.2, 0.95 * rows + 0.9)
    axes = figure.subplots(rows, 1 + len(metrics), squeeze=False, width_ratios=[0.26] + [1] * len(metrics))
    for row, (title, image) in zip(axes, images.items()):
        show_picture(row[0], to_picture(image), 1)
        for ax, metric, colour, hatch in zip(row[1:], metrics, (BLUE, ORANGE, GREEN), ("", "//", "..")):
            value = values[title][metric]
            ax.barh([0], [value], height=0.55, color=colour, hatch=hatch, edgecolor="white")
            ax.axvline(floors[metric], color=INK, linestyle=(0, (1, 1.5)), linewidth=1.8)
            ax.text(value + 2, 0, f"{value:.1f} %", va="center", weight="bold")
            ax.set(xlim=(0, 118), ylim=(-0.5, 0.5), yticks=[], xticks=[])
            ax.spines[:].set_visible(False)
        row[1].set_title(title, loc="left", fontsize=11, pad=2)
    for ax, metric in zip(axes[-1, 1:], metrics):
        ax.set_xlabel(f"{metric}, %  (dotted: {floors[metric]:.1f}, knowing no place)")
    said = "; ".join(f"{t}: " + ", ".join(f"{m} {row[m]:.1f} %" for m in metrics) for t, row in values.items())
    figure.alt = f"What a model learns about position from noise with one leak each. {said}."
    return figure


@styled
def symptoms(runs: Mapping[str, Mapping[str, object]]) -> Drawing:
    """The curves of runs that went wrong, each beside those of a healthy one: training loss above, accuracy below.

    runs: by name {"loss": values by epoch, "sprel": values in % by epoch, "floor": %, what knowing nothing gives}; one
    of the names is "healthy", drawn in grey in every panel.
    """
    others = [name for name in runs if name != "healthy"]
    figure = new_drawing(3.05 * len(others) + 0.5, 5.4)
    axes = figure.subplots(2, len(others), squeeze=False, sharex=True, sharey="row")
    top = max(max(run["loss"]) for run in runs.values())
    for column, name in zip(axes.T, others):
        for ax, key in zip(column, ("loss", "sprel")):
            looks = {"healthy": {"color": "#BBBBBB", "linewidth": 5}, name: {"color": VERMILLION, "marker": "o"}}
            for run, look in looks.items():
                values = list(runs[run][key])
                ax.plot(range(1, len(values) + 1), values, markersize=4, **look)
            ax.grid(axis="y", color="#E4E4E4", linewidth=0.8)
            ax.xaxis.get_major_locator().set_params(integer=True)
        column[0].set_title(f"run {name}", weight="bold")
        column[0].axhline(math.log(9), color=INK, linestyle=(0, (1, 2)), linewidth=1.3)
        column[1].axhline(runs[name]["floor"], color=INK, linestyle=(0, (1, 2)), linewidth=1.3)
        column[1].set_xlabel("epoch")
        ax.text(0.98, 0.97, f"ends at {runs[name]['sprel'][-1]:.1f} %", ha="right", va="top", transform=ax.transAxes,
                weight="bold")  # fmt: skip
        column[0].text(0.98, 0.97, f"starts {runs[name]['loss'][0]:.2f}, ends {runs[name]['loss'][-1]:.2f}", ha="right",
                       va="top", transform=column[0].transAxes, weight="bold", fontsize=10)  # fmt: skip
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylim(min(0.3, min(min(r["loss"]) for r in runs.values() if min(r["loss"]) > 0) * 0.8), top * 2.2)
    axes[0, 0].set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    axes[0, 0].minorticks_off()
    axes[0, 0].set_ylabel("training loss (log scale)")
    axes[1, 0].set_ylim(0, 105)
    axes[1, 0].set_ylabel("SpRel against the right\nlabels, test images, %")
    figure.supxlabel("broad, grey: the healthy run.   dotted: knowing nothing (loss ln 9 = 2.2; best constant answer)",
                     fontsize=10.5)  # fmt: skip
    figure.alt = "Runs that went wrong beside a healthy one. " + "; ".join(
        f"{name}: loss from {runs[name]['loss'][0]:.2f} to {runs[name]['loss'][-1]:.2f}, "
        f"SpRel at the end {runs[name]['sprel'][-1]:.1f} %"
        for name in ("healthy", *others)
    )  # fmt: skip
    return figure


@styled
def confusions(counts: Mapping[str, object], names: Sequence[str]) -> Drawing:
    """Which answer is given where which is right: a square of shares for each run, true classes down, answers across.

    counts: (K, K) whole numbers by the run's name, [true, said]; each row is shown as shares of its sum. names: of
    the K classes. The diagonal, which is right, is framed.
    """
    k = len(names)
    figure = new_drawing(4.1 * len(counts) + 0.9, 4.3)
    axes = np.atleast_1d(figure.subplots(1, len(counts)))
    said = []
    for ax, (title, table) in zip(axes, counts.items()):
        table = to_array(table).astype(float)
        shares = 100 * table / np.maximum(table.sum(1, keepdims=True), 1)
        heat = ax.imshow(shares, cmap="Greys", vmin=0, vmax=100, interpolation="nearest")
        for (y, x), share in np.ndenumerate(shares):
            ink = "white" if share > 55 else INK
            ax.text(x, y, f"{share:.0f}" if share >= 0.5 else "", ha="center", va="center", fontsize=9, color=ink)
        for at in range(k):
            frame(ax, (at - 0.5, at - 0.5), 1, 1, (VERMILLION, 1.8))
        ax.set_xticks(range(k), names)
        ax.set_yticks(range(k), names)
        ax.tick_params(length=0)
        right, opposite = (100 * part.sum() / table.sum() for part in (np.diag(table), np.diag(table[:, ::-1])))
        ax.set(title=title, xlabel="answer")
        said.append(f"{title}: {right:.1f} % of all pairs on the diagonal, {opposite:.1f} % on the other diagonal")
    axes[0].set_ylabel("right class")
    figure.colorbar(heat, ax=list(axes), ticks=[0, 50, 100], shrink=0.8, label="% of the row")
    figure.alt = f"Answers by right class. {'; '.join(said)}."
    return figure


@styled
def border_kinds(images: Mapping[str, object]) -> Drawing:
    """How many kinds of token a blank image gives: more than one where windows reach into zeros around it.

    images: kinds (side, side), whole numbers from 0, by title: tokens of one number hold the same.
    """
    figure = new_drawing(3.4 * len(images) + 0.6, 3.7)
    said = []
    for ax, (title, kinds) in zip(np.atleast_1d(figure.subplots(1, len(images))), images.items()):
        kinds = to_array(kinds)
        count, side = len(np.unique(kinds)), len(kinds)
        ax.imshow(kinds, cmap="viridis", vmin=0, vmax=max(count - 1, 1), interpolation="nearest")
        bare(ax, side)
        for (y, x), kind in np.ndenumerate(kinds):
            ax.add_patch(FancyBboxPatch((x - 0.26, y - 0.26), 0.52, 0.52, boxstyle="round,pad=0.02", color="white"))
            ax.text(x, y, f"{kind}", ha="center", va="center", fontsize=10)
        ax.set_title(title)
        ax.set_xlabel(f"{count} kind{'s' if count > 1 else ''} of token")
        said.append(f"{title}: {count}")
    figure.suptitle("Tokens of a blank image: the same number, the same content", fontsize=12)
    figure.alt = f"Kinds of token on a blank image. {'; '.join(said)}."
    return figure
