"""Figure 3: 64 patches of an image, and 25 random mega-patches of the same (section 3.2.1)."""

import numpy as np
import torch
from matplotlib.axes import Axes

from relvit_lab.method.patches import mega_patches
from relvit_lab.show.diagram import PAIRS, arrow, credit, frame, label, line, patches_apart, picture, sheet, words
from relvit_lab.show.photographs import photograph
from relvit_lab.show.style import INK, Drawing, styled

SIDE, P, M = 8, 48, 5  # patches a side, pixels of each, mega-patches a side
GAP = 6  # pixels between patches drawn apart
SEED = 8
FOLLOWED = ("A", 6), ("B", 12)
"""Two rectangles that are marked, a tall one and a wide one: row * M + column."""
TOP = 132


@styled
def mega_patches_figure() -> Drawing:
    """The patches; the cuts, on the image; the mega-patches, each resized to the size of a patch."""
    drawing, ax = sheet(1440, 640)
    pixels = photograph(SIDE * P, "flower")
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # (H,W,3) -> (1,3,H,W)
    resized, cuts = mega_patches(image, M, P, torch.Generator().manual_seed(SEED))
    edges = [[0, *row, SIDE] for row in cuts[0].tolist()]  # rows, columns; in patches
    left, middle, right = 44, 596, 1124
    whole = SIDE * P + (SIDE - 1) * GAP
    _heading(ax, left + whole / 2, "64 patches", r"$8 \times 8$, each $P \times P$ pixels: 64 tokens")
    patches_apart(ax, pixels, SIDE, left, TOP, P, GAP)
    _heading(ax, middle + SIDE * P / 2, r"$M - 1 = 4$ random cuts each way", "rectangles of whole patches")
    top = TOP + (whole - SIDE * P) / 2
    _cut(ax, pixels, edges, middle, top)
    small = M * P + (M - 1) * GAP
    _heading(ax, right + small / 2, "25 mega-patches", r"resized, $P \times P$ each: 25 tokens")
    low = TOP + (whole - small) / 2
    patches_apart(ax, resized[0].permute(1, 2, 0).double().numpy(), M, right, low, P, GAP)  # (3,h,w) -> (h,w,3)
    _follow(ax, edges, (middle, top), (right, low))
    for start, end in ((left + whole + 20, middle - 24), (middle + SIDE * P + 24, right - 20)):
        arrow(ax, (start, TOP + whole / 2), (end, TOP + whole / 2), thick=2.4, head=18)
    words(ax, left + whole / 2, TOP + whole + 34, "a patch holds little context", size=13)
    words(ax, right + small / 2, TOP + whole + 34, "a mega-patch holds more", size=13)
    credit(ax, "flower")
    drawing.alt = (
        f"Left: a photograph of a flower in 64 equal patches. Middle: the same photograph with four random cuts each "
        f"way, rows after {_list(edges[0])} and columns after {_list(edges[1])} of 8 patches. Right: the 25 rectangles "
        "between the cuts, each resized to the size of one patch, so that wide ones look squeezed and single patches "
        "look unchanged; two rectangles, A and B, are marked before and after."
    )
    return drawing


def _list(edges: list[int]) -> str:
    return ", ".join(map(str, edges[1:-1]))


def _heading(ax: Axes, x: float, title: str, text: str) -> None:
    words(ax, x, 40, title, size=16, weight="bold")
    words(ax, x, 64, text, size=13, va="top")


def _cut(ax: Axes, pixels: np.ndarray, edges: list[list[int]], x: float, y: float) -> None:
    """The image with the grid of patches, faint, and the cuts, which reach beyond it."""
    picture(ax, pixels, x, y, SIDE * P)
    end = SIDE * P
    for k in range(1, SIDE):
        at = k * P
        ax.plot((x, x + end), (y + at, y + at), color="white", linewidth=0.6, alpha=0.5, zorder=2.4)
        ax.plot((x + at, x + at), (y, y + end), color="white", linewidth=0.6, alpha=0.5, zorder=2.4)
    for rows, cuts in zip((True, False), edges):
        for cut in cuts[1:-1]:
            along, at = (-16, end + 16), (cut * P, cut * P)
            xs, ys = (along, at) if rows else (at, along)
            xs, ys = [x + v for v in xs], [y + v for v in ys]
            for color, thick in (("white", 4.5), (INK, 1.4)):
                line(ax, xs, ys, color, thick=thick)


def _follow(ax: Axes, edges: list[list[int]], cut: tuple[float, float], apart: tuple[float, float]) -> None:
    """Mark some rectangles, and what became of them."""
    for (letter, which), (color, style) in zip(FOLLOWED, PAIRS):
        row, column = divmod(which, M)
        (above, below), (left, right) = edges[0][row : row + 2], edges[1][column : column + 2]
        x, y = cut[0] + left * P, cut[1] + above * P
        width, height = (right - left) * P, (below - above) * P
        to_x, to_y = apart[0] + column * (P + GAP), apart[1] + row * (P + GAP)
        frame(ax, x, y, width, height, color, style, thick=4.5)
        frame(ax, to_x, to_y, P, P, color, style)
        for corner in ((x, y), (to_x, to_y)):
            label(ax, *corner, letter, color)
