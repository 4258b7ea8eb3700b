"""The whole of CIFAR-10, as data: the larger study that results/README.md leads with. `python -m relvit_lab whole`
lists the commands in the order in which to run them: after any, what is there is as complete a picture as it can be.

All 50,000 training and 10,000 test images, preset demo's small ViT, recipe "paper", EPOCHS a stage; --epochs 30 lists
the same runs at another length. RATE and BATCH are the best of a short search for the *supervised* run, on images held
back from the training images (SEARCH, and `python -m relvit_lab whole --search`); then all arms have them.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from relvit_lab.paper.plan.cells import FIGURE_4, SUPERVISED
from relvit_lab.paper.records.small_study import MAIN
from relvit_lab.paper.records.store import Record
from relvit_lab.paper.records.study import Study

EPOCHS = 6  # a stage: 300,000 images seen, 40 minutes of a CPU core without bf16
RATE, BATCH = 1e-3, 64  # the best of the search as soon as it is on record (results/search)
SHARE = 10  # % of the labels
HOW = "--precision float32 --compile false"
DATA = {
    "dataset": "cifar10", "preset": "demo", "train_images": 50_000, "test_images": 10_000, "lr": RATE,
    "batch_size": BATCH,
}  # fmt: skip
FEW: dict[str, Any] = {"label_fraction": SHARE / 100}
FOUR = {"tasks": "sprel,dist,ang,abspos", "stop_after": "pretrain"}

ARMS: dict[str, dict[str, dict[str, Any]]] = {
    "pre-training": MAIN,
    "shortcut": {name: dict(FIGURE_4[name].fields) for name in ("pe_on", "pe_off")},
    "four tasks": {  # the notebooks' model, and its twin that can cheat
        "four_tasks": FOUR,
        "four_tasks_pe": {**FOUR, "pos_embed": True},
    },
    "few labels": {  # as many images seen as in fine-tuning; and (LONG) as in both stages
        "few_supervised": {**SUPERVISED, **FEW},
        "few_supervised_long": {**SUPERVISED, **FEW},
        "few_finetuned": FEW,
    },
    "mega-patches": {"mega_4": {"mega_patches": 4}},
}
SETTINGS = {name: fields for settings in ARMS.values() for name, fields in settings.items()}
LONG = {"few_supervised_long": 1 + 100 // SHARE}  # times as many epochs, for an epoch has a tenth of the images
SEEDS = (0, 1, 2)
ORDER = (  # seeds and arms
    (0, ("pre-training", "shortcut", "four tasks", "few labels")),
    (1, ("pre-training",)),
    (0, ("mega-patches",)),
    (2, ("pre-training",)),
    *((seed, ("shortcut", "few labels", "mega-patches")) for seed in (1, 2)),
)


def study(epochs: int) -> Study:
    """The study with so many epochs a stage."""
    return Study(
        {name: DATA | fields | {"epochs": epochs * LONG.get(name, 1)} for name, fields in SETTINGS.items()},
        {name: SEEDS[:1] if name in ARMS["four tasks"] else SEEDS for name in SETTINGS},
        "python -m relvit_lab whole",
        HOW,
    )


STUDY = study(EPOCHS)


def runs() -> Iterator[tuple[str, int]]:
    """Setting and seed of each run, in order."""
    for seed, arms in ORDER:
        for arm in arms:
            yield from ((name, seed) for name in ARMS[arm])


def commands(epochs: int = EPOCHS) -> Iterator[str]:
    """A command for each run; a stage that runs share is trained once."""
    planned = study(epochs)
    return (planned.command(name, seed) for name, seed in runs())


MODELS = {  # of the package (assets/), seed 0: the setting whose last stage each is
    "cifar10_tasks": "four_tasks",
    "cifar10_tasks_pe": "four_tasks_pe",
    "cifar10_supervised": "supervised",
    "cifar10_finetuned": "finetuned",
    "cifar10_joint": "joint",
}


def model_commands() -> Iterator[str]:
    """The commands that make finished runs the models of the package."""
    return (f"python -m relvit_lab asset {STUDY.stages(name)[-1].id} {model}" for model, name in MODELS.items())


# The search, before all that

HELD_BACK = 5_000  # the last of the training images
SEARCH_DATA = {
    "dataset": "cifar10_held_back.npz", "preset": "demo", "scenario": "supervised", "train_images": 10_000,
    "test_images": HELD_BACK, "epochs": 4,
}  # fmt: skip
SEARCH = tuple({"lr": lr, "batch_size": batch} for lr, batch in product((1e-3, 5e-4, 2e-3), (256, 64)))


def search_commands() -> Iterator[str]:
    """The commands of the search, the one that holds the images back first."""
    yield f"python -m relvit_lab hold_back cifar10 --images {HELD_BACK}"
    for fields in SEARCH:
        options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in (SEARCH_DATA | fields).items())
        yield f"python -m relvit_lab train {options} {HOW} --run-dir runs/search"


def searched(records: Mapping[str, Record]) -> list[tuple[float, int, float]]:
    """(rate, batch, accuracy in % on the images held back) of the search's records, best first."""
    found = [
        (record["experiment"]["lr"], record["experiment"]["batch_size"], record["metrics"]["accuracy"])
        for record in records.values()
        if record["experiment"]["dataset"].endswith(SEARCH_DATA["dataset"])  # a path, as seen from the project root
    ]
    return sorted(found, key=lambda row: -row[-1])
