"""The relations explorer on paper: one image, its four relations from one anchor, and the N x N targets."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from relvit_lab.relations_data import TASKS, TITLES, RelationsData, relations_data
from relvit_lab.viz.relations import (
    RELATION_COLOURS,
    _check_anchor,
    _compass,
    default_anchors,
    mark_anchor,
    show_relations,
)
from relvit_lab.viz.style import BLUE, HEAT, INK, ORANGE, Drawing, bare, ink_on, new_drawing, show_picture, styled

PANEL = 2.6  # inches
LOUD = 0.45  # of a mistake's colour, the rest white: what is right stands out
NUMBERED = 9  # patches a side up to which values are written


def relations_figure(
    image: object = None,
    patch: int | None = None,
    anchor: int | None = None,
    model: object = None,
    *,
    shuffle: int = 0,
) -> Drawing:
    """Draw what `explore_relations` shows with the same arguments, for all four tasks at once.

    image: a PIL image; a path; uint8, or float in [0, 1], as an array (H, W), (H, W, C) or a tensor (C, H, W); None for
    a photograph. patch: P in pixels. anchor: the place j from which the others are seen; near the centre when None.
    model: as `relvit_lab.load` gives it, or a name for it; its answers come below. shuffle: 0, or a seed from 1 to 9.
    Raises RelvitError for what cannot be shown.
    """
    return draw_relations(relations_data(image, patch, model), anchor, shuffle)


@styled
def draw_relations(data: RelationsData, anchor: int | None = None, shuffle: int = 0) -> Drawing:
    """The same from data that are there already, such as an explorer's `shown`. Raises RelvitError as above."""
    side = data.side
    anchor = default_anchors(side)[0] if anchor is None else anchor
    _check_anchor(anchor, side)
    picture = data.shuffled_picture(shuffle) / 255
    rows = ["seen", "says", "targets", "answers"] if data.predictions else ["seen", "targets"]
    figure = new_drawing(13.4, PANEL * len(rows) + 0.5)
    axes = dict(zip(rows, figure.subplots(len(rows), 5, squeeze=False)))
    show_picture(axes["seen"][0], picture, side)
    axes["seen"][0].set_title(f"shuffle {shuffle}" if shuffle else f"{side * side} patches")
    _grid(axes["seen"][0], side)
    mark_anchor(axes["seen"][0], anchor, side)
    for row in rows[1:]:
        axes[row][0].set_axis_off()
    _compass(axes["targets"][0])
    said = {}
    for k, name in enumerate(TASKS, start=1):
        target = data.target(name, shuffle)
        _field(axes["seen"][k], name, target, anchor, side)
        asks = "each patch's place" if name == "abspos" else f"seen from {anchor}"
        axes["seen"][k].set_title(f"{TITLES[name]}: {asks}")
        _matrix(axes["targets"][k], name, target, anchor)
        axes["targets"][k].set_title(f"{TITLES[name]}: targets")
        for row in ("says", "answers") if data.predictions else ():
            axes[row][k].set_axis_off()
        if name not in data.predictions:
            if data.predictions:
                axes["says"][k].text(
                    0.5, 0.5, f"no head for {TITLES[name]}", ha="center", transform=axes["says"][k].transAxes
                )
            continue
        answers, wrong = data.predictions[name][shuffle], data.mistakes(name, shuffle)
        _field(axes["says"][k], name, answers, anchor, side, wrong)
        axes["says"][k].set_title("the model says")
        _matrix(axes["answers"][k], name, answers, anchor, wrong)
        said[name] = data.verdict(name, shuffle)
        axes["answers"][k].set_title(said[name].replace("; ", "\n"), fontsize=10)
    scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(-1, 1), HEAT)
    figure.colorbar(scale, ax=[axes[row][3] for row in rows], ticks=[-1, 0, 1], fraction=0.08, aspect=30, pad=0.02)
    if data.predictions:
        _key(axes["says"][0])
    if data.note:
        figure.text(0.005, 0.005, data.note, fontsize=9, color=INK)
    figure.alt = (
        f"An image in {side} x {side} patches{f', shuffled with seed {shuffle}' if shuffle else ''}; the relation of "
        f"every patch to the one at place {anchor} (SpRel, Dist, Ang) and its position (AbsPos); below the targets of "
        f"all {side**2} x {side**2} pairs, with that patch's column framed."
        + "".join(f" {TITLES[name]}: {verdict}." for name, verdict in said.items())
    )
    return figure


