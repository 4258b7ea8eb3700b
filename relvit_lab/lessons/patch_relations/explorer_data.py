"""Section 3.1 on one image: all that the relations explorer and its static figure show, computed once.

Shuffle s > 0 is the permutation of torch's seed s: place t of the grid then holds patch p[t], and the targets go with
the patches. Shuffle 0 leaves them where they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.values import coerce
from relvit_lab.data import given_image
from relvit_lab.method.patches import permute
from relvit_lab.show import own_image
from relvit_lab.show.model_input import MOST, Shuffled, as_input, as_picture, as_trained, shuffles, to_bytes
from relvit_lab.show.task_views import TaskView, views


@dataclass(frozen=True)
class RelationsData(Shuffled):
    """One image, its patches' relations, and what a model says about them.

    side: patches a side; N = side * side. picture: (S, S, 3) uint8, as the model sees it where there is one.
    tasks: how each is shown, by name; its target, (N, N) or (N,), in standard order. permutations: (1 + SHUFFLES, N)
    int64, [0] the identity. predictions: by task that the model has a head for, (1 + SHUFFLES, N, N) or
    (1 + SHUFFLES, N). note: what was done to the image, and which tasks were left out; "" where nothing was.
    """

    side: int
    picture: np.ndarray
    tasks: dict[str, TaskView]
    permutations: np.ndarray
    predictions: dict[str, np.ndarray]
    note: str

    def mistakes(self, task: str, shuffle: int = 0) -> np.ndarray:
        """Where the model is wrong. bool, as the target."""
        return self.tasks[task].mistakes(self.target(task, shuffle), self.predictions[task][shuffle])

    def verdict(self, task: str, shuffle: int = 0) -> str:
        """The share that the model has right, in words."""
        return self.tasks[task].verdict(self.target(task, shuffle), self.predictions[task][shuffle])


def relations_data(
    image: object = None, patch: int | None = None, model: object = None, tasks: Sequence[str] | None = None
) -> RelationsData:
    """Compute everything that the explorer shows, of what `explore_relations` is given.

    image: what data.given_image takes; before a model it is resized to the model's size, and None is for a model of
    digits one of its test images. The grid has 2 x 2 to 16 x 16 patches. Raises RelvitError, with what would do.
    """
    trained = None if model is None else as_trained(model)
    image = None if image is None else given_image.given_image(image)
    if trained is None:
        patch = _usual_patch(image) if patch is None else patch
        pixels, note = own_image.square_image(image, patch)
        side = pixels.shape[-1] // patch
    else:
        seen, note = as_input(trained, image)
        pixels, side = as_picture(trained, seen)[0], trained.model.side
        own_patch = pixels.shape[-1] // side
        if patch not in (None, own_patch):
            raise RelvitError(f"this model has patches of {own_patch} pixels, not {patch!r}: leave patch out")
    if not 2 <= side <= MOST:
        low, high = -(-pixels.shape[-1] // MOST), pixels.shape[-1] // 2
        advice = "" if trained is not None else f": try a patch of {low} to {high} pixels"
        raise RelvitError(f"the explorer shows grids of 2 x 2 to {MOST} x {MOST} patches, not {side} x {side}{advice}")
    shown, left_out = views(side, None if tasks is None else coerce("tasks", tasks, tuple[str, ...]))
    if not shown:
        raise RelvitError("no task to show: leave tasks out for all, or name some, such as tasks=['sprel']")
    n = side * side
    permutations = shuffles(n)
    predictions = {} if trained is None else _predictions(trained, seen, permutations, shown)
    return RelationsData(
        side=side,
        picture=to_bytes(pixels),
        tasks={name: view.covering(predictions.get(name, view.target)) for name, view in shown.items()},
        permutations=permutations.numpy(),
        predictions=predictions,
        note=" ".join(filter(None, (note, left_out))),
    )


def _usual_patch(image: object) -> int:
    """The paper's P where it has one: 32 at 224 pixels and more, 8 at 64, 4 at 32; else about an eighth of the side."""
    if image is None:
        return 32
    short = min(given_image.size(image))
    return 32 if short >= own_image.USUAL else max(1, round(short / 8)) if short >= 16 else max(1, short // 4)


@torch.no_grad()
def _predictions(trained, seen: Tensor, permutations: Tensor, shown: Mapping[str, TaskView]) -> dict[str, np.ndarray]:
    """The model looks at every shuffled image itself: with positional embeddings it says something else about each.

    Raises RelvitError where it has no head for any of the tasks.
    """
    images = permute(seen.expand(len(permutations), -1, -1, -1), permutations)
    asked = [name for name in shown if name in trained.model.heads]
    if not asked:
        raise RelvitError(
            f"this model ({trained.stage}, {trained.experiment.dataset}) has no head for "
            f"{', '.join(view.title for view in shown.values())}: load a pre-training or a joint stage"
        )
    said = {name: trained.model.predictions(images, name).numpy() for name in asked}
    for name, answers in said.items():
        if answers.shape[1:] != shown[name].target.shape or (answers.dtype.kind == "f") == shown[name].is_class:
            raise RelvitError(
                f"task '{name}' cannot be shown: its head says {answers.dtype} of shape {answers.shape[1:]} where the "
                f"target is {shown[name].target.dtype} of shape {shown[name].target.shape}"
            )
    return said
