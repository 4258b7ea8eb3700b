"""Sections 3 and 3.1 in small pictures: patches, tokens, a pair in its matrix, position vectors, a shuffle, a game."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Arc, Rectangle

from relvit_lab.method.relations import RELATION_NAMES, angles, permuted, spatial_relations
from relvit_lab.show.relations import RELATION_COLOURS, mark_anchor, show_relations
from relvit_lab.show.style import (
    BLUE,
    FAINT,
    HEAT,
    INK,
    VERMILLION,
    Drawing,
    bare,
    cut,
    frame,
    grid,
    ink_on,
    new_drawing,
    show_picture,
    styled,
    to_array,
    to_picture,
    window,
)


@styled
def patches_apart(image, side: int) -> Drawing:
    """Section 3: an image with its grid, and its patches moved apart, numbered row by row from 0.

    image: (C, H, W) uint8, or float in [0, 1]. side: patches a side. Raises RelvitError where H or W is no multiple.
    """
    picture = to_picture(image)
    patches = cut(picture, side)
    figure = new_drawing(9.4, 4.6)
    left, right = figure.subplots(1, 2)
    show_picture(left, picture, side)
    grid(left, side, 1.2)
    height, width, _ = picture.shape
    left.set_title(f"one image, {height} x {width} pixels")
    gap = 1.14
    size = min(11, 70 / side)
    for i, patch in enumerate(patches):
        y, x = divmod(i, side)
        _place(right, patch, x * gap, y * gap)
        if size >= 7:
            _tag(right, str(i), x * gap - 0.44, y * gap - 0.42, size)
    end = (side - 1) * gap + 0.5
    window(right, (-0.5, end), (end, -0.5))
    each = f"{height // side} x {width // side} pixels each"
    right.set_title(f"N = {side} x {side} = {side * side} patches, {each}")
    figure.alt = (
        f"A photograph, and beside it its {side * side} patches moved apart and numbered row by row, "
        f"0 at the left top and {side * side - 1} at the right bottom."
    )
    return figure


@styled
def token_rows(image, tokens, side: int, title: str = "") -> Drawing:
    """Eq. 1: each token as a row of colours, D numbers, with the patch that it stands for.

    image: (C, H, W). tokens: (1 + N, D), CLS first, or (N, D).
    """
    values = to_array(tokens).astype(float)
    patches = cut(to_picture(image), side)
    first = len(values) - len(patches)  # 1 with CLS
    figure = new_drawing(8.6, 0.42 * len(values) + 1.0)
    ax = figure.subplots()
    width = 20.0
    most = np.abs(values).max() or 1.0
    heat = ax.imshow(
        values, cmap="cividis", vmin=-most, vmax=most, aspect="auto", interpolation="nearest",
        extent=(0, width, len(values) - 0.5, -0.5),
    )  # fmt: skip
    for row in range(len(values)):
        if row < first:
            ax.text(-0.8, row, "CLS", ha="center", va="center", fontweight="bold")
        else:
            ax.imshow(patches[row - first], extent=(-1.25, -0.35, row + 0.44, row - 0.44), aspect="auto")
            ax.text(-1.6, row, str(row - first), ha="right", va="center")
    ax.hlines(np.arange(len(values) - 1) + 0.5, 0, width, color="white", linewidth=2)
    ax.set(xlim=(-2.6, width), ylim=(len(values) - 0.5, -0.5), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_xlabel(f"{values.shape[1]} numbers a token")
    ax.set_title(title or f"{len(values)} tokens of dimension D = {values.shape[1]}")
    figure.colorbar(heat, ax=ax, shrink=0.8, pad=0.02)
    figure.alt = f"{title or 'Tokens'}: {len(values)} rows of {values.shape[1]} colours, each beside its patch."
    return figure


@styled
def pair_matrix(target, lit: tuple[int, int] | None = None, title: str = "") -> Drawing:
    """Eq. 5-7: a pair target written out, [i, j] in row i and column j; `lit` frames one pair in grid and matrix.

    target: (N, N), integers 0..8 (relations, written with their names) or floats in [-1, 1]. N is a square of at most
    16. lit: (i, j).
    """
    target = to_array(target)
    side = math.isqrt(len(target))
    names = np.issubdtype(target.dtype, np.integer)
    figure = new_drawing(9.4, 5.2)
    left, right = figure.subplots(1, 2, width_ratios=[1, 2.1])
    for k in range(side * side):  # an empty grid with the patches' numbers
        y, x = divmod(k, side)
        left.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="#F4F4F4", edgecolor=FAINT, linewidth=0.8))
        left.text(x, y, str(k), ha="center", va="center", fontsize=14)
    bare(left, side)
    if lit is not None:
        _mark_pair(left, *lit, side)
    _write_matrix(right, target, names)
    right.set(xlabel="j: the patch from which one looks", ylabel="i: the patch that is asked about")
    right.set_title(title)
    words = ""
    if lit is not None:
        i, j = lit
        value = RELATION_NAMES[target[i, j]] if names else f"{target[i, j]:.2f}"
        frame(right, (j - 0.5, i - 0.5), 1, 1, ("white", 5.5), (INK, 2.6))
        left.set_xlabel(f"[{i}, {j}] = {value}: patch {i},\nseen from patch {j}")
        words = f" Framed: row {i}, column {j}, which holds {value}."
    figure.alt = f"{title or 'A pair target'} as a matrix of {len(target)} x {len(target)}.{words}"
    return figure


@styled
def position_vectors(side: int, pairs: Sequence[tuple[int, int]]) -> Drawing:
    """Eq. 7: for each pair the two position vectors from the origin, and the angle between them.

    pairs: (i, j), one panel each. The origin lies side / 2 up and left of patch 0's centre (the shift s of the text).
    """
    scaled = angles(side)
    figure = new_drawing(3.4 * len(pairs), 4.1)
    words = []
    for ax, (i, j) in zip(figure.subplots(1, len(pairs), squeeze=False)[0], pairs):
        ends = [np.array([k % side, k // side], float) + side / 2 for k in (i, j)]
        for k in range(side * side):
            corner = np.array([k % side, k // side]) + side / 2 - 0.5
            ax.add_patch(Rectangle(corner, 1, 1, facecolor="#F4F4F4", edgecolor=FAINT, linewidth=0.8))
            ax.text(*(corner + (0.84, 0.18)), str(k), ha="center", va="center", color="#555555", fontsize=10)
        looks = (("j", BLUE, 3.4, (-0.24, 0.12)), ("i", VERMILLION, 2.0, (0.12, -0.24)))
        for end, (name, colour, width, beside) in zip(ends[::-1], looks):  # i over j where both point the same way
            _arrow(ax, (0, 0), end, colour, width)
            ax.text(*(end + beside), name, color=colour, fontweight="bold", ha="center", va="center", fontsize=13)
        turns = sorted(math.degrees(math.atan2(end[1], end[0])) for end in ends)
        between = turns[1] - turns[0]
        ax.add_patch(Arc((0, 0), side * 0.7, side * 0.7, theta1=turns[0], theta2=turns[1], color=INK, linewidth=1.8))
        ax.plot(0, 0, "o", color=INK, markersize=6, clip_on=False)
        ax.text(0.1, -0.14, "origin", fontsize=10, va="bottom")
        window(ax, (-0.15, 1.5 * side - 0.4), (1.5 * side - 0.4, -0.15))
        ax.set_title(f"i = {i}, j = {j}: {between:.1f}°")
        ax.set_xlabel(f"target {scaled[i, j]:.2f}")
        words.append(f"patches {i} and {j}: {between:.1f} degrees, target {scaled[i, j]:.2f}")
    figure.alt = f"Position vectors from an origin outside the grid and the angle between them. {'; '.join(words)}."
    return figure


@styled
def shuffled(image, side: int, p) -> Drawing:
    """What a shuffle does: the image and its relations, before and after, with token t holding patch p[t].

    image: (C, H, W). p: (N,) integers, a permutation of at most 16.
    """
    p = to_array(p).astype(int)
    patches = cut(to_picture(image), side)
    target = spatial_relations(side)
    figure = new_drawing(13.2, 3.9)
    axes = figure.subplots(1, 4)
    orders = (np.arange(side * side), p)
    for ax, order, title in zip(axes[::2], orders, ("patches in order", "shuffled: token t holds patch p[t]")):
        for t, i in enumerate(order):
            y, x = divmod(t, side)
            _place(ax, patches[i], x, y)
            _tag(ax, str(i), x - 0.44, y - 0.42, 11)
        bare(ax, side)
        grid(ax, side, 1.2)
        ax.set_title(title)
    matrices = (target, permuted(target, torch.from_numpy(p)))
    titles = ("their relations", "the relations of its tokens")
    for ax, matrix, order, title in zip(axes[1::2], matrices, orders, titles):
        show_relations(ax, matrix.numpy())
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(orders[0], order)
        ax.tick_params(length=0)
        ax.set(title=title, xlabel="patch of token j", ylabel="patch of token i")
    figure.alt = (
        f"{side * side} patches in order with their matrix of relations, then shuffled by p = {p.tolist()} with the "
        "rows and the columns of the matrix moved the same way."
    )
    return figure


@styled
def guessed_pairs(image, side: int, pairs: Sequence[tuple[int, int, int | None]]) -> Drawing:
    """Pairs of patches in their true relation: j in the middle, i on its side of it; dashed, where a model put i.

    image: (C, H, W). pairs: (i, j, what the model says or None); relations are 0..8.
    """
    patches = cut(to_picture(image), side)
    truth = spatial_relations(side).numpy()
    columns, rows = min(len(pairs), 6), math.ceil(len(pairs) / 6)
    figure = new_drawing(2.05 * columns, 2.5 * rows + 0.5)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(pairs) :]:
        ax.set_axis_off()
    asked = [(truth[i, j], said) for i, j, said in pairs if said is not None]
    for ax, (i, j, said) in zip(axes, pairs):
        relation = int(truth[i, j])
        for cell in range(9):
            _square(ax, cell, 1.0, facecolor="#E4E4E4", edgecolor="white", linewidth=2, zorder=0)
        _place(ax, patches[j], 1, 1)
        _place(ax, patches[i], relation % 3, relation // 3)
        bare(ax, 3)
        mark_anchor(ax, 4, 3)
        caption = RELATION_NAMES[relation]
        if said is not None:
            _square(ax, said, 0.86, fill=False, edgecolor="white", linewidth=4.5, zorder=5)
            _square(ax, said, 0.86, fill=False, edgecolor=VERMILLION, linewidth=2.6, linestyle=(0, (3, 1.5)), zorder=6)
            caption += f", model {RELATION_NAMES[said]} {'✓' if said == relation else '✗'}"
        ax.set_title(caption)
    right = sum(said == relation for relation, said in asked)
    of = f"; the model (dashed) is right on {right} of {len(asked)}" if asked else ""
    figure.suptitle(f"Patch i where it lies, seen from patch j (framed){of}")
    figure.alt = f"{len(pairs)} pairs of patches in their true relation{of}."
    return figure


def _place(ax: Axes, patch: np.ndarray, x: float, y: float) -> None:
    ax.imshow(patch, extent=(x - 0.5, x + 0.5, y + 0.5, y - 0.5), interpolation="nearest")


def _square(ax: Axes, cell: int, size: float, **style) -> None:
    """A square in cell 0..8 of a 3 x 3 panel."""
    ax.add_patch(Rectangle((cell % 3 - size / 2, cell // 3 - size / 2), size, size, **style))


def _tag(ax: Axes, text: str, x: float, y: float, size: float) -> None:
    """A number that is read on any picture."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "boxstyle": "square,pad=0.12"}
    ax.text(x, y, text, ha="left", va="top", fontsize=size, color=INK, bbox=box, zorder=6)


