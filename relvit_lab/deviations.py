"""§4.1: where finished runs depart from the paper's text or fill its silence, told from the runs themselves.

A rule looks at one run and says in words what it does otherwise, or nothing. What no run does is not listed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relvit_lab import backbones, data, drloc, paper
from relvit_lab.experiment import Stage
from relvit_lab.tables_runs import Run
from relvit_lab.tasks import RELVIT

PAPERS = ("vit_s_4", "vit_s_8", "vit_s_32", "vit_s_16", "vit_s_14", "swin_t", "t2t_vit_14")
SEEDS = 5  # §4.2: runs of every experiment
PAIR_TASKS = {task.name for task in RELVIT} - {"abspos"}
CODE = "the released code"


@dataclass(frozen=True)
class Made:
    """A finished run; its stage, which has the same id and so the same scientific fields; the tables that need it."""

    run: Run
    stage: Stage
    tables: tuple[str, ...] = ()

    @property
    def result(self) -> Mapping[str, Any]:
        return self.run.result

    @property
    def preset(self) -> str:
        """Changes no id, so the run itself is asked."""
        return str(self.result["experiment"].get("preset") or "not recorded")


@dataclass(frozen=True)
class Rule:
    """name: of what differs. paper: what its text has. source: where the latter stands, and where ours is from.
    says(made) -> what the run does, or None where it does as the paper or the rule is not about such a run."""

    name: str
    paper: str
    source: str
    says: Callable[[Made], str | None]


@dataclass(frozen=True)
class Deviation:
    """A rule that holds for `count` of `total` runs in these words. which: what these have in common and others lack,
    "" where that is nothing, or where they are all."""

    name: str
    paper: str
    ours: str
    source: str
    count: int
    total: int
    which: str = ""

    @property
    def everywhere(self) -> bool:
        return self.count == self.total


def deviations(made: Sequence[Made]) -> tuple[Deviation, ...]:
    """What is in force in some runs, in the order of RULES; a rule that holds in several ways comes as often."""
    found = []
    for rule in RULES:
        said: dict[str, list[Made]] = {}
        for one in made:
            words = rule.says(one)
            if words is not None:
                said.setdefault(words, []).append(one)
        found += [
            Deviation(rule.name, rule.paper, words, rule.source, len(own), len(made), _in_common(own, made))
            for words, own in sorted(said.items())
        ]
    return tuple(found)


def fewer_seeds(counts: Iterable[int]) -> tuple[Deviation, ...]:
    """The numbers that are from fewer seeds than the paper's five. counts: of every number that has a run, its seeds.
    Count and total are of numbers here, not of runs."""
    by_count = Counter(counts)
    total = by_count.total()
    return tuple(
        Deviation("Seeds", f"{SEEDS} runs of each experiment; Tables 4 and 5 print no spread",
                  f"{n} seed{'s' if n > 1 else ''}", "§4.2", by_count[n], total)
        for n in sorted(by_count) if n < SEEDS
    )  # fmt: skip


def _in_common(own: Sequence[Made], made: Sequence[Made]) -> str:
    """What tells some runs from the others: each property that has fewer values among them than among all."""
    if len(own) == len(made):
        return ""
    words = []
    for what, of in _PROPERTIES.items():
        here, all_of_them = dict.fromkeys(map(of, own)), set(map(of, made))
        if len(here) < len(all_of_them):
            words.append(f"{what} {', '.join(sorted(here))}")
    return "; ".join(words)


_PROPERTIES: dict[str, Callable[[Made], str]] = {
    "recipe": lambda m: m.stage.experiment.recipe,
    "data": lambda m: paper.label(m.stage.experiment.dataset),
    "backbone": lambda m: paper.label(m.stage.experiment.backbone),
    "stage": lambda m: m.stage.name,
}


# -- Rules: scale --------------------------------------------------------------------------------------------------


def _epochs(m: Made) -> str | None:
    n = m.stage.experiment.epochs
    return None if n == 100 else f"{n}, with warm-up in their first tenth"


def _train_images(m: Made) -> str | None:
    n = m.stage.experiment.train_images
    return f"a fixed subset of at most {n:,}" if n else None


def _test_images(m: Made) -> str | None:
    n = m.stage.experiment.test_images
    return f"a fixed subset of at most {n:,}" if n else None


def _labels(m: Made) -> str | None:
    share = m.stage.experiment.label_fraction
    return f"{100 * share:g} % of them" if m.stage.classifies and share < 1 else None


def _info(m: Made) -> data.Info | None:
    """What is known of a data set by name; None of a folder or a file of the user's."""
    name = m.stage.experiment.dataset
    return data.DATASETS.get(name).info if name in data.DATASETS else None


