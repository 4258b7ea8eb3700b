"""§4.3, as a test for any task: does a model that answers it look at the image, or is there a shortcut?

A model is asked four times: about images, about noise, about images whose patches are shuffled together with their
labels, and about the same with the labels of the standard order. What it knows beyond the floor, it knows from
somewhere; where it still knows it on noise, it is not from the image.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.patches import draw_permutations, permute
from relvit_lab.method.tasks import accuracy, squared_error_100
from relvit_lab.train.evaluate import chance
from relvit_lab.train.trained import Trained

LITTLE = 5.0  # %: less skill than this is nothing learnt
KINDS = {
    "nothing to learn": "one answer is right everywhere",
    "learnt nothing": "hardly better than one constant answer",
    "looks": "without the image it knows little: what it knows, it saw",
    "reads the place": "it does as well without the image, and is lost when patches move: it is told the place",
    "needs no place": "it does as well without the image, wherever patches are: the question is too easy",
}
"""What a check-up can find, and what it means."""


def skill(score: float, floor: float, best: float) -> float:
    """How far a score has come from the floor (one constant answer, 0) to the best (100), in %; errors fall, so their
    best is 0. Below the floor it is negative. 0 where there is nothing to gain."""
    return 100 * (score - floor) / (best - floor) if best != floor else 0.0


def verdict(images: float, noise: float, shuffled: float) -> str:
    """One of KINDS, from three skills in %: on images, on noise, and on images shuffled together with their labels.

    A model does not look if half or more of its skill is left on noise.
    """
    if images < LITTLE:
        return "learnt nothing"
    if noise < images / 2:
        return "looks"
    return "needs no place" if shuffled >= images / 2 else "reads the place"


@dataclass(frozen=True)
class Checkup:
    """What `checkup` found. Scores as the task's metric has them: in %, or MSE x 100.

    floor: of the best constant answer. images, noise: the scores there. shuffled: images shuffled, labels with them.
    standard: images shuffled, labels of the standard order.
    """

    task: str
    title: str
    unit: str
    floor: float
    best: float
    images: float
    noise: float
    shuffled: float
    standard: float

    def skills(self) -> Mapping[str, float]:
        """The four scores on one scale for all tasks: 0 is the floor, 100 the best."""
        scores = {name: getattr(self, name) for name in ("images", "noise", "shuffled", "standard")}
        return {name: skill(score, self.floor, self.best) for name, score in scores.items()}

    @property
    def verdict(self) -> str:
        """One of KINDS."""
        if math.isclose(self.floor, self.best):
            return "nothing to learn"
        skills = self.skills()
        return verdict(skills["images"], skills["noise"], skills["shuffled"])


@torch.no_grad()
def checkup(trained: Trained, task: str, images: Tensor, seed: int = 0) -> Checkup:
    """Ask a trained model about a task with and without an image to look at.

    task: one of its own. images: (B, C, H, W) uint8, C 1 or 3, as `trained.transform` takes them; it should not have
    been trained on them. seed: of the noise and the shuffles. Raises RelvitError for a task that the model has no head
    for, and for a metric of the task's own, whose floor is not known.
    """
    model = trained.model
    if task not in model.heads:
        raise RelvitError(f"this model has no head for '{task}': it has {', '.join(model.heads) or 'none'}")
    (asked,) = (one for one in model.tasks if one.name == task)
    if asked.metric not in (accuracy, squared_error_100):
        raise RelvitError(f"task '{task}' has a metric of its own: the floor of a constant answer is not known for it")
    draws = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 256, images.shape, dtype=torch.uint8, generator=draws)
    seen = trained.transform(images)  # (B,3,H,W): the patches are cut from what the model sees
    p = draw_permutations(len(images), model.side**2, draws)  # (B,N)
    moved = permute(seen, p)

    def score(batch: Tensor, permutation: Tensor | None = None) -> float:
        said = model.heads[task](model(batch).tokens).float()
        return float(asked.metric(said, model.targets(asked, permutation)))

    return Checkup(
        task, asked.title, asked.unit, chance(asked, model.side), 100.0 if asked.higher else 0.0,
        score(seen), score(trained.transform(noise)), score(moved, p), score(moved),
    )  # fmt: skip
