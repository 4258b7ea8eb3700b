"""§4.1 and its two small siblings: what each None of an Experiment stands for.

paper: the text's settings, 100 epochs a stage. demo: a stage takes at most about two minutes on two cores.
smoke: seconds, to see that everything runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.method import backbones
from relvit_lab.method.tasks import TASKS

PRESETS = {
    "paper": {"epochs": 100, "lr": 5e-4},
    "demo": {"epochs": 12, "lr": 1e-3, "batch_size": 64, "train_images": 4000, "test_images": 2000},
    "smoke": {"epochs": 2, "lr": 1e-3, "batch_size": 32, "train_images": 96, "test_images": 48},
}
# For digits: the rate and the crop with which supervised training did best (rates 5e-4 to 4e-3 and all three crops, two
# seeds, on 297 images held back from the training images).
DIGITS_DEMO = {
    "epochs": 40, "lr": 2e-3, "batch_size": 64, "image_crop": "none", "train_images": None, "test_images": None,
}  # fmt: skip
RECIPES = {  # FACTS of the text, and of the released code's commands
    "paper": {"weight_decay": 0.0, "dropout": 0.0, "drop_path": 0.0, "clip": 1.0, "factored_heads": False},
    "released": {"weight_decay": 0.1, "clip": 1.0, "factored_heads": True},  # dropout, drop_path: by the backbone
}
INFERRED = {("svhn", 32), ("flower102", 224)}  # data sets and image sizes with which the released code cannot start
T2T_DRLOC_WEIGHT = 0.1  # in L_drloc's paper; another for the other backbones
BY_IMAGE_SIZE = {32: "vit_s_4", 64: "vit_s_8", 224: "vit_s_32"}  # Table 1


def resolve(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an experiment with everything decided. Raises RelvitError for unknown names and for values that do
    not go together."""
    info = data.describe(given["dataset"], given["data_dir"])
    _check_data(given, info)
    preset = given["preset"] or ("paper" if info.paper else "demo")
    if preset == "paper" and info.name == "digits":
        raise RelvitError("digits has no paper preset, for the paper does not use it: leave preset out, or use demo")
    values = PRESETS[preset] | (DIGITS_DEMO if info.name == "digits" and preset == "demo" else {})

    backbone = given["backbone"] or (_paper_backbone(given["image_size"], info) if preset == "paper" else "vit_nano")
    spec = backbones.get(backbone)
    if preset == "smoke" and spec.smoke:
        spec = backbones.get(spec.smoke)
    image_size = given["image_size"] or (info.image_size if spec.name == "vit_nano" else spec.image_size)
    image_size, patch_size = spec.sizes(image_size, given["patch_size"])

    # the released code pads and crops 32 and 64 px images
    crop = "padded" if given["recipe"] == "released" and image_size <= 64 else "resized"
    defaults = {"batch_size": spec.batch_size, "image_crop": crop} | values | RECIPES[given["recipe"]]
    if given["recipe"] == "released":
        defaults |= {"dropout": spec.released_dropout, "drop_path": spec.released_drop_path}
    defaults["flip"] = info.flip
    # §4.2: off in pre-training, on elsewhere; Swin-T and T2T-ViT always know where a token lies
    defaults["pos_embed"] = given["scenario"] != "pretrain_finetune" or not spec.is_vit
    chosen = {name: value for name, value in defaults.items() if given[name] is None}
    dataset = data.spelling(given["dataset"], given["data_dir"])
    names = {"dataset": dataset, "preset": preset, "backbone": spec.name}
    sizes = {"image_size": image_size, "patch_size": patch_size}
    tasks, weights = _order(given["tasks"], given["task_weights"], spec.name)
    resolved = {**given, **chosen, **names, **sizes, "tasks": tasks, "task_weights": weights}
    _check(resolved, spec)
    return resolved


