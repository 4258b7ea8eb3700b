"""Section 3.2.1 to touch: drag the cuts of an image, and see the mega-patches that the model would get.

The page draws lines at once and asks the kernel for the cells, which it resizes as training does. A page of `make site`
has no kernel: carry() gives it the cells of some seeds along.
"""

import dataclasses
import itertools

import numpy as np
import torch
import traitlets

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.mega_patches.explorer_figure import (
    AUGMENTATIONS,
    MegaPatches,
    cut_into_mega_patches,
    mega_patches_figure,
)
from relvit_lab.method.augment import window_side
from relvit_lab.method.patches import unpatchify
from relvit_lab.show.model_input import png, to_bytes
from relvit_lab.show.still import Widget, script
from relvit_lab.show.style import Drawing

CARRIED_SEEDS = 10


class MegaPatchesExplorer(Widget):
    """asked: what the page wants to see; shown: the kernel's answer. `data` is what is shown, for Python."""

    _esm = script(__file__, "explorer_page.js", "explorer.js")

    # What never changes: picture (PNG), side, patch, window (of the patch crop), note
    about = traitlets.Dict().tag(sync=True)
    # number (of the question), m, seed, cuts ([rows, columns]; None: drawn from the seed), shared, crop, jitter, grey
    asked = traitlets.Dict().tag(sync=True)
    # number (of the question), m, cuts, changes, cells (RGBA, M * P pixels a side), error
    shown = traitlets.Dict().tag(sync=True)
    # For a page without a kernel, else empty: see carry()
    carried = traitlets.Dict().tag(sync=True)

    def __init__(self, data: MegaPatches):
        self.data = data
        super().__init__(
            about={
                "picture": png(to_bytes(torch.from_numpy(data.image))), "side": data.side, "patch": data.patch,
                "note": data.note, "window": window_side(data.patch),
            },
            asked={
                "number": 0, "m": data.m, "seed": data.seed, "cuts": None, "shared": data.shared_cuts,
                **{name: getattr(data, name) for name in AUGMENTATIONS},
            },
            shown=_answer(data, 0),
        )  # fmt: skip

    @traitlets.observe("asked")
    def _answer_what_is_asked(self, change: dict) -> None:
        asked = change["new"]
        if asked.get("number") == self.shown.get("number"):
            return  # as it was built
        try:
            on = {name: asked[name] for name in AUGMENTATIONS}
            data = self._cut(asked["m"], asked["seed"], cuts=asked["cuts"], shared_cuts=asked["shared"], **on)
        except RelvitError as error:
            self.shown = {**self.shown, "number": asked["number"], "error": str(error)}
        else:
            self.data = dataclasses.replace(data, note=self.data.note)
            self.shown = _answer(self.data, asked["number"])

    def carry(self) -> None:
        """Fill `carried`, with what a page needs where no kernel answers: for seeds 0 to 9 (and the one that is shown)
        the cuts for every M, and for the M that is shown the cells with each combination of augmentations, on one sheet
        a seed: tiles of M * P pixels, columns crop + 2 jitter + 4 grey, rows cuts of their own each way, or shared."""
        m, side = self.data.m, self.data.side
        seeds = sorted({*range(CARRIED_SEEDS), self.data.seed})
        flags = [dict(zip(AUGMENTATIONS, reversed(on))) for on in itertools.product((False, True), repeat=3)]
        sheets, changes = [], []
        for seed in seeds:
            tiles = [[self._cut(m, seed, shared_cuts=shared, **on) for on in flags] for shared in (False, True)]
            rows = [np.concatenate([_side_by_side(tile) for tile in row], axis=1) for row in tiles]
            sheets.append(png(np.concatenate(rows)))  # (2*M*P, 8*M*P, 3)
            changes.append([list(tile.changes) for tile in tiles[0]])
        cuts = {str(k): [self._cut(k, seed).cuts.tolist() for seed in seeds] for k in range(1, side + 1)}
        self.carried = {"seeds": seeds, "m": m, "cuts": cuts, "sheets": sheets, "changes": changes}

    def _cut(self, m: int, seed: int, **options: object) -> MegaPatches:
        return cut_into_mega_patches(torch.from_numpy(self.data.image), self.data.patch, m, seed, **options)

    def in_words(self) -> str:
        shown = self.data
        return (
            f"Mega-patches explorer: {shown.side} x {shown.side} patches of {shown.patch} pixels, cut into "
            f"{shown.m} x {shown.m} mega-patches (seed {shown.seed}). mega_patches_figure draws the same."
        )

    def still_picture(self) -> Drawing:
        return mega_patches_figure(self.data)


def _answer(data: MegaPatches, number: int) -> dict:
    cells = _side_by_side(data)
    rgba = np.dstack([cells, np.full(cells.shape[:2], 255, np.uint8)])
    return {
        "number": number, "m": data.m, "cuts": data.cuts.tolist(), "changes": list(data.changes),
        "cells": rgba.tobytes(), "error": "",
    }  # fmt: skip


def _side_by_side(data: MegaPatches) -> np.ndarray:
    """The cells as one image, (M*P, M*P, 3) uint8."""
    return to_bytes(unpatchify(torch.from_numpy(data.cells)[None])[0])  # (N,3,P,P) -> (3,M*P,M*P)


def explore_mega_patches(image: object = None, patch: int = 16, m: int = 5, seed: int = 0) -> MegaPatchesExplorer:
    """Cut an image by hand or at random, and see its mega-patches: explore_mega_patches("my_photo.jpg").

    image: a PIL image, a path, uint8 or float in [0, 1] as an array (H, W, C) or a tensor (C, H, W); None for a
    photograph. It is cropped to its centre and resized where it is no square of whole patches. patch: P in pixels.
    m: M, at most the image's side / P. seed: of the cuts and of the patch augmentation.
    The explorer's `data` is what it shows at the moment (explorer_figure.MegaPatches). Raises RelvitError for images
    and M that do not fit.
    """
    return MegaPatchesExplorer(cut_into_mega_patches(image, patch, m, seed))
