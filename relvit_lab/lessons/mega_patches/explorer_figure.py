"""Section 3.2.1 in pictures: an image with its cuts, beside the M x M mega-patches that the model sees.

`cut_into_mega_patches` computes what the figure here and the explorer (explorer.py) both draw.
"""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.randomness import generator
from relvit_lab.method.augment import apply_patch_changes, draw_patch_changes, window_side
from relvit_lab.method.patches import mega_patches, patchify
from relvit_lab.show.own_image import square_image, whole
from relvit_lab.show.style import INK, Drawing, frame, new_drawing, show_picture, styled, window

GAP = 0.12  # between cells, in cells
AUGMENTATIONS = ("crop", "jitter", "grey")


@dataclass(frozen=True)
class MegaPatches:
    """One image cut into M x M mega-patches; cell i lies at row i // M, column i % M.

    image: (3, S, S) float32 in [0, 1], side x side patches of `patch` pixels. patch: P. m: M.
    cuts: (2, M - 1) int64, in patches, [0] the rows' and [1] the columns'. cells: (M * M, 3, P, P) float32 in [0, 1].
    changes: for each cell what patch augmentation did to it, in words; "" for nothing. note: what was done to the image
    beforehand, or "". seed, shared_cuts, crop, jitter, grey: as they were asked for.
    """

    image: np.ndarray
    patch: int
    m: int
    seed: int
    cuts: np.ndarray
    cells: np.ndarray
    changes: tuple[str, ...]
    shared_cuts: bool = False
    crop: bool = False
    jitter: bool = False
    grey: bool = False
    note: str = ""

    @property
    def side(self) -> int:
        """Standard patches a side: S / P."""
        return self.image.shape[-1] // self.patch

    def rectangle(self, cell: int) -> tuple[int, int, int, int]:
        """(top, left, height, width) of a cell in the image, in patches. Raises RelvitError outside 0..M * M - 1."""
        if not 0 <= cell < self.m * self.m:
            raise RelvitError(f"there is no cell {cell} among {self.m} x {self.m}: they are 0..{self.m * self.m - 1}")
        rows, columns = (np.concatenate([[0], cuts, [self.side]]).tolist() for cuts in self.cuts)
        y, x = divmod(cell, self.m)
        return rows[y], columns[x], rows[y + 1] - rows[y], columns[x + 1] - columns[x]

    def areas(self) -> np.ndarray:
        """How many standard patches each cell holds: (M * M,) int64, in all side * side."""
        return np.array([height * width for *_, height, width in map(self.rectangle, range(self.m**2))])


def cut_into_mega_patches(
    image: object = None,
    patch: int = 16,
    m: int = 5,
    seed: int = 0,
    *,
    cuts: object = None,
    shared_cuts: bool = False,
    crop: bool = False,
    jitter: bool = False,
    grey: bool = False,
) -> MegaPatches:
    """Section 3.2.1 on one image: cut it at M - 1 random places each way, resize each rectangle to P x P.

    image: anything that own_image.square_image takes; None for a photograph. patch: P. m: M, at most the image's side
    divided by P. seed: of the cuts and of the patch augmentation. cuts: (2, M - 1) whole numbers of patches in rising
    order, rows first; drawn where None. shared_cuts: one set for both directions, the released code's slip.
    crop, jitter, grey: section 4.1's patch augmentation of the cells, part by part; the same seed gives the same
    parameters whichever parts are on. Raises RelvitError for images, M and cuts that do not fit.
    """
    patch, m, seed = whole(patch, "patch"), whole(m, "M"), whole(seed, "seed")
    square = square_image(image, patch)
    cuts = None if cuts is None else _as_cuts(cuts)
    drawing = generator(seed, "mega-patch cuts")
    resized, cuts = mega_patches(square.image[None], m, patch, drawing, cuts=cuts, shared_cuts=shared_cuts)
    cells = patchify(resized, patch)[0].clamp(0, 1)  # (1,3,M*P,M*P) -> (M*M,3,P,P)
    changes = draw_patch_changes(m * m, patch, generator(seed, "patch augmentation"))
    on = {"crop": crop, "jitter": jitter, "grey": grey}
    if any(on.values()):
        cells = apply_patch_changes(cells, changes, **on).clamp(0, 1)
    words = tuple(_in_words(changes, cell, patch, **on) for cell in range(m * m))
    return MegaPatches(
        square.image.numpy(), patch, m, seed, cuts[0].numpy(), cells.numpy(), words, shared_cuts, **on, note=square.note
    )


