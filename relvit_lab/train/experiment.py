"""§4: one frozen, typed description of a run, and the stages that it consists of.

Types and ranges are checked when an Experiment is made; names (data set, backbone, tasks) when it is resolved, by
the registry that knows them. None means "as the preset says".
"""

import ast
import dataclasses
import hashlib
import json
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from relvit_lab import data
from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.paths import resolve
from relvit_lab.common.values import check, coerce, nearest_field
from relvit_lab.method import backbones
from relvit_lab.method.tasks import BUILT_IN, TASKS
from relvit_lab.train import presets

PLACES = (
    "preset", "run_dir", "data_dir", "device", "precision", "fresh", "checkpoint_minutes", "stop_after", "knn",
    "linear_probe", "compile", "profile",
)  # fmt: skip
"""Fields that say where and how, or what is looked at in the end, not what is trained: they change no id."""


@dataclass(frozen=True)
class Experiment:
    """A run. Values may be strings, as papermill and the command line hand them over; they are coerced by type."""

    dataset: str = "digits"  # a name, a folder of images, or an .npz
    data_dir: str = "data"  # where data sets are kept
    data_source: str = "packed"  # of image files: packed (decoded once) or files (each cropped anew from its original)
    train_on: str = "train"  # or train+val, for a data set that has both (flower102)
    scenario: str = "pretrain_finetune"  # or supervised, downstream_only (joint training)
    backbone: str | None = None  # None: Table 2's for the data set; vit_nano for presets demo and smoke
    tasks: tuple[str, ...] = ("sprel", "abspos")  # of sprel, dist, ang, abspos and your own
    task_weights: tuple[float, ...] | None = None  # of the losses, in the order of tasks; None: each task's own (1)
    mega_patches: int | None = None  # M cells a side in pre-training (§3.2.1); None: standard patches
    pos_embed: bool | None = None  # positional embeddings; None: off in pre-training, on elsewhere
    shuffle: bool = False  # shuffle the patches, each image its own way, before positional embeddings are added
    recipe: str = "paper"  # the text's, or the released code's ("released")
    preset: str | None = None  # paper, demo (two minutes a stage on two cores) or smoke (seconds)
    supervised_stages: int = 1  # 2: Table 2's baseline, trained twice
    epochs: int | None = None  # of each stage
    batch_size: int | None = None
    lr: float | None = None  # the highest learning rate
    weight_decay: float | None = None
    dropout: float | None = None
    drop_path: float | None = None
    clip: float | None = None  # largest norm of the gradient; 0: no clipping
    label_fraction: float = 1.0  # share of the labelled images in supervised training and fine-tuning
    train_images: int | None = None  # use a fixed subset of this size
    test_images: int | None = None
    image_size: int | None = None  # side in pixels
    patch_size: int | None = None  # side in pixels; vit_nano only
    factored_heads: bool | None = None  # attention-score heads of rank D // K; None: by the recipe
    pair_head: str | None = None  # scores (attention scores) or mlp for all tasks on pairs; None: each task's own
    drloc_form: str = "paper"  # task drloc as in its paper, or as in its released code ("released")
    image_crop: str | None = None  # resized, padded or none; None: by the recipe
    flip: bool | None = None  # None: by the data set
    init_from: str | None = None  # a stage's id or a path: its backbone replaces pre-training
    stop_after: str | None = None  # end after this stage, for example pretrain
    knn: int | None = None  # accuracy of so many nearest neighbours on the frozen features, too; None: not asked
    linear_probe: bool = False  # accuracy of a linear classifier on the frozen features, too
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    precision: str = "auto"  # float32 or bf16; auto: bf16 on a GPU or a CPU that multiplies it
    compile: str = "auto"  # blocks, heads and losses by torch.compile: true, false; auto: in long stages
    profile: bool = False  # measure the parts of a few training steps
    run_dir: str = "runs"
    fresh: bool = False  # begin anew what an earlier run left; given again after a kill, it goes on
    checkpoint_minutes: float = 5.0  # write a checkpoint at least this often within an epoch, too

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = coerce(field.name, getattr(self, field.name), hints[field.name])
            check(field.name, value)
            object.__setattr__(self, field.name, value)
        if len(set(self.tasks)) != len(self.tasks):
            raise RelvitError(f"tasks names a task twice: {', '.join(self.tasks)}")
        if self.task_weights is not None and len(self.task_weights) != len(self.tasks):
            raise RelvitError(f"task_weights has {len(self.task_weights)} numbers for {len(self.tasks)} tasks")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def create(cls, values: Mapping[str, object]) -> "Experiment":
        """An Experiment from named values. Raises RelvitError for a name that is no field."""
        for name in values:
            if name not in cls.names():
                raise RelvitError(f"unknown parameter '{name}': {nearest_field(name, cls.names())}")
        return cls(**values)

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, object]) -> "Experiment":
        """The Experiment of a parameters cell: pass globals().

        papermill only warns of a parameter that the notebook does not have, and runs on with the defaults: so the
        names in the cell that it injected ("# Parameters") are checked here. Raises RelvitError.
        """
        injected = [str(cell) for cell in namespace.get("In", []) if str(cell).startswith("# Parameters")]
        assigned = [node for cell in injected[-1:] for node in ast.parse(cell).body if isinstance(node, ast.Assign)]
        for name in (target.id for node in assigned for target in node.targets):
            if name not in cls.names():
                raise RelvitError(f"unknown parameter '{name}': {nearest_field(name, cls.names())}")
        return cls(**{name: namespace[name] for name in cls.names() if name in namespace})

    @cached_property
    def _resolved(self) -> "Experiment":
        return dataclasses.replace(self, **presets.resolve(dataclasses.asdict(self)))

    def resolved(self) -> "Experiment":
        """The same run with every None that the preset decides filled in, and tasks in registry order.

        Raises RelvitError where a name is unknown or values do not go together.
        """
        return self._resolved

    def stages(self) -> "tuple[Stage, ...]":
        """What is trained, in order; `stop_after` ends early. Raises RelvitError as `resolved` does."""
        e = self.resolved()
        start = _find_weights(e) if e.init_from else None
        if e.scenario == "downstream_only":
            stages = (Stage("joint", e, init=start),)
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
        fields["init_from"] = _digest(_find_weights(e)) if e.init_from else None
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


