"""Section 3.2 on one image: the attention scores of one or two models, the attention inside their backbones, and what
is true: all that the attention-score explorer and its figures show.

Shuffle s > 0 is the permutation of torch's seed s: place t of the grid then holds patch p[t], which is token t.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.attention import recorded, without_maps
from relvit_lab.method.patches import permute
from relvit_lab.show.model_input import MOST, Shuffled, as_input, as_picture, as_trained, shuffles, to_bytes
from relvit_lab.show.task_views import TaskView, task_view


@dataclass(frozen=True)
class Answers:
    """What one model says about one order of the patches, by task.

    scores: (K, N, N) float32 for a task on pairs, [k, i, j] about i seen from j; (K, N) for one on patches.
    said: (N, N) or (N,): the class of the largest score as int64, or the one value as float32.
    attention: (L, heads, T, T) float32, as attention.recorded has it; None where the backbone has none.
    """

    scores: dict[str, np.ndarray]
    said: dict[str, np.ndarray]
    attention: np.ndarray | None


@dataclass(frozen=True)
class ScoresData(Shuffled):
    """One image, and what one or two models say about it; what is asked for is computed then, and kept for a while.

    side: patches a side; N = side * side. picture: (S, S, 3) uint8, as the first model sees it. note: what was done to
    the image. left_out: which tasks cannot be shown. names: of the models. tasks: how each is shown, by name; its
    target is in standard order. permutations: (1 + SHUFFLES, N) int64, [0] the identity. models: Trained. seen:
    (1, 3, S, S) for each of them.
    """

    side: int
    picture: np.ndarray
    note: str
    left_out: str
    names: tuple[str, ...]
    tasks: dict[str, TaskView]
    permutations: np.ndarray
    models: tuple
    seen: tuple[Tensor, ...]
    _known: dict[tuple[int, int], Answers] = field(default_factory=dict, repr=False)

    def answers(self, shuffle: int = 0, model: int = 0) -> Answers:
        """What a model says about the image in that order; it looks at the shuffled image itself."""
        if (shuffle, model) not in self._known:
            for key in [key for key in self._known if key[0] not in (0, shuffle)]:
                del self._known[key]  # attention maps of large models are large
            p = torch.from_numpy(self.permutations[shuffle])
            self._known[shuffle, model] = _answers(self.models[model].model, permute(self.seen[model], p), self.tasks)
        return self._known[shuffle, model]

    def prefix(self, model: int = 0) -> int:
        """The tokens before the patches in an attention map: CLS, and registers."""
        return getattr(self.models[model].model.backbone, "num_prefix_tokens", 0)

    def without_attention(self, model: int = 0) -> str:
        """Why there are no attention maps, "" where there are."""
        return without_maps(self.models[model].model.backbone)

    def mistakes(self, task: str, shuffle: int = 0, model: int = 0) -> np.ndarray:
        """Where a model is wrong. bool, as the target."""
        return self.tasks[task].mistakes(self.target(task, shuffle), self.answers(shuffle, model).said[task])

    def verdict(self, task: str, shuffle: int = 0, model: int = 0) -> str:
        """The share that a model has right, in words."""
        return self.tasks[task].verdict(self.target(task, shuffle), self.answers(shuffle, model).said[task])

    def drift(self, task: str, shuffle: int, model: int = 0) -> float:
        """How far the scores of the shuffled image are from those of the image itself, moved with the patches: the
        largest |S' - S[p][:, p]|. 0, but for rounding, where the model is permutation-equivariant."""
        p = self.permutations[shuffle]
        first, now = self.answers(0, model).scores[task], self.answers(shuffle, model).scores[task]
        moved = first[:, p][:, :, p] if first.ndim == 3 else first[:, p]
        return float(np.abs(now - moved).max())


