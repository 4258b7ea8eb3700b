"""The files in figures/: drawn from code, the same bytes each time. `python -m relvit_lab figures` writes them."""

from pathlib import Path

import numpy as np
from matplotlib.image import AxesImage

from relvit_lab.paths import project_root
from relvit_lab.photographs import photograph
from relvit_lab.relations import absolute_positions, angles, distances, spatial_relations
from relvit_lab.viz_relations import mark_anchor, show_relations
from relvit_lab.viz_style import HEAT, Drawing, bare, ink_on, new_drawing, show_picture, styled

SIDE, ANCHOR = 7, 3 * 7 + 2


@styled
def four_targets() -> Drawing:
    """§3.1 in one picture: what each of the four tasks asks about every patch, seen from one of them."""
    figure = new_drawing(13.4, 2.95)
    picture = figure.subplots(1, 5)
    first, *rest = picture
    show_picture(first, photograph(), SIDE)
    first.hlines(np.arange(SIDE - 1) + 0.5, -0.5, SIDE - 0.5, color="white", linewidth=1)
    first.vlines(np.arange(SIDE - 1) + 0.5, -0.5, SIDE - 0.5, color="white", linewidth=1)
    grid = (SIDE, SIDE)
    show_relations(rest[0], spatial_relations(SIDE)[:, ANCHOR].reshape(grid).numpy())  # (N,) -> (side,side)
    for ax, target in ((rest[1], distances(SIDE)), (rest[2], angles(SIDE))):
        _heat(ax, target[:, ANCHOR].reshape(grid).numpy())
    _numbers(rest[3], absolute_positions(SIDE).reshape(grid).numpy())
    titles = ("49 patches", "SpRel: on which side?", "Dist: how far?", "Ang: at what angle?", "AbsPos: which place?")
    for ax, title in zip(picture, titles):
        ax.set_title(title)
        mark_anchor(ax, ANCHOR, SIDE)
    figure.alt = (
        f"A photograph of a flower in 49 patches, and what each pretext task asks, seen from patch {ANCHOR}: "
        "the side on which every other patch lies, its distance, its angle, its number."
    )
    return figure


def _heat(ax, values: np.ndarray) -> AxesImage:
    image = ax.imshow(values, cmap=HEAT, vmin=-1, vmax=1, interpolation="nearest")
    bare(ax, len(values))
    for (y, x), value in np.ndenumerate(values):
        colour = ink_on(image.cmap((value + 1) / 2)[:3])
        ax.text(x, y, f"{value:.1f}".replace("-0.0", "0.0"), ha="center", va="center", fontsize=8, color=colour)
    return image


def _numbers(ax, values: np.ndarray) -> None:
    ax.imshow(np.full(values.shape, 0.93), cmap="gray", vmin=0, vmax=1)
    bare(ax, len(values))
    for (y, x), value in np.ndenumerate(values):
        ax.text(x, y, str(value), ha="center", va="center", fontsize=10)


FIGURES = {"four_targets": four_targets}


def write_figures(folder: Path | None = None) -> list[Path]:
    """Draw all figures as PNG into `folder` (figures/ of the project where None). Returns their paths."""
    folder = folder or project_root() / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in FIGURES.items():
        path = folder / f"{name}.png"
        path.write_bytes(draw().png())
        written.append(path)
    return written
