"""A trained model as a page carries it: weights in float16, and what transformer.js needs to know beside them."""

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.heads import PairScores, TokenScores
from relvit_lab.show.model_input import MOST, as_trained
from relvit_lab.show.task_views import task_view

FOLDER = Path(__file__).parent


def packed(model: object) -> dict:
    """All of a model that a browser needs, ready for JSON.

    model: as `relvit_lab.load` gives it, or a name for it. Of the tasks, those with a head of eq. 8 or 9 and a target
    that can be shown; "target" is base64 of float32, (N, N) or (N,), row by row; "safetensors" base64 of such a file in
    float16. Raises RelvitError for a model that is no ViT of ours, sees mega-patches, has a grid of more than 16 x 16,
    or has a weight that float16 cannot hold.
    """
    from safetensors.torch import save

    from relvit_lab.method.backbones.vit import ViT  # late: timm takes seconds to import

    trained = as_trained(model)
    backbone, e = trained.model.backbone, trained.experiment
    if not isinstance(backbone, ViT):
        raise RelvitError(f"a page computes ViTs (vit_*), not {type(backbone).__name__}")
    if trained.pipeline.mega_patches:
        raise RelvitError("a page computes models that see whole patches, not mega-patches: take another stage")
    if backbone.side > MOST:
        raise RelvitError(f"a page shows grids of up to {MOST} x {MOST} patches, not {backbone.side} x {backbone.side}")
    weights = {name: value.half().contiguous() for name, value in trained.model.state_dict().items()}
    lost = [name for name, value in weights.items() if not value.isfinite().all()]
    if lost:
        raise RelvitError(f"weights are not finite in float16: {', '.join(lost)}")
    return {
        "size": backbone.image_size,
        "patch": backbone.patch,
        "side": backbone.side,
        "dim": backbone.dim,
        "depth": len(backbone.blocks),
        "heads": backbone.blocks[0].attn.num_heads,
        "eps": backbone.norm.eps,
        "positions": backbone.pos_embed is not None,
        "dataset": e.dataset,
        "classes": list(trained.classes),
        "mean": list(trained.pipeline.mean),
        "std": list(trained.pipeline.std),
        "tasks": _tasks(trained),
        "safetensors": base64.b64encode(save(weights)).decode(),
    }


def carried(models: Sequence[object], asked: Sequence[Iterable[str]]) -> dict:
    """What an explorer takes along for a page, where these models then answer about any image.

    models: as `packed` takes them. asked: of each, the tasks that it must answer. {"models": [packed, ...]}, and {}
    where one of them cannot be computed in a page, or one of its tasks.
    """
    try:
        made = [packed(model) for model in models]
    except RelvitError:
        return {}
    return {"models": made} if all(set(a) <= one["tasks"].keys() for a, one in zip(asked, made, strict=True)) else {}


def _tasks(trained) -> dict[str, dict]:
    tasks = {}
    for task in trained.model.tasks:
        form = _form(head := trained.model.heads[task.name])
        if form is None:
            continue
        try:
            view = task_view(task, trained.model.side)
        except RelvitError:
            continue
        outputs = head.outputs if isinstance(head, PairScores) else head.fc.out_features
        if not view.is_class and outputs != 1:
            continue
        target = base64.b64encode(view.target.astype("<f4").tobytes()).decode()
        tasks[task.name] = {**view.for_scripts(), "form": form, "outputs": outputs, "target": target}
    return tasks


def _form(head: nn.Module) -> str | None:
    """How transformer.js calls it (HEADS); None for a head that it does not know."""
    if isinstance(head, PairScores):
        return "scores" if head.rank is None else "factored"
    return "tokens" if isinstance(head, TokenScores) else None
