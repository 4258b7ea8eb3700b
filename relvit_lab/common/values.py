"""Values as papermill and a shell hand them over, brought to the type of their field and checked."""

import ast
import json
import math
import re
import types
import typing
from collections.abc import Iterable
from pathlib import Path

from relvit_lab.common.errors import RelvitError, nearest

CHOICES = {
    "scenario": ("supervised", "pretrain_finetune", "downstream_only"),
    "recipe": ("paper", "released"),
    "preset": ("paper", "demo", "smoke"),
    "image_crop": ("resized", "padded", "none"),
    "stop_after": ("pretrain", "finetune", "supervised", "supervised2", "joint"),
    "precision": ("auto", "float32", "bf16"),
    "compile": ("auto", "true", "false"),
    "data_source": ("packed", "files"),
    "train_on": ("train", "train+val"),
    "pair_head": ("scores", "mlp"),
    "drloc_form": ("paper", "released"),
}
RANGES = {  # inclusive
    "mega_patches": (1, 1024), "supervised_stages": (1, 2), "epochs": (1, 100_000), "batch_size": (1, 1_000_000),
    "lr": (0.0, 10.0), "weight_decay": (0.0, 10.0), "dropout": (0.0, 0.99), "drop_path": (0.0, 0.99),
    "clip": (0.0, 1e9), "train_images": (1, 10**9), "test_images": (1, 10**9), "image_size": (1, 4096),
    "patch_size": (1, 4096),
    "seed": (0, 2**31 - 1), "checkpoint_minutes": (0.0, 5.0), "label_fraction": (1e-9, 1.0),
    "knn": (1, 10_000),
}  # fmt: skip

OTHER_WORDS = {
    "dataset": "data data_set dataset_name data_name train_dir train_data imgs images",
    "data_dir": "data_root root data_path data_folder dataset_dir dataset_path datadir",
    "backbone": "model arch architecture model_name network net encoder",
    "tasks": "task pretext losses objectives heads",
    "task_weights": "loss_weights weights_of_tasks lambdas",
    "mega_patches": "mega megapatches mega_patch m",
    "pos_embed": "pe position positional_embedding positional_embeddings pos_emb posemb pos_embedding "
                 "position_embedding",
    "shuffle": "permute shuffle_patches",
    "scenario": "mode stage training_mode strategy",
    "epochs": "epoch n_epochs num_epochs max_epochs nepochs ep iterations",
    "batch_size": "bs batch batchsize train_batch_size mini_batch b",
    "lr": "learning_rate learningrate base_lr max_lr learn_rate blr alpha",
    "weight_decay": "wd decay l2 weightdecay",
    "dropout": "drop drop_rate dropout_rate dropout_prob p_drop",
    "drop_path": "drop_path_rate stochastic_depth droppath",
    "clip": "clip_grad grad_clip gradient_clip max_grad_norm clip_norm gradient_clip_val",
    "label_fraction": "labels label_frac fraction labelled_fraction few_labels subset",
    "train_images": "n_train num_train train_size max_train limit_train",
    "test_images": "n_test num_test test_size max_test",
    "image_size": "img_size imgsize input_size resolution size image_resolution",
    "patch_size": "patch p patchsize",
    "init_from": "checkpoint ckpt weights pretrained pretrained_weights load load_from init finetune resume_from "
                 "model_path from_checkpoint",
    "stop_after": "stop until only_pretrain pretrain_only",
    "knn": "k_nn nearest_neighbours nearest_neighbors n_neighbors",
    "linear_probe": "linprobe linear_eval probe linear",
    "seed": "random_seed manual_seed random_state rng",
    "device": "gpu cuda gpus accelerator",
    "precision": "amp fp16 bf16 mixed_precision half dtype",
    "compile": "torch_compile",
    "profile": "profiler trace",
    "run_dir": "output output_dir out_dir out save_dir log_dir logdir results_dir rundir save runs workdir work_dir "
               "checkpoint_dir",
    "fresh": "overwrite force restart from_scratch clean no_resume reset",
    "recipe": "config cfg",
    "flip": "hflip horizontal_flip",
    "image_crop": "crop random_crop random_resized_crop",
}  # fmt: skip
"""What people type for a field, other programs' names among it."""
_MEANT = {word: field for field, words in OTHER_WORDS.items() for word in words.split()}


def nearest_field(name: str, names: Iterable[str]) -> str:
    """`nearest`, for the name of a field: it knows what other programs call it."""
    return nearest(name.strip("-").replace("-", "_").lower(), names, _MEANT)


def coerce(name: str, value: object, hint: object) -> object:
    """The value in the field's type. Raises RelvitError where it cannot be meant."""
    optional = typing.get_origin(hint) in (typing.Union, types.UnionType)
    if optional:
        hint = typing.get_args(hint)[0]
        if value is None:
            return None
        if (
            isinstance(value, str)
            and value.strip().lower() in ("", "none", "null")
            and value not in CHOICES.get(name, ())
        ):
            return None
        if name == "mega_patches" and str(value) == "0":
            return None
    try:
        if hint is bool:
            return _boolean(value)
        if typing.get_origin(hint) is tuple:
            return tuple(coerce(name, item, typing.get_args(hint)[0]) for item in _items(value))
        if "true" in CHOICES.get(name, ()):  # a choice beside yes and no
            return value if value in CHOICES[name] else _said(value)
        if isinstance(value, bool):
            raise ValueError
        if hint is int:
            number = float(value)
            if number != int(number):
                raise ValueError
            return int(value) if isinstance(value, int) else int(number)
        if hint is float:
            number = float(value)
            if not math.isfinite(number):
                raise ValueError
            return number
        if isinstance(value, (str, Path)):
            return str(value).strip()
        raise ValueError
    except (ValueError, TypeError, OverflowError):
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        raise RelvitError(f"{name} is {value!r}, but must be {kinds.get(hint, 'a list')}") from None


def _boolean(value: object) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    text = str(value).strip().lower()
    if not isinstance(value, (bool, int, str)) or text not in words:
        raise ValueError
    return words[text]


def _said(value: object) -> str:
    """ "true" or "false", where a value can be meant so; else as it is, for check to name the nearest."""
    try:
        return str(_boolean(value)).lower()
    except ValueError:
        if isinstance(value, str):
            return value.strip()
        raise


def _items(value: object) -> list:
    """A list from a list, a list as JSON or Python writes it, or names joined by commas, plus signs or spaces."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        raise ValueError
    text = value.strip()
    if text.startswith("["):
        try:
            return list(json.loads(text))
        except ValueError:
            pass
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if isinstance(found, list | tuple):
        return list(found)
    bare = text[1:-1] if text[:1] + text[-1:] in ("[]", "()") else text  # [sprel, dist]
    return [item.strip("\"'") for item in re.split(r"[,+;\s]+", bare) if item.strip("\"'")]


def check(name: str, value: object) -> None:
    if name in CHOICES and value is not None and value not in CHOICES[name]:
        raise RelvitError(f"unknown {name} '{value}': {nearest(value, CHOICES[name])}")
    if name in RANGES and value is not None and not RANGES[name][0] <= value <= RANGES[name][1]:
        low, high = RANGES[name]
        raise RelvitError(f"{name} is {value}, but must be from {low:g} to {high:g}")
