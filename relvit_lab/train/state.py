"""§4.1: a stage in memory (data, model, optimiser, how far it is): one step, the end of an epoch, checkpoints."""

import math
import time
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from relvit_lab import data
from relvit_lab.common.compute import compiler
from relvit_lab.common.compute.device import Device
from relvit_lab.common.errors import RelvitError, first_line
from relvit_lab.common.randomness import BatchGenerator, key
from relvit_lab.common.shortages import shortage
from relvit_lab.data.feed import SplitFeed
from relvit_lab.method.pipeline import Batch
from relvit_lab.method.schedule import learning_rate, make_optimizer
from relvit_lab.train import engine
from relvit_lab.train.build import build_model, build_pipeline, load_start, train_feed
from relvit_lab.train.clock import Clock
from relvit_lab.train.environment import going_on, version
from relvit_lab.train.evaluate import evaluate
from relvit_lab.train.experiment import Stage
from relvit_lab.train.profile import Profile
from relvit_lab.train.stage_folder import DamagedCheckpoint, RunFolder


def same_data(digest: str | None, dataset: data.Dataset, folder: RunFolder) -> None:
    if digest != dataset.digest:
        raise RelvitError(
            f"the data set {dataset.name} has changed since {folder.path} was made: fresh=True trains on it as it is"
        )


