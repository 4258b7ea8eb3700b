"""§4.1: what a run may do otherwise than the paper's text, or where that says nothing: the rules of deviations.py.

A rule is about some of the stages, looks at one of them and says in words what it does otherwise, or nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from relvit_lab import data
from relvit_lab.method import backbones, drloc
from relvit_lab.method.augment import largest_shift
from relvit_lab.method.tasks import RELVIT
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.tables.finished import Made
from relvit_lab.train import presets
from relvit_lab.train.build import statistics_at_224

PAPERS = ("vit_s_4", "vit_s_8", "vit_s_32", "vit_s_16", "vit_s_14", "swin_t", "t2t_vit_14")
PAIR_TASKS = {task.name for task in RELVIT} - {"abspos"}
CODE = "the released code"
Says = Callable[[Made], str | None]


@dataclass(frozen=True)
class Rule:
    """name: of what differs. paper: what its text has. source: where the latter stands, and where ours is from.
    says(made) -> what a stage does, or None where it does as the paper. scope: which stages it is about, of SCOPES."""

    name: str
    paper: str
    source: str
    says: Says
    scope: str = "stages"


def _is_vit(m: Made) -> bool:
    return backbones.get(m.experiment.backbone).is_vit


def _info(m: Made) -> data.Info | None:
    """What is known of a data set by name; None of a folder or a file of the user's."""
    name = m.experiment.dataset
    return data.DATASETS.get(name).info if name in data.DATASETS else None


SCOPES: dict[str, Callable[[Made], bool]] = {
    "stages": lambda m: True,
    "stages that classify": lambda m: m.stage.classifies,
    "pre-trainings": lambda m: m.stage.name == "pretrain",
    "pre-trainings with mega-patches": lambda m: m.stage.mega_patches is not None,
    "joint trainings of ViT": lambda m: m.stage.name == "joint" and _is_vit(m),
    "stages with heads for pairs": lambda m: bool(PAIR_TASKS & set(m.stage.tasks)),
    "stages with patch augmentation": lambda m: m.stage.augments_patches,
    "stages with resized crops": lambda m: m.experiment.image_crop == "resized",
    "stages of Figure 4": lambda m: "figure4" in m.tables,
    "stages of Swin and T2T without relations": lambda m: (
        not _is_vit(m) and (m.stage.name == "supervised" or "drloc" in m.stage.tasks)
    ),
    "second supervised stages": lambda m: m.stage.name == "supervised2",
    "supervised trainings of one stage": lambda m: (
        m.stage.name == "supervised" and ("table3" in m.tables or m.experiment.supervised_stages == 1)
    ),
    "stages with L_drloc": lambda m: "drloc" in m.stage.tasks,
    "stages on image files": lambda m: (info := _info(m)) is not None and info.files,
    "stages on Flower-102": lambda m: m.experiment.dataset == "flower102",
    "stages that classify Flower-102": lambda m: m.stage.classifies and m.experiment.dataset == "flower102",
    "stages that classify Tiny-ImageNet and ImageNet-100": lambda m: (
        m.stage.classifies and m.experiment.dataset in ("tiny_imagenet", "imagenet100")
    ),
}
"""What a rule can be about, in words."""


# -- What a stage does otherwise, where one line does not say it -----------------------------------------------------


def _always(words: str) -> Says:
    """What all stages that the rule is about do."""
    return lambda m: words


def _where(holds: Callable[[Made], bool], words: str) -> Says:
    return lambda m: words if holds(m) else None


def _released(words: str) -> Says:
    """What recipe released does."""
    return _where(lambda m: m.experiment.recipe == "released", words)


def _set(field: str, words: str) -> Says:
    """A field of Experiment that is set and not 0. words: with a place for it."""

    def says(m: Made) -> str | None:
        value = getattr(m.experiment, field)
        return words.format(value) if value else None

    return says


def _backbone(m: Made) -> str | None:
    e = m.experiment
    if e.backbone in PAPERS:
        return None
    patches = f" in patches of {e.patch_size}" if _is_vit(m) else ""
    return f"{paper.label(e.backbone)}, images of {e.image_size} px{patches}"


