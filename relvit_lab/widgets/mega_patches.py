"""Section 3.2.1 to touch: drag the cuts of an image, and see the mega-patches that the model would get.

The page draws lines at once and asks the kernel for the cells, which it resizes as training does.
"""

import dataclasses
import html
import io
from pathlib import Path

import anywidget
import numpy as np
import torch
import traitlets

from relvit_lab.augment import window_side
from relvit_lab.errors import RelvitError
from relvit_lab.viz.mega_patches import MegaPatches, cut_into_mega_patches


class MegaPatchesExplorer(anywidget.AnyWidget):
    """asked: what the page wants to see; shown: the kernel's answer. `data` is what is shown, for Python."""

    _esm = Path(__file__).with_name("mega_patches.js")

    # What never changes: picture (PNG), side, patch, window (of the patch crop), note
    about = traitlets.Dict().tag(sync=True)
    # number (of the question), m, seed, cuts ([rows, columns]; None: drawn from the seed), shared, crop, jitter, grey
    asked = traitlets.Dict().tag(sync=True)
    # number (of the question), m, cuts, changes, cells (RGBA, M * P pixels a side), error
    shown = traitlets.Dict().tag(sync=True)

    def __init__(self, data: MegaPatches):
        self.data = data
        super().__init__(
            about={
                "picture": _png(data.image), "side": data.side, "patch": data.patch, "note": data.note,
                "window": window_side(data.patch),
            },
            asked={
                "number": 0, "m": data.m, "seed": data.seed, "cuts": None,
                "shared": data.shared_cuts, "crop": data.crop, "jitter": data.jitter, "grey": data.grey,
            },
            shown=_answer(data, 0),
        )  # fmt: skip

    @traitlets.observe("asked")
    def _answer_what_is_asked(self, change: dict) -> None:
        asked = change["new"]
        if asked.get("number") == self.shown.get("number"):
            return  # as it was built
        try:
            data = cut_into_mega_patches(
                torch.from_numpy(self.data.image), self.data.patch, asked["m"], asked["seed"], cuts=asked["cuts"],
                shared_cuts=asked["shared"], crop=asked["crop"], jitter=asked["jitter"], grey=asked["grey"],
            )  # fmt: skip
        except RelvitError as error:
            self.shown = {**self.shown, "number": asked["number"], "error": str(error)}
        else:
            self.data = dataclasses.replace(data, note=self.data.note)
            self.shown = _answer(self.data, asked["number"])

    def _repr_mimebundle_(self, **kwargs: object) -> object:
        """Where no browser draws the explorer, what it shows in words."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        if data is not None:
            data["text/plain"] = self.in_words()
            data["text/html"] = html.escape(self.in_words())
        return bundle

    def in_words(self) -> str:
        """What is shown, in a sentence."""
        shown = self.data
        return (
            f"Mega-patches explorer: {shown.side} x {shown.side} patches of {shown.patch} pixels, cut into "
            f"{shown.m} x {shown.m} mega-patches (seed {shown.seed}). It needs a running kernel; "
            "mega_patches_figure draws the same."
        )


def _answer(data: MegaPatches, number: int) -> dict:
    m, p = data.m, data.patch
    cells = data.cells.reshape(m, m, 3, p, p).transpose(0, 3, 1, 4, 2)  # (M*M,3,P,P) -> (M,P,M,P,3)
    rgba = np.full((m * p, m * p, 4), 255, dtype=np.uint8)
    rgba[..., :3] = (cells.reshape(m * p, m * p, 3) * 255).round()  # (M,P,M,P,3) -> (M*P,M*P,3)
    return {
        "number": number, "m": m, "cuts": data.cuts.tolist(), "changes": list(data.changes), "cells": rgba.tobytes(),
        "error": "",
    }  # fmt: skip


def _png(image: np.ndarray) -> bytes:
    """(3, S, S) float in [0, 1] as a PNG file's bytes."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray((image.transpose(1, 2, 0) * 255).round().astype(np.uint8)).save(data, "PNG")  # (3,S,S) -> (S,S,3)
    return data.getvalue()


def explore_mega_patches(image: object = None, patch: int = 16, m: int = 5, seed: int = 0) -> MegaPatchesExplorer:
    """Cut an image by hand or at random, and see its mega-patches: explore_mega_patches("my_photo.jpg").

    image: a PIL image, a path, uint8 or float in [0, 1] as an array (H, W, C) or a tensor (C, H, W); None for a
    photograph. It is cropped to its centre and resized where it is no square of whole patches. patch: P in pixels.
    m: M, at most the image's side / P. seed: of the cuts and of the patch augmentation.
    The explorer's `data` is what it shows at the moment (viz_mega_patches.MegaPatches). Raises RelvitError for images
    and M that do not fit.
    """
    return MegaPatchesExplorer(cut_into_mega_patches(image, patch, m, seed))
