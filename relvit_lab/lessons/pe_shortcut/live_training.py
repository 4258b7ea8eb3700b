"""§4.3 live: pre-training on SpRel step by step, with the settings of Figure 4 switched while it trains.

One step, model, optimiser and pipeline are state.py's; nothing is written to disk.
`python -m relvit_lab.lessons.pe_shortcut.live_training` makes the recorded tries anew.
"""

import dataclasses
import json
import math
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import torch

from relvit_lab.common.compute.choose_device import pick_device
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.randomness import epoch_order
from relvit_lab.method.relations import RELATION_NAMES
from relvit_lab.method.tasks import TASKS
from relvit_lab.train import assets
from relvit_lab.train.build import load_data
from relvit_lab.train.environment import environment
from relvit_lab.train.evaluate import chance, evaluate
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.state import Training

DATA = {"dataset": "digits", "image_size": 16, "patch_size": 4, "test_images": 250, "precision": "float32"}
"""Digits at twice their size: a patch of 2 pixels has no patch crop, one of 4 has. The grid is 4 x 4. In float32 on
every processor, as the recorded tries are."""
SIDE = 4
EPOCHS = 12
EVERY = 6  # steps between two looks at the test images
RECORDED = assets.FOLDER / "shortcut_lab.json"

Try = dict[str, Any]
"""What a training was and gave, as JSON holds it: {settings: {pos_embed, shuffle, crop, jitter} at its start, seed, of:
its steps, steps: [...], sprel: [...] in % on test images after so many steps, switches: [{step, setting, on}]}. At a
switch of the embeddings there are two values: with the old setting, and with the new one."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What can be switched. pos_embed: E_pos is added to the tokens, in training and evaluation. The rest is of the
    training images alone: shuffle their patches, crop each patch (§4.1), jitter its colours."""

    pos_embed: bool = True
    shuffle: bool = False
    crop: bool = True
    jitter: bool = True


NAMES = tuple(field.name for field in dataclasses.fields(Settings))
WORDS = dict(zip(NAMES, ("PE", "shuffle", "crop", "jitter")))


def label(settings: Settings) -> str:
    """A try's settings in a few words: "PE, shuffle, crop, jitter"; whether PE is off is always said: "no PE, crop"."""
    on = [WORDS[name] for name in NAMES[1:] if getattr(settings, name)]
    return ", ".join(["PE" if settings.pos_embed else "no PE", *on])


def marks(one: Try) -> dict[int, str]:
    """What was switched, by step: {84: "PE off, shuffle on"}."""
    at: dict[int, list[str]] = {}
    for switch in one["switches"]:
        at.setdefault(switch["step"], []).append(f"{WORDS[switch['setting']]} {'on' if switch['on'] else 'off'}")
    return {step: ", ".join(words) for step, words in at.items()}


def full_label(one: Try) -> str:
    """The settings at the start, and each switch: "PE, crop, jitter; step 84: PE off"."""
    switched = [f"step {step}: {words}" for step, words in marks(one).items()]
    return "; ".join([label(Settings(**one["settings"])), *switched])


def floors() -> dict[str, float]:
    """What knowing nothing gives, in %: the best constant answer, and guessing among the classes."""
    return {"constant": chance(TASKS["sprel"], SIDE), "guessing": 100 / len(RELATION_NAMES)}


