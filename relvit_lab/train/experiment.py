"""§4: one frozen, typed description of a run, and the stages that it consists of.

Types and ranges are checked when an Experiment is made; names (data set, backbone, tasks) when it is resolved, by
the registry that knows them. None means "as the preset says".
"""

import ast
import dataclasses
import hashlib
import json
import os
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from relvit_lab import data
from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.files import sha256
from relvit_lab.common.paths import places, resolve
from relvit_lab.common.values import Setting, check, coerce, nearest_field, synonyms
from relvit_lab.method import backbones
from relvit_lab.method.tasks import BUILT_IN, TASKS
from relvit_lab.train import presets

SYNONYMS = Path(__file__).with_name("field_synonyms.txt")  # what people type for a field, or for a choice


@dataclass(frozen=True)
class Field(Setting):
    """A field of Experiment.

    counts: where it changes a stage's id: "stage" (in all), "tasks" (where pretext tasks are trained), "labels" (where
    classes are), "drloc" (with that task), "pos_embed" (as the stage sets it), "run" (it says which stages there are),
    "weights" (by the digest of those that it names), "never" (it says where and how, or what is looked at in the end).
    later: it counts only where it is not the default, which keeps the ids of the time before it. planned: a table's
    cell is made by it, so that no override of a plan changes it. recorded: whether a record keeps it.
    """

    counts: str = "stage"
    later: bool = False
    planned: bool = False
    recorded: bool = True


def setting(default: Any, help: str, **known: Any) -> Any:
    """A field's default, its help and what else is known of it (Field)."""
    return dataclasses.field(default=default, metadata={"setting": Field(help, **known)})


