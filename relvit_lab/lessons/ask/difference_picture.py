"""Two outputs side by side, right and given, as matrices or as images, with a frame around each entry that differs."""

import numpy as np
from matplotlib.axes import Axes

from relvit_lab.show.style import HEAT, VERMILLION, Drawing, frame, ink_on, new_drawing, styled

PANEL = 2.9  # inches
NUMBERED = 9  # entries a side up to which values are written
FRAMED = 300  # entries that differ; more are not framed one by one


@styled
def drawn(title: str, right: np.ndarray, got: np.ndarray) -> Drawing:
    """right and got: (rows, columns), or images (1 or 3, H, W), of one shape."""
    rows, columns = right.shape[-2:]
    finite = right[np.isfinite(right)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    high = high if high > low else low + 1
    wrong = ~np.isclose(right, got, 1e-4, 1e-4, equal_nan=True)
    wrong = wrong.any(axis=0) if wrong.ndim == 3 else wrong
    height = max(PANEL * rows / columns, 0.5) if columns >= rows else PANEL
    drawing = new_drawing(2 * PANEL + 0.6, height + 0.7)
    for ax, values, name in zip(drawing.subplots(1, 2), (right, got), ("right", "your answer"), strict=True):
        _show(ax, values, low, high)
        ax.set_title(name, fontsize=11)
    if wrong.sum() <= FRAMED:
        for y, x in np.argwhere(wrong):
            frame(ax, (x - 0.5, y - 0.5), 1, 1, (VERMILLION, 2))
    drawing.suptitle(title, fontsize=10)
    drawing.alt = f"{title}: the right answer beside yours; {wrong.sum()} of {wrong.size} entries differ."
    return drawing


def _show(ax: Axes, values: np.ndarray, low: float, high: float) -> None:
    picture = values.ndim == 3
    if picture:
        scaled = np.nan_to_num((values - low) / (high - low)).clip(0, 1).transpose(1, 2, 0)  # (C,H,W) -> (H,W,C)
        ax.imshow(np.repeat(scaled, 3, axis=2) if scaled.shape[2] == 1 else scaled, interpolation="nearest")
    else:
        shown = ax.imshow(np.where(np.isfinite(values), values, np.nan), cmap=HEAT, vmin=low, vmax=high)
        if max(values.shape) <= NUMBERED:
            for (y, x), value in np.ndenumerate(values):
                colour = shown.to_rgba(value) if np.isfinite(value) else (1, 1, 1)
                ax.text(x, y, f"{value:.2g}", ha="center", va="center", fontsize=8, color=ink_on(colour[:3]))
    ax.set(xticks=[], yticks=[])
