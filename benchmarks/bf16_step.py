"""A training step of ViT-S/4 in bf16 beside one in float32 (forward, both losses, backward, AdamW), on the CPU.

    python benchmarks/bf16_step.py [--batch 32] [--check]

--check asks for 1.8 times, where the processor has bf16 instructions (avx512_bf16 or amx_bf16).
"""

import statistics
import sys
import tempfile
from pathlib import Path

import measure
import numpy as np
import torch
from training_step import bare_steps

from relvit_lab.common.compute.choose_device import pick_device
from relvit_lab.train.build import load_data
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.state import Training

LEAST = 1.8


def main() -> int:
    parser = measure.parser(__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2, help="steps of each kind in a turn")
    o = parser.parse_args()
    report = measure.Report(o)
    print(measure.machine())
    with tempfile.TemporaryDirectory() as folder:
        images = np.random.default_rng(0).integers(0, 256, (o.batch, 32, 32, 3), np.uint8)
        np.savez(Path(folder, "noise.npz"), x_train=images, y_train=np.arange(o.batch) % 10, x_test=images[:10],
                 y_test=np.arange(10))  # fmt: skip
        experiment = Experiment(
            dataset=str(Path(folder, "noise.npz")), preset="paper", backbone="vit_s_4", batch_size=o.batch
        )
        stage = experiment.stages()[0]
        training = Training(stage, pick_device("cpu", "float32"), load_data(stage.experiment))
        batch = training.pipeline.train(*next(training.train.batches(None, o.batch)))

        def rate(precision: str) -> float:
            """Images a second."""
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
                return o.batch * o.steps / bare_steps(training.model, training.optimizer, batch, o.steps)

        rate("bf16"), rate("float32")
        pairs = measure.alternate(
            o.alternations,
            lambda: rate("bf16"),
            lambda: rate("float32"),
            lambda half, whole: f"bf16 {half:,.0f} img/s, float32 {whole:,.0f} img/s: {half / whole:.2f} times",
        )
    rates = [f"{statistics.median(side):,.0f}" for side in zip(*pairs)]
    report.add(
        measure.Row(
            f"a step of ViT-S/4 in bf16 on the CPU, beside float32, batch {o.batch}",
            [half / whole for half, whole in pairs],
            mark=LEAST if measure.has_bf16() else None,
            detail=f"{rates[0]} and {rates[1]} img/s",
        )
    )
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
