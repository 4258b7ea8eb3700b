"""The five models of notebook 09: one size, one data set, one seed, and nothing else in common but their size.

Each is in the package (assets/), with the record of the stage that made it; a better one is put there under its name.
"""

import json
from typing import Any

from relvit_lab.train import assets
from relvit_lab.train.trained import Trained, load, untrained

UNTRAINED, SUPERVISED, RELVIT, CHEAT, JOINT = "untrained", "supervised", "RelViT", "cheat", "joint"
ASSETS = {
    SUPERVISED: "cifar10_supervised", RELVIT: "cifar10_tasks", CHEAT: "cifar10_tasks_pe", JOINT: "cifar10_joint",
}  # fmt: skip
TRAINED_ON = {
    UNTRAINED: "nothing",
    SUPERVISED: "classes",
    RELVIT: "the four tasks",
    CHEAT: "the four tasks, places told",
    JOINT: "classes, SpRel and AbsPos",
}


def five() -> dict[str, Trained]:
    """The models by name, the untrained one first: RelViT's architecture with fresh weights (seed 0)."""
    trained = {name: load(asset) for name, asset in ASSETS.items()}
    return {UNTRAINED: untrained(trained[RELVIT])} | trained


def records() -> dict[str, dict[str, Any]]:
    """What is on record of each trained model: experiment, curves, metrics and all else of its stage."""
    return {
        name: json.loads((assets.FOLDER / f"{asset}.json").read_text(encoding="utf-8"))
        for name, asset in ASSETS.items()
    }
