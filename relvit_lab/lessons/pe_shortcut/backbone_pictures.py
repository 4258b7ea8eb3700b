"""§4.1 in pictures: where the tokens of each backbone come from, Swin's windows, and which places can be read."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from relvit_lab.lessons.pe_shortcut.backbone_leaks import STEPS, reach, sources, zeros
from relvit_lab.show.style import (
    BLUE,
    HEAT,
    INK,
    VERMILLION,
    Drawing,
    bare,
    frame,
    ink_on,
    new_drawing,
    show_picture,
    styled,
    to_array,
    to_picture,
    window,
)

MARGIN = 24  # pixels shown around the image: what the windows find there is zero
SWIN_STAGES = ((4, 56), (8, 28), (16, 14), (32, 7))  # pixels and number of tokens a side, after each merging
WINDOW, SHIFT = 7, 3  # of Swin-T, in tokens
PIXEL = (104, 72)  # (y, x)


@styled
def token_sources(image) -> Drawing:
    """For each backbone, the pixels that a token of the tasks' 7 x 7 holds before any attention.

    Above a token in the middle, below one in the corner. image: (3, 224, 224) uint8 or float in [0, 1]. The
    stronger a pixel shows, the more often it enters; the hatched surround stands for the zeros that windows find there.
    """
    picture = to_picture(image)
    side = len(picture)
    figure = new_drawing(11.4, 8.5)
    axes = figure.subplots(2, len(STEPS))
    said = []
    for row, (y, x) in zip(axes, ((3, 3), (0, 0))):
        for ax, (name, steps) in zip(row, STEPS.items()):
            shares = sources(steps, side)
            share = np.outer(to_array(shares[y]), to_array(shares[x]))  # (n,side) -> (side) (side) -> (side,side)
            _with_surround(ax, picture, share)
            (top, bottom), (left, right) = reach(steps, side, y), reach(steps, side, x)
            frame(ax, (left, top), right - left, bottom - top, ("white", 5.0), (VERMILLION, 2.6))
            outside = 100 * float(zeros(steps, side)[y, x])
            text = f"token ({y}, {x}): {bottom - top} x {right - left} pixels"
            text += f", {outside:.0f} % of it zeros" if outside >= 0.5 else ", none of it zeros"
            ax.set_xlabel(text)
            said.append(f"{name}, {text}")
    for ax, name in zip(axes[0], STEPS):
        ax.set_title(name, weight="bold")
    figure.supxlabel(
        "faded: does not enter. thin lines: the tasks' 7 x 7 cells. hatched: outside, where windows find zeros",
        fontsize=10.5,
    )
    figure.alt = f"Pixels from which a token comes before any attention. {'; '.join(said)}."
    return figure


def _with_surround(ax: Axes, picture: np.ndarray, share: np.ndarray) -> None:
    """The photograph, faded where a pixel does not enter, with a surround of zeros."""
    side = len(picture)
    strength = (share / share.max())[..., None] ** 0.5  # a root, or the rare ones would not be seen
    opacity = np.where(strength > 0, 0.35 + 0.65 * strength, 0.0)
    faded = 0.78 + 0.22 * picture.mean(2, keepdims=True)
    edge = (-MARGIN, side + MARGIN)
    ax.add_patch(Rectangle((edge[0], edge[0]), side + 2 * MARGIN, side + 2 * MARGIN, facecolor="#EEEEEE",
                           edgecolor="#9A9A9A", hatch="xx", linewidth=0, zorder=0))  # fmt: skip
    ax.imshow(opacity * picture + (1 - opacity) * faded, extent=(0, side, side, 0), interpolation="nearest", zorder=1)
    for at in range(0, side + 1, side // 7):
        ax.plot([at, at], [0, side], color="#777777", linewidth=0.5, zorder=2)
        ax.plot([0, side], [at, at], color="#777777", linewidth=0.5, zorder=2)
    window(ax, edge, edge[::-1])


@styled
def swin_windows(image) -> Drawing:
    """Swin-T's four stages on one image: its tokens, its windows, and the windows shifted by three tokens.

    image: (3, 224, 224). The token of PIXEL, its window and its shifted window are marked.
    """
    picture = to_picture(image)
    figure = new_drawing(13.2, 4.1)
    said = []
    for stage, (ax, (pixels, tokens)) in enumerate(zip(figure.subplots(1, 4), SWIN_STAGES), start=1):
        ax.imshow(0.45 + 0.55 * picture, extent=(0, 224, 224, 0), interpolation="nearest")
        for at in range(0, 225, WINDOW * pixels):
            for line in (([at, at], [0, 224]), ([0, 224], [at, at])):
                ax.plot(*line, color=INK, linewidth=1.0)
        token = [at // pixels * pixels for at in PIXEL]
        windows = [_window(pixels, 0), *([_window(pixels, SHIFT)] if tokens > WINDOW else [])]
        for spans, colour, style in zip(windows, (BLUE, VERMILLION), ("-", (0, (3, 1.5)))):
            (top, bottom), (left, right) = spans
            frame(ax, (left, top), right - left, bottom - top, ("white", 6.0))
            frame(ax, (left, top), right - left, bottom - top, (colour, 3.4), linestyle=style)
        ax.add_patch(Rectangle(token[::-1], pixels, pixels, facecolor=INK, edgecolor="white", linewidth=1.2))
        window(ax, (-2, 226), (226, -2))
        ax.set_title(f"stage {stage}: {tokens} x {tokens} tokens", weight="bold")
        of = (224 // (WINDOW * pixels)) ** 2
        text = f"a token: {pixels} px; {of} windows of {WINDOW * pixels} px" if of > 1 else "a token: 32 px; one window"
        ax.set_xlabel(text)
        said.append(f"stage {stage}: {tokens} x {tokens} tokens, {text}")
    figure.supxlabel(
        "black square: a token.  solid, blue: its window in one block.  dashed, orange: its window in the next one",
        fontsize=10.5,
    )
    figure.alt = f"Swin-T's windows on an image of 224 pixels. {'; '.join(said)}. Windows shift by {SHIFT} tokens."
    return figure


def _window(pixels: int, shift: int) -> list[tuple[int, int]]:
    """The pixels [first, end) that the window around PIXEL spans, down and across; cut off at the image's border."""
    spans = []
    for at in PIXEL:
        first = ((at // pixels - shift) // WINDOW * WINDOW + shift) * pixels
        spans.append((max(0, first), min(224, first + WINDOW * pixels)))
    return spans


@styled
def place_maps(examples: Mapping[str, object], maps: Mapping[str, Mapping[str, object]]) -> Drawing:
    """How often a token's place was read off it, on the grid: a row for each kind of image, a column for each backbone.

    examples: an image (C, H, W) by kind. maps: for each kind {title of a backbone: (side, side), in %}; each square is
    a place, and its mean stands below.
    """
    titles = list(next(iter(maps.values())))
    figure = new_drawing(2.0 * len(titles) + 2.6, 2.5 * len(maps) + 0.5)
    axes = figure.subplots(len(maps), 1 + len(titles), squeeze=False, width_ratios=[0.8] + [1] * len(titles))
    said = []
    for row, (kind, places) in zip(axes, maps.items()):
        show_picture(row[0], to_picture(examples[kind]), 1)
        row[0].set_title(kind, weight="bold")
        for ax, (title, map_) in zip(row[1:], places.items()):
            map_ = to_array(map_)
            heat = ax.imshow(map_, cmap=HEAT, vmin=0, vmax=100, interpolation="nearest")
            bare(ax, len(map_))
            for (y, x), value in np.ndenumerate(map_):
                if value >= 10:  # else the square says it
                    ink = ink_on(heat.cmap(heat.norm(value)))
                    ax.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=7, color=ink)
            ax.set_xlabel(f"{map_.mean():.1f} %", weight="bold", fontsize=13)
            said.append(f"{kind}, {title}: {map_.mean():.1f} %")
    for ax, title in zip(axes[0, 1:], titles):
        ax.set_title(title.replace(", ", ",\n"), fontsize=10.5)
    figure.colorbar(heat, ax=list(axes[:, -1]), ticks=[0, 50, 100], shrink=0.7, label="place read off, % of images")
    figure.alt = f"How often a linear readout finds a token's place, by kind of image and backbone. {'; '.join(said)}."
    return figure