@dataclass(frozen=True)
class Experiment:
    """A run. Values may be strings, as papermill and the command line hand them over; they are coerced by type."""

    dataset: str = setting(
        "digits", "digits, cifar10, cifar100, svhn, flower102, tiny_imagenet, imagenet100, a folder, or an .npz",
    )  # fmt: skip
    data_dir: str = setting(
        "data", "where data sets are kept; relative paths are taken from the project", counts="never", recorded=False,
    )  # fmt: skip
    data_source: str = setting(
        "packed", "image files: packed (decoded once) | files (each cropped anew from its original)", later=True,
        choices=("packed", "files"),
    )  # fmt: skip
    train_on: str = setting("train", "train | train+val (flower102)", later=True, choices=("train", "train+val"))
    scenario: str = setting(
        "pretrain_finetune", "supervised | pretrain_finetune | downstream_only",
        counts="run", choices=("supervised", "pretrain_finetune", "downstream_only"), planned=True,
    )  # fmt: skip
    backbone: str | None = setting(
        None, "vit_nano, vit_s_4 (8, 32, 16, 14), swin_t, t2t_vit_14, or timm:NAME", planned=True,
    )  # fmt: skip
    tasks: tuple[str, ...] = setting(
        ("sprel", "abspos"), "of sprel, dist, ang, abspos, drloc", counts="tasks", planned=True,
    )  # fmt: skip
    task_weights: tuple[float, ...] | None = setting(
        None, "of their losses; None: 1 each", counts="tasks", planned=True,
    )  # fmt: skip
    mega_patches: int | None = setting(
        None, "M: pre-train on M x M mega-patches (notebook 02)",
        counts="tasks", range=(1, 1024), none="0", planned=True,
    )  # fmt: skip
    pos_embed: bool | None = setting(
        None, "positional embeddings; None: off in pre-training only", counts="pos_embed", planned=True,
    )  # fmt: skip
    shuffle: bool = setting(
        False, "shuffle the patches of each image before positional embeddings are added",
        counts="tasks", flag=True, planned=True,
    )  # fmt: skip
    recipe: str = setting(
        "paper", "paper (the text) | released (the authors' code)", choices=("paper", "released"), planned=True,
    )  # fmt: skip
    preset: str | None = setting(
        None, "paper | demo | smoke (seconds)", counts="never", choices=("paper", "demo", "smoke"),
    )  # fmt: skip
    supervised_stages: int = setting(
        1, "2: Table 2's baseline, trained twice", counts="run", range=(1, 2), planned=True
    )
    epochs: int | None = setting(None, "of each stage", range=(1, 100_000))
    batch_size: int | None = setting(None, "images", range=(1, 1_000_000))
    lr: float | None = setting(None, "highest learning rate", range=(0.0, 10.0))
    weight_decay: float | None = setting(None, "", range=(0.0, 10.0))
    dropout: float | None = setting(None, "probability", range=(0.0, 0.99))
    drop_path: float | None = setting(None, "probability in the last block", range=(0.0, 0.99))
    clip: float | None = setting(None, "largest norm of the gradient; 0: none", range=(0.0, 1e9))
    label_fraction: float = setting(
        1.0, "share of labelled images for supervised training and fine-tuning", counts="labels", range=(1e-9, 1.0),
    )  # fmt: skip
    train_images: int | None = setting(None, "use a fixed subset of this many images", range=(1, 10**9))
    test_images: int | None = setting(None, "", range=(1, 10**9))
    image_size: int | None = setting(None, "pixels a side", range=(1, 4096), planned=True)
    patch_size: int | None = setting(None, "pixels a side; vit_nano only", range=(1, 4096), planned=True)
    factored_heads: bool | None = setting(
        None, "attention-score heads of rank D // K, as in the authors' code", counts="tasks",
    )  # fmt: skip
    pair_head: str | None = setting(
        None, "scores | mlp for all tasks on pairs; None: attention scores, for drloc an MLP", counts="tasks",
        later=True, choices=("scores", "mlp"),
    )  # fmt: skip
    drloc_form: str = setting(
        "paper", "task drloc as in its paper | released, as in its code", counts="drloc", choices=("paper", "released"),
    )  # fmt: skip
    image_crop: str | None = setting(None, "resized | padded | none", choices=("resized", "padded", "none"))
    flip: bool | None = setting(None, "mirror half of the training images")
    init_from: str | None = setting(
        None, "a stage's id or a path: its backbone replaces pre-training",
        counts="weights", planned=True, recorded=False,
    )  # fmt: skip
    stop_after: str | None = setting(
        None, '"pretrain": leave fine-tuning out',
        counts="never", choices=("pretrain", "finetune", "supervised", "supervised2", "joint"), planned=True,
    )  # fmt: skip
    knn: int | None = setting(
        None, "in the end, also the accuracy of so many nearest neighbours on the frozen features",
        counts="never", range=(1, 10_000),
    )  # fmt: skip
    linear_probe: bool = setting(False, "and that of a linear classifier on them", counts="never", flag=True)
    seed: int = setting(0, "initialisation, order, augmentation", range=(0, 2**31 - 1), planned=True)
    device: str = setting("auto", "cpu, cuda, cuda:1", counts="never", recorded=False)
    precision: str = setting(
        "auto", "auto | float32 | bf16", counts="never", choices=("auto", "float32", "bf16"), recorded=False,
    )  # fmt: skip
    compile: str = setting(
        "auto", "auto | true | false: blocks, heads and losses by torch.compile",
        counts="never", choices=("auto", "true", "false"), flag=True, recorded=False,
    )  # fmt: skip
    profile: bool = setting(
        False, "measure the parts of a few training steps", counts="never", flag=True, recorded=False,
    )  # fmt: skip
    run_dir: str = setting("runs", "results, one folder a stage", counts="never", recorded=False)
    fresh: bool = setting(False, "train again even where there is a result", counts="never", flag=True, recorded=False)
    checkpoint_minutes: float = setting(5.0, "and after each epoch", counts="never", range=(0.0, 5.0), recorded=False)

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for name, own in self.settings().items():
            value = coerce(name, getattr(self, name), hints[name], own)
            check(name, value, own)
            object.__setattr__(self, name, value)
        if len(set(self.tasks)) != len(self.tasks):
            raise RelvitError(f"tasks names a task twice: {', '.join(self.tasks)}")
        if self.task_weights is not None and min(self.task_weights, default=0) < 0:
            raise RelvitError("task_weights are 0 or more: below 0 a task would be trained away from its answers")
        if self.task_weights is not None and len(self.task_weights) != len(self.tasks):
            raise RelvitError(f"task_weights has {len(self.task_weights)} numbers for {len(self.tasks)} tasks")

    @classmethod
    @cache
    def settings(cls) -> dict[str, Field]:
        """What is known of each field, by name, in their order."""
        typed = synonyms(SYNONYMS.read_text(encoding="utf-8"))
        own = {field.name: field.metadata["setting"] for field in dataclasses.fields(cls)}
        return {name: dataclasses.replace(setting, **typed.get(name, {})) for name, setting in own.items()}

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def create(cls, values: Mapping[str, typing.Any]) -> typing.Self:
        """An Experiment from named values. Raises RelvitError for a name that is no field."""
        cls._known(values)
        return cls(**values)

    @classmethod
    def _known(cls, names: Iterable[str]) -> None:
        for name in names:
            if name not in cls.names():
                raise RelvitError(f"unknown parameter '{name}': {nearest_field(name, cls.settings())}")

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, typing.Any]) -> typing.Self:
        """The Experiment of a parameters cell: pass globals().

        papermill only warns of a parameter that the notebook does not have, and runs on with the defaults: so the
        names in the cell that it injected ("# Parameters") are checked here. Raises RelvitError.
        """
        injected = [str(cell) for cell in namespace.get("In", []) if str(cell).startswith("# Parameters")]
        assigned = [node for cell in injected[-1:] for node in ast.parse(cell).body if isinstance(node, ast.Assign)]
        targets = (target for node in assigned for target in node.targets)
        cls._known(target.id for target in targets if isinstance(target, ast.Name))
        return cls(**{name: namespace[name] for name in cls.names() if name in namespace})

    @cached_property
    def _resolved(self) -> "Resolved":
        return Resolved(**presets.resolve(dataclasses.asdict(self)))

    def resolved(self) -> "Resolved":
        """The same run with every None that the preset decides filled in, and tasks in registry order.

        Raises RelvitError where a name is unknown or values do not go together.
        """
        return self._resolved

    def stages(self) -> "tuple[Stage, ...]":
        """What is trained, in order; `stop_after` ends early. Raises RelvitError as `resolved` does."""
        e = self.resolved()
        start = _find_weights(e) if e.init_from else None
        if e.scenario == "downstream_only":
            stages: tuple[Stage, ...] = (Stage("joint", e, init=start),)
        elif e.scenario == "supervised":
            first = Stage("supervised", e, init=start)
            stages = (first, Stage("supervised2", e, first)) if e.supervised_stages == 2 else (first,)
        elif start is not None:
            stages = (Stage("finetune", e, init=start),)
        else:
            first = Stage("pretrain", e)
            stages = (first, Stage("finetune", e, first))
        names = [stage.name for stage in stages]
        if e.stop_after:
            if e.stop_after not in names:
                raise RelvitError(f"stop_after '{e.stop_after}' is no stage here: {nearest(e.stop_after, names)}")
            stages = stages[: names.index(e.stop_after) + 1]
        return stages

    @property
    def id(self) -> str:
        """Hash of the resolved scientific fields: the same run on another machine or in another folder has it too."""
        e = self.resolved()
        fields = {name: value for name, value in e.as_dict().items() if name not in PLACES}
        fields["init_from"] = sha256(_find_weights(e))[:16] if e.init_from else None
        fields["dataset"] = data.identity(e.dataset, e.data_dir)
        return f"{_slug(fields['dataset'])}-{e.scenario}-{_hash(fields)}"

    def as_dict(self) -> dict:
        """Plain values, as JSON holds them."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    def decided(self) -> str:
        """The fields that the preset and the recipe decided, in words."""
        values = self.resolved().as_dict()
        open_fields = [name for name, own in self.as_dict().items() if own is None and values[name] is not None]
        return ", ".join(f"{name} {values[name]}" for name in open_fields)

    def notes(self) -> tuple[str, ...]:
        """What a person should know of how this run was resolved."""
        return presets.notes(dataclasses.asdict(self), self.resolved().as_dict())

    def run_folder(self) -> Path:
        return resolve(self.run_dir)


PLACES = tuple(name for name, field in Experiment.settings().items() if field.counts == "never")
"""Fields that say where and how, or what is looked at in the end, not what is trained: they change no id."""


@dataclass(frozen=True)
class Stage:
    """One training from start to end, with its own folder; runs that need the same one share it.

    name: pretrain, finetune, supervised, supervised2 or joint. experiment: resolved. parent: the stage whose weights
    it starts from. init: or a file of weights.
    """

    name: str
    experiment: "Resolved"
    parent: "Stage | None" = None
    init: Path | None = None

    @property
    def classifies(self) -> bool:
        return self.name != "pretrain"

    @property
    def tasks(self) -> tuple[str, ...]:
        return self.experiment.tasks if self.name in ("pretrain", "joint") else ()

    @property
    def weights(self) -> tuple[float, ...]:
        return self.experiment.task_weights if self.tasks else ()

    @property
    def pos_embed(self) -> bool:
        """§4.2: off in pre-training unless asked for, on elsewhere; fine-tuning always has them."""
        return self.name == "finetune" or self.experiment.pos_embed

    @property
    def mega_patches(self) -> int | None:
        return self.experiment.mega_patches if self.name == "pretrain" else None

    @property
    def input_size(self) -> int:
        """Pixels a side, as the model sees them: mega-patches are resized to P x P (§3.2.1)."""
        return self.mega_patches * self.experiment.patch_size if self.mega_patches else self.experiment.image_size

    @property
    def shuffle(self) -> bool:
        return bool(self.tasks) and self.experiment.shuffle

    @property
    def augments_patches(self) -> bool:
        """§4.1: ViT and SSL tasks. The released code does so in pre-training only."""
        if self.name == "joint":
            return self.experiment.recipe == "paper" and self._is_vit
        return self.name == "pretrain" and self._is_vit

    @property
    def _is_vit(self) -> bool:
        return backbones.get(self.experiment.backbone).is_vit

    @property
    def keeps_best(self) -> bool:
        """Whether the next stage starts from the best epoch, as in the released code: the one with the lowest SSL loss
        after pre-training, with the highest accuracy after a first supervised stage."""
        return self.name in ("pretrain", "supervised") and self.experiment.recipe == "released"

    @cached_property
    def fields(self) -> dict:
        """The scientific fields that this stage depends on, and no others."""
        e = self.experiment
        holds = {"stage": True, "tasks": bool(self.tasks), "labels": self.classifies, "drloc": "drloc" in self.tasks}
        values = e.as_dict()
        fields: dict[str, Any] = {"stage": self.name, "pos_embed": self.pos_embed}
        for name, field in e.settings().items():
            if holds.get(field.counts) and not (field.later and values[name] == getattr(Experiment, name)):
                fields[name] = values[name]
        fields["dataset"] = data.identity(e.dataset, e.data_dir)
        if self.parent is not None:
            fields["from"] = self.parent.id
        if self.init is not None:
            fields["from"] = sha256(self.init)[:16]
        own = [name for name in self.tasks if TASKS.get(name) not in BUILT_IN]
        if own:
            fields["task_code"] = {name: TASKS.get(name).fingerprint() for name in own}
        return fields

    @cached_property
    def id(self) -> str:
        return f"{_slug(self.fields['dataset'])}-{self.name}-{_hash(self.fields)}"

    @property
    def folder(self) -> Path:
        return self.experiment.run_folder() / self.id


if typing.TYPE_CHECKING:

    class Resolved(Experiment):
        """An Experiment as `resolved` gives it: the preset has decided these."""

        backbone: str
        task_weights: tuple[float, ...]
        pos_embed: bool
        preset: str
        epochs: int
        batch_size: int
        lr: float
        weight_decay: float
        dropout: float
        drop_path: float
        clip: float
        image_size: int
        patch_size: int
        factored_heads: bool
        image_crop: str
        flip: bool
else:
    Resolved = Experiment


def _find_weights(e: Experiment) -> Path:
    """The file that init_from names: a stage's id, its folder, or a .safetensors file."""
    named = str(e.init_from)
    tried = dict.fromkeys((e.run_folder() / named, *places(named)))
    for path in tried:
        file = path / "model.safetensors" if os.path.isdir(path) else path  # False for what is no name
        if os.path.isfile(path / "experiment.json") and not os.path.isfile(path / "result.json"):
            raise RelvitError(f"init_from '{named}' has not ended: run its experiment to the end first")
        if os.path.isfile(file):
            return file
    raise RelvitError(
        f"init_from '{e.init_from}' is no finished stage and no file of weights: tried {' and '.join(map(str, tried))}"
    )


def _hash(fields: dict) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:10]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", Path(text).stem.lower()).strip("_") or "data"