def _dataset(m: Made) -> str | None:
    info = _info(m)
    return None if info and info.paper else paper.label(m.stage.experiment.dataset)


def _figure4(m: Made) -> str | None:
    return paper.label(m.stage.experiment.dataset) if "figure4" in m.tables else None


def _backbone(m: Made) -> str | None:
    e = m.stage.experiment
    if e.backbone in PAPERS:
        return None
    patches = f" in patches of {e.patch_size}" if backbones.get(e.backbone).is_vit else ""
    return f"{paper.label(e.backbone)}, images of {e.image_size} px{patches}"


def _batch(m: Made) -> str | None:
    e = m.stage.experiment
    return None if e.batch_size == backbones.get(e.backbone).batch_size else f"{e.batch_size}"


def _rate(m: Made) -> str | None:
    return None if m.stage.experiment.lr == 5e-4 else f"{m.stage.experiment.lr:g}"


# -- Rules: training -----------------------------------------------------------------------------------------------


def _released(m: Made) -> bool:
    return m.stage.experiment.recipe == "released"


def _is_vit(m: Made) -> bool:
    return backbones.get(m.stage.experiment.backbone).is_vit


def _schedule(m: Made) -> str | None:
    return "warm-up times a quarter of a cosine counted from the first step, down to 1.25e-6" if _released(m) else None


def _decay(m: Made) -> str | None:
    if not m.stage.experiment.weight_decay:
        return None
    what = "every parameter" if _released(m) else "all but biases, norms and embeddings"
    return f"{m.stage.experiment.weight_decay:g}, on {what}"


def _drop_path(m: Made) -> str | None:
    return f"{m.stage.experiment.drop_path:g}" if m.stage.experiment.drop_path else None


def _dropout(m: Made) -> str | None:
    return f"{m.stage.experiment.dropout:g}" if m.stage.experiment.dropout else None


def _clip(m: Made) -> str | None:
    return f"to a norm of {m.stage.experiment.clip:g}" if m.stage.experiment.clip else None


def _heads(m: Made) -> str | None:
    e, pairs = m.stage.experiment, PAIR_TASKS & set(m.stage.tasks)
    if not pairs:
        return None
    if e.pair_head == "mlp":
        return "an MLP on the two tokens"
    return "two factors of rank D / K, without bias, for K outputs" if e.factored_heads else None


def _crop(m: Made) -> str | None:
    crop = m.stage.experiment.image_crop
    return {"padded": "shifts by up to an eighth of the side, zeros coming in", "none": "none"}.get(crop)


def _crop_sizes(m: Made) -> str | None:
    resized = m.stage.experiment.image_crop == "resized"
    return "8 to 100 % of the area, sides 3:4 to 4:3" if resized else None


def _flip(m: Made) -> str | None:
    return None if m.stage.experiment.flip else "none"


def _patch_strengths(m: Made) -> str | None:
    if not m.stage.augments_patches:
        return None
    return "windows of side round(P / 1.15); jitter 0.4, 0.4, 0.4, 0.1 with probability 0.8; grey with 0.2"


def _patch_order(m: Made) -> str | None:
    released = m.stage.augments_patches and _released(m)
    return "on normalised patches, where jitter cuts colours to [0, 1]" if released else None


def _joint_patches(m: Made) -> str | None:
    without = m.stage.name == "joint" and _is_vit(m) and not m.stage.augments_patches
    return "in pre-training only, not in joint training" if without else None


def _cuts(m: Made) -> str | None:
    return "one draw serves both directions" if m.stage.mega_patches and _released(m) else None


def _mega_resize(m: Made) -> str | None:
    return "without antialias" if m.stage.mega_patches and _released(m) else None


def _mega_test(m: Made) -> str | None:
    return "fixed by the image's index" if m.stage.mega_patches else None


def _kept(m: Made) -> str | None:
    if m.stage.name != "pretrain":
        return None
    return "of the lowest SSL loss in evaluation" if m.result["stage"].get("kept_epoch") else "of the last epoch"


def _drloc(m: Made) -> str | None:
    if "drloc" not in m.stage.tasks:
        return None
    head = ", attention scores as head" if m.stage.experiment.pair_head == "scores" else ""
    if m.stage.experiment.drloc_form == "released":
        return f"targets in patches, the loss's weight rising over {drloc.RAMP_EPOCHS} epochs{head}"
    return f"targets in sides of the grid, a constant weight{head}"


def _quoted(m: Made) -> str | None:
    own = not _is_vit(m) and (m.stage.name == "supervised" or "drloc" in m.stage.tasks)
    return f"runs of our own, recipe {m.stage.experiment.recipe}" if own else None