def _mark_pair(ax: Axes, i: int, j: int, side: int) -> None:
    """Patch i coloured, the anchor j framed, and an arrow from j towards i."""
    y, x = divmod(i, side)
    ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="#F6C9AE", edgecolor=VERMILLION, linewidth=2.6))
    mark_anchor(ax, j, side)
    if i != j:
        b, a = divmod(j, side)
        length = math.hypot(x - a, y - b)
        step = np.array([x - a, y - b]) / length * 0.3
        _arrow(ax, np.array([a, b]) + step, np.array([x, y]) - step, INK, 1.8)


def _arrow(ax: Axes, start, end, colour: str, width: float) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "lw": width, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 16}
    ax.annotate("", end, start, arrowprops=style)


def _write_matrix(ax: Axes, target: np.ndarray, names: bool) -> None:
    if names:
        colours = np.array([to_rgb(colour) for colour in RELATION_COLOURS])[target]  # (N,N) -> (N,N,3)
        ax.imshow(colours, interpolation="nearest")
    else:
        heat = ax.imshow(target, cmap=HEAT, vmin=-1, vmax=1, interpolation="nearest")
        colours = heat.cmap(heat.norm(target))[..., :3]
    size = 10 if len(target) <= 9 else 7
    for (i, j), value in np.ndenumerate(target):
        text = RELATION_NAMES[value] if names else f"{value:.2f}".replace("-0.00", "0.00")
        ax.text(j, i, text, ha="center", va="center", fontsize=size, color=ink_on(colours[i, j]))
    ax.set(xticks=range(len(target)), yticks=range(len(target)))
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)
    ax.xaxis.set_label_position("top")
