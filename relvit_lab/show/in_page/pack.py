"""What a page carries to compute by itself: trained models in float16, the module (JavaScript) and images to choose."""

import base64
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.heads import PairScores, TokenScores
from relvit_lab.show.model_input import MOST, as_trained, png
from relvit_lab.show.photographs import SQUARES, photograph
from relvit_lab.show.task_views import task_view
from relvit_lab.train import assets

FOLDER = Path(__file__).parent
FILES = (  # one module
    "canvas.js", "transformer.js", "quick_product.js", "deep_grey.js", "pixels.js", "draw.js", "chooser.js",
)  # fmt: skip
SAMPLES = 8  # test images of CIFAR-10, and of the digits


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


def module_text() -> str:
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in FILES)


def module_style() -> str:
    """Of the elements to choose an image with."""
    return (FOLDER / "chooser.css").read_text(encoding="utf-8")


def offered_images(datasets: Collection[str]) -> list[dict]:
    """Those to choose from for models of these data sets, ready for JSON: name, dataset ("digits" for models of digits,
    "photographs" for others), png (base64)."""
    from PIL import Image

    found = []
    if set(datasets) - {"digits"}:
        found += [_image(name.capitalize(), (photograph(224, name) * 255).round().astype(np.uint8)) for name in SQUARES]
        with Image.open(assets.FOLDER / "cifar10_eight.png") as strip:  # (32,8*32,3)
            tiles = np.split(np.asarray(strip.convert("RGB")), SAMPLES, axis=1)
        found += [_image(f"CIFAR-10 test image {k}", tile) for k, tile in enumerate(tiles)]
    if "digits" in datasets:
        from relvit_lab.data import load

        images = load("digits").test.images[:SAMPLES]  # (8,C,8,8) uint8
        grey = images.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).contiguous().numpy()
        found += [_image(f"Digit, test image {k}", one, "digits") for k, one in enumerate(grey)]
    return found


def _image(name: str, pixels: np.ndarray, dataset: str = "photographs") -> dict:
    return {"name": name, "dataset": dataset, "png": base64.b64encode(png(pixels)).decode()}