_COMMON = (
    "dataset", "train_images", "test_images", "image_size", "backbone", "patch_size", "recipe", "epochs", "batch_size",
    "lr", "weight_decay", "dropout", "drop_path", "clip", "image_crop", "flip", "seed",
)  # fmt: skip
_SELF_SUPERVISED = ("tasks", "task_weights", "mega_patches", "shuffle", "factored_heads")
_WHERE_ASKED = {"data_source": "packed", "train_on": "train"}  # count where they are not this, which keeps older ids


@dataclass(frozen=True)
class Stage:
    """One training from start to end, with its own folder; runs that need the same one share it.

    name: pretrain, finetune, supervised, supervised2 or joint. experiment: resolved. parent: the stage whose weights
    it starts from. init: or a file of weights.
    """

    name: str
    experiment: Experiment
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
        names = _COMMON + (_SELF_SUPERVISED if self.tasks else ()) + (("label_fraction",) if self.classifies else ())
        values = self.experiment.as_dict()
        fields = {"stage": self.name, "pos_embed": self.pos_embed} | {name: values[name] for name in names}
        fields["dataset"] = data.identity(self.experiment.dataset, self.experiment.data_dir)
        fields |= {name: values[name] for name, plain in _WHERE_ASKED.items() if values[name] != plain}
        if self.tasks and self.experiment.pair_head:
            fields["pair_head"] = self.experiment.pair_head
        if "drloc" in self.tasks:
            fields["drloc_form"] = self.experiment.drloc_form
        if self.parent is not None:
            fields["from"] = self.parent.id
        if self.init is not None:
            fields["from"] = _digest(self.init)
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


def _find_weights(e: Experiment) -> Path:
    """The file that init_from names: a stage's id, its folder, or a .safetensors file."""
    tried = (e.run_folder() / e.init_from, resolve(e.init_from))
    for path in tried:
        file = path / "model.safetensors" if path.is_dir() else path
        if file.is_file():
            return file
    raise RelvitError(
        f"init_from '{e.init_from}' is no finished stage and no file of weights: tried {' and '.join(map(str, tried))}"
    )


def _digest(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()[:16]


def _hash(fields: dict) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:10]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", Path(text).stem.lower()).strip("_") or "data"
