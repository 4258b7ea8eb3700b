"""Section 3.1 on one image: all that the relations explorer and its static figure show, computed once.

Shuffle s > 0 is the permutation of torch's seed s: place t of the grid then holds patch p[t], and the targets go with
the patches. Shuffle 0 leaves them where they are.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from relvit_lab import own_image
from relvit_lab.errors import RelvitError
from relvit_lab.patches import draw_permutations, permute
from relvit_lab.relations import absolute_positions, angles, distances, permuted, spatial_relations

TASKS = {"sprel": spatial_relations, "dist": distances, "ang": angles, "abspos": absolute_positions}
TITLES = {"sprel": "SpRel", "dist": "Dist", "ang": "Ang", "abspos": "AbsPos"}
WORDS = (
    "LEFT TOP of", "ABOVE", "RIGHT TOP of", "LEFT of", "ON", "RIGHT of", "LEFT BOTTOM of", "BELOW", "RIGHT BOTTOM of",
)  # fmt: skip
"""The nine classes in words: patch i lies WORDS[class] patch j."""

MOST = 16  # patches a side: the smallest that can still be told apart on a screen
SHUFFLES = 9
TOLERANCE = 0.25  # a distance or an angle that is further off counts as a mistake here; the range is -1 to 1


@dataclass(frozen=True)
class RelationsData:
    """One image, its patches' relations, and what a model says about them.

    side: patches a side; N = side * side. picture: (S, S, 3) uint8, as the model sees it where there is one.
    targets: by task, (N, N) or, for "abspos", (N,), in standard order. permutations: (1 + SHUFFLES, N) int64, [0] the
    identity. predictions: by task that the model has a head for, (1 + SHUFFLES, N, N) or (1 + SHUFFLES, N).
    note: what was done to the image, "" where nothing was.
    """

    side: int
    picture: np.ndarray
    targets: dict[str, np.ndarray]
    permutations: np.ndarray
    predictions: dict[str, np.ndarray]
    note: str

    def shuffled_picture(self, shuffle: int = 0) -> np.ndarray:
        """(S, S, 3) uint8: place t holds patch p[t]."""
        image = torch.from_numpy(self.picture).permute(2, 0, 1)[None]  # (S,S,3) -> (1,3,S,S)
        return permute(image, torch.from_numpy(self.permutations[shuffle]))[0].permute(1, 2, 0).numpy()

    def target(self, task: str, shuffle: int = 0) -> np.ndarray:
        """T[p][:, p], or T[p] for "abspos"."""
        return permuted(torch.from_numpy(self.targets[task]), torch.from_numpy(self.permutations[shuffle])).numpy()

    def mistakes(self, task: str, shuffle: int = 0) -> np.ndarray:
        """Where the model is wrong: another class, or a value off by more than TOLERANCE. bool, as the target."""
        target, said = self.target(task, shuffle), self.predictions[task][shuffle]
        return said != target if np.issubdtype(target.dtype, np.integer) else np.abs(said - target) > TOLERANCE

    def verdict(self, task: str, shuffle: int = 0) -> str:
        """The share that the model has right, in words; for values also the MSE x 100, as in Table 4."""
        wrong = self.mistakes(task, shuffle)
        right = f"{100 * (1 - wrong.mean()):.1f} %"
        if task in ("sprel", "abspos"):
            return f"{right} of all {'pairs' if wrong.ndim == 2 else 'patches'} right"
        error = float(np.mean((self.predictions[task][shuffle] - self.target(task, shuffle)) ** 2))
        return f"MSE x 100: {100 * error:.1f}; {right} of all pairs within {TOLERANCE}"

    @property
    def furthest(self) -> float:
        """The distance from corner to corner, in patches: what eq. 6 divides by."""
        return math.hypot(self.side - 1, self.side - 1)

    @property
    def widest(self) -> float:
        """The largest angle, in degrees: what eq. 7 is divided by."""
        i, j = np.unravel_index(self.targets["ang"].argmax(), self.targets["ang"].shape)
        # The direction of patch (y, x) from the origin, which lies half a grid up and left.
        a, b = (math.atan2(k // self.side + self.side / 2, k % self.side + self.side / 2) for k in (int(i), int(j)))
        return math.degrees(abs(a - b))


def relations_data(image: object = None, patch: int | None = None, model: object = None) -> RelationsData:
    """Compute everything that the explorer shows.

    image: a PIL image; a path; uint8, or float in [0, 1], as an array (H, W), (H, W, C) or a tensor (C, H, W); None for
    a photograph (for a model of digits, one of its test images). Others than squares are cropped to their centre.
    patch: P in pixels, None for the paper's at that size (32 at 224 pixels), or the model's. The grid has 2 x 2 to
    16 x 16 patches. model: as `relvit_lab.load` gives it, or a name for it; the image is then
    resized to the model's size. Raises RelvitError, with what would do, for anything else.
    """
    trained = None if model is None else _trained(model)
    if trained is None:
        patch = _usual_patch(image) if patch is None else patch
        pixels, note = own_image.square_image(image, patch)
        side = pixels.shape[-1] // patch
    else:
        seen, note = _seen_by(trained, image)
        pixels, side = _for_the_eye(trained, seen), trained.model.side
        own_patch = pixels.shape[-1] // side
        if patch not in (None, own_patch):
            raise RelvitError(f"this model has patches of {own_patch} pixels, not {patch!r}: leave patch out")
    if not 2 <= side <= MOST:
        low, high = -(-pixels.shape[-1] // MOST), pixels.shape[-1] // 2
        advice = "" if trained is not None else f": try a patch of {low} to {high} pixels"
        raise RelvitError(f"the explorer shows grids of 2 x 2 to {MOST} x {MOST} patches, not {side} x {side}{advice}")
    n = side * side
    shuffles = [draw_permutations(1, n, torch.Generator().manual_seed(s)) for s in range(1, SHUFFLES + 1)]
    permutations = torch.cat([torch.arange(n)[None], *shuffles])  # (1+SHUFFLES,N)
    return RelationsData(
        side=side,
        picture=(pixels * 255).round().byte().permute(1, 2, 0).contiguous().numpy(),  # (3,S,S) -> (S,S,3)
        targets={name: target(side).numpy() for name, target in TASKS.items()},
        permutations=permutations.numpy(),
        predictions={} if trained is None else _predictions(trained, seen, permutations),
        note=note,
    )


def _usual_patch(image: object) -> int:
    """The paper's P where it has one: 32 at 224 pixels and more, 8 at 64, 4 at 32; else about an eighth of the side."""
    if image is None:
        return 32
    short = min(own_image.to_pixels(image).shape[-2:])
    return 32 if short >= own_image.USUAL else max(1, round(short / 8)) if short >= 16 else max(1, short // 4)


def _trained(model: object) -> object:
    from relvit_lab.trained import Trained, load

    if isinstance(model, (str, Path)):
        model = load(model)
    if not isinstance(model, Trained):
        raise RelvitError(f"model is what relvit_lab.load gives, or the name of a run, not {type(model).__name__}")
    if not any(name in model.model.heads for name in TASKS):
        raise RelvitError(
            f"this model ({model.stage}, {model.experiment.dataset}) has no head for {', '.join(TITLES.values())}: "
            "load a pre-training or a joint stage"
        )
    return model


def _seen_by(trained, image: object) -> tuple[Tensor, str]:
    """The image as the model takes it, (1, 3, S, S) normalised, and what was done to it."""
    size = trained.experiment.image_size
    if image is None and trained.experiment.dataset == "digits":
        from relvit_lab.data import load

        return trained.transform(load("digits").test.images[0]), "The first test image of digits."
    if image is None:
        image = own_image.photograph(size)
    pixels = own_image.to_pixels(image)
    height, width = pixels.shape[-2:]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = pixels[:, top : top + short, left : left + short]
    done = ["cropped to its centre"] if height != width else []
    done += [f"resized to the model's {size} x {size}"] if short != size else []
    m = trained.pipeline.mega_patches
    done += [f"cut into {m} x {m} mega-patches"] if m else []
    note = f"The image of {width} x {height} pixels was {', '.join(done)}." if done else ""
    return trained.transform((square * 255).round().byte()), note


def _for_the_eye(trained, images: Tensor) -> Tensor:
    """(1, 3, S, S) normalised -> (3, S, S) in [0, 1]; with mega-patches, the cut and resized cells that it sees."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (trained.pipeline.mean, trained.pipeline.std))
    return (images * std + mean).clamp(0, 1)[0]


@torch.no_grad()
def _predictions(trained, seen: Tensor, permutations: Tensor) -> dict[str, np.ndarray]:
    """The model looks at every shuffled image itself: with positional embeddings it says something else about each."""
    images = permute(seen.expand(len(permutations), -1, -1, -1), permutations)
    return {name: trained.model.predictions(images, name).numpy() for name in TASKS if name in trained.model.heads}
