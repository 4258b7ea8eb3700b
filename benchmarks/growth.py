"""How a training step grows: with the batch, with tokens, with images, and with processes on one machine.

    python benchmarks/growth.py

ViT-S's blocks with SpRel and AbsPos, float32, forward, losses, backward and AdamW on a batch that is ready (batch and
tokens); whole short runs of ViT-nano (images and processes).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
import numpy as np
import torch
from training_step import bare_steps

from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.model import RelViT
from relvit_lab.method.pipeline import Batch
from relvit_lab.method.tasks import TASKS

GRIDS = {49: ("vit_s_8", 56), 64: ("vit_s_4", 32), 196: ("vit_s_4", 56), 256: ("vit_s_4", 64)}  # N: its image size


def step_rate(name: str, image: int, batch: int, turns: int) -> list[float]:
    """Images a second of each of a few steps."""
    backbone = create_backbone(name, image_size=image)
    model = RelViT(backbone, [TASKS.get("sprel"), TASKS.get("abspos")])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    ready = Batch(torch.randn(batch, 3, image, image), torch.zeros(batch, dtype=torch.int64), None)
    bare_steps(model, optimizer, ready, 1)
    return [batch / bare_steps(model, optimizer, ready, 1) for _ in range(turns)]


def run_rate(folder: Path, images: int, processes: int) -> float:
    """Images a second of a whole epoch of pre-training ViT-nano, one thread a process."""
    name = f"{images}-{processes}"
    file = folder / f"{name}.npz"
    pixels, labels = np.random.default_rng(0).integers(0, 256, (images, 32, 32, 3), np.uint8), np.arange(images) % 10
    np.savez(file, x_train=pixels, y_train=labels, x_test=pixels[:64], y_test=labels[:64])
    words = {"dataset": file, "preset": "demo", "train-images": images, "epochs": 2, "stop-after": "pretrain",
             "run-dir": folder / name, "device": "cpu"}  # fmt: skip
    start = [sys.executable, "-m"]
    if processes > 1:
        start += ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"]
    command = [*start, "relvit_lab", "train", *(str(w) for k, v in words.items() for w in (f"--{k}", v))]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    (metrics,) = (folder / name).glob("*/metrics.jsonl")
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    return lines[-1]["timing"]["images_per_second"]


def main() -> int:
    parser = measure.parser(__doc__, turns=3)
    parser.add_argument("--batch", type=int, default=16, help="of the rows about tokens")
    o = parser.parse_args()
    report = measure.Report(o)
    print(measure.machine())
    for batch in (8, 16, 32, 64):
        report.add(
            measure.Row(
                f"a step of ViT-S/4, N = 64, batch {batch}", step_rate("vit_s_4", 32, batch, o.alternations), "img/s"
            )
        )
    for n, (name, image) in GRIDS.items():
        what = f"a step of ViT-S on N = {n} tokens ({name}, {image} px), batch {o.batch}"
        report.add(measure.Row(what, step_rate(name, image, o.batch, o.alternations), "img/s"))
    with tempfile.TemporaryDirectory() as folder:
        for images in (512, 2048):
            report.add(measure.Row(f"an epoch of ViT-nano on {images:,} images, 1 process",
                                   [run_rate(Path(folder), images, 1)], "img/s"))  # fmt: skip
        if os.cpu_count() > 1:
            report.add(measure.Row(f"an epoch of ViT-nano on {images:,} images, 2 processes (gloo)",
                                   [run_rate(Path(folder), images, 2)], "img/s"))  # fmt: skip
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