def notes(given: Mapping[str, Any], resolved: Mapping[str, Any]) -> tuple[str, ...]:
    """What a person should know of the way in which an experiment was resolved."""
    said = []
    spec = backbones.get(resolved["backbone"])
    if given["backbone"] and spec.name != given["backbone"]:
        said.append(f"preset smoke trains {spec.name}, a small form of {given['backbone']}")
    if is_inferred(resolved["dataset"], resolved["image_size"], resolved["recipe"]):
        said.append(
            f"the authors' code has no settings for {resolved['dataset']} at {resolved['image_size']} px and cannot "
            "start there: what recipe released does on it is inferred from the other data sets"
        )
    idle = ["supervised_stages"] if resolved["supervised_stages"] == 2 else []  # set, and of no use in this scenario
    if resolved["scenario"] == "supervised":
        idle = [name for name in ("mega_patches", "shuffle") if resolved[name]]
    if idle:
        said.append(f"scenario {resolved['scenario']} takes no notice of {' and '.join(idle)}")
    if resolved["scenario"] == "pretrain_finetune" and not spec.is_vit:
        said.append(f"pre-training {spec.label} on patch relations is outside the paper, which trains it jointly only")
    return tuple(said)


def is_inferred(dataset: str, image_size: int, recipe: str) -> bool:
    """Whether the authors' code cannot start on this, so that recipe released has no model to follow."""
    return recipe == "released" and (dataset, image_size) in INFERRED


def _paper_backbone(image_size: int | None, info: data.Info) -> str:
    if info.paper:
        return info.backbone
    size = image_size or info.image_size
    if size not in BY_IMAGE_SIZE:
        raise RelvitError(f"Table 1 has no backbone for images of {size} px: name one with backbone, or set image_size")
    return BY_IMAGE_SIZE[size]


def _check_data(given: Mapping[str, Any], info: data.Info) -> None:
    if given["data_source"] == "files" and not info.files:
        raise RelvitError(f"data_source files is for image files, and {info.name} is stored as arrays: leave it out")
    if given["train_on"] == "train+val" and not info.has_val:
        have = ", ".join(source.name for source in data.DATASETS if source.info.has_val)
        raise RelvitError(f"{info.name} has no validation images beside its test images to train on (only {have} has)")


def _order(
    tasks: Sequence[str], weights: Sequence[float] | None, backbone: str
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Tasks in registry order, and their weights."""
    given = {name: TASKS.get(name).weight for name in tasks}
    if "drloc" in given and backbone.startswith("t2t"):
        given["drloc"] = T2T_DRLOC_WEIGHT
    if weights:
        given = dict(zip(tasks, weights))
    ordered = tuple(name for name in TASKS.names() if name in given)
    return ordered, tuple(given[name] for name in ordered)


def _check(e: Mapping[str, Any], spec: backbones.Backbone) -> None:
    if e["scenario"] != "supervised" and not e["tasks"]:
        raise RelvitError(f"scenario {e['scenario']} needs at least one task: {', '.join(TASKS.names())}")
    if e["scenario"] == "pretrain_finetune" and not e["init_from"] and not any(e["task_weights"]):
        raise RelvitError("task_weights are all 0: pre-training would learn nothing; give one of them a weight")
    if not spec.is_vit:
        for name, what in (("mega_patches", "mega-patches"), ("shuffle", "shuffled patches")):
            if e[name]:
                raise RelvitError(f"{spec.label} cannot be trained on {what}, only a ViT can: leave {name} out")
        if not e["pos_embed"]:
            raise RelvitError(f"{spec.label} always knows the positions of its tokens: leave pos_embed out")
    if e["mega_patches"] is None:
        return
    side = e["image_size"] // e["patch_size"]
    if e["scenario"] == "downstream_only":
        raise RelvitError("mega_patches is for pre-training (§3.2.1): take scenario pretrain_finetune, or leave it out")
    if e["mega_patches"] > side:
        raise RelvitError(
            f"mega_patches {e['mega_patches']} is too large: images of {e['image_size']} px in patches of "
            f"{e['patch_size']} have {side} a side, so M is at most {side}"
        )
    if e["pos_embed"] and e["scenario"] == "pretrain_finetune":
        raise RelvitError("mega_patches needs positional embeddings off in pre-training: leave pos_embed out")
