"""Notebook 09 in pictures: what tokens are near to one another, vary with, and can be read for; the models in rows.

The grid of patches is side x side; a place is a patch's number in it. A model has the same look in all of them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from relvit_lab.lessons.what_it_learned.measures import Probed, Shares
from relvit_lab.lessons.what_it_learned.models import CHEAT, JOINT, RELVIT, SUPERVISED, UNTRAINED
from relvit_lab.show.relations import mark_anchor
from relvit_lab.show.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    VERMILLION,
    Drawing,
    bare,
    new_drawing,
    show_picture,
    styled,
    to_array,
    to_picture,
)

LOOK = {  # colour, marker, line: told apart without colour, too
    UNTRAINED: (FAINT, "v", ":"),
    SUPERVISED: (ORANGE, "s", "--"),
    RELVIT: (BLUE, "o", "-"),
    CHEAT: (VERMILLION, "X", "-"),
    JOINT: (GREEN, "^", "-."),
}
OTHER = (PURPLE, "D", "-")  # of what is no model of the notebook
PARTS = {"place": (VERMILLION, "//"), "image": (BLUE, ""), "rest": ("#D8D8D8", "")}  # of Shares
PANEL = 1.15  # inches


def _look(name: str) -> dict[str, str]:
    """Of a model, or of another seed of one: "untrained, seed 1"."""
    return dict(zip(("color", "marker", "linestyle"), LOOK.get(name.partition(",")[0], OTHER)))


def _row_name(ax: Axes, name: str) -> None:
    ax.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=8)


@styled
def sample(images, titles: Sequence[str], rows: int = 3) -> Drawing:
    """The first images (n, C, H, W), row by row, a column for each title."""
    figure = new_drawing(PANEL * len(titles), PANEL * rows + 0.3)
    axes = figure.subplots(rows, len(titles), squeeze=False)
    for k, ax in enumerate(axes.flat):
        show_picture(ax, to_picture(images[k]), 1)
    for ax, title in zip(axes[0], titles):
        ax.set_title(title, fontsize=11)
    figure.alt = f"{rows} images of each class: {', '.join(titles)}."
    return figure


@styled
def nearest_figure(
    images, titles: Sequence[str], asked: tuple[int, int], found: Mapping[str, Sequence[tuple[int, int]]], side: int
) -> Drawing:
    """A patch, framed in its image, and below it for each model the nearest patches of other images, framed in theirs.

    images: (n, C, H, W). titles: of all images, such as their classes. asked: (image, place). found: by model, the same
    of each, the nearest first. One at the place that was asked for is marked with a dot.
    """
    count = max(map(len, found.values()))
    figure = new_drawing(PANEL * (count + 1) + 1.1, (PANEL + 0.22) * len(found) + 0.5)
    axes = figure.subplots(len(found), count + 1, squeeze=False)
    told = []
    for row, (name, places) in zip(axes, found.items()):
        for ax, (image, place) in zip(row, [asked, *places]):
            show_picture(ax, to_picture(images[image]), side)
            mark_anchor(ax, place, side)
            here = place == asked[1] and ax is not row[0]
            ax.set_title(titles[image] + (" ●" if here else ""), fontsize=10, pad=4)
        _row_name(row[0], name)
        same = sum(place == asked[1] for _, place in places)
        told.append(f"{name}: {same} of {len(places)} at the same place")
    figure.suptitle("the patch asked for, and the nearest in other images (●: at the same place)", fontsize=12)
    figure.alt = f"Nearest patches of patch {asked[1]} of a {titles[asked[0]]}, by model. {'; '.join(told)}."
    return figure


@styled
def shares_figure(found: Mapping[str, Shares]) -> Drawing:
    """What the variance of each model's tokens goes with: place, image, and the rest, in %, as one bar."""
    figure = new_drawing(9, 0.9 + 0.5 * len(found))
    ax = figure.subplots()
    for y, parts in enumerate(found.values()):
        left = 0.0
        for part, (colour, hatch) in PARTS.items():
            width = getattr(parts, part)
            ax.barh(y, width, left=left, height=0.62, color=colour, hatch=hatch, edgecolor="white")
            if width > 7:
                box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
                ax.text(left + width / 2, y, f"{width:.0f}", ha="center", va="center", bbox=box)
            left += width
    key = [Patch(facecolor=fill, hatch=hatch, edgecolor="white", label=part) for part, (fill, hatch) in PARTS.items()]
    ax.set(yticks=range(len(found)), yticklabels=list(found), ylim=(len(found) - 0.5, -0.5), xlim=(0, 100))
    ax.set_xlabel("% of the variance of the tokens")
    figure.legend(handles=key, loc="outside upper center", ncols=3, frameon=False)
    said = [f"{name} {parts.place:.0f}, {parts.image:.0f}, {parts.rest:.0f}" for name, parts in found.items()]
    figure.alt = f"Variance of tokens in %, with the place, with the image, and the rest: {'; '.join(said)}."
    return figure


