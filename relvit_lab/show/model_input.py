"""An image as a trained model sees it, whole or with its patches shuffled: what the explorers of models start from."""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError
from relvit_lab.data import given_image
from relvit_lab.method.patches import draw_permutations, permute
from relvit_lab.method.relations import permuted
from relvit_lab.show.photographs import photograph
from relvit_lab.show.style import heat_colours

MOST = 16  # patches a side: the smallest that can still be told apart on a screen
SHUFFLES = 9


class Shuffled:
    """What follows from a picture (S, S, 3) uint8, its tasks (task_views, by name) and permutations (of `shuffles`)."""

    def shuffled_picture(self, shuffle: int = 0) -> np.ndarray:
        """(S, S, 3) uint8: place t holds patch p[t]."""
        image = torch.from_numpy(self.picture).permute(2, 0, 1)[None]  # (S,S,3) -> (1,3,S,S)
        return permute(image, torch.from_numpy(self.permutations[shuffle]))[0].permute(1, 2, 0).numpy()

    def for_scripts(self) -> dict:
        """What both explorers' scripts begin with: side, picture, permutations (bytes: N is at most 256), heat."""
        order = self.permutations.astype("uint8").tobytes()
        return {"side": self.side, "png": png(self.picture), "permutations": order, "heat": heat_colours()}

    def target(self, task: str, shuffle: int = 0) -> np.ndarray:
        """T[p][:, p], or T[p] for a task that asks about patches, not pairs."""
        p = torch.from_numpy(self.permutations[shuffle])
        return permuted(torch.from_numpy(self.tasks[task].target), p).numpy()


def shuffles(n: int) -> Tensor:
    """(1 + SHUFFLES, N) int64: [0] leaves all in place, [s] is the permutation of torch's seed s."""
    drawn = [draw_permutations(1, n, torch.Generator().manual_seed(s)) for s in range(1, SHUFFLES + 1)]
    return torch.cat([torch.arange(n)[None], *drawn])


def as_trained(model: object) -> object:
    """A `Trained`, from one, or from the name of a run. Raises RelvitError for anything else."""
    from relvit_lab.train.trained import Trained, load

    if isinstance(model, (str, Path)):
        model = load(model)
    if not isinstance(model, Trained):
        raise RelvitError(f"model is what relvit_lab.load gives, or the name of a run, not {type(model).__name__}")
    return model


def as_input(trained, image: object = None) -> tuple[Tensor, str]:
    """An image as the model takes it, (1, 3, S, S) normalised, and what was done to it.

    image: what data.given_image takes; None for a photograph (for a model of digits, its first test image). It is
    cropped to its centre and resized to the model's size. Raises RelvitError for what is no image.
    """
    size = trained.experiment.image_size
    if image is None and trained.experiment.dataset == "digits":
        from relvit_lab.data import load

        return trained.transform(load("digits").test.images[0]), "The first test image of digits."
    image = photograph(size) if image is None else image
    width, height = given_image.size(given_image.given_image(image))
    done = ["cropped to its centre"] if height != width else []
    done += [f"resized to the model's {size} x {size}"] if min(height, width) != size else []
    m = trained.pipeline.mega_patches
    done += [f"cut into {m} x {m} mega-patches"] if m else []
    note = f"The image of {width} x {height} pixels was {', '.join(done)}." if done else ""
    return trained.transform(image), note


def as_picture(trained, images: Tensor) -> Tensor:
    """(B, 3, S, S) normalised -> the same in [0, 1]; with mega-patches, the cut and resized cells that it sees."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (trained.pipeline.mean, trained.pipeline.std))
    return (images * std + mean).clamp(0, 1)


def to_bytes(image: Tensor) -> np.ndarray:
    """(3, S, S) in [0, 1] -> (S, S, 3) uint8."""
    return (image * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def png(picture: np.ndarray) -> bytes:
    """(S, S, 3) uint8 as a PNG file's bytes."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="png")
    return data.getvalue()
