"""One GPU: how fast pre-training is, how near to the device's limit, and whether a seed repeats.

    python benchmarks/gpu.py --data-dir DIR [--check] [--end-to-end] [--json FILE]

CIFAR-10 (or noise of its size where DIR has none), ViT-S/4 with SpRel and AbsPos, batch 256, bf16, by the real training
step: batches from the device's memory, augmentation, losses, AdamW. Rows:

- images a second over 100 steps, as it is and with compile=True (the time to compile is told apart). Asked for: 25,000
  on an H200, or 60 % of the floor;
- the floor: the products of matrices of a step alone (all layers, heads; forward and both of the backward pass), same
  shapes, bf16, one after the other;
- augmentation, as a share of the step: at most a tenth;
- the same seed twice: to how many digits the losses of 100 steps agree;
- with --end-to-end: pre-training and fine-tuning, 100 epochs each, in seconds (asked for: 480) and its accuracy.

On a CPU it runs too (--steps 2 --batch 8), which shows that it works, and nothing about speed.
"""

import dataclasses
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path

import measure
import numpy as np
import torch

from relvit_lab.common.compute.choose_device import pick_device
from relvit_lab.common.compute.device import Device
from relvit_lab.common.randomness import epoch_order
from relvit_lab.show.follow import follow
from relvit_lab.show.profile_table import profile_table
from relvit_lab.train.build import load_data
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.profile import read_profile
from relvit_lab.train.state import Training
from relvit_lab.train.training import run

WARM_UP, FAST, SHARE, AUGMENTATION, END_TO_END = 10, 25_000, 0.6, 0.1, 480


def wait(device: Device) -> None:
    if device.torch.type == "cuda":
        torch.cuda.synchronize(device.torch)


def take_steps(training: Training, steps: int) -> None:
    """Through the epochs, as the loop goes; a stage's last step may come and go."""
    while steps > 0:
        epoch = training.step // training.steps_per_epoch
        order = epoch_order(0, training.stage.name, epoch, len(training.train))
        for images, labels in training.train.batches(order, training.batch_size, 0, epoch):
            training.train_step(images, labels)
            steps -= 1
            if not steps:
                return


def rates(training: Training, steps: int, turns: int) -> list[float]:
    """Images a second, of each turn."""
    found = []
    for _ in range(turns):
        wait(training.device)
        began = time.perf_counter()
        take_steps(training, steps)
        wait(training.device)
        found.append(steps * training.batch_size / (time.perf_counter() - began))
    return found