@styled
def paintings(pictures, painted: Mapping[str, Any]) -> Drawing:
    """Photographs in the first row, and below them each model's tokens in colours.

    pictures: (m, C, H, W). painted: by model, (m, N, 3) in [0, 1], as measures.colours gives them.
    """
    count = len(pictures)
    figure = new_drawing(PANEL * count + 1.1, PANEL * (len(painted) + 1) + 0.1)
    axes = figure.subplots(len(painted) + 1, count, squeeze=False)
    for ax, picture in zip(axes[0], pictures):
        show_picture(ax, to_picture(picture), 1)
    for row, (name, colours) in zip(axes[1:], painted.items()):
        for ax, tokens in zip(row, to_array(colours)):
            side = math.isqrt(len(tokens))
            ax.imshow(tokens.reshape(side, side, 3), interpolation="nearest")  # (N,3) -> (side,side,3)
            bare(ax, side)
        _row_name(row[0], name)
    figure.alt = f"{count} photographs, and the principal components of the tokens as colours: {', '.join(painted)}."
    return figure


@styled
def probes_figure(found: Mapping[str, Mapping[str, Probed]], images: int, chance: float) -> Drawing:
    """Class accuracy of k-NN and linear probe, with standard errors: a panel for each feature, a row for each model.

    found: by feature and name. images: tested. chance: in %.
    """
    figure = new_drawing(10, 1.5 + 0.42 * max(map(len, found.values())))
    axes = figure.subplots(1, len(found), sharex=True, squeeze=False)[0]
    told = []
    for ax, (feature, rows) in zip(axes, found.items()):
        for y, (name, one) in enumerate(rows.items()):
            colour = _look(name)["color"]
            for shift, value, error, marker in zip((-0.13, 0.13), one, one.error(images), "oD"):
                ax.errorbar(value, y + shift, xerr=error, fmt=marker, color=colour, markersize=7, capsize=3)
            told.append(f"{feature}, {name}: k-NN {one.knn:.0f}, linear {one.linear:.0f}")
        ax.axvline(chance, color=FAINT, linestyle="--", linewidth=1.2)
        ax.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.5, -0.5))
        ax.set_title(feature)
        ax.set_xlabel(f"class accuracy, % (dashed: chance, {chance:.0f})")
        ax.grid(axis="x", color="#E4E4E4", linewidth=0.8)
        ax.set_axisbelow(True)
    axes[0].set_xlim(0, 5 + max(max(one) for rows in found.values() for one in rows.values()))
    for label, marker in (("k-NN", "o"), ("linear probe", "D")):
        axes[0].plot([], [], marker, color=INK, label=label)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    figure.alt = f"Class accuracy in % from frozen features, chance {chance:.0f}. {'; '.join(told)}."
    return figure


@styled
def lens_figure(found: Mapping[str, Mapping[str, Sequence[float]]], floor: float) -> Drawing:
    """SpRel accuracy in % where the head reads the tokens before the first block (0) and after each.

    found: by what was shown (a panel each) and by model, L + 1 numbers. floor: of one constant answer.
    """
    figure = new_drawing(4 * len(found), 3.9)
    axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    told = []
    for ax, (what, lines) in zip(axes, found.items()):
        for name, values in lines.items():
            ax.plot(range(len(values)), values, markersize=7, label=name, **_look(name))
            ax.set_xticks(range(len(values)))
            told.append(f"{what}, {name}: {', '.join(f'{value:.0f}' for value in values)}")
        ax.axhline(floor, color=FAINT, linestyle="--", linewidth=1.2, label=f"one constant answer, {floor:.1f}")
        ax.set_title(what)
    axes[0].set(ylabel="SpRel, %", ylim=(0, 103))
    figure.supxlabel("the head reads after block (0: before the first)", fontsize=11)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
    figure.alt = f"SpRel in % layer by layer, floor {floor:.1f}. {'; '.join(told)}."
    return figure


@styled
def images_seen(records: Mapping[str, Mapping[str, Any]], floors: Mapping[str, float]) -> Drawing:
    """Test accuracy against the training images seen, epoch by epoch, from the models' records.

    floors: metric ("accuracy", "sprel") -> what knows nothing has, in %; a panel for each.
    """
    names = {"accuracy": "class accuracy, %", "sprel": "SpRel, %"}
    figure = new_drawing(10, 3.9)
    axes = figure.subplots(1, len(floors), sharex=True, squeeze=False)[0]
    told, shown = [], {}
    for ax, (metric, floor) in zip(axes, floors.items()):
        for name, record in records.items():
            values = record["curves"]["test"].get(metric)
            if not values or values[0] is None:  # a pre-training knows no classes
                continue
            seen = record["experiment"]["train_images"] * np.array(record["curves"]["epoch"]) / 1e3
            shown[name], *_ = ax.plot(seen, values, markersize=6, label=name, **_look(name))
            told.append(f"{names[metric]}, {name}: {values[0]:.0f} to {values[-1]:.0f}")
        shown["knows nothing"] = ax.axhline(floor, color=FAINT, linestyle="--", linewidth=1.2)
        ax.set(ylabel=names[metric], xlabel="training images seen, thousands", ylim=(0, 103))
    axes[0].set_xlim(0, None)
    figure.legend(list(shown.values()), list(shown), loc="outside upper center", ncols=len(shown), frameon=False)
    figure.alt = f"Test accuracy by training images seen, first to last epoch. {'; '.join(told)}."
    return figure
