"""Figure 1: usually one output token of a ViT is trained, CLS; the relations between patches train all others."""

from matplotlib.axes import Axes

from relvit_lab.show.diagram import (
    PAIRS,
    arrow,
    arrow_on_picture,
    box,
    credit,
    frame,
    grid,
    label,
    line,
    picture,
    sheet,
    words,
)
from relvit_lab.show.photographs import photograph
from relvit_lab.show.style import BLACK, BLUE, FAINT, Drawing, styled

SIDE, CELL = 4, 96  # patches a side, and pixels of each in the large picture
EXAMPLES = (("i", 3, "j", 9, "RT", "right, top"), ("k", 12, "l", 15, "LC", "left, centre"))
"""Two pairs: the patch, and the one from which it is seen; eq. 5's class, and its words."""

TOKEN, PITCH, FIRST, CLS = 48, 58, 650, 508  # pixels: a token, from one to the next, where the patches and CLS begin
TOP, MIDDLE, BOTTOM = 232, 322, 466  # of the output tokens, the transformer, the patches


@styled
def tokens_figure() -> Drawing:
    """One image, its tokens, and two example relations, on the image and between the tokens."""
    drawing, ax = sheet(1600, 610)
    pixels = photograph(SIDE * CELL, "china")
    _image(ax, pixels, 26, 100)
    _transformer(ax, pixels)
    _losses(ax)
    credit(ax, "china")
    drawing.alt = (
        "Left: a photograph of a pagoda in 16 patches, with two relations: seen from patch j, patch i lies right and "
        "above, so r_ij is (R, T); seen from patch l, patch k lies left in the same row, so r_kl is (L, C). "
        "Right: the patches and the CLS token pass a vision transformer. A plain ViT has a loss on the CLS token "
        "alone; RelViT also trains the tokens of all patches, and the two relations appear as arcs between tokens."
    )
    return drawing


def _image(ax: Axes, pixels, x: float, y: float) -> None:
    side = SIDE * CELL
    words(ax, x + side / 2, y - 50, "Where a patch lies is a label\nthat costs nothing", size=14.5, weight="bold")
    picture(ax, pixels, x, y, side)
    grid(ax, x, y, side, SIDE, thick=1.6)
    for (name, patch, seen_from, anchor, relation, meaning), (color, style), row in zip(EXAMPLES, PAIRS, (0, 1)):
        centres = []
        for letter, at in ((name, patch), (seen_from, anchor)):
            left, top = x + at % SIDE * CELL, y + at // SIDE * CELL
            frame(ax, left + 3, top + 3, CELL - 6, CELL - 6, color, style)
            label(ax, left + 20, top + 22, letter, color)
            centres.append((left + CELL / 2, top + CELL / 2))
        arrow_on_picture(ax, centres[1], centres[0], color, style)  # from the anchor, as it is seen from there
        at = y + side + 32 + 34 * row
        line(ax, (x, x + 44), (at, at), color, style, thick=3.2)
        words(ax, x + 56, at, f"{name}, seen from {seen_from}: {meaning}, {_symbol(name, seen_from, relation)}",
              ha="left", size=12.5)  # fmt: skip


def _symbol(name: str, seen_from: str, relation: str) -> str:
    return rf"$r_{{{name}{seen_from}}} = ({relation[0]}, {relation[1]})$"


def _at(patch: int) -> float:
    """The left edge of a patch's token."""
    return FIRST + patch * PITCH


def _transformer(ax: Axes, pixels) -> None:
    end = _at(SIDE * SIDE - 1) + TOKEN
    box(ax, CLS - 12, MIDDLE, end - CLS + 24, 92, "vision transformer: $L$ blocks of self-attention and MLP",
        fill="#EEF3F7", size=15)  # fmt: skip
    marked = {patch: pair for (_, i, _, j, *_), pair in zip(EXAMPLES, PAIRS) for patch in (i, j)}
    letters = {patch: name for a, i, b, j, *_ in EXAMPLES for name, patch in ((a, i), (b, j))}
    for patch in range(SIDE * SIDE):
        x, top, left = _at(patch), patch // SIDE * CELL, patch % SIDE * CELL
        picture(ax, pixels[top : top + CELL : 2, left : left + CELL : 2], x, BOTTOM, TOKEN)
        _arrows(ax, x)
        edge, style = marked.get(patch, (BLUE, "-"))
        if patch in marked:
            frame(ax, x, BOTTOM, TOKEN, TOKEN, edge, style)
        box(ax, x, TOP, TOKEN, TOKEN, letters.get(patch, ""), fill="#CFE3F1", edge=edge, style=style,
            thick=3.2 if patch in marked else 1.4, color=edge, weight="bold", size=14)  # fmt: skip
    _arrows(ax, CLS)
    box(ax, CLS, BOTTOM, TOKEN, TOKEN, "CLS", fill="#DDDDDD", size=12)
    box(ax, CLS, TOP, TOKEN, TOKEN, "CLS", fill=BLACK, color="white", size=12, weight="bold")
    words(ax, CLS + TOKEN / 2, BOTTOM + 74, "learned", size=12)
    words(ax, (FIRST + end) / 2, BOTTOM + 74, "the $N = 16$ patches of the image, one token each", size=13)


def _arrows(ax: Axes, x: float) -> None:
    """Into the transformer, and out of it."""
    middle = x + TOKEN / 2
    arrow(ax, (middle, BOTTOM - 6), (middle, MIDDLE + 94), thick=1.3, head=10)
    arrow(ax, (middle, MIDDLE - 2), (middle, TOP + TOKEN + 4), thick=1.3, head=10)


def _losses(ax: Axes) -> None:
    middle, end = CLS + TOKEN / 2, _at(SIDE * SIDE - 1) + TOKEN
    words(ax, middle, 50, "ViT: a loss\non one token", size=15, weight="bold")
    arrow(ax, (middle, TOP - 6), (middle, 156), thick=1.8)
    box(ax, CLS - 20, 104, TOKEN + 40, 48, "class", fill="white", size=13)
    words(ax, (FIRST + end) / 2, 38, "RelViT: a loss on every token", size=15, weight="bold")
    words(ax, (FIRST + end) / 2, 70, "for every pair of tokens: how do their patches lie?", size=13)
    for (name, patch, seen_from, anchor, relation, _), (color, style) in zip(EXAMPLES, PAIRS):
        start, stop = _at(anchor) + TOKEN / 2, _at(patch) + TOKEN / 2
        height = 100 / abs(start - stop)  # both arcs equally high
        arrow(ax, (start, TOP - 6), (stop, TOP - 6), color, style, thick=3, head=18, bend=height)
        words(ax, (start + stop) / 2, 154, _symbol(name, seen_from, relation), size=15, color=color,
              bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
    for above, below in ((30, MIDDLE - 8), (MIDDLE + 100, BOTTOM + 90)):
        line(ax, (FIRST - 17, FIRST - 17), (above, below), FAINT, (0, (1, 3)), thick=1.2)