def products(training: Training) -> list[tuple[int, ...]]:
    """(how many, batch, rows, inner, columns) of all products of a forward pass."""
    backbone, b = training.model.backbone, training.batch_size
    n, d = backbone.side**2, backbone.dim
    t, depth, heads = n + 1, 12, 6  # ViT-S
    k = 9  # SpRel
    patch = 3 * (training.stage.experiment.image_size // backbone.side) ** 2
    return [
        (1, 1, b * n, patch, d),
        (depth, 1, b * t, d, 3 * d), (depth, b * heads, t, d // heads, t), (depth, b * heads, t, t, d // heads),
        (depth, 1, b * t, d, d), (depth, 1, b * t, d, 4 * d), (depth, 1, b * t, 4 * d, d),
        (1, 1, b * n, d, k * d), (1, b, n * k, d, n), (1, 1, b * n, d, n),
    ]  # fmt: skip


def floor(training: Training, turns: int) -> list[float]:
    """Images a second where a step is nothing but its products, forward and for both gradients."""
    device = training.device
    dtype = torch.bfloat16 if device.precision == "bf16" else torch.float32
    made = [
        (count, *(torch.randn(shape, dtype=dtype, device=device.torch) for shape in ((z, m, k), (z, k, n), (z, m, n))))
        for count, z, m, k, n in products(training)
    ]
    found = []
    for _ in range(turns + 1):
        wait(device)
        began = time.perf_counter()
        for count, a, b, out in made:
            for _ in range(count):
                a @ b, out @ b.mT, a.mT @ out
        wait(device)
        found.append(training.batch_size / (time.perf_counter() - began))
    return found[1:]


def profile(e: Experiment) -> dict:
    """What a real run says of its steps, shown as a table."""
    short = dataclasses.replace(e, profile=True, stop_after="pretrain", epochs=1)
    list(follow(run(short)))
    found = read_profile(short.stages()[0].folder)
    print(profile_table(found), flush=True)
    return found


def agreement(one: list[float], other: list[float]) -> float:
    """Digits to which two curves agree at their worst step; 17 where they are equal."""
    worst = max(abs(a - b) / abs(a) for a, b in zip(one, other))
    return 17.0 if worst == 0 else -math.log10(worst)


def losses(make, steps: int) -> list[float]:
    training, seen = make(), []
    for _ in range(steps):
        before = training.sums.get("loss", torch.zeros((), dtype=torch.float64, device=training.device.torch))
        take_steps(training, 1)
        seen.append((training.sums["loss"] - before) / training.batch_size)
    return torch.stack(seen).tolist()


def main() -> int:
    parser = measure.parser(__doc__)
    parser.add_argument("--data-dir", help="where cifar10.npz is; without it the images are noise")
    parser.add_argument("--run-dir", default="runs/gpu")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100, help="a turn")
    parser.add_argument("--images", type=int, default=50_000, help="of noise")
    parser.add_argument("--end-to-end", action="store_true")
    o = parser.parse_args()
    report, device = measure.Report(o), pick_device()
    print(f"{device.description}, {device.precision}\n{measure.machine()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        given = {"dataset": "cifar10", "data_dir": o.data_dir}
        if o.data_dir is None:
            images = np.random.default_rng(0).integers(0, 256, (o.images, 32, 32, 3), np.uint8)
            labels = np.arange(o.images) % 10
            np.savez(Path(folder, "noise.npz"), x_train=images, y_train=labels, x_test=images[:64], y_test=labels[:64])
            given = {"dataset": str(Path(folder, "noise.npz"))}
        e = Experiment(**given, preset="paper", backbone="vit_s_4", batch_size=o.batch, run_dir=folder, compile=False)
        dataset = load_data(e.stages()[0].experiment)

        def make(**more) -> Training:
            return Training(dataclasses.replace(e, **more).stages()[0], device, dataset)

        training, name = make(), f"pre-training ViT-S/4, batch {o.batch}, {device.precision}"
        take_steps(training, WARM_UP)
        fast, bound = rates(training, o.steps, o.alternations), floor(training, o.alternations)
        share = statistics.median(fast) / statistics.median(bound)
        known = "H200" in device.description
        report.add(measure.Row(name, fast, "img/s", mark=FAST if known and share < SHARE else None))
        report.add(measure.Row(f"{name}: the floor, its matrix products alone", bound, "img/s"))
        report.add(measure.Row(f"{name}: share of the floor", [share], "", mark=SHARE if not known else None))
        del training
        found = profile(e)
        augmentation = found["milliseconds"]["augmentation"] / found["milliseconds"]["step"]
        report.add(measure.Row(f"{name}: augmentation's share", [augmentation], "", AUGMENTATION, less=True))
        if found["peak"]:
            report.add(measure.Row(f"{name}: share of the data sheet's peak", [found["peak"]["share"]], ""))
        faster = make(compile=True)
        compiling = measure.seconds(take_steps, faster, WARM_UP)
        detail = f"the first {WARM_UP} steps took {compiling:.0f} s"
        report.add(measure.Row(f"{name}, compiled", rates(faster, o.steps, o.alternations), "img/s", detail=detail))
        del faster
        digits = agreement(losses(make, o.steps), losses(make, o.steps))
        report.add(measure.Row(f"the same seed twice, losses of {o.steps} steps", [digits], "digits"))
    if o.end_to_end:
        whole = Experiment(**given, preset="paper", backbone="vit_s_4", run_dir=o.run_dir)
        began = time.perf_counter()
        finished = list(follow(run(whole)))
        took = time.perf_counter() - began
        accuracy = finished[-1].result["metrics"]["accuracy"]
        what = "CIFAR-10, 100 + 100 epochs end to end"
        report.add(measure.Row(what, [took], "s", END_TO_END, less=True, detail=f"accuracy {accuracy:.2f} %"))
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
