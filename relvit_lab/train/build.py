"""§4.2: what a stage is made of: its data, the path of its images, its model and the weights that it starts from."""

from dataclasses import replace

import torch
from torch import nn

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.weights_file import read_weights
from relvit_lab.data.feed import Feed, FileFeed, SplitFeed
from relvit_lab.method import backbones
from relvit_lab.method.backbones import BACKBONES, create_backbone, load_weights, of_another_size
from relvit_lab.method.backbones.base import check_backbone
from relvit_lab.method.backbones.weights import backbone_weights
from relvit_lab.method.model import RelViT
from relvit_lab.method.pipeline import Pipeline
from relvit_lab.method.task_check import check_task
from relvit_lab.method.tasks import BUILT_IN
from relvit_lab.method.tasks import get as get_task
from relvit_lab.train.experiment import Resolved, Stage
from relvit_lab.train.stage_folder import RunFolder


def load_data(e: Resolved) -> data.Dataset:
    """The data set of a resolved experiment, cut down to its train_images and test_images. Recipe released normalises
    small images upscaled to 224 px by statistics of their own. RelvitError where it has one class and a stage is to
    tell classes apart."""
    loaded = data.load(
        e.dataset, e.data_dir, e.image_size, source=e.data_source, train_on=e.train_on, train_images=e.train_images,
        test_images=e.test_images,
    )  # fmt: skip
    if len(loaded.classes) < 2 and any(stage.classifies for stage in e.stages()):
        raise RelvitError(
            f"{e.dataset} has one class ({', '.join(loaded.classes)}), and every answer would be right: give a folder "
            "with a folder a class, or pre-train on it alone (stop_after=pretrain)"
        )
    own = statistics_at_224(e)
    return loaded if own is None else replace(loaded, mean=own[0], std=own[1])


def statistics_at_224(e: Resolved) -> tuple | None:
    """(mean, std) where a resolved experiment has others than its data set."""
    asked = e.recipe == "released" and e.image_size == 224 and e.dataset in data.DATASETS
    return data.DATASETS.get(e.dataset).at_224 if asked else None


def build_pipeline(stage: Stage, dataset: data.Dataset) -> Pipeline:
    e = stage.experiment
    # crop and flip of images from files are train_feed's
    crop, flip = ("none", False) if dataset.files else (e.image_crop, e.flip)
    return Pipeline(
        e.image_size, e.patch_size, dataset.mean, dataset.std, e.recipe, crop, flip, stage.mega_patches,
        stage.augments_patches, stage.shuffle, dataset.centre,
    )  # fmt: skip


def train_feed(stage: Stage, dataset: data.Dataset, device: torch.device) -> Feed:
    """The training images of a stage, from the label_fraction of them that its classifier may see. Raises RelvitError
    where images from files are not to be cropped as these are."""
    e, rows = stage.experiment, None
    if stage.classifies and e.label_fraction < 1:
        places = torch.arange(len(dataset.train))
        rows = data.label_subset(data.Split(places, dataset.train.labels), e.label_fraction, e.seed).images
    if dataset.files is None:
        return SplitFeed(dataset.train, device, rows)
    if e.image_crop != "resized":
        raise RelvitError(f"data_source files crops each original anew (image_crop resized), not {e.image_crop}")
    files, key = dataset.files, (e.seed, stage.name)
    return FileFeed(files.train, files.root, e.image_size, e.flip, key, device, rows)


def build_model(stage: Stage, classes: int) -> RelViT:
    """The stage's model, freshly initialised from torch's global generator."""
    e = stage.experiment
    backbone = create_backbone(
        e.backbone, image_size=stage.input_size, patch=e.patch_size, pos_embed=stage.pos_embed, dropout=e.dropout,
        drop_path=e.drop_path,
    )  # fmt: skip
    if e.backbone in BACKBONES and BACKBONES.get(e.backbone) not in backbones.BUILT_IN:
        check_backbone(e.backbone, backbone, stage.input_size)
    tasks = [get_task(name, e.drloc_form) for name in stage.tasks]
    outputs = classes if stage.classifies else None
    model = RelViT(backbone, tasks, outputs, factored=e.factored_heads, pair_head=e.pair_head)
    for task in tasks:
        if task not in BUILT_IN:
            check_task(task, model.heads[task.name], backbone.dim, model.side)
    cls = getattr(model.backbone, "cls_token", None)  # Swin has none
    if e.recipe == "released" and cls is not None:  # where its code starts otherwise than timm
        nn.init.trunc_normal_(cls, std=0.02)
        if model.classifier is not None:
            model.classifier.reset_parameters()  # nn.Linear's own
    return model


def load_start(model: RelViT, stage: Stage) -> str:
    """§4.2: a second supervised stage takes all weights of the first, classifier included; any other stage with a
    parent or init_from takes the backbone's, CLS included, and begins with fresh heads. Returns a note, or "".
    Raises RelvitError."""
    if stage.init is not None:
        file = stage.init
    elif stage.parent is not None:
        file = stage.parent.folder / "model.safetensors"
    else:
        return ""
    if file.name != "model.safetensors":
        weights = read_weights(file)
    else:
        try:
            weights = RunFolder(file.parent).weights()
        except RelvitError as error:
            raise RelvitError(f"{error}; fresh=True trains the stage that it belongs to anew") from None
    if stage.name == "supervised2":
        model.load_state_dict(weights)
        return ""
    own = backbone_weights(weights)
    if not own:
        raise RelvitError(f"the weights {file} are empty")
    load_weights(model.backbone, own)
    if of_another_size(model.backbone, own):
        return f"{file.name} is of another image size: its positional embeddings were resampled, as timm does"
    return ""
