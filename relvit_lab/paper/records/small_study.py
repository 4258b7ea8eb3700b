"""Real runs at laptop scale, as data: what results/README.md reports, by name. `python -m relvit_lab small` lists the
commands; with OMP_NUM_THREADS=1 a stage takes three to six minutes on one CPU core.

The real CIFAR-10, cut down by preset demo to a fixed 4,000 training and 2,000 test images, and the small ViT vit_nano;
and a few short runs of Swin-T and T2T-ViT-14 at 224 px (FULL_SIZE).
"""

from collections.abc import Iterator
from typing import Any

from relvit_lab.paper.plan.cells import FIGURE_4, JOINT, SUPERVISED, TWICE
from relvit_lab.paper.records.store import NOTEBOOK, command
from relvit_lab.paper.records.study import Study

COMPUTED = {"precision": "float32", "compile": "false"}  # as the records were; another way rounds otherwise
DATA = {"dataset": "cifar10", "preset": "demo", **COMPUTED}
SEEDS = (0, 1, 2)
LONG_EPOCHS = 60  # five times those of the preset
LABELS = (5, 10, 25)  # % of the labelled training images
MEGA = (3, 4, 5, 6)  # M

MAIN: dict[str, dict[str, Any]] = {  # of both studies
    "supervised": SUPERVISED,
    "twice": TWICE,
    "finetuned": {},
    "joint": JOINT,
    "control": {**JOINT, "task_weights": (0.0, 0.0)},
}
SETTINGS: dict[str, dict[str, Any]] = {
    **MAIN,
    **{name: dict(curve.fields) for name, curve in FIGURE_4.items()},
    **{f"mega_{m}": {"mega_patches": m} for m in MEGA},
    **{f"supervised_{share}": {**SUPERVISED, "label_fraction": share / 100} for share in LABELS},
    **{f"finetuned_{share}": {"label_fraction": share / 100} for share in LABELS},
    "released": {"recipe": "released"},
    "long_twice": {**TWICE, "epochs": LONG_EPOCHS},
    "long_finetuned": {"epochs": LONG_EPOCHS},
}
LONG = ("long_twice", "long_finetuned")  # one seed

# Table 3's other backbones at their full size, on a few images: that each row runs, and what it costs. One seed.
FULL_DATA = {
    "dataset": "cifar10", "preset": "paper", "train_images": 320, "test_images": 200, "epochs": 3, **COMPUTED,
}  # fmt: skip
FULL_SIZE: dict[str, dict[str, Any]] = {
    f"{backbone}_{name}": {"backbone": backbone, **fields}
    for backbone in ("swin_t", "t2t_vit_14")
    for name, fields in {"supervised": SUPERVISED, "joint": JOINT, "drloc": {**JOINT, "tasks": "drloc"}}.items()
}

STUDY = Study(
    {name: DATA | fields for name, fields in SETTINGS.items()}
    | {name: FULL_DATA | fields for name, fields in FULL_SIZE.items()},
    {name: SEEDS[:1] if name in LONG or name in FULL_SIZE else SEEDS for name in (*SETTINGS, *FULL_SIZE)},
    "python -m relvit_lab small",
)
experiment, find = STUDY.experiment, STUDY.find


def commands() -> Iterator[str]:
    """A command for each run, in an order in which shared stages are made once: seed by seed."""
    for seed in SEEDS:
        for name in (*SETTINGS, *FULL_SIZE):
            if seed in STUDY.seeds[name]:
                own = NOTEBOOK.replace("out.ipynb", f"out_{name}_{seed}.ipynb")
                yield command(experiment(name, seed).resolved().as_dict()).replace(NOTEBOOK, own)