class LiveTraining:
    """A training that is driven from outside: step(), or switch(settings), in any order, until done.

    The same seed, settings and switches give the same values. torch's own generator is left as it was found: other
    code may draw from it between two steps. fields: of the Experiment, in place of the lab's own.
    Raises RelvitError as training does, at a step for a loss that is not finite.
    """

    def __init__(self, settings: Settings = Settings(), seed: int = 0, epochs: int = EPOCHS, **fields: object):
        given = {**DATA, "preset": "demo", "tasks": "sprel", **fields}
        experiment = Experiment(**given, pos_embed=True, stop_after="pretrain", epochs=epochs, seed=seed)
        stage = experiment.stages()[0]
        device = pick_device(stage.experiment.device, stage.experiment.precision)
        self._own = [device.torch] if device.torch.type == "cuda" else []
        with torch.random.fork_rng(self._own):
            self.training = Training(stage, device, load_data(stage.experiment))
        self._embedding = self.training.model.backbone.pos_embed  # kept here while it is left out
        self._batches = self._all_batches()
        self.settings = settings
        self.first = settings
        self.values: list[tuple[int, float]] = []
        self.switches: list[dict[str, Any]] = []
        self._apply()
        self._look()

    @property
    def done(self) -> bool:
        return self.training.step >= self.training.steps

    def step(self) -> None:
        """Train on one batch, and look at the test images every EVERY steps and in the end."""
        images, labels = next(self._batches)
        with torch.random.fork_rng(self._own):
            self.training.train_step(images, labels)
        if self.training.step % EVERY == 0 or self.done:
            self._look()

    def switch(self, settings: Settings) -> None:
        """Go on with other settings from the next step on. Where E_pos is added or left out, SpRel is measured before
        and after: at the same step, and with the same weights."""
        changed = [name for name in NAMES if getattr(settings, name) != getattr(self.settings, name)]
        if "pos_embed" in changed and self.values[-1][0] != self.training.step:
            self._look()
        self.settings = settings
        self._apply()
        self.switches += [
            {"step": self.training.step, "setting": name, "on": getattr(settings, name)} for name in changed
        ]
        if "pos_embed" in changed:
            self._look()

    def record(self) -> Try:
        """What it has given so far."""
        return {
            "settings": dataclasses.asdict(self.first), "seed": self.training.stage.experiment.seed,
            "of": self.training.steps, "steps": [step for step, _ in self.values],
            "sprel": [value for _, value in self.values], "switches": list(self.switches),
        }  # fmt: skip

    def _apply(self) -> None:
        s = self.settings
        self.training.model.backbone.pos_embed = self._embedding if s.pos_embed else None
        self.training.pipeline = dataclasses.replace(
            self.training.pipeline, shuffle=s.shuffle, patch_augment=s.crop or s.jitter, patch_crop=s.crop,
            patch_jitter=s.jitter,
        )  # fmt: skip

    def _look(self) -> None:
        t = self.training
        with torch.random.fork_rng(self._own):
            found = evaluate(t.model, t.pipeline, t.test, t.batch_size, t.weights)
        if not math.isfinite(found["loss"]):
            raise RelvitError(f"the loss on the test images is not finite at step {t.step}: try a lower lr")
        self.values.append((t.step, found["sprel"]))

    def _all_batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches of all epochs, in the order in which training visits them."""
        t, e = self.training, self.training.stage.experiment
        for epoch in range(e.epochs):
            order = epoch_order(e.seed, t.stage.name, epoch, len(t.train))
            with closing(t.train.batches(order, t.batch_size, 0, epoch)) as batches:
                yield from batches


# Recorded tries

SWITCH_AT = 84
PLANNED: tuple[tuple[Settings, Settings | None], ...] = (
    (Settings(), None),
    (Settings(shuffle=True), None),
    (Settings(pos_embed=False), None),
    (Settings(pos_embed=False, shuffle=True), None),
    (Settings(), Settings(pos_embed=False)),
    (Settings(pos_embed=False), Settings()),
    (Settings(pos_embed=False, crop=False, jitter=False), None),
)
"""The recorded tries: the settings at the start and, for some, those from step SWITCH_AT on."""


def train(first: Settings, then: Settings | None = None, **fields: object) -> Try:
    """A whole training, at once. then: the settings from step SWITCH_AT on."""
    live = LiveTraining(first, **fields)
    while not live.done:
        if then is not None and live.training.step == SWITCH_AT:
            live.switch(then)
        live.step()
    return live.record()


def recorded() -> dict[str, Any]:
    """The tries that come with the package: {command, about, environment, tries: [Try, ...]}."""
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def record_tries() -> dict[str, Any]:
    """Train what is PLANNED, and give it as `recorded` does."""
    tries = []
    for first, then in PLANNED:
        tries.append(train(first, then))
        print(f"{full_label(tries[-1]):<40} SpRel {tries[-1]['sprel'][-1]:5.1f} %")
    live = LiveTraining()
    e = live.training.stage.experiment
    about = {
        "dataset": e.dataset, "train_images": len(live.training.train), "test_images": len(live.training.test),
        "image_size": e.image_size, "patch_size": e.patch_size, "backbone": e.backbone, "epochs": e.epochs,
        "batch_size": e.batch_size, "lr": e.lr, "seed": e.seed,
    }  # fmt: skip
    made_by = "python -m relvit_lab.lessons.pe_shortcut.live_training"
    return {"command": made_by, "about": about, "environment": environment(live.training.device), "tries": tries}


if __name__ == "__main__":
    text = json.dumps(record_tries(), separators=(",", ":")).replace(',"', ',\n"')
    RECORDED.write_text(text + "\n", encoding="utf-8")
