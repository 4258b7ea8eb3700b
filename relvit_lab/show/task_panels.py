"""Panels of any task: what is true or said about each patch, seen from an anchor, and the whole target as a matrix."""

import textwrap

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb

from relvit_lab.show.relations import RELATION_COLOURS, _check_anchor, mark_anchor, show_relations
from relvit_lab.show.style import (
    BLACK,
    BLUE,
    GREEN,
    HEAT,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
    Drawing,
    bare,
    frame,
    grid,
    ink_on,
    new_drawing,
    show_picture,
    styled,
    to_array,
    to_picture,
)
from relvit_lab.show.task_views import TaskView

PANEL = 2.6  # inches
LOUD = 0.45  # of a mistake's colour, the rest white: what is right stands out
PLAIN = "#EEEEEE"
NUMBERED = 9  # patches a side up to which values are written
CLASS_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, VERMILLION, BLACK)


def class_colours(view: TaskView) -> tuple[str, ...]:
    """One for each class: those of eq. 5 for the relations; else up to eight that differ, more in the order of HEAT."""
    count = len(view.names)
    if view.kind == "relations" and count <= len(RELATION_COLOURS):
        return RELATION_COLOURS
    if count <= len(CLASS_COLOURS):
        return CLASS_COLOURS[:count]
    return tuple(to_hex(colour) for colour in matplotlib.colormaps[HEAT](np.linspace(0, 1, count)))


def _paint(view: TaskView, values: np.ndarray) -> np.ndarray:
    """Values or classes in their colours: (...) -> (..., 3)."""
    if view.is_class:
        return np.array([to_rgb(colour) for colour in class_colours(view)])[values]
    return matplotlib.colormaps[HEAT]((values - view.low) / (view.high - view.low))[..., :3]


def show_field(ax: Axes, view: TaskView, values: np.ndarray, anchor: int, side: int, wrong=None) -> None:
    """All patches seen from the anchor: column `anchor` of pairs (N, N), or answers about patches (N,).

    wrong: bool, as values; mistakes are crossed (places: orange).
    """
    field = (values if values.ndim == 1 else values[:, anchor]).reshape(side, side)  # (N,) -> (side,side)
    crossed = None if wrong is None else (wrong if wrong.ndim == 1 else wrong[:, anchor]).reshape(side, side)
    if view.kind == "relations":
        show_relations(ax, field, crossed)
    else:
        places = view.kind == "places"
        fill = np.full((side, side, 3), to_rgb(PLAIN)) if places else _paint(view, field)
        if places and crossed is not None:
            fill[crossed] = to_rgb(ORANGE)
        # values through the colour map: a colour bar can be read against them
        scale = {} if view.is_class else {"cmap": HEAT, "vmin": view.low, "vmax": view.high}
        ax.imshow(fill if view.is_class else field, interpolation="nearest", **scale)
        inks = np.array([ink_on(colour) for colour in fill.reshape(-1, 3)]).reshape(side, side)
        if crossed is not None and not places:
            y, x = np.nonzero(crossed)
            ax.scatter(x, y, marker="x", s=(PANEL * 72 / side * 0.45) ** 2, c=inks[crossed], linewidths=1.4)
        if places or side <= NUMBERED:
            _write(ax, view, field, inks, None if places else crossed)
        if view.is_class:
            grid(ax, side)
    bare(ax, side)
    mark_anchor(ax, anchor, side)


def _write(ax: Axes, view: TaskView, field: np.ndarray, inks: np.ndarray, crossed: np.ndarray | None) -> None:
    """Each answer in its cell, where there is no cross."""
    for at, value in np.ndenumerate(field):
        if crossed is None or not crossed[at]:
            text = view.marks[value] if view.is_class else f"{value:.1f}".replace("-0.0", "0.0")
            ax.text(at[1], at[0], text, ha="center", va="center", fontsize=min(10, 68 / len(field)), color=inks[at])


def show_matrix(ax: Axes, view: TaskView, values: np.ndarray, anchor: int, wrong=None) -> None:
    """All answers: pairs (N, N) in their colours; about patches (N,) a row each, with its class in that column.

    wrong: bool, as values; mistakes are pale (places: orange). The anchor's column, or its row, is framed.
    """
    n = len(values)
    room = 0.005 * n  # between a narrow column and the frame around it
    places = view.kind == "places"
    colours = np.tile(to_rgb(BLUE), (n, 1)) if places else _paint(view, values)
    if wrong is not None:
        colours[wrong] = to_rgb(ORANGE) if places else 1 - (1 - colours[wrong]) * LOUD
    if view.of_pairs:
        columns, fill = n, colours
        labels, marked = ("j", "i"), ((anchor - 0.5 - room, -0.5), 1 + 2 * room, n)  # column j, as in the panels above
    else:
        columns = max(1, len(view.names))
        fill = np.full((n, columns, 3), to_rgb(PLAIN))
        fill[np.arange(n), values if view.is_class else 0] = colours
        labels = ("class" if view.is_class else "value", "place")
        marked = ((-0.5, anchor - 0.5 - room), columns, 1 + 2 * room)  # the row of the anchor's place
    ax.set_axis_on()
    ax.imshow(fill, interpolation="nearest", aspect=columns / n)
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(n - 0.5, -0.5), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_xlabel(labels[0], labelpad=1)
    ax.set_ylabel(labels[1], labelpad=8 if labels[1] == "i" else 1, rotation=0 if labels[1] == "i" else 90)
    frame(ax, *marked, ("white", 2.4), (INK, 0.9), clip_on=False)


@styled
def task_predicted(
    image, view: TaskView, predicted, anchor: int | None = None, title: str = "", verdict: str = ""
) -> Drawing:
    """Any task on one image, seen from one anchor: the image, what is true and what is predicted, mistakes crossed.

    image: (C, H, W) uint8, or float in [0, 1]. predicted: (N, N) or (N,), as the view's target. anchor: a patch near
    the left top when None. verdict: how good all answers are; the view's when "". Raises RelvitError for an anchor
    outside the grid.
    """
    said = to_array(predicted)
    view = view.covering(said)
    side = round(len(view.target) ** 0.5)
    anchor = (side // 4) * side + side // 4 if anchor is None else anchor
    _check_anchor(anchor, side)
    figure = new_drawing(9.2, 3.5)
    axes = figure.subplots(1, 3)
    show_picture(axes[0], to_picture(image), side)
    grid(axes[0], side)
    mark_anchor(axes[0], anchor, side)
    wrong = view.mistakes(view.target, said)
    show_field(axes[1], view, view.target, anchor, side)
    show_field(axes[2], view, said, anchor, side, wrong)
    axes[0].set_title("image, with the anchor")
    axes[1].set_title("true")
    axes[2].set_title("predicted")
    if not view.is_class:
        figure.colorbar(axes[2].images[0], ax=axes[2], shrink=0.85, extend="both")
    if view.legend():
        figure.supxlabel(textwrap.shorten(view.legend(), 120), fontsize=10)
    verdict = verdict or view.verdict(view.target, said)
    figure.suptitle(f"{title or view.title}. {verdict}")
    figure.alt = f"{title or view.title}, seen from patch {anchor}: true beside predicted. {verdict}."
    return figure
