"""What the training loop costs beside the bare step: ViT-S/4 at 32 px, pre-training with SpRel and AbsPos.

    python benchmarks/training_step.py [--batch 32] [--steps 2] [--alternations 5] [--check]

The loop is the real one (batch from stored images, augmentation, targets, records, clipping, schedule); the bare step
is the same model on a batch that is ready: forward, losses, backward, AdamW. They alternate in one run, and the ratio
of each pair counts. --check exits with 1 where the median ratio is above 1.05.
"""

import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import measure
import numpy as np

from relvit_lab.common.compute.choose_device import pick_device
from relvit_lab.train import clock, training
from relvit_lab.train.build import load_data
from relvit_lab.train.events import StepDone
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.stage_folder import RunFolder

LIMIT = 1.05


def bare_steps(model, optimizer, batch, steps: int) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        _, tokens = model(batch.images)
        loss = sum(model.task_losses(tokens).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - began


def loop_steps(records, steps: int) -> float:
    began = time.perf_counter()
    while steps:
        steps -= isinstance(next(records), StepDone)
    return time.perf_counter() - began


def main() -> int:
    parser = measure.parser(__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2, help="steps of each kind in a turn")
    o = parser.parse_args()
    report = measure.Report(o)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as held:
        dice = np.random.default_rng(0)
        needed = (o.steps * o.alternations + 4) * o.batch
        images, labels = dice.integers(0, 256, (needed, 32, 32, 3), np.uint8), np.arange(needed) % 10
        np.savez(Path(folder, "noise.npz"), x_train=images, y_train=labels, x_test=images[:64], y_test=labels[:64])
        experiment = Experiment(
            dataset=str(Path(folder, "noise.npz")),
            preset="paper",
            backbone="vit_s_4",
            batch_size=o.batch,
            run_dir=folder,
        )
        stage, device = experiment.stages()[0], pick_device()
        print(measure.machine())
        clock.SHOW_EVERY = 0.0  # an event after each step
        loop = training.Training(stage, device, load_data(stage.experiment))
        run_folder = RunFolder(stage.folder)
        held.enter_context(run_folder.lock())
        records = training.train_stage(loop, run_folder)
        bare = training.Training(stage, device, loop.dataset)
        for group in bare.optimizer.param_groups:
            group["lr"] = 1e-6
        batch = bare.pipeline.train(*next(bare.train.batches(None, o.batch)))
        loop_steps(records, 2)
        bare_steps(bare.model, bare.optimizer, batch, 2)
        pairs = measure.alternate(
            o.alternations,
            lambda: loop_steps(records, o.steps) / o.steps,
            lambda: bare_steps(bare.model, bare.optimizer, batch, o.steps) / o.steps,
            lambda ours, floor: f"loop {1e3 * ours:,.0f} ms a step, bare {1e3 * floor:,.0f} ms: {ours / floor:.3f}",
        )
        records.close()
    rates = [f"{1e3 * statistics.median(side):,.0f}" for side in zip(*pairs)]
    report.add(
        measure.Row(
            f"the training loop beside the bare step, ViT-S/4, batch {o.batch}",
            [ours / floor for ours, floor in pairs],
            "times as long", mark=LIMIT, less=True, detail=f"{rates[0]} and {rates[1]} ms a step",
        )
    )  # fmt: skip
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
