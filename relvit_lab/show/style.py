"""What all figures share: palettes that colour-blind people can read, sizes for a projector, and the figure itself.

Figures are built without pyplot: nothing is shown twice, nothing stays open, and no window system is needed.
"""

import base64
import functools
import html
import io
import math
import warnings
from collections.abc import Callable, Sequence

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.shown_names import readable
from relvit_lab.show.lettering import letter

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
"""Okabe and Ito's palette: told apart with every common form of colour blindness."""

INK, FAINT = "#222222", "#8A8A8A"
HEAT = "viridis"  # for values: even in lightness, and read alike with and without red-green blindness

STYLE = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2,
    "figure.dpi": 100,
}


class Drawing(Figure):
    """A matplotlib Figure with `alt`, a text for those who do not see it. A notebook shows it without pyplot.

    math: whether $...$ in its texts is mathtext. In most drawings it is part of a name, and drawn as it stands.
    """

    math: bool = False
    _alt: str = ""

    @property
    def alt(self) -> str:
        return self._alt

    @alt.setter
    def alt(self, text: str) -> None:
        self._alt = readable(text)

    def draw(self, renderer: RendererBase) -> None:
        letter(self, self.math)
        with warnings.catch_warnings():  # of each missing letter, at each drawing: `letter` has told it once
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            super().draw(renderer)

    def png(self, dpi: float = 100) -> bytes:
        """The picture as a PNG file's bytes."""
        data = io.BytesIO()
        self.savefig(data, format="png", dpi=dpi, metadata={"Description": self.alt} if self.alt else None)
        return data.getvalue()

    def as_html(self, png: bytes | None = None) -> str:
        """An <img> element with the picture in it. png: this picture's, where it was made smaller."""
        data = base64.b64encode(png or self.png()).decode()
        style = "max-width:100%;background:#fff"
        return f'<img src="data:image/png;base64,{data}" alt="{html.escape(self.alt)}" style="{style}">'

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        data = base64.b64encode(self.png()).decode()
        return {"image/png": data, "text/plain": self.alt or repr(self)}, {"image/png": {"alt": self.alt}}


def styled(draw: Callable[..., Drawing]) -> Callable[..., Drawing]:
    """Draw with this module's style, whatever the notebook's own is."""

    @functools.wraps(draw)
    def drawn(*args, **kwargs):
        with matplotlib.style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return drawn


def new_drawing(width: float, height: float) -> Drawing:
    """An empty figure, in inches, that lays its parts out by itself."""
    return Drawing(figsize=(width, height), layout="constrained")


def to_array(values) -> np.ndarray:
    """A tensor on any device, an array or a list, as an array."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def to_picture(image) -> np.ndarray:
    """(C, H, W), one or three channels, uint8 or float in [0, 1] -> (H, W, 3) float in [0, 1].

    Raises RelvitError for another shape, and for floats outside the range (a normalised image).
    """
    image = to_array(image)
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise RelvitError(f"an image to draw has the shape (1 or 3, H, W), not {image.shape}")
    if image.dtype == np.uint8:
        picture = image / 255
    else:
        picture = image.astype(float)
        if picture.min() < -0.01 or picture.max() > 1.01:
            raise RelvitError(
                f"a float image to draw lies in [0, 1], not [{picture.min():.2f}, {picture.max():.2f}]: "
                "draw it as it was before it was normalised"
            )
    picture = picture.clip(0, 1).transpose(1, 2, 0)  # (C,H,W) -> (H,W,C)
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def show_picture(ax: Axes, picture: np.ndarray, side: int, faded: float = 0.0) -> None:
    """Draw (H, W, 3) in units of patches, patch (y, x) around the point (x, y). faded: towards white."""
    ends = (-0.5, side - 0.5, side - 0.5, -0.5)
    ax.imshow(picture * (1 - faded) + faded, extent=ends, interpolation="nearest")
    bare(ax, side)


def bare(ax: Axes, side: int) -> None:
    """A square panel of side x side patches, without ticks or frame."""
    window(ax, (-0.5, side - 0.5), (side - 0.5, -0.5))


def cut(picture: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) -> its patches (N, h, w, 3). Raises RelvitError where H or W is no multiple of the side."""
    height, width, _ = picture.shape
    if side < 1 or height % side or width % side:
        raise RelvitError(f"an image of {height} x {width} pixels cannot be cut into {side} x {side} patches")
    h, w = height // side, width // side
    patches = picture.reshape(side, h, side, w, 3).transpose(0, 2, 1, 3, 4)  # (H,W,3) -> (rows,columns,h,w,3)
    return patches.reshape(-1, h, w, 3)