def _as_cuts(cuts: object):
    try:
        cuts = torch.as_tensor(np.asarray(cuts))
    except (TypeError, ValueError):
        raise RelvitError("cuts are two lists of M - 1 whole numbers, the rows' and the columns'") from None
    if cuts.is_floating_point() and cuts.numel():
        raise RelvitError(f"cuts are whole numbers of patches, not {cuts.dtype}")
    return cuts.long()


def _in_words(changes, cell: int, patch: int, crop: bool, jitter: bool, grey: bool) -> str:
    """What augmentation does to a cell."""
    window, done = window_side(patch), []
    if crop and window < patch:
        top, left = int(changes.top[cell]), int(changes.left[cell])
        done.append(f"cropped to the {window} × {window} pixels from row {top}, column {left}")
    if jitter and changes.jitter[cell]:
        done.append("colours jittered")
    if grey and changes.grey[cell]:
        done.append("made grey")
    return ", ".join(done)


@styled
def mega_patches_figure(image: object = None, patch: int = 16, m: int = 5, seed: int = 0, **options) -> Drawing:
    """An image with its cuts, beside its M x M mega-patches, each resized to P x P; the largest is framed in both.

    image: anything that cut_into_mega_patches takes, with patch, m, seed and its options; or a MegaPatches, such as an
    explorer's `data`, which is then drawn as it is.
    """
    data = image if isinstance(image, MegaPatches) else cut_into_mega_patches(image, patch, m, seed, **options)
    side, largest = data.side, int(data.areas().argmax())
    figure = new_drawing(9.4, 5.0)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)
    left, right = figure.subplots(1, 2)
    show_cuts(left, data)
    show_cells(right, data)
    top, beside, height, width = data.rectangle(largest)
    y, x = divmod(largest, data.m)
    strokes = (INK, 6.5), ("white", 3.8), (INK, 1.4)
    frame(left, (beside - 0.5, top - 0.5), width, height, *strokes, clip_on=False, zorder=3)
    frame(right, (x * (1 + GAP), y * (1 + GAP)), 1, 1, *strokes, clip_on=False, zorder=3)
    left.set_title(f"{side} x {side} = {counted(side * side, 'patch')} of {data.patch} x {data.patch} pixels")
    right.set_title(f"M = {data.m}: {counted(data.m**2, 'mega-patch')} of {data.patch} x {data.patch} pixels")
    on = [name for name in AUGMENTATIONS if getattr(data, name)]
    about = (
        f"The largest, framed, holds {height} x {width} = {counted(height * width, 'patch')}; "
        f"the mean is {side * side / data.m**2:.1f}."
    )
    notes = [f"patch augmentation: {', '.join(on)}"] if on else []
    notes += ["the same cuts both ways, as in the released code"] if data.shared_cuts else []
    more = [f"{'; '.join(notes).capitalize()}."] if notes else []
    figure.supxlabel("\n".join([about, *more]), fontsize=11, color=INK)
    figure.alt = (
        f"Left, an image in {side} x {side} patches with cuts after patch rows {_list(data.cuts[0])} and columns "
        f"{_list(data.cuts[1])}. Right, the {data.m} x {data.m} rectangles, each resized to {data.patch} x "
        f"{data.patch} pixels. {' '.join([about, *more])}"
    )
    return figure


def counted(number: int, what: str) -> str:
    """1 patch, 2 patches."""
    return f"{number} {what}" if number == 1 else f"{number} {what}es"


def _list(numbers) -> str:
    return ", ".join(map(str, numbers)) or "none"


def show_cuts(ax: Axes, data: MegaPatches) -> None:
    """The image in units of patches, its patch grid faint, its cuts strong on light and on dark."""
    side = data.side
    show_picture(ax, data.image.transpose(1, 2, 0), side)  # (3,S,S) -> (S,S,3)
    between, thinner = np.arange(1, side) - 0.5, min(1, 8 / data.m)
    for draw, cuts in ((ax.hlines, data.cuts[0]), (ax.vlines, data.cuts[1])):
        draw(between, -0.5, side - 0.5, color="white", linewidth=0.5, alpha=0.45)
        for colour, width in ((INK, 4.0), ("white", 2.2)):
            draw(np.asarray(cuts) - 0.5, -0.5, side - 0.5, color=colour, linewidth=width * thinner)


def show_cells(ax: Axes, data: MegaPatches) -> None:
    """The cells with gaps between them; cell (y, x) fills the unit square from (1 + GAP) * (x, y)."""
    step, m = 1 + GAP, data.m
    for cell, pixels in enumerate(data.cells):
        y, x = divmod(cell, m)
        extent = (x * step, x * step + 1, y * step + 1, y * step)
        ax.imshow(pixels.transpose(1, 2, 0), extent=extent, interpolation="nearest")  # (3,P,P) -> (P,P,3)
    end = m * step - GAP
    window(ax, (0, end), (end, 0))