def scores_data(image: object = None, model: object = "cifar10_tasks", other: object = None) -> ScoresData:
    """Prepare everything that the explorer shows: image, model and other as `explore_scores` takes them. Images are
    cropped to their centre and resized to the model's size. Raises RelvitError, with what would do, for anything else.
    """
    models = (first := as_trained(model),)
    if other is not None:
        from relvit_lab.train.trained import untrained

        fresh = isinstance(other, str) and other == "untrained"
        models += (untrained(first) if fresh else as_trained(other),)
        sizes = {"side": (m.model.side for m in models), "size": (m.experiment.image_size for m in models)}
        for what, (a, b) in sizes.items():
            if a != b:
                raise RelvitError(
                    f"two models side by side look at one image in one grid: their {what}s are {a} and {b}; "
                    'take models of the same data set and patch, or other="untrained"'
                )
    side = first.model.side
    if not 2 <= side <= MOST:
        raise RelvitError(f"the explorer shows grids of 2 x 2 to {MOST} x {MOST} patches, not {side} x {side}")
    tasks, left_out = _views(models, side)
    if not tasks:
        raise RelvitError(
            f"this model ({first.stage}, {first.experiment.dataset}) has no head whose scores can be shown: load a "
            f"pre-training or a joint stage{'; ' + left_out if left_out else ''}"
        )
    nothing = np.empty((0, 0, 3), np.uint8)
    names = tuple(map(_name, (model, other), models))
    data = ScoresData(side, nothing, "", left_out, names, tasks, shuffles(side * side).numpy(), models, seen=())
    data = with_image(data, image)
    every = [data.answers(model=m).scores for m in range(len(models))]
    for name, view in tasks.items():  # a head may know more classes than the target has
        outputs = max(len(scores[name]) for scores in every if name in scores)
        tasks[name] = view.covering(np.array([outputs - 1]))
    return data


def with_image(data: ScoresData, image: object = None) -> ScoresData:
    """The same models before another image. Raises RelvitError for what is no image."""
    seen, notes = zip(*(as_input(trained, image) for trained in data.models))
    picture = to_bytes(as_picture(data.models[0], seen[0])[0])
    return replace(data, picture=picture, note=notes[0], seen=seen, _known={})


def _name(given: object, trained) -> str:
    """What a model is called: as it was asked for, or its stage; and whether it knows where a patch lies."""
    name = str(given) if isinstance(given, (str, Path)) else f"{trained.experiment.dataset}, {trained.stage}"
    backbone = trained.model.backbone
    if hasattr(backbone, "pos_embed"):  # Swin has none, ever; a ViT without has nothing or zeros there
        embedded = backbone.pos_embed is not None and bool(backbone.pos_embed.any())
        name += f" ({'with' if embedded else 'no'} positional embeddings)"
    return name


def _views(models: tuple, side: int) -> tuple[dict[str, TaskView], str]:
    """The tasks that at least one of the models has a head for, and a note on those that cannot be shown."""
    tasks, left_out = {}, []
    for task in {task.name: task for trained in models for task in trained.model.tasks}.values():
        try:
            tasks[task.name] = task_view(task, side)
        except RelvitError as error:
            left_out.append(str(error))
    return tasks, f"Left out: {'; '.join(left_out)}." if left_out else ""


@torch.no_grad()
def _answers(model, images: Tensor, tasks: dict[str, TaskView]) -> Answers:
    """images: (1, 3, S, S)."""
    attends = not without_maps(model.backbone)
    with recorded(model.backbone) if attends else nullcontext([]) as maps:
        tokens = model(images).tokens  # (1,N,D)
    scores, said = {}, {}
    for name, view in tasks.items():
        if name not in model.heads:
            continue
        given = model.heads[name](tokens).float()[0]  # (K,N,N), or (N,K)
        given = given if given.dim() == 3 else given.mT  # -> (K,N)
        if given.shape[1:] != view.target.shape or not (view.is_class or len(given) == 1):
            raise RelvitError(
                f"task '{name}' cannot be shown: its head gives {tuple(given.shape)} for targets {view.target.shape}"
            )
        scores[name] = given.numpy()
        said[name] = given.argmax(0).numpy() if view.is_class else given[0].numpy()
    attention = torch.cat(maps).numpy() if attends else None  # L of (1,heads,T,T) -> (L,heads,T,T)
    return Answers(scores, said, attention)