def joined(patches: np.ndarray) -> np.ndarray:
    """The inverse of cut: (N, h, w, 3) -> (H, W, 3)."""
    n, h, w, _ = patches.shape
    side = math.isqrt(n)
    rows = patches.reshape(side, side, h, w, 3).transpose(0, 2, 1, 3, 4)  # (N,h,w,3) -> (rows,h,columns,w,3)
    return rows.reshape(side * h, side * w, 3)


def window(ax: Axes, xlim: tuple[float, float], ylim: tuple[float, float]) -> None:
    """What a panel shows, equal in both directions, without ticks or frame."""
    ax.set(xlim=xlim, ylim=ylim, xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)


def grid(ax: Axes, side: int, width: float = 0.8) -> None:
    """White lines between the patches."""
    lines = np.arange(side - 1) + 0.5
    ax.hlines(lines, -0.5, side - 0.5, color="white", linewidth=width)
    ax.vlines(lines, -0.5, side - 0.5, color="white", linewidth=width)


def frame(ax: Axes, corner, width: float, height: float, *strokes: tuple[str, float], **style) -> None:
    """Strokes (colour, width) around a rectangle, each over those before it; white below is seen on a dark picture."""
    for colour, line in strokes:
        ax.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=line, **style))


def apart(heights: np.ndarray, least: float, low: float, high: float) -> np.ndarray:
    """The nearest heights (least squares) that lie at least so far apart, in the same order, within low..high."""
    order = np.argsort(heights, kind="stable")
    steps = least * np.arange(len(heights))
    # After taking off the steps, heights only have to rise: those that fall share a mean.
    groups: list[list[float]] = []
    for height in heights[order] - steps:
        groups.append([float(height)])
        while len(groups) > 1 and np.mean(groups[-2]) >= np.mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    rising = np.concatenate([np.full(len(group), np.mean(group)) for group in groups])
    moved = np.empty(len(heights))
    moved[order] = rising.clip(low + least / 2, high - least / 2 - steps[-1]) + steps
    return moved


def name_ends(ax: Axes, ends: Sequence[tuple[float, str, str]], least: float) -> None:
    """Names (value, text, colour) right of a panel at their values, moved to lie at least so far apart (a share of its
    height); a thin line leads to those moved far."""
    low, high = ax.get_ylim()
    ats = (np.clip([value for value, *_ in ends], low, high) - low) / (high - low)
    for at, place, (_, text, colour) in zip(ats, apart(ats, least, 0, 1) if len(ends) else (), ends):
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.9, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 0}
        ax.annotate(
            text, xy=(1, at), xytext=(1.06, place), xycoords="axes fraction", textcoords="axes fraction", va="center",
            color=dark(colour), arrowprops=leader if abs(place - at) > 0.02 else None,
        )  # fmt: skip


def heat_colours() -> bytes:
    """The 256 colours of HEAT for scripts: (256, 3) uint8, row by row."""
    return matplotlib.colormaps[HEAT](np.arange(256), bytes=True)[:, :3].tobytes()


def dark(colour) -> tuple[float, ...]:
    """The colour, dark enough for text on white."""
    return tuple(0.72 * part for part in to_rgb(colour))


def ink_on(colour) -> str:
    """Black or white, whichever is read better on the colour."""
    red, green, blue = to_rgb(colour)
    return "#FFFFFF" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "#000000"
