"""§4.1, §4.2: the one training loop, for every stage (in memory: state.py). It yields events and never prints.

for event in run(experiment): ...
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from torch import Tensor

from relvit_lab import data
from relvit_lab.common.compute.choose_device import passed_over, pick_device
from relvit_lab.common.compute.device import Device
from relvit_lab.common.randomness import epoch_order
from relvit_lab.common.shortages import shortages_explained
from relvit_lab.common.signals import Signals, end_by
from relvit_lab.train import engine
from relvit_lab.train.build import load_data
from relvit_lab.train.clock import Clock
from relvit_lab.train.environment import commit
from relvit_lab.train.events import EpochDone, Event, Note, StageFinished, StageStarted
from relvit_lab.train.experiment import Experiment, Stage
from relvit_lab.train.finish import about, result, weights
from relvit_lab.train.probes import add_probes, missing_probes
from relvit_lab.train.profile import Profile
from relvit_lab.train.shared_folder import folder_of
from relvit_lab.train.stage_folder import RunFolder
from relvit_lab.train.state import Training, same_data


def run(experiment: Experiment) -> Iterator[Event]:
    """Train the stages of an experiment one after the other. Raises RelvitError for everything a user can mend.

    A stage that has a result is read back; one that was interrupted goes on where it stopped, to the same bits.
    Under torchrun the processes train together; the first yields the events, the others nothing.
    """
    stages = experiment.stages()
    device = pick_device(experiment.device, experiment.precision)
    try:
        # closed before the device: it writes a checkpoint
        with shortages_explained(), closing(_run(experiment, stages, device)) as events:
            for event in events:
                if device.is_main:
                    yield event
        device.end()
    except BaseException as error:
        device.end(error)
        raise


def _run(experiment: Experiment, stages: tuple[Stage, ...], device: Device) -> Generator[Event, None, None]:
    loaded: list[data.Dataset] = []

    def dataset() -> data.Dataset:
        if not loaded:
            loaded.append(load_data(stages[0].experiment))
        return loaded[0]

    anew = Fresh(folder_of(device, stages[-1].folder), experiment.fresh)
    for stage in stages:
        yield from run_stage(stage, device, dataset, anew, experiment.notes() + passed_over(experiment.device))


class Fresh:
    """fresh=True: what an earlier invocation left is cleared, once; a run that was begun anew and stopped goes on.

    last: the folder of the run's last stage, which keeps when the run was begun anew. asked: fresh=True."""

    def __init__(self, last: RunFolder, asked: bool):
        self.last, self.now = last, time.time_ns()
        self.asked, self.since = asked, last.fresh_since() if asked else None

    def clears(self, folder: RunFolder) -> bool:
        """Whether what is in a stage's folder is from before."""
        return self.asked and folder.is_older(self.now if self.since is None else self.since)

    def begin(self) -> None:
        """Once a stage of the run is about to be trained."""
        if self.asked and self.since is None:
            self.since = self.now
            self.last.begin_fresh(self.now)


def run_stage(
    stage: Stage, device: Device, dataset: Callable[[], data.Dataset], anew: Fresh, notes: tuple[str, ...] = ()
) -> Iterator[Event]:
    """One stage. dataset() loads the data when it is needed: not for a stage that is only read back. notes: on the
    run."""
    folder = folder_of(device, stage.folder)
    if device.is_main:
        yield from until_free(folder)
    if not anew.clears(folder) and folder.result() is not None:
        if device.is_main:
            yield from replay(stage, RunFolder(stage.folder), device, dataset)
        return
    parent = stage.parent and RunFolder(stage.parent.folder)
    if parent and (made_on := parent.about()):
        same_data(made_on["data"]["digest"], dataset(), parent)
    training = Training(stage, device, dataset())  # raises before anything is written
    if device.is_main:
        yield from until_free(folder)
    with folder.lock(wait=True):
        anew.begin()
        if anew.clears(folder):
            folder.clear()
        if folder.result() is None:
            yield from train_stage(training, folder, notes)
            if device.is_main:
                own = RunFolder(stage.folder)
                yield from add_probes(stage, own, device, dataset)
                yield StageFinished(stage.name, stage.id, own.path, own.ended())
            return
    if device.is_main:
        yield from replay(stage, RunFolder(stage.folder), device, dataset)  # another process was faster


def until_free(folder: RunFolder) -> Iterator[Note]:
    """Wait while another process is at a stage, and say so."""
    if folder.is_busy():
        yield Note(f"another process is training in {folder.path}: waiting for it")
        while folder.is_busy():
            time.sleep(1)


