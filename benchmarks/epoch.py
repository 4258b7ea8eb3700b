"""Pre-training end to end: relvit_lab's loop beside a DataLoader of torchvision transforms and a plain loop.

    python benchmarks/epoch.py [--images 512]

ViT-nano at 32 px with patches of 4, SpRel and AbsPos, patches augmented and shuffled, float32: from uint8 images in
memory to updated weights. Both train the same model in batches of 64 with the same number of threads; the usual way's
two workers prepare images beside the training, ours does it in between.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import measure
import numpy as np
import torch
from input_pipeline import MEAN, STD, photograph_tiles
from training_step import loop_steps
from usual_way import PatchDataset, usual_loader

from relvit_lab.common.compute.choose_device import pick_device
from relvit_lab.method import relations
from relvit_lab.train import clock
from relvit_lab.train.build import load_data
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.stage_folder import RunFolder
from relvit_lab.train.state import Training
from relvit_lab.train.training import train_stage

SIDE, BATCH = 8, 64
TARGETS = {
    "sprel": relations.spatial_relations, "dist": relations.distances, "ang": relations.angles,
    "abspos": relations.absolute_positions,
}  # fmt: skip


def usual_epoch(training: Training, loader: torch.utils.data.DataLoader) -> None:
    model = training.model.train()
    for images, _, targets in loader:
        by_name = dict(zip(TARGETS, targets))
        tokens = model(images).tokens
        loss = sum(task.loss(model.heads[task.name], tokens, by_name[task.name], None) for task in model.tasks)
        training.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        training.optimizer.step()


def main() -> int:
    parser = measure.parser(__doc__)
    parser.add_argument("--images", type=int, default=512, help="images a turn")
    o = parser.parse_args()
    report = measure.Report(o)
    print(measure.machine())
    clock.SHOW_EVERY = 0.0  # an event after each step
    images = photograph_tiles(o.images, 32)
    with tempfile.TemporaryDirectory() as folder:
        pixels, labels = images.permute(0, 2, 3, 1).numpy(), np.arange(o.images) % 10
        file = Path(folder, "tiles.npz")
        np.savez(file, x_train=pixels, y_train=labels, x_test=pixels[:64], y_test=labels[:64])
        experiment = Experiment(
            dataset=str(file), preset="demo", train_images=o.images, epochs=3 * o.alternations, shuffle=True,
            batch_size=BATCH, run_dir=folder,
        )  # fmt: skip
        stage, device = experiment.stages()[0], pick_device("cpu")
        ours, plain = (Training(stage, device, load_data(stage.experiment)) for _ in range(2))
        run_folder = RunFolder(stage.folder)
        with run_folder.lock():
            records, steps = train_stage(ours, run_folder), o.images // BATCH
            chosen = list(range(steps * BATCH))
            dataset = PatchDataset(
                images, torch.tensor(labels), 32, 4, MEAN, STD, tuple(t(SIDE) for t in TARGETS.values())
            )
            loader = usual_loader(dataset, chosen, 2)
            loop_steps(records, 2), usual_epoch(plain, loader)  # the workers start
            pairs = measure.alternate(
                o.alternations,
                lambda: steps * BATCH / loop_steps(records, steps),
                lambda: steps * BATCH / measure.seconds(usual_epoch, plain, loader),
                lambda fast, slow: f"ours {fast:,.0f} img/s, usual {slow:,.0f} img/s: {fast / slow:.1f} times",
            )
            records.close()
    rates = [f"{statistics.median(side):,.0f}" for side in zip(*pairs)]
    report.add(
        measure.Row(
            "pre-training ViT-nano at 32/4 end to end, beside a DataLoader and a plain loop",
            [fast / slow for fast, slow in pairs],
            detail=f"{rates[0]} and {rates[1]} img/s",
        )
    )
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
