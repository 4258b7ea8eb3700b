"""Section 3.1 in pictures: what a model says about the patches of an image, beside what is true.

Everywhere an anchor is the patch j from which the others are seen, and panels show column j of an (N, N) matrix.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.relations import RELATION_NAMES, spatial_relations
from relvit_lab.show.style import (
    BLACK,
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
    Drawing,
    bare,
    cut,
    frame,
    grid,
    ink_on,
    joined,
    new_drawing,
    show_picture,
    styled,
    to_array,
    to_picture,
)

RELATION_COLOURS = (BLUE, SKY, GREEN, PURPLE, "#E8E8E8", YELLOW, BLACK, VERMILLION, ORANGE)
"""One for each class of eq. 5, 0 to 8: once around the compass."""

PANEL = 2.0  # inches


@styled
def predictions_grid(
    images, predicted, side: int, anchors: Sequence[int] | None = None, titles: Sequence[str] = ()
) -> Drawing:
    """Several images, each with the relations seen from one anchor, true above and predicted below, mistakes crossed.

    images: (B, C, H, W), or a list of images. predicted: (B, N, N) integers 0..8, [i, j] says where i lies seen from j.
    anchors: one for each image; a different one for each when None. titles: shown above the images, for example their
    classes. Raises RelvitError for shapes that do not fit the side, and for anchors outside the grid.
    """
    if anchors is None:
        spread = default_anchors(side)
        anchors = [spread[k % len(spread)] for k in range(len(images))]
    if not len(images) == len(predicted) == len(anchors):
        raise RelvitError(f"{len(images)} images, {len(predicted)} predictions and {len(anchors)} anchors: not as many")
    truth = spatial_relations(side).numpy()
    matrices = [to_array(matrix) for matrix in predicted]
    for matrix in matrices:
        if matrix.shape != truth.shape:
            raise RelvitError(f"predictions on a grid of side {side} have the shape {truth.shape}, not {matrix.shape}")
    figure = new_drawing(PANEL * len(images) + 2.2, 3 * PANEL + 0.9)
    axes = figure.subplots(3, len(images) + 1, squeeze=False, width_ratios=[1.0] * len(images) + [0.95])
    words = []
    for k, (image, matrix, anchor) in enumerate(zip(images, matrices, anchors)):
        _check_anchor(anchor, side)
        top, middle, bottom = axes[:, k]
        show_picture(top, to_picture(image), side)
        top.set_title(titles[k] if k < len(titles) else "")
        true, said = truth[:, anchor].reshape(side, side), matrix[:, anchor].reshape(side, side)  # (N,) -> (side,side)
        show_relations(middle, true)
        show_relations(bottom, said, crossed=said != true)
        for ax in (top, middle, bottom):
            mark_anchor(ax, anchor, side)
        right = int((said == true).sum())
        bottom.set_xlabel(f"{right} of {side * side} right")
        words.append(f"seen from patch {anchor}, {right} of {side * side} are right")
    for ax, label in zip(axes[:, 0], ("image, with the anchor", "true relations", "predicted")):
        ax.set_ylabel(label)
    for ax in axes[:, -1]:
        ax.set_axis_off()
    _compass(axes[1, -1])
    _key(axes[2, -1])
    share = float(np.mean([(matrix == truth).mean() for matrix in matrices])) * 100 if matrices else 0.0
    between = " " if len(images) > 2 else "\n"
    figure.suptitle(f"Seen from the anchor, where is each patch?{between}{share:.1f} % of all pairs right", fontsize=13)
    figure.alt = f"Spatial relations, true and predicted: {'; '.join(words)}. Of all pairs {share:.1f} % are right."
    return figure


def default_anchors(side: int) -> list[int]:
    """Four patches (fewer on small grids), each in another part of the grid."""
    near, far = side // 4, (3 * side) // 4
    places = [(side // 2, side // 2), (near, near), (far, near), (near, far)]
    return list(dict.fromkeys(y * side + x for y, x in places))


def show_relations(ax: Axes, relations: np.ndarray, crossed: np.ndarray | None = None) -> None:
    """Draw (side, side) integers 0..8 as coloured patches with arrows, or, where `crossed`, crosses."""
    side = len(relations)
    colours = np.array([to_rgb(colour) for colour in RELATION_COLOURS])
    ax.imshow(colours[relations], interpolation="nearest")
    bare(ax, side)
    grid(ax, side)
    y, x = np.indices(relations.shape)
    ink = np.array([ink_on(colour) for colour in RELATION_COLOURS])[relations]
    arrow = relations != 4
    if crossed is not None:
        arrow &= ~crossed
        size = (PANEL * 72 / side * 0.55) ** 2
        ax.scatter(x[crossed], y[crossed], marker="x", s=size, c=ink[crossed], linewidths=1.4)
    _draw_arrows(ax, x[arrow], y[arrow], relations[arrow], ink[arrow], length=0.62)


def _draw_arrows(ax: Axes, x: np.ndarray, y: np.ndarray, relations: np.ndarray, ink: np.ndarray, length: float) -> None:
    """At each (x, y) an arrow that points from the anchor towards the patch."""
    down, along = relations // 3 - 1, relations % 3 - 1
    length = length / np.maximum(np.hypot(down, along), 1)
    ax.quiver(
        x, y, along * length, down * length, color=ink, alpha=0.75, angles="xy", scale_units="xy", scale=1,
        pivot="mid", units="xy", width=0.09, headwidth=3.6, headlength=3.2, headaxislength=3.0,
    )  # fmt: skip


def mark_anchor(ax: Axes, anchor: int, side: int) -> None:
    """A frame around the anchor, seen on light and on dark."""
    y, x = divmod(anchor, side)
    frame(ax, (x - 0.5, y - 0.5), 1, 1, ("white", 4.5), (INK, 2.0), clip_on=False)


def _compass(ax: Axes) -> None:
    """The nine relations in their places."""
    colours = np.array([to_rgb(colour) for colour in RELATION_COLOURS]).reshape(3, 3, 3)
    ink = np.array([ink_on(colour) for colour in RELATION_COLOURS])
    ax.imshow(colours, interpolation="nearest")
    ax.set_axis_on()
    bare(ax, 3)
    classes = np.arange(9)
    y, x = np.divmod(classes, 3)
    for k, name in enumerate(RELATION_NAMES):
        ax.text(x[k], y[k] + 0.29, name, ha="center", va="center", fontsize=10, color=ink[k])
    around = classes != 4
    _draw_arrows(ax, x[around], y[around] - 0.16, classes[around], ink[around], length=0.5)
    mark_anchor(ax, 4, 3)
    ax.set_title("seen from the anchor").set_in_layout(False)


def _key(ax: Axes) -> None:
    """What the frame and the cross mean."""
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.add_patch(Rectangle((0.02, 0.72), 0.12, 0.12, fill=False, edgecolor=INK, linewidth=2))
    ax.text(0.22, 0.78, "anchor", va="center")
    ax.scatter([0.08], [0.52], marker="x", s=80, c=INK, linewidths=1.6)
    ax.text(0.22, 0.52, "mistake", va="center")


@styled
def positions_predicted(image, predicted, side: int, title: str = "") -> Drawing:
    """AbsPos: left, an arrow from each patch to where the model puts it; right, the patches laid out in those places.

    image: (C, H, W), its sides divisible by `side`. predicted: (N,) integers in 0..N-1. Right: places that several
    patches claim show their mean, and places that none claims are hatched.
    """
    predicted = to_array(predicted).astype(int)
    count = side * side
    if predicted.shape != (count,) or predicted.min() < 0 or predicted.max() >= count:
        raise RelvitError(f"positions on a grid of side {side} are {count} numbers in 0..{count - 1}")
    picture = to_picture(image)
    laid_out = _lay_out(picture, predicted, side)
    figure = new_drawing(7.6, 3.5)
    left, right_ax = figure.subplots(1, 2)
    show_picture(left, picture, side, faded=0.45)
    show_picture(right_ax, laid_out, side)
    for place in sorted(set(range(count)) - set(predicted.tolist())):
        y, x = divmod(place, side)
        right_ax.add_patch(
            Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="#F2F2F2", edgecolor=FAINT, hatch="//", linewidth=0)
        )
    left.set_title("from its place to the predicted one")
    right_ax.set_title("each patch in its predicted place")
    y, x = np.divmod(np.arange(count), side)
    to_y, to_x = np.divmod(predicted, side)
    right = predicted == np.arange(count)
    wrong = ~right
    left.scatter(x[right], y[right], s=46, marker="o", color=GREEN, edgecolors="white", linewidths=0.8, zorder=4)
    left.scatter(x[wrong], y[wrong], s=16, marker="o", color=VERMILLION, edgecolors="white", linewidths=0.6, zorder=3)
    left.quiver(
        x[wrong], y[wrong], (to_x - x)[wrong], (to_y - y)[wrong], color=VERMILLION, edgecolor="white", linewidth=0.6,
        angles="xy", scale_units="xy", scale=1, units="xy", width=0.07 * side / 8, headwidth=4.5, zorder=2,
    )  # fmt: skip
    heading = f"{int(right.sum())} of {count} patches in the right place ({right.mean():.1%})".replace("%)", " %)")
    figure.suptitle(f"{title}. {heading}" if title else heading)
    said = f"{heading}. Arrows lead from the others to where the model puts them."
    figure.alt = f"{title or 'Absolute positions'}: {said}"
    return figure


def _lay_out(picture: np.ndarray, places: np.ndarray, side: int) -> np.ndarray:
    """Paint patch i of (H, W, 3) at places[i]."""
    patches = cut(picture, side)  # (N,h,w,3)
    total, claims = np.zeros_like(patches), np.zeros(side * side)
    np.add.at(total, places, patches)
    np.add.at(claims, places, 1)
    return joined(total / np.maximum(claims, 1)[:, None, None, None])


def _check_anchor(anchor: int, side: int) -> None:
    if not 0 <= anchor < side * side:
        raise RelvitError(f"anchor {anchor} lies outside the grid of {side} x {side}: 0 to {side * side - 1}")
