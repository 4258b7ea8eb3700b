"""§4.1, §4.2: the one training loop, for every stage. It yields records and never prints.

for record in run(experiment): ...
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.randomness import BatchGenerator, epoch_order, key
from relvit_lab.common.shortages import shortage, shortages_explained
from relvit_lab.method.pipeline import Batch
from relvit_lab.method.schedule import learning_rate, make_optimizer
from relvit_lab.train import engine
from relvit_lab.train.build import build_model, build_pipeline, load_data, load_start, train_feed
from relvit_lab.train.checkpoints import DamagedCheckpoint
from relvit_lab.train.device import Device, commit, passed_over, pick_device
from relvit_lab.train.evaluate import evaluate
from relvit_lab.train.events import EpochDone, Note, Record, StageFinished, StageStarted
from relvit_lab.train.experiment import Experiment, Stage
from relvit_lab.train.feed import SplitFeed
from relvit_lab.train.finish import about, result, weights
from relvit_lab.train.fresh import Fresh
from relvit_lab.train.pace import Pace, Signals, end_by
from relvit_lab.train.profile import Profile, profile_table
from relvit_lab.train.stage_folder import RunFolder
from relvit_lab.train.stage_probes import add_probes, missing_probes
from relvit_lab.train.versions import going_on, version


def run(experiment: Experiment) -> Iterator[Record]:
    """Train the stages of an experiment one after the other. Raises RelvitError for everything a user can mend.

    A stage that has a result is read back; one that was interrupted goes on where it stopped, to the same bits.
    Under torchrun the processes train together; the first yields the records, the others nothing.
    """
    stages = experiment.stages()
    device = pick_device(experiment.device, experiment.precision)
    try:
        # closed before the device: it writes a checkpoint
        with shortages_explained(), closing(_run(experiment, stages, device)) as records:
            for record in records:
                if device.is_main:
                    yield record
        device.end()
    except BaseException as error:
        device.end(error)
        raise


def _run(experiment: Experiment, stages: tuple[Stage, ...], device: Device) -> Iterator[Record]:
    loaded: list[data.Dataset] = []

    def dataset() -> data.Dataset:
        if not loaded:
            loaded.append(load_data(stages[0].experiment))
        return loaded[0]

    anew = Fresh(device.folder(stages[-1].folder), experiment.fresh)
    for stage in stages:
        yield from run_stage(stage, device, dataset, anew, experiment.notes() + passed_over(experiment.device))


def run_stage(
    stage: Stage, device: Device, dataset: Callable[[], data.Dataset], anew: Fresh, notes: tuple[str, ...] = ()
) -> Iterator[Record]:
    """One stage. dataset() loads the data when it is needed: not for a stage that is only read back. notes: on the
    run."""
    folder = device.folder(stage.folder)
    if device.is_main:
        yield from until_free(folder)
    if not anew.clears(folder) and folder.result() is not None:
        if device.is_main:
            yield from replay(stage, RunFolder(stage.folder), device, dataset)
        return
    parent = stage.parent and RunFolder(stage.parent.folder)
    if parent and (made_on := parent.about()):
        _same_data(made_on["data"]["digest"], dataset(), parent)
    training = Training(stage, device, dataset())  # raises before anything is written
    if device.is_main:
        yield from until_free(folder)
    with folder.lock(wait=True):
        anew.begin()
        if anew.clears(folder):
            folder.clear()
        if folder.result() is None:
            yield from training.steps_to_the_end(folder, notes)
            if device.is_main:
                own = RunFolder(stage.folder)
                yield from add_probes(stage, own, device, dataset)
                yield StageFinished(stage.name, stage.id, own.path, own.result())
            return
    if device.is_main:
        yield from replay(stage, RunFolder(stage.folder), device, dataset)  # another process was faster


def until_free(folder: RunFolder) -> Iterator[Note]:
    """Wait while another process is at a stage, and say so."""
    if folder.is_busy():
        yield Note(f"another process is training in {folder.path}: waiting for it")
        while folder.is_busy():
            time.sleep(1)


def replay(stage: Stage, folder: RunFolder, device: Device, dataset: Callable[[], data.Dataset]) -> Iterator[Record]:
    """The records of a stage that has ended; probes that its result lacks are added."""
    described, lines, ended = folder.finished()
    missing = missing_probes(stage.experiment, ended)
    if missing or _may_have_changed(stage.experiment, described):
        _same_data(described["data"]["digest"], dataset(), folder)
    notes = ["nothing is trained, so nothing is profiled: fresh=True trains anew"] if stage.experiment.profile else []
    made = ended["environment"]["commit"]
    if made != commit():
        notes.append(f"this result was made by commit {made}, and this is {commit()}; fresh=True trains anew")
    count = ended["counts"]
    yield StageStarted(
        stage.name, stage.id, folder.path, stage.experiment.epochs, count["steps_per_epoch"], count["train_images"],
        count["test_images"], count["parameters"], ended["environment"]["device"], ended["environment"]["precision"],
        tuple(notes), replayed=True, compiled=ended["environment"].get("compiled", False),
        classes=tuple(described["data"]["classes"]), image_size=stage.experiment.image_size,
    )  # fmt: skip
    for line in lines:
        yield EpochDone(line["epoch"], stage.experiment.epochs, line, replayed=True)
    if missing:
        with folder.lock(wait=True):
            yield from add_probes(stage, folder, device, dataset)
    yield StageFinished(stage.name, stage.id, folder.path, folder.result(), replayed=True)


def _may_have_changed(e: Experiment, described: dict) -> bool:
    """Whether the files of the data set are others than a stage was trained on; where there are none here, no."""
    now = data.stamp(e.dataset, e.data_dir)
    return now is not None and now != described["data"].get("stamp")


def _same_data(digest: str, dataset: data.Dataset, folder: RunFolder) -> None:
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
        self.test, self.val = (split and SplitFeed(split, device.torch) for split in (dataset.test, dataset.val))
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
        self.missing = engine.missing_compiler(self.device.torch)
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
        with self._part("optimiser"):
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
        with self._part("augmentation"):
            batch = self.pipeline.train(images, labels, draws)
        with engine.whole_batches_only(self.model, count == self.batch_size), engine.explained():
            with self._part("forward"), self.device.autocast():
                logits, tokens = self.forward(batch.images)
            with self._part("losses"):
                total, values = self._losses(logits, tokens, batch, draws)
            with self._part("backward"):
                self.optimizer.zero_grad(set_to_none=True)
                self.device.backward(total, count)
        return {"loss": total.detach(), **values}

    def _compile(self) -> str:
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
            engine.compile_now(first_pass)
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
        self, logits: Tensor | None, tokens: Tensor, batch: Batch, draws: BatchGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What is minimised, and what is reported beside it: its parts, unweighted, and the accuracy in %."""
        with self.device.autocast():
            losses = self.model.task_losses(tokens, batch.permutation, draws)
        losses = {task: loss.float() for task, loss in losses.items()}
        weights = self._weights_now()
        total = sum(weights[task] * loss for task, loss in losses.items())
        values = dict(losses)
        if logits is not None:
            values["classification"] = F.cross_entropy(logits.float(), batch.labels)
            total = total + values["classification"]
            values["accuracy"] = 100 * (logits.argmax(1) == batch.labels).float().mean()
        return total, values

    def _part(self, name: str) -> AbstractContextManager:
        return nullcontext() if self.profile is None else self.profile.part(name)

    def _fetched(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            with self._part("data"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

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

    # -- the whole stage -------------------------------------------------------------------------------------------

    def steps_to_the_end(self, folder: RunFolder, notes: tuple[str, ...] = ()) -> Iterator[Record]:
        """From the checkpoint where there is one. Leaves result.json; on any exit before, a checkpoint if it can."""
        e = self.stage.experiment
        notes = [*notes, *self.dataset.notes, *filter(None, [self.start_note])]
        if self.batch_size < e.batch_size:
            notes.append(f"batch_size {e.batch_size} is more than there are images: clipped to {self.batch_size}")
        resumed = self._resume(folder, notes)
        if self.missing:
            notes.append(f"not compiled, for there is {self.missing}: the same results, more slowly")
        if resumed is None:
            folder.clear()
        elif e.fresh:
            notes.append(f"begun anew before, so it goes on; to begin once more, delete {folder.path}")
        folder.write_json("experiment.json", about(self))
        yield StageStarted(
            self.stage.name, self.stage.id, folder.path, e.epochs, self.steps_per_epoch, len(self.train),
            len(self.test), sum(p.numel() for p in self.model.parameters()), self.device.description,
            self.device.precision, tuple(notes), resumed, compiled=self.model.compiled, classes=self.dataset.classes,
            image_size=e.image_size,
        )  # fmt: skip
        if self.model.compiled and self.step < self.steps:
            yield Note(engine.COMPILING)
            if failed := self._compile():
                folder.write_json("experiment.json", about(self))
                yield Note(failed)
        for line in self.history:
            yield EpochDone(line["epoch"], e.epochs, line, replayed=True)
        slow = e.preset == "paper" and self.device.torch.type == "cpu"
        pace = Pace(self.step, self.steps, self.batch_size, self.epoch_seconds, 60 * e.checkpoint_minutes, hint=slow)
        saved = self.step
        if e.profile and self.device.is_main and self.step < self.steps:
            self.profile = Profile(self.device, self.steps - self.step)
        with Signals() as signals:
            try:
                while len(self.history) < e.epochs:
                    epoch = len(self.history)
                    order = epoch_order(e.seed, self.stage.name, epoch, len(self.train))
                    first = self.step - epoch * self.steps_per_epoch
                    share = self.device.share
                    with closing(self.train.batches(order, self.batch_size, first, epoch, share)) as batches:
                        for number, (images, labels) in enumerate(self._fetched(batches), first):
                            count = min(self.batch_size, len(self.train) - number * self.batch_size)
                            self.train_step(images, labels, count)
                            if self.profile and self.profile.step_done(len(labels)):
                                yield Note(self._profiled(folder, pace))
                            yield from pace.after_step(self.step, epoch + 1)
                            asked = self.device.agree(signals.received)
                            if asked or pace.checkpoint_is_due():
                                self._save(folder, pace)
                                saved = self.step
                                end_by(asked, folder.path)
                    line = self._end_epoch(epoch + 1, pace)
                    self._save(folder, pace)
                    saved = self.step
                    folder.write_metrics(self.history)
                    yield EpochDone(epoch + 1, e.epochs, line)
                    end_by(self.device.agree(signals.received), folder.path)
            except GeneratorExit:  # whoever drew the records stopped: between two steps, so the state is whole
                if self.step > saved:
                    self._save(folder, pace)
                raise
            finally:
                if self.profile:
                    self.profile.close()
        end = weights(self)
        folder.write("model.safetensors", lambda path: path.write_bytes(end))
        folder.write_metrics(self.history)
        folder.write_json("result.json", result(self, end))

    def _profiled(self, folder: RunFolder, pace: Pace) -> str:
        """Write what was measured, once. Returns it in a line."""
        began = time.perf_counter()
        found, self.profile = self.profile.write(folder, self.stage, self.model), None
        pace.skip(time.perf_counter() - began)
        return f"{profile_table(found).caption[1]}; profile.json and trace.json.gz say where the time goes"

    def _end_epoch(self, epoch: int, pace: Pace) -> dict:
        self._check_loss()
        e = self.stage.experiment
        train = {name: float(value) / self.seen for name, value in self.sums.items()}
        seconds = pace.epoch_seconds()
        test, val = (
            split and evaluate(self.model, self.pipeline, split, e.batch_size, self.weights, self.device)
            for split in (self.test, self.val)
        )
        timing = {"seconds": pace.epoch_seconds(), "images_per_second": self.seen / seconds}
        rate = learning_rate(self.step - 1, self.steps, e.lr, e.recipe)
        line = {"epoch": epoch, "step": self.step, "lr": rate, "train": train, "test": test, "timing": timing}
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
        pace.start_epoch()
        return line

    def _save(self, folder: RunFolder, pace: Pace) -> None:
        self._check_loss()  # never a checkpoint of a broken model
        state = {
            "stage": self.stage.id, "precision": self.device.precision, "compiled": self.model.compiled,
            "data": self.dataset.digest, "step": self.step,
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "history": self.history,
            "best": self.best, "seconds": self.seconds, "sums": self.sums, "seen": self.seen, "versions": self.versions,
            "epoch_seconds": pace.epoch_seconds() if self.seen else 0.0,
        }  # fmt: skip
        folder.save_checkpoint(state)
        pace.saved()

    def _resume(self, folder: RunFolder, notes: list[str]) -> str | None:
        try:
            state = folder.checkpoint(self.stage.id)
            if state is not None:
                _same_data(state.get("data"), self.dataset, folder)
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
            reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
            raise DamagedCheckpoint(folder.path / "checkpoint.pt", f"or of another version: {reason}") from None
        return f"epoch {len(self.history) + 1}, step {self.step + 1}"

    def _follow(self, state: dict, notes: list[str]) -> None:
        """auto is what it was when the stage began; what is asked for otherwise is done, and said."""
        e, now = self.stage.experiment, (self.device.precision, self.model.compiled)
        begun = state.get("precision", now[0]), state.get("compiled", False)
        precision = begun[0] if e.precision == "auto" else now[0]
        compiled = begun[1] if e.compile == "auto" else now[1]
        if compiled and e.compile == "auto" and (missing := engine.missing_compiler(self.device.torch)):
            self.missing, compiled = missing, False
        self._compute(precision, compiled)
        if (precision, compiled) != begun:
            words = [f"{p}{', compiled' if c else ''}" for p, c in (begun, (precision, compiled))]
            notes.append(f"begun in {words[0]}, going on in {words[1]}: the numbers will differ")