class Training:
    """A stage in memory: its data, model, optimiser, and how far it is."""

    def __init__(self, stage: Stage, device: Device, dataset: data.Dataset):
        self.stage, self.device, self.dataset = stage, device, dataset
        e = stage.experiment
        self.train = train_feed(stage, dataset, device.torch)
        self.test = SplitFeed(dataset.test, device.torch)
        self.val = SplitFeed(dataset.val, device.torch) if dataset.val else None
        self.batch_size = min(e.batch_size, len(self.train))
        self.steps_per_epoch = math.ceil(len(self.train) / self.batch_size)
        self.steps = e.epochs * self.steps_per_epoch
        self.pipeline = build_pipeline(stage, dataset)
        torch.manual_seed(key(e.seed, stage.name, "initialisation"))
        self.model = build_model(stage, len(dataset.classes))
        # the others get its weights
        self.start_note = load_start(self.model, stage) if device.is_main else ""
        self.model.to(device.torch)
        self.forward = device.wrap(self.model)
        self.missing = ""  # why a stage that is worth it is not compiled
        self._compute(device.precision, device.from_main(self._compiles))
        self.compiling = 0.0  # seconds
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.weights = dict(zip(stage.tasks, stage.weights))
        self.step = 0  # steps done
        self.history: list[dict] = []  # the lines of metrics.jsonl
        self.best: dict | None = None  # {"epoch", "judged", "model"} where the stage keeps its best epoch
        self.seconds = 0.0  # of training, in earlier processes too
        self.profile: Profile | None = None
        self.versions = [version(device)]  # that trained this stage, earlier ones first
        self._forget_epoch()

    def _compiles(self) -> bool:
        """As the experiment says; auto: where it is worth it and there is a compiler."""
        e = self.stage.experiment
        if e.compile != "auto":
            return e.compile == "true"
        if not engine.worth_compiling(self.stage, len(self.train), self.device.torch, self.device.precision):
            return False
        self.missing = compiler.missing_compiler(self.device.torch)
        return not self.missing

    def _compute(self, precision: str, compiled: bool) -> None:
        """From here on in that precision, compiled or not. Before the first step, for the optimiser is made anew."""
        e = self.stage.experiment
        self.device = replace(self.device, precision=precision)
        engine.set_up(self.model, self.device.torch, precision, compiled)
        fused = engine.fuses_optimizer(self.device.torch.type, precision, compiled)
        self.optimizer = make_optimizer(self.model, e.weight_decay, e.recipe, fused)

    def _forget_epoch(self) -> None:
        self.sums: dict[str, Tensor] = {}  # of losses over the epoch's images so far, on the device
        self.seen = 0
        self.epoch_seconds = 0.0
        self.bad_step = torch.zeros((), dtype=torch.int64, device=self.device.torch)  # first whose loss was not finite

    # -- one step --------------------------------------------------------------------------------------------------

    def train_step(self, images: Tensor, labels: Tensor, count: int | None = None) -> None:
        """One batch. All randomness is a function of (seed, stage, step), so a step can be repeated to the bit.

        count: of the whole batch, where several devices have a share of it each; None: these are all.
        """
        e = self.stage.experiment
        count = len(labels) if count is None else count
        values = self._gradients(images, labels, count)
        with self.part("optimiser"):
            rate = learning_rate(self.step, self.steps, e.lr, e.recipe)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            if e.clip:
                torch.nn.utils.clip_grad_norm_(self.parameters, e.clip)
            self.optimizer.step()
        self.step += 1
        values = self.device.means(values, count)
        for what, value in values.items():
            self.sums[what] = self.sums.get(what, 0) + value.detach().to(self.device.sums) * count
        self.seen += count
        self.bad_step = torch.where((self.bad_step == 0) & ~values["loss"].isfinite(), self.step, self.bad_step)
        if not self.device.waits:
            self._check_loss()

    def _gradients(self, images: Tensor, labels: Tensor, count: int) -> dict[str, Tensor]:
        """Forward and backward pass. Returns the loss and its parts."""
        e, name, share = self.stage.experiment, self.stage.name, self.device.share
        own = (share.rank,) if share.rank else ()  # dropout: each device draws for its own images
        torch.manual_seed(key(e.seed, name, "step", self.step, *own))
        draws = BatchGenerator().of(count, share).manual_seed(key(e.seed, name, "augment", self.step))
        with self.part("augmentation"):
            batch = self.pipeline.train(images, labels, draws)
        with engine.whole_batches_only(self.model, count == self.batch_size), compiler.explained():
            with self.part("forward"), self.device.autocast():
                logits, tokens = self.forward(batch.images)
            with self.part("losses"):
                total, values = self._losses(logits, tokens, batch, draws)
            with self.part("backward"):
                self.optimizer.zero_grad(set_to_none=True)
                self.device.backward(total, count)
        return {"loss": total.detach(), **values}

    def compile(self) -> str:
        """Before the first step: a step that changes nothing, and a pass as in evaluation. Returns what went
        wrong, and then the stage goes on uncompiled. Raises RelvitError where compiling was asked for."""
        began = time.perf_counter()

        def first_pass() -> None:
            share = self.device.share
            with closing(self.train.batches(None, self.batch_size, share=share)) as batches:
                images, labels = next(batches)
            self._gradients(images, labels, self.batch_size)
            self.optimizer.zero_grad(set_to_none=True)
            if len(self.test) >= self.batch_size:
                batch = self.pipeline.evaluate(images, labels)
                with torch.no_grad(), self.device.autocast():
                    tokens = self.model.eval()(batch.images).tokens
                    self.model.task_losses(tokens, generator=BatchGenerator().of(self.batch_size, share))
                self.model.train()

        try:
            compiler.compile_now(first_pass)
            said = ""
        except RelvitError as error:
            if self.stage.experiment.compile == "true" or self.device.share.world > 1:
                raise
            self._compute(self.device.precision, False)
            said = f"{error}; going on without"
        self.compiling = time.perf_counter() - began
        self.seconds += self.compiling
        return said

    def _losses(
        self, logits: Tensor | None, tokens: Tensor, batch: Batch, draws: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What is minimised, and what is reported beside it: its parts, unweighted, and the accuracy in %."""
        with self.device.autocast():
            losses = self.model.task_losses(tokens, batch.permutation, draws)
        losses = {task: loss.float() for task, loss in losses.items()}
        weights = self._weights_now()
        parts = [weights[task] * loss for task, loss in losses.items()]
        values = dict(losses)
        if logits is not None:
            values["classification"] = F.cross_entropy(logits.float(), batch.labels)
            parts.append(values["classification"])
            values["accuracy"] = 100 * (logits.argmax(1) == batch.labels).float().mean()
        return sum(parts[1:], start=parts[0]), values

    def part(self, name: str) -> AbstractContextManager:
        return nullcontext() if self.profile is None else self.profile.part(name)

    def _weights_now(self) -> dict[str, float]:
        """The weights of the tasks' losses in this step: those of a task that ramps up grow."""
        epoch = self.step / self.steps_per_epoch
        return {task.name: self.weights[task.name] * task.ramp(epoch) for task in self.model.tasks}

    def _check_loss(self) -> None:
        bad = int(self.bad_step)
        if bad:
            rate = learning_rate(bad - 1, self.steps, self.stage.experiment.lr, self.stage.experiment.recipe)
            raise RelvitError(
                f"the loss became NaN or infinite at step {bad} of {self.steps} (learning rate {rate:.2g}): "
                "try a lower lr, precision=float32, or clip=1. The last checkpoint is from before that"
            )

    # -- epochs and checkpoints --------------------------------------------------------------------------------------

    def end_epoch(self, epoch: int, clock: Clock) -> dict:
        self._check_loss()
        e = self.stage.experiment
        train = {name: float(value) / self.seen for name, value in self.sums.items()}
        seconds = clock.epoch_seconds()

        def evaluated(split: SplitFeed) -> dict[str, float]:
            return evaluate(self.model, self.pipeline, split, e.batch_size, self.weights, self.device)

        test, val = evaluated(self.test), evaluated(self.val) if self.val else None
        timing = {"seconds": clock.epoch_seconds(), "images_per_second": self.seen / seconds}
        rate = learning_rate(self.step - 1, self.steps, e.lr, e.recipe)
        line: dict = {"epoch": epoch, "step": self.step, "lr": rate, "train": train, "test": test, "timing": timing}
        if val:
            line["val"] = val
        self.history.append(line)
        # the released code picks on the val images of Flower-102, else on the test images
        judged = -(val or test)["accuracy"] if self.stage.classifies else (val or test)["loss"]
        if self.stage.keeps_best and (self.best is None or judged < self.best["judged"]):
            weights = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
            self.best = {"epoch": epoch, "judged": judged, "model": weights}
        self.seconds += timing["seconds"]
        self._forget_epoch()
        clock.start_epoch()
        return line

    def save(self, folder: RunFolder, clock: Clock) -> None:
        self._check_loss()  # never a checkpoint of a broken model
        state = {
            "stage": self.stage.id, "precision": self.device.precision, "compiled": self.model.compiled,
            "data": self.dataset.digest, "step": self.step,
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "history": self.history,
            "best": self.best, "seconds": self.seconds, "sums": self.sums, "seen": self.seen, "versions": self.versions,
            "epoch_seconds": clock.epoch_seconds() if self.seen else 0.0,
        }  # fmt: skip
        folder.save_checkpoint(state)
        clock.saved()

    def resume(self, folder: RunFolder, notes: list[str]) -> str | None:
        try:
            state = folder.checkpoint(self.stage.id)
            if state is not None:
                same_data(state.get("data"), self.dataset, folder)
        except RelvitError as error:
            if not self.stage.experiment.fresh:
                raise
            notes.append(f"begun anew: {error}")
            return None
        if state is None:
            return None
        self._follow(state, notes)
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.history = state["step"], state["history"]
            self.best = state["best"] and {name: state["best"][name] for name in ("epoch", "judged", "model")}
            self.seconds, self.seen, self.epoch_seconds = state["seconds"], state["seen"], state["epoch_seconds"]
            self.sums = {name: value.to(self.device.torch) for name, value in state["sums"].items()}
            self.versions = going_on(state.get("versions", []), self.versions[-1], notes)
        except (KeyError, RuntimeError, ValueError, AttributeError, TypeError, IndexError) as error:
            if shortage(error):
                raise
            why = f"or of another version: {first_line(error)}"
            raise DamagedCheckpoint(folder.path / "checkpoint.pt", why) from None
        return f"epoch {len(self.history) + 1}, step {self.step + 1}"

    def _follow(self, state: dict, notes: list[str]) -> None:
        """auto is what it was when the stage began; what is asked for otherwise is done, and said."""
        e, now = self.stage.experiment, (self.device.precision, self.model.compiled)
        begun = state.get("precision", now[0]), state.get("compiled", False)
        precision = begun[0] if e.precision == "auto" else now[0]
        compiled = begun[1] if e.compile == "auto" else now[1]
        if compiled and e.compile == "auto" and (missing := compiler.missing_compiler(self.device.torch)):
            self.missing, compiled = missing, False
        self._compute(precision, compiled)
        if (precision, compiled) != begun:
            words = [f"{p}{', compiled' if c else ''}" for p, c in (begun, (precision, compiled))]
            notes.append(f"begun in {words[0]}, going on in {words[1]}: the numbers will differ")
