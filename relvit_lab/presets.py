"""§4.1 and its two small siblings: what each None of an Experiment stands for.

paper: the text's settings, 100 epochs a stage. demo: a stage takes at most about two minutes on two cores.
smoke: seconds, to see that everything runs.
"""

import dataclasses
from typing import TYPE_CHECKING

from relvit_lab import backbones, data
from relvit_lab.errors import RelvitError
from relvit_lab.tasks import TASKS

if TYPE_CHECKING:
    from relvit_lab.experiment import Experiment

PRESETS = {
    "paper": {"epochs": 100, "lr": 5e-4},
    "demo": {"epochs": 15, "lr": 1e-3, "batch_size": 64, "train_images": 4000, "test_images": 2000},
    "smoke": {"epochs": 2, "lr": 1e-3, "batch_size": 32, "train_images": 96, "test_images": 48},
}
DIGITS_DEMO = {"epochs": 40, "lr": 2e-3, "batch_size": 64}  # chosen for supervised training (see notebook 04)
RECIPES = {  # FACTS of the text, and of the released code's commands
    "paper": {"weight_decay": 0.0, "dropout": 0.0, "drop_path": 0.0, "clip": 1.0, "factored_heads": False},
    "released": {"weight_decay": 0.1, "dropout": 0.0, "drop_path": 0.1, "clip": 1.0, "factored_heads": True},
}
BY_IMAGE_SIZE = {32: "vit_s_4", 64: "vit_s_8", 224: "vit_s_32"}  # Table 1


def resolve(e: "Experiment") -> "Experiment":
    """The experiment with everything decided. Raises RelvitError for unknown names and what does not go together."""
    info = data.describe(e.dataset, e.data_dir)
    preset = e.preset or ("paper" if info.paper else "demo")
    if preset == "paper" and info.name == "digits":
        raise RelvitError("digits has no paper preset, for the paper does not use it: leave preset out, or use demo")
    values = PRESETS[preset] | (DIGITS_DEMO if info.name == "digits" and preset == "demo" else {})
    if info.name == "digits" and preset == "demo":  # small enough to be used whole
        values = values | {"train_images": None, "test_images": None}

    backbone = e.backbone or (_paper_backbone(e, info) if preset == "paper" else "vit_nano")
    spec = backbones.BACKBONES.get(backbone)
    image_size = e.image_size or (info.image_size if backbone == "vit_nano" else spec.image_size)
    image_size, patch_size = spec.sizes(image_size, e.patch_size)

    defaults = {"batch_size": spec.batch_size} | values | RECIPES[e.recipe]
    # the released code pads and crops 32 and 64 px images
    defaults["image_crop"] = "padded" if e.recipe == "released" and image_size <= 64 else "resized"
    defaults["flip"] = info.flip
    defaults["pos_embed"] = e.scenario != "pretrain_finetune"  # §4.2: off in pre-training, on elsewhere
    chosen = {name: value for name, value in defaults.items() if getattr(e, name) is None}
    tasks, weights = _order(e)
    resolved = dataclasses.replace(
        e, preset=preset, backbone=backbone, image_size=image_size, patch_size=patch_size, tasks=tasks,
        task_weights=weights, **chosen,
    )  # fmt: skip
    _check(resolved)
    return resolved


def _paper_backbone(e: "Experiment", info: data.Info) -> str:
    if info.paper:
        return info.backbone
    size = e.image_size or info.image_size
    if size not in BY_IMAGE_SIZE:
        raise RelvitError(f"Table 1 has no backbone for images of {size} px: name one with backbone, or set image_size")
    return BY_IMAGE_SIZE[size]


def _order(e: "Experiment") -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Tasks in registry order, and their weights."""
    given = dict(zip(e.tasks, e.task_weights or [TASKS.get(name).weight for name in e.tasks]))
    tasks = tuple(name for name in TASKS.names() if name in given)
    return tasks, tuple(given[name] for name in tasks)


def _check(e: "Experiment") -> None:
    if e.scenario != "supervised" and not e.tasks:
        raise RelvitError(f"scenario {e.scenario} needs at least one task: {', '.join(TASKS.names())}")
    if e.mega_patches is None:
        return
    side = e.image_size // e.patch_size
    if e.scenario == "downstream_only":
        raise RelvitError("mega_patches is for pre-training (§3.2.1): take scenario pretrain_finetune, or leave it out")
    if e.mega_patches > side:
        raise RelvitError(
            f"mega_patches {e.mega_patches} is too large: images of {e.image_size} px in patches of {e.patch_size} "
            f"have {side} a side, so M is at most {side}"
        )
    if e.pos_embed and e.scenario == "pretrain_finetune":
        raise RelvitError("mega_patches needs positional embeddings off in pre-training: leave pos_embed out")