# -- Rules: data, numbers, precision -------------------------------------------------------------------------------


def _packed(m: Made) -> str | None:
    info = _info(m)
    stored = m.stage.experiment.data_source == "packed" and info is not None and info.files
    return "decoded once to their middle squares, shrunk; crops are cut from these" if stored else None


def _train_on(m: Made) -> str | None:
    return "training and validation images" if m.stage.experiment.train_on == "train+val" else None


def _flowers(m: Made) -> str | None:
    if m.stage.experiment.dataset != "flower102" or not m.stage.classifies:
        return None
    split = m.result.get("test_split", "test")
    if m.result["metrics"].get("best_val_accuracy") is None:
        return f"{split} images only"
    return f"the last epoch's on {split} images; the difference to the paper's is of the best on validation images"


def _public_val(m: Made) -> str | None:
    val = m.result.get("test_split") == "val" and m.stage.classifies
    return "the public validation images, no others having labels" if val else None


def _epoch(m: Made) -> str | None:
    if not m.stage.classifies:
        return None
    return "both: the last; and the best, which is set against the paper's number"


def _precision(m: Made) -> str | None:
    own = m.result["environment"].get("precision")
    return None if own in (None, "float32") else {"bf16": "bfloat16 in forward passes (autocast)"}.get(own, str(own))


RULES = (
    Rule("Epochs a stage", "100, with warm-up in the first 10", "§4.1", _epochs),
    Rule("Training images", "all", "§4.1", _train_images),
    Rule("Test images", "all", "§4.1", _test_images),
    Rule("Labelled images", "all", "§4.1", _labels),
    Rule("Data set", "CIFAR-10, CIFAR-100, SVHN, Flower-102, Tiny-ImageNet, ImageNet-100", "§4.1", _dataset),
    Rule("Figure 4: data set", "not named", "§4.3", _figure4),
    Rule("Backbone", "ViT-S, Swin-T or T2T-ViT-14", "§4.1, Table 1", _backbone),
    Rule("Batch size", "256 for ViT, 64 for Swin-T and T2T-ViT-14", "§4.1", _batch),
    Rule("Highest learning rate", "0.0005", "§4.1", _rate),
    Rule("Schedule of the rate", "linear warm-up, then a cosine", f"§4.1; {CODE}", _schedule),
    Rule("Weight decay", "none", f"§4.1; {CODE}", _decay),
    Rule("Drop path", "none", f"§4.1; {CODE}", _drop_path),
    Rule("Dropout", "none", f"§4.1; {CODE}", _dropout),
    Rule("Clipping of gradients", "not said", CODE, _clip),
    Rule("Heads for pairs", "a full D x D matrix for each output", f"eq. 8; {CODE}", _heads),
    Rule("Crops of images", "random, resized", f"§4.1; {CODE}", _crop),
    Rule("Sizes of resized crops", "not said", "the usual values", _crop_sizes),
    Rule("Mirrored images", "at random", "§4.1", _flip),
    Rule("Strength of patch augmentation", "crop, jitter and grey, without values", f"§4.1; {CODE}", _patch_strengths),
    Rule("Order of patch augmentation", "not said", CODE, _patch_order),
    Rule("Patch augmentation of ViT", "with every SSL task", f"§4.1; {CODE}", _joint_patches),
    Rule("Cuts of mega-patches", "random in each direction", f"§3.2.1; {CODE}", _cuts),
    Rule("Resizing of mega-patches", "not said how", f"§3.2.1; {CODE}", _mega_resize),
    Rule("Cuts in evaluation", "not said", "ours; the released code draws them anew", _mega_test),
    Rule("Pre-trained weights that are fine-tuned", "not said of which epoch", CODE, _kept),
    Rule("Swin and T2T: Supervised, L_drloc", "quoted from Liu et al. [21], another recipe", "Table 3", _quoted),
    Rule("L_drloc", "quoted", "Table 3; the peer's paper and its released code", _drloc),
    Rule("Photographs", "crops of the images", "§4.1", _packed),
    Rule("Flower-102: trained on", "training images, about 1,000", "§4.1", _train_on),
    Rule("Flower-102: accuracy is of", "validation images, as its multiples of 1/1020 tell", "Table 5", _flowers),
    Rule("Tiny-ImageNet, ImageNet-100: accuracy is of", "not said", "§4.1", _public_val),
    Rule("Epoch whose accuracy counts", "not said; the released code takes the best in evaluation", CODE, _epoch),
    Rule("Precision", "not said", "the run's device", _precision),
)  # fmt: skip
