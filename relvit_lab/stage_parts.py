"""§4.2: what a stage is made of: its data, the path of its images, its model and the weights that it starts from."""

import dataclasses
from pathlib import Path

from torch import Tensor

from relvit_lab import data
from relvit_lab.backbones import create_backbone, load_weights
from relvit_lab.errors import RelvitError
from relvit_lab.experiment import Experiment, Stage
from relvit_lab.model import RelViT
from relvit_lab.pipeline import Pipeline
from relvit_lab.tasks import TASKS


def load_data(e: Experiment) -> data.Dataset:
    """The data set of a resolved experiment, cut down to its train_images and test_images."""
    whole = data.load(e.dataset, e.data_dir, e.image_size)
    train, test = whole.train, whole.test
    if e.train_images is not None:
        train = data.subset(train, e.train_images, "train")
    if e.test_images is not None:
        test = data.subset(test, e.test_images, "test")
    return dataclasses.replace(whole, train=train, test=test)


def build_pipeline(stage: Stage, dataset: data.Dataset) -> Pipeline:
    e = stage.experiment
    return Pipeline(
        e.image_size, e.patch_size, dataset.mean, dataset.std, e.recipe, e.image_crop, e.flip, stage.mega_patches,
        stage.augments_patches, stage.shuffle,
    )  # fmt: skip


def build_model(stage: Stage, classes: int) -> RelViT:
    """The stage's model, freshly initialised from torch's global generator."""
    e = stage.experiment
    size = e.image_size if stage.mega_patches is None else stage.mega_patches * e.patch_size
    backbone = create_backbone(
        e.backbone, image_size=size, patch=e.patch_size, pos_embed=stage.pos_embed, dropout=e.dropout,
        drop_path=e.drop_path,
    )  # fmt: skip
    tasks = [TASKS.get(name) for name in stage.tasks]
    return RelViT(backbone, tasks, classes if stage.classifies else None, factored=e.factored_heads)


def load_start(model: RelViT, stage: Stage) -> None:
    """§4.2: a second supervised stage takes all weights of the first, classifier included; any other stage with a
    parent or init_from takes the backbone's, CLS included, and begins with fresh heads. Raises RelvitError."""
    if stage.name == "supervised2":
        model.load_state_dict(read_weights(stage.parent.folder / "model.safetensors"))
    elif stage.parent is not None or stage.init is not None:
        file = stage.init or stage.parent.folder / "model.safetensors"
        load_weights(model.backbone, _backbone_weights(read_weights(file), file))


def read_weights(file: Path) -> dict[str, Tensor]:
    """A .safetensors file. Raises RelvitError where it cannot be read."""
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except Exception as error:  # safetensors raises its own kinds
        raise RelvitError(f"the weights {file} cannot be read ({error}): fresh=True trains that stage anew") from None


def _backbone_weights(weights: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The part of a model's weights that is its backbone's; all of them where the file holds a bare backbone."""
    own = {name.removeprefix("backbone."): value for name, value in weights.items() if name.startswith("backbone.")}
    bare = {name: value for name, value in weights.items() if not name.startswith("head.")}  # as export_timm writes it
    if not own and not bare:
        raise RelvitError(f"the weights {file} are empty")
    return own or bare
