"""The files in figures/: drawn from code, the same bytes each time. `python -m relvit_lab figures` writes them."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib.style
import numpy as np

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.paths import project_root, resolve
from relvit_lab.method.relations import absolute_positions, angles, distances, spatial_relations
from relvit_lab.paper.figures.figure_1 import tokens_figure
from relvit_lab.paper.figures.figure_2 import architecture_figure
from relvit_lab.paper.figures.figure_3 import mega_patches_figure
from relvit_lab.paper.figures.figure_4 import shortcut_figure
from relvit_lab.paper.figures.images_seen import images_seen_figure
from relvit_lab.paper.records.store import read_records
from relvit_lab.show.diagram import CREDITS, DPI
from relvit_lab.show.photographs import photograph
from relvit_lab.show.relations import mark_anchor, show_relations
from relvit_lab.show.style import HEAT, STYLE, Drawing, bare, grid, ink_on, new_drawing, show_picture, styled

SIDE, ANCHOR = 7, 3 * 7 + 2


@styled
def four_targets() -> Drawing:
    """§3.1 in one picture: what each of the four tasks asks about every patch, seen from one of them."""
    figure = new_drawing(13.4, 2.95)
    picture = figure.subplots(1, 5)
    first, *rest = picture
    show_picture(first, photograph(), SIDE)
    grid(first, SIDE, 1)
    shape = (SIDE, SIDE)
    show_relations(rest[0], spatial_relations(SIDE)[:, ANCHOR].reshape(shape).numpy())  # (N,) -> (side,side)
    for ax, target in ((rest[1], distances(SIDE)), (rest[2], angles(SIDE))):
        _heat(ax, target[:, ANCHOR].reshape(shape).numpy())
    _numbers(rest[3], absolute_positions(SIDE).reshape(shape).numpy())
    titles = ("49 patches", "SpRel: on which side?", "Dist: how far?", "Ang: at what angle?", "AbsPos: which place?")
    for ax, title in zip(picture, titles):
        ax.set_title(title)
        mark_anchor(ax, ANCHOR, SIDE)
    figure.alt = (
        f"A photograph of a flower in 49 patches, and what each pretext task asks, seen from patch {ANCHOR}: "
        "the side on which every other patch lies, its distance, its angle, its number."
    )
    return figure


def _heat(ax, values: np.ndarray) -> None:
    image = ax.imshow(values, cmap=HEAT, vmin=-1, vmax=1, interpolation="nearest")
    bare(ax, len(values))
    for (y, x), value in np.ndenumerate(values):
        colour = ink_on(image.cmap((value + 1) / 2)[:3])
        ax.text(x, y, f"{value:.1f}".replace("-0.0", "0.0"), ha="center", va="center", fontsize=8, color=colour)


def _numbers(ax, values: np.ndarray) -> None:
    ax.imshow(np.full(values.shape, 0.93), cmap="gray", vmin=0, vmax=1)
    bare(ax, len(values))
    for (y, x), value in np.ndenumerate(values):
        ax.text(x, y, str(value), ha="center", va="center", fontsize=10)


@dataclass(frozen=True)
class Plate:
    """A figure as it is kept in files.

    draw: makes it, from code, what comes with the package and, for measured ones, results/. title: its name for
    readers. rights: whose photograph it shows, and the licence. dpi: of the PNG, and of pictures in the other files
    that have no resolution of their own.
    """

    draw: Callable[[], Drawing]
    title: str
    rights: str = ""
    dpi: int = DPI


FIGURES = {
    "four_targets": Plate(four_targets, "What the four tasks ask", CREDITS["flower"], dpi=100),
    "figure_1_tokens": Plate(tokens_figure, "Figure 1: CLS and patch tokens", CREDITS["china"]),
    "figure_2_architecture": Plate(architecture_figure, "Figure 2: the RelViT architecture", CREDITS["china"]),
    "figure_3_mega_patches": Plate(mega_patches_figure, "Figure 3: patches and mega-patches", CREDITS["flower"]),
    "figure_4_shortcut": Plate(shortcut_figure, "Figure 4: positional embeddings and shuffling in pre-training"),
    "images_seen": Plate(images_seen_figure, "The whole of CIFAR-10: accuracy against images seen"),
}
FORMATS = ("svg", "pdf", "png")

SETTINGS = {
    "svg.hashsalt": "relvit_lab",  # else ids in the SVG are random
    "svg.fonttype": "path",  # letters as shapes: the same wherever it is shown; what they say stands in the description
    "pdf.fonttype": 42,  # TrueType: the text can be searched and copied
    "image.composite_image": False,  # each picture at its own resolution
}


def render(plate: Plate, formats: Sequence[str] = FORMATS) -> dict[str, bytes]:
    """The files of a figure, by format: svg, pdf, png. No dates, no random ids: the same bytes each time."""
    drawing = plate.draw()
    alt, rights = drawing.alt, plate.rights
    metadata = {
        "svg": {"Title": plate.title, "Description": alt, "Rights": rights or None, "Date": None},
        "pdf": {"Title": plate.title, "Subject": alt, "Keywords": rights or None, "CreationDate": None},
        "png": {"Title": plate.title, "Description": alt} | ({"Copyright": rights} if rights else {}),
    }
    files = {}
    with matplotlib.style.context(["default", STYLE, SETTINGS]):
        for kind in formats:
            data = io.BytesIO()
            drawing.savefig(data, format=kind, dpi=plate.dpi, metadata=metadata[kind])
            files[kind] = data.getvalue()
    if "svg" in files:
        files["svg"] = _for_readers(files["svg"], plate.title, alt)
    return files


def _for_readers(svg: bytes, title: str, alt: str) -> bytes:
    """Mark the drawing as one picture with a title and a description, for screen readers; smooth its pictures."""
    text, name = svg.decode(), re.sub(r"\W+", "-", title.lower())  # a page may show several figures: ids differ
    named = f"<title>{escape(title)}</title>"
    assert text.count(named) == 1, "matplotlib writes the title once"
    described = f'<title id="{name}-title">{escape(title)}</title>\n <desc id="{name}-text">{escape(alt)}</desc>'
    text = text.replace(named, described)
    text = text.replace("<svg ", f'<svg role="img" aria-labelledby="{name}-title" aria-describedby="{name}-text" ', 1)
    return text.replace("image-rendering:crisp-edges;image-rendering:pixelated", "image-rendering:auto").encode()


def write_figures(folder: Path | None = None) -> list[Path]:
    """Draw all figures as SVG, PDF and PNG into `folder` (figures/ of the project where None). Returns their paths."""
    folder = folder or project_root() / "figures"
    if not read_records():
        raise RelvitError(
            f"Figure 4 is drawn from the records (*.json) in {resolve('results')}, and none are there: start it in a "
            "checkout of the project, or name one with RELVIT_HOME"
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, plate in FIGURES.items():
        for kind, data in render(plate).items():
            path = folder / f"{name}.{kind}"
            path.write_bytes(data)
            written.append(path)
    return written