def _batch(m: Made) -> str | None:
    e = m.experiment
    return None if e.batch_size == backbones.get(e.backbone).batch_size else f"{e.batch_size}"


def _decay(m: Made) -> str | None:
    e = m.experiment
    what = "every parameter" if e.recipe == "released" else "all but biases, norms and embeddings"
    return f"{e.weight_decay:g}, on {what}" if e.weight_decay else None


def _heads(m: Made) -> str | None:
    if m.experiment.pair_head == "mlp":
        return "an MLP on the two tokens"
    return "two factors of rank D / K, without bias, for K outputs" if m.experiment.factored_heads else None


def _crop(m: Made) -> str | None:
    e = m.experiment
    words = {"padded": f"shifts by up to {largest_shift(e.image_size)} px, zeros coming in", "none": "none"}
    return words.get(e.image_crop)


def _drloc(m: Made) -> str | None:
    e = m.experiment
    head = ", attention scores as head" if e.pair_head == "scores" else ""
    if e.drloc_form != "released":
        return f"targets in sides of the grid, a constant weight{head}"
    tokens = ", tokens from before the last norm" if e.backbone.startswith("swin") else ""
    return (
        "targets in patches, the error a mean of both directions, the loss's weight rising for "
        f"{drloc.RAMP_EPOCHS} epochs, then falling to 0 at {drloc.END_EPOCH}{tokens}{head}"
    )


def _inferred(m: Made) -> str | None:
    e = m.experiment
    cannot = presets.is_inferred(e.dataset, e.image_size, e.recipe)
    return f"inferred: it cannot start on {paper.label(e.dataset)} at {e.image_size} px" if cannot else None


def _flowers(m: Made) -> str | None:
    split = m.result.get("test_split", "test")
    if m.result["metrics"].get("best_val_accuracy") is None:
        return f"{split} images only"
    return f"the last epoch's on {split} images; the difference to the paper's is of the best on validation images"


def _precision(m: Made) -> str | None:
    own = m.result["environment"].get("precision")
    return None if own in (None, "float32") else {"bf16": "bfloat16 in forward passes (autocast)"}.get(own, str(own))


