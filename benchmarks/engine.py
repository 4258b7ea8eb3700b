"""The whole training loop with `precision auto, compile auto` beside the loop as it was (float32, uncompiled, fused
attention), on this machine; and attention fused beside written out, which decides engine.fuses_attention.

    python benchmarks/engine.py [--steps 4] [--alternations 7] [--check]

Pre-training with SpRel and AbsPos at 32/4: ViT-nano at batch 64, ViT-S/4 at batch 32, from stored images to updated
weights, in a stage as long as the paper's. Each side has a process of its own, which waits while the other has its
turn; so each has its own peak of memory. Compiling is told apart. --check asks, where the processor multiplies bf16,
for 1.7 and 2.3 times, on others for 0.97 (never slower), and for at most 1.1 times the memory.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure
import numpy as np
import torch
from training_step import loop_steps

from relvit_lab.common.compute.choose_device import pick_device
from relvit_lab.common.compute.throughput import peak_memory, product_tflops
from relvit_lab.train import clock
from relvit_lab.train.build import load_data
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.flops import stage_flops
from relvit_lab.train.stage_folder import RunFolder
from relvit_lab.train.state import Training
from relvit_lab.train.training import train_stage

CASES = (("vit_nano", 64, 1.7), ("vit_s_4", 32, 2.3))
NEVER_SLOWER, MEMORY = 0.97, 1.1
SIDES = {"auto": {}, "was": {"precision": "float32", "compile": "false"}}
TOKENS = (50, 65, 197, 257)  # Table 1's, with CLS
EPOCHS, PAPER = 100, 50_000


class Side:
    """A training in a process of its own, which takes a turn when it is asked to."""

    def __init__(self, folder: str, backbone: str, batch: int, side: str):
        command = [sys.executable, __file__, "--side", json.dumps([folder, backbone, batch, side])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = json.loads(self.process.stdout.readline())

    def ask(self, steps: int) -> dict:
        """{"seconds": of so many steps, "memory": the process's peak so far, in MiB}."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def side(folder: str, backbone: str, batch: int, name: str) -> None:
    """In the process of one side: answers each number of steps on stdin."""
    clock.SHOW_EVERY = 0.0  # an event after each step
    images = len(np.load(Path(folder, "noise.npz"))["y_train"])
    experiment = Experiment(
        dataset=str(Path(folder, "noise.npz")), preset="paper", backbone=backbone, batch_size=batch, lr=1e-4,
        run_dir=str(Path(folder, name)), epochs=EPOCHS * PAPER // images, device="cpu", **SIDES[name],
    )  # fmt: skip
    stage, device = experiment.stages()[0], pick_device("cpu", experiment.precision)
    training, run_folder = Training(stage, device, load_data(stage.experiment)), RunFolder(stage.folder)
    with run_folder.lock():
        records = train_stage(training, run_folder)
        loop_steps(records, 2)
        about = {"precision": training.device.precision, "compiled": training.model.compiled,
                 "compiling": training.compiling, "gflop": stage_flops(stage).train / 1e9}  # fmt: skip
        print(json.dumps(about), flush=True)
        for line in sys.stdin:
            seconds = loop_steps(records, int(line))
            print(json.dumps({"seconds": seconds, "memory": peak_memory(device)}), flush=True)
        records.close()


def whole_loop(o, report: measure.Report, folder: str, backbone: str, batch: int, mark: float) -> None:
    auto, was = (Side(folder, backbone, batch, name) for name in SIDES)
    memory = {}

    def rate(side: Side) -> float:
        answer = side.ask(o.steps)
        memory[side] = answer["memory"]
        return o.steps * batch / answer["seconds"]

    pairs = measure.alternate(
        o.alternations, lambda: rate(auto), lambda: rate(was),
        lambda now, before: f"auto {now:,.0f} img/s, as it was {before:,.0f}: {now / before:.2f} times",
    )  # fmt: skip
    auto.end(), was.end()
    now, before = (statistics.median(values) for values in zip(*pairs))
    tokens = {"vit_nano": 96, "vit_s_4": 384}[backbone]
    device = pick_device("cpu", auto.about["precision"])
    product = product_tflops(device, batch * 65, tokens, 4 * tokens)
    share = now * auto.about["gflop"] / 1e3 / product
    compiled = f", compiled in {auto.about['compiling']:.0f} s" if auto.about["compiled"] else ", not compiled"
    chosen = auto.about["precision"] + compiled
    what = f"the loop of {backbone} 32/4, batch {batch}: auto, beside as it was"
    bf16 = measure.has_bf16()
    report.add(
        measure.Row(
            f"{what}", [a / b for a, b in pairs], mark=mark if bf16 else NEVER_SLOWER,
            detail=f"{now:,.0f} and {before:,.0f} img/s; auto: {chosen}; {100 * share:.0f} % of the same-shaped product"
            + ("" if bf16 else "; no bf16 products here, so the marks for them were not run"),
        )
    )  # fmt: skip
    report.add(
        measure.Row(
            f"peak memory, {what}", [memory[auto] / memory[was]], "times as much", mark=MEMORY, less=True,
            detail=f"{memory[auto]:,.0f} and {memory[was]:,.0f} MiB of the process",
        )
    )  # fmt: skip


def attention(o, report: measure.Report, tokens: int, dtype: torch.dtype) -> None:
    """Forward and backward of a ViT-S block's attention, 6 heads of 64, as many tokens in all for each length."""
    from timm.layers import Attention

    batch = max(1, 32 * 65 // tokens)
    module, x = Attention(384, 6, qkv_bias=True), torch.randn(batch, tokens, 384, requires_grad=True)

    def pass_(fused: bool) -> float:
        module.fused_attn = fused
        began = time.perf_counter()
        for _ in range(o.steps):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
                out = module(x)
            out.float().square().mean().backward()
        return time.perf_counter() - began

    pass_(True), pass_(False)
    word = "bf16" if dtype == torch.bfloat16 else "float32"
    pairs = measure.alternate(
        o.alternations, lambda: pass_(True), lambda: pass_(False),
        lambda fused, out: f"T = {tokens}, {word}: fused {1e3 * fused:.0f} ms, written out {1e3 * out:.0f} ms",
    )  # fmt: skip
    report.add(measure.Row(f"attention of ViT-S written out, beside fused, T = {tokens}, {word}",
                           [fused / out for fused, out in pairs]))  # fmt: skip


def main() -> int:
    parser = measure.parser(__doc__, turns=7)
    parser.add_argument("--steps", type=int, default=4, help="steps of each kind in a turn")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.side:
        side(*json.loads(o.side))
        return 0
    report = measure.Report(o)
    print(measure.machine())
    with tempfile.TemporaryDirectory() as folder:
        images = np.random.default_rng(0).integers(0, 256, (5_000, 32, 32, 3), np.uint8)
        np.savez(Path(folder, "noise.npz"), x_train=images, y_train=np.arange(len(images)) % 10, x_test=images[:64],
                 y_test=np.arange(64) % 10)  # fmt: skip
        for case in CASES:
            whole_loop(o, report, folder, *case)
    for dtype in (torch.float32, torch.bfloat16)[: 1 + measure.has_bf16()]:  # without: 20 times as long
        for tokens in TOKENS:
            attention(o, report, tokens, dtype)
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