def _field(ax: Axes, name: str, matrix: np.ndarray, anchor: int, side: int, wrong: np.ndarray | None = None) -> None:
    """All patches seen from the anchor: column `anchor` of a matrix (N, N), or the classes (N,) of AbsPos."""
    values = (matrix if matrix.ndim == 1 else matrix[:, anchor]).reshape(side, side)  # (N,) -> (side,side)
    crossed = None if wrong is None else (wrong if wrong.ndim == 1 else wrong[:, anchor]).reshape(side, side)
    if name == "sprel":
        show_relations(ax, values, crossed)
    elif name == "abspos":
        fill = np.full((side, side, 3), 0.93)
        if crossed is not None:
            fill[crossed] = to_rgb(ORANGE)
        ax.imshow(fill, interpolation="nearest")
        _grid(ax, side)
        _write(ax, values, ["#000000"] * values.size)
    else:
        image = ax.imshow(values, cmap=HEAT, vmin=-1, vmax=1, interpolation="nearest")
        inks = [ink_on(colour[:3]) for colour in image.cmap((values.ravel() + 1) / 2)]
        if crossed is not None:
            y, x = np.nonzero(crossed)
            size = (PANEL * 72 / side * 0.45) ** 2
            ax.scatter(x, y, marker="x", s=size, c=np.array(inks)[crossed.ravel()], linewidths=1.4)
        elif side <= NUMBERED:
            _write(ax, values, inks)
    bare(ax, side)
    mark_anchor(ax, anchor, side)


def _write(ax: Axes, values: np.ndarray, inks: list[str]) -> None:
    """Each value in its cell."""
    whole = np.issubdtype(values.dtype, np.integer)
    for ((y, x), value), ink in zip(np.ndenumerate(values), inks):
        text = str(value) if whole else f"{value:.1f}".replace("-0.0", "0.0")
        ax.text(x, y, text, ha="center", va="center", fontsize=min(10, 68 / len(values)), color=ink)


def _matrix(ax: Axes, name: str, values: np.ndarray, anchor: int, wrong: np.ndarray | None = None) -> None:
    """(N, N) values in their colours; AbsPos (N,) as one class in each row. Mistakes are pale, or orange for AbsPos."""
    n = len(values)
    room = 0.005 * n  # between a narrow column and the frame around it
    if name == "abspos":
        fill = np.full((n, n, 3), 0.93)
        rows = np.arange(n)
        fill[rows, values] = to_rgb(BLUE)
        if wrong is not None:
            fill[rows[wrong], values[wrong]] = to_rgb(ORANGE)
        labels, frame = (
            ("class", "place"),
            ((-0.5, anchor - 0.5 - room), n, 1 + 2 * room),
        )  # the row of the anchor's place
    else:
        if name == "sprel":
            fill = np.array([to_rgb(colour) for colour in RELATION_COLOURS])[values]
        else:
            fill = matplotlib.colormaps[HEAT]((values + 1) / 2)[..., :3]
        if wrong is not None:
            fill[wrong] = 1 - (1 - fill[wrong]) * LOUD
        labels, frame = ("j", "i"), ((anchor - 0.5 - room, -0.5), 1 + 2 * room, n)  # column j, as in the panels above
    ax.set_axis_on()
    ax.imshow(fill, interpolation="nearest")
    bare(ax, n)
    ax.set_xlabel(labels[0], labelpad=1)
    ax.set_ylabel(labels[1], labelpad=8 if labels[1] == "i" else 1, rotation=0 if labels[1] == "i" else 90)
    for colour, width in (("white", 2.4), (INK, 0.9)):
        ax.add_patch(Rectangle(*frame, fill=False, edgecolor=colour, linewidth=width, clip_on=False))


def _grid(ax: Axes, side: int) -> None:
    lines = np.arange(side - 1) + 0.5
    ax.hlines(lines, -0.5, side - 0.5, color="white", linewidth=0.8)
    ax.vlines(lines, -0.5, side - 0.5, color="white", linewidth=0.8)


def _key(ax: Axes) -> None:
    """How mistakes are marked."""
    for k, line in enumerate(("Mistakes are crossed here;", "in the matrices they are pale", "(AbsPos: orange)")):
        ax.text(0.02, 0.62 - 0.11 * k, line, va="center", transform=ax.transAxes)