RULES = (
    Rule("Epochs a stage", "100, with warm-up in the first 10", "§4.1",
         lambda m: None if m.experiment.epochs == 100 else f"{m.experiment.epochs}, with warm-up in their first tenth"),
    Rule("Training images", "all", "§4.1", _set("train_images", "a fixed subset of at most {:,}")),
    Rule("Test images", "all", "§4.1", _set("test_images", "a fixed subset of at most {:,}")),
    Rule("Labelled images", "all", "§4.1",
         lambda m: f"{100 * m.experiment.label_fraction:g} % of them" if m.experiment.label_fraction < 1 else None,
         "stages that classify"),
    Rule("Data set", "CIFAR-10, CIFAR-100, SVHN, Flower-102, Tiny-ImageNet, ImageNet-100", "§4.1",
         lambda m: None if (info := _info(m)) and info.paper else paper.label(m.experiment.dataset)),
    Rule("Figure 4: data set", "not named", "§4.3", lambda m: paper.label(m.experiment.dataset), "stages of Figure 4"),
    Rule("Backbone", "ViT-S, Swin-T or T2T-ViT-14", "§4.1, Table 1", _backbone),
    Rule("Batch size", "256 for ViT, 64 for Swin-T and T2T-ViT-14", "§4.1", _batch),
    Rule("Highest learning rate", "0.0005", "§4.1",
         lambda m: None if m.experiment.lr == 5e-4 else f"{m.experiment.lr:g}"),
    Rule("Schedule of the rate", "linear warm-up, then a cosine", f"§4.1; {CODE}",
         _released("warm-up from 0, then a quarter of a cosine counted from the first step, down to 1.25e-6")),
    Rule("Settings of recipe released", "not said", CODE, _inferred),
    Rule("Initialisation", "not said", CODE,
         _where(lambda m: m.experiment.recipe == "released" and not m.experiment.backbone.startswith("swin"),
                "CLS truncated normal of 0.02, the classifier as torch has it; else timm's")),
    Rule("Mean and deviation of the pixels", "not said", CODE,
         _where(lambda m: statistics_at_224(m.experiment), "those of the images upscaled to 224 px")),
    Rule("Weight decay", "none", f"§4.1; {CODE}", _decay),
    Rule("Drop path", "none", f"§4.1; {CODE}", _set("drop_path", "{:g}")),
    Rule("Dropout", "none", f"§4.1; {CODE}", _set("dropout", "{:g}")),
    Rule("Clipping of gradients", "not said", CODE, _set("clip", "to a norm of {:g}")),
    Rule("Heads for pairs", "a full D x D matrix for each output", f"eq. 8; {CODE}", _heads,
         "stages with heads for pairs"),
    Rule("Crops of images", "random, resized", f"§4.1; {CODE}", _crop),
    Rule("Sizes of resized crops", "not said", "torchvision's defaults",
         _always("8 to 100 % of the area, sides 3:4 to 4:3"), "stages with resized crops"),
    Rule("Mirrored images", "at random", "§4.1", _where(lambda m: not m.experiment.flip, "none")),
    Rule("Strength of patch augmentation", "crop, jitter and grey, without values", f"§4.1; {CODE}",
         _always("windows of side round(P / 1.15); jitter 0.4, 0.4, 0.4, 0.1 with probability 0.8; grey with 0.2"),
         "stages with patch augmentation"),
    Rule("Order of patch augmentation", "not said", CODE,
         _released("on normalised patches, where jitter cuts colours to [0, 1]"), "stages with patch augmentation"),
    Rule("Patch augmentation", "with ViT and SSL tasks", f"§4.1; {CODE}",
         _where(lambda m: not m.stage.augments_patches, "in pre-training only, not in joint training"),
         "joint trainings of ViT"),
    Rule("Cuts of mega-patches", "random in each direction", f"§3.2.1; {CODE}",
         _released("one draw serves both directions"), "pre-trainings with mega-patches"),
    Rule("Resizing of mega-patches", "not said how", f"§3.2.1; {CODE}", _released("without antialias"),
         "pre-trainings with mega-patches"),
    Rule("Cuts in evaluation", "not said", "ours; the released code draws them anew",
         _always("fixed by the image's index"), "pre-trainings with mega-patches"),
    Rule("Weights that are fine-tuned", "not said of which epoch", CODE,
         lambda m: ("of the lowest SSL loss in evaluation" if m.result["stage"].get("kept_epoch")
                    else "of the last epoch"), "pre-trainings"),
    Rule("Weights of the second supervised stage", "not said of which epoch of the first", CODE,
         _released("of the highest accuracy in evaluation"), "second supervised stages"),
    Rule("Stages of supervised training", "two in Table 2, not said in Table 3 and Figure 4", "§4.2, §4.3; inferred",
         _always("one"), "supervised trainings of one stage"),
    Rule("Supervised and L_drloc", "quoted from Liu et al. [21], another recipe", "Table 3", _always("runs of our own"),
         "stages of Swin and T2T without relations"),
    Rule("L_drloc", "quoted", "Table 3; the peer's paper and its released code", _drloc, "stages with L_drloc"),
    Rule("Photographs", "crops of the images", "§4.1",
         _where(lambda m: m.experiment.data_source == "packed",
                "decoded once to their middle squares, shrunk; crops are cut from these"), "stages on image files"),
    Rule("Flower-102: trained on", "training images, about 1,000", "§4.1",
         _where(lambda m: m.experiment.train_on == "train+val", "training and validation images"),
         "stages on Flower-102"),
    Rule("Flower-102: accuracy is of", "validation images, as its multiples of 1/1020 tell", "Table 5", _flowers,
         "stages that classify Flower-102"),
    Rule("Tiny-ImageNet, ImageNet-100: accuracy is of", "not said", "§4.1",
         _where(lambda m: m.result.get("test_split") == "val", "the public validation images, none else having labels"),
         "stages that classify Tiny-ImageNet and ImageNet-100"),
    Rule("Epoch whose accuracy counts", "not said; the released code takes the best in evaluation", CODE,
         _always("both: the last; and the best, which is set against the paper's number"), "stages that classify"),
    Rule("Precision", "not said", "the run's device", _precision),
)  # fmt: skip
