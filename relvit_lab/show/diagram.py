"""What the drawn diagrams share: a sheet, and boxes, arrows, words and pictures on it.

Coordinates are pixels of the PNG at DPI, from the left top, y downwards, so that pictures fall pixel on pixel.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.text import Text

from relvit_lab.show.style import BLUE, FAINT, INK, VERMILLION, Drawing

DPI = 120
CREDITS = {
    "flower": "photograph: flickr.com/photos/vultilion/6056698931, CC BY 2.0, as in scikit-learn",
    "china": "photograph: flickr.com/photos/danielbuechele/6061409035, CC BY 2.0, as in scikit-learn",
}
"""Who took the photographs of relvit_lab.show.photographs, and their licence."""

SOLID, DASHED = "-", (0, (4, 2))
PAIRS = ((BLUE, SOLID), (VERMILLION, DASHED))
"""Colour and line of two things that are told apart in grey as well."""


def sheet(width: int, height: int) -> tuple[Drawing, Axes]:
    """An empty drawing of so many pixels, and the one axes that covers it."""
    drawing = Drawing(figsize=(width / DPI, height / DPI))
    drawing.math = True
    ax = drawing.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    return drawing, ax


def words(ax: Axes, x: float, y: float, text: str, size: float = 13, **look) -> Text:
    """Text around (x, y), or as ha and va say."""
    return ax.text(x, y, text, **{"fontsize": size, "ha": "center", "va": "center", "linespacing": 1.3} | look)


def box(
    ax: Axes, x: float, y: float, width: float, height: float, text: str = "",
    fill: str = "white", edge: str = INK, style=SOLID, thick: float = 1.6, round_by: float = 8, **look,
) -> None:  # fmt: skip
    """A box with round corners, its left top at (x, y), with text in its middle. look: the text's."""
    shape = f"round,pad=0,rounding_size={round_by}"
    colours = {"facecolor": fill, "edgecolor": edge, "linewidth": thick, "linestyle": style}
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, zorder=2, **colours))
    if text:
        words(ax, x + width / 2, y + height / 2, text, **{"zorder": 5} | look)


def arrow(
    ax: Axes, start: Sequence[float], end: Sequence[float], color: str = INK, style=SOLID, thick: float = 1.8,
    bend: float = 0.0, head: float = 12,
) -> None:  # fmt: skip
    """An arrow from start to end. bend: an arc instead, so high for its length."""
    patch = FancyArrowPatch(
        start, end, arrowstyle="-|>", connectionstyle=f"arc3,rad={bend}", mutation_scale=head, shrinkA=0, shrinkB=0,
        color=color, linewidth=thick, linestyle=style, zorder=3, joinstyle="miter", capstyle="butt",
    )  # fmt: skip
    ax.add_patch(patch)


def arrow_on_picture(ax: Axes, start: Sequence[float], end: Sequence[float], color: str, style=SOLID) -> None:
    """A straight, thick arrow with a white edge: seen on light and on dark."""
    (x0, y0), (x1, y1) = start, end
    length = float(np.hypot(x1 - x0, y1 - y0))
    along, across = np.array([x1 - x0, y1 - y0]) / length, np.array([y0 - y1, x1 - x0]) / length
    neck = np.array(end) - 26 * along
    for colour, thick, shape in (("white", 7.0, SOLID), (color, 3.4, style)):
        ax.plot((x0, neck[0]), (y0, neck[1]), color=colour, linewidth=thick, linestyle=shape, zorder=7,
                solid_capstyle="butt", dash_capstyle="butt")  # fmt: skip
    head = np.array([end, neck + 12 * across, neck - 12 * across])
    ax.add_patch(Polygon(head, closed=True, facecolor=color, edgecolor="white", linewidth=1.6, zorder=7))


def line(ax: Axes, xs: Sequence[float], ys: Sequence[float], color: str = INK, style=SOLID, thick: float = 1.8) -> None:
    """A line through the points."""
    ax.plot(xs, ys, color=color, linestyle=style, linewidth=thick, solid_capstyle="butt", zorder=3)


def frame(
    ax: Axes, x: float, y: float, width: float, height: float, color: str, style=SOLID, thick: float = 3.0
) -> None:
    """A frame that is seen on light and on dark, on pictures."""
    for colour, wide, shape in (("white", thick + 3, SOLID), (color, thick, style)):
        look = {"edgecolor": colour, "linewidth": wide, "linestyle": shape, "zorder": 6}
        ax.add_patch(Rectangle((x, y), width, height, fill=False, **look))


def label(ax: Axes, x: float, y: float, text: str, color: str) -> None:
    """A letter in a small white box around (x, y), to lie on pictures."""
    ax.add_patch(Rectangle((x - 13, y - 15), 26, 30, facecolor="white", edgecolor=color, linewidth=1.4, zorder=8))
    words(ax, x, y, text, size=14, color=color, weight="bold", zorder=9)


def picture(ax: Axes, pixels: np.ndarray, x: float, y: float, side: float, zorder: float = 2.2) -> None:
    """Draw the square (h, h, 3) with its left top at (x, y). Files that scale hold it at its own resolution."""
    limits = ax.get_xlim(), ax.get_ylim()
    ax.imshow(quiet(pixels), extent=(x, x + side, y + side, y), interpolation="none", aspect="auto", zorder=zorder)
    ax.set(xlim=limits[0], ylim=limits[1])


def quiet(pixels: np.ndarray) -> np.ndarray:
    """Float in [0, 1] to uint8 in steps of 4: no eye sees it, and files are a quarter smaller."""
    return (np.rint(np.asarray(pixels, dtype=np.float64) * 64) * 4).clip(0, 255).astype(np.uint8)


def grid(ax: Axes, x: float, y: float, side: float, count: int, thick: float = 1.2) -> None:
    """White lines between the count x count patches of a picture."""
    for k in range(1, count):
        at = k * side / count
        for xs, ys in (((x, x + side), (y + at, y + at)), ((x + at, x + at), (y, y + side))):
            ax.plot(xs, ys, color="white", linewidth=thick, solid_capstyle="butt", zorder=2.4)


def patches_apart(ax: Axes, pixels: np.ndarray, count: int, x: float, y: float, cell: float, gap: float) -> float:
    """Draw (H, W, 3) as count x count patches with gaps between them. Returns the side of the whole."""
    p = len(pixels) // count
    side = count * cell + (count - 1) * gap
    scale = p / cell
    apart = np.ones((round(side * scale), round(side * scale), 3))  # one picture with white gaps: a smaller file
    for row in range(count):
        for column in range(count):
            top, left = round(row * (cell + gap) * scale), round(column * (cell + gap) * scale)
            apart[top : top + p, left : left + p] = pixels[row * p : (row + 1) * p, column * p : (column + 1) * p]
    picture(ax, apart, x, y, side)
    return side


def credit(ax: Axes, name: str) -> None:
    """Whose photograph it is, small, in the right bottom corner."""
    right, bottom = max(ax.get_xlim()), max(ax.get_ylim())
    words(ax, right - 12, bottom - 12, CREDITS[name], size=7.5, ha="right", color=FAINT)