def replay(stage: Stage, folder: RunFolder, device: Device, dataset: Callable[[], data.Dataset]) -> Iterator[Event]:
    """The events of a stage that has ended; probes that its result lacks are added."""
    described, lines, ended = folder.finished()
    missing = missing_probes(stage.experiment, ended)
    if missing or _may_have_changed(stage.experiment, described):
        same_data(described["data"]["digest"], dataset(), folder)
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
    yield StageFinished(stage.name, stage.id, folder.path, folder.ended(), replayed=True)


def _may_have_changed(e: Experiment, described: dict) -> bool:
    """Whether the files of the data set are others than a stage was trained on; where there are none here, no."""
    now = data.stamp(e.dataset, e.data_dir)
    return now is not None and now != described["data"].get("stamp")


def train_stage(training: Training, folder: RunFolder, before: tuple[str, ...] = ()) -> Iterator[Event]:
    """From the checkpoint where there is one. Leaves result.json; on any exit before, a checkpoint if it can. before:
    notes that come first."""
    e = training.stage.experiment
    notes = [*before, *training.dataset.notes, *filter(None, [training.start_note])]
    if training.batch_size < e.batch_size:
        notes.append(f"batch_size {e.batch_size} is more than there are images: clipped to {training.batch_size}")
    resumed = training.resume(folder, notes)
    if training.missing:
        notes.append(f"not compiled, for there is {training.missing}: the same results, more slowly")
    if resumed is None:
        folder.clear()
    elif e.fresh:
        notes.append(f"begun anew before, so it goes on; to begin once more, delete {folder.path}")
    folder.write_json("experiment.json", about(training))
    size = sum(p.numel() for p in training.model.parameters())
    yield StageStarted(
        training.stage.name, training.stage.id, folder.path, e.epochs, training.steps_per_epoch, len(training.train),
        len(training.test), size, training.device.description, training.device.precision, tuple(notes), resumed,
        compiled=training.model.compiled, classes=training.dataset.classes, image_size=e.image_size,
    )  # fmt: skip
    if training.model.compiled and training.step < training.steps:
        yield Note(engine.COMPILING)
        if failed := training.compile():
            folder.write_json("experiment.json", about(training))
            yield Note(failed)
    for line in training.history:
        yield EpochDone(line["epoch"], e.epochs, line, replayed=True)
    slow = e.preset == "paper" and training.device.torch.type == "cpu"
    clock = Clock(
        training.step, training.steps, training.batch_size, training.epoch_seconds, 60 * e.checkpoint_minutes, slow
    )
    saved = training.step
    if e.profile and training.device.is_main and training.step < training.steps:
        training.profile = Profile(training.device, training.steps - training.step)
    with Signals() as signals:
        try:
            while len(training.history) < e.epochs:
                epoch = len(training.history)
                order = epoch_order(e.seed, training.stage.name, epoch, len(training.train))
                first = training.step - epoch * training.steps_per_epoch
                share = training.device.share
                with closing(training.train.batches(order, training.batch_size, first, epoch, share)) as batches:
                    for number, (images, labels) in enumerate(_fetched(training, batches), first):
                        count = min(training.batch_size, len(training.train) - number * training.batch_size)
                        training.train_step(images, labels, count)
                        if training.profile and training.profile.step_done(len(labels)):
                            yield Note(_profiled(training, training.profile, folder, clock))
                        yield from clock.after_step(training.step, epoch + 1)
                        asked = training.device.agree(signals.received)
                        if asked or clock.checkpoint_is_due():
                            training.save(folder, clock)
                            saved = training.step
                            end_by(asked, folder.path)
                line = training.end_epoch(epoch + 1, clock)
                training.save(folder, clock)
                saved = training.step
                folder.write_metrics(training.history)
                yield EpochDone(epoch + 1, e.epochs, line)
                end_by(training.device.agree(signals.received), folder.path)
        except GeneratorExit:  # whoever drew the events stopped: between two steps, so the state is whole
            if training.step > saved:
                training.save(folder, clock)
            raise
        finally:
            if training.profile:
                training.profile.close()
    end = weights(training)
    folder.write("model.safetensors", end)
    folder.write_metrics(training.history)
    folder.write_json("result.json", result(training, end))


def _fetched(training: Training, batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        with training.part("data"):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _profiled(training: Training, measured: Profile, folder: RunFolder, clock: Clock) -> str:
    """Write what was measured, once. Returns it in a line."""
    began = time.perf_counter()
    found, training.profile = measured.write(folder, training.stage, training.model), None
    clock.skip(time.perf_counter() - began)
    speed = f"{found['images_per_second']:,.0f} images/s, {found['tflops']:.3g} TFLOP/s a device"
    return f"{speed}; profile.json and trace.json.gz say where the time goes"
