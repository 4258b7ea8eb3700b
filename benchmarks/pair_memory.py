"""What the losses over all pairs hold in memory: in blocks of images, as training computes them, beside the naive form.

    python benchmarks/pair_memory.py [--dim 384] [--batch 256] [--check]

SpRel's nine scores for every pair, loss and backward pass, float32. "Naive" makes all scores at once. Peaks are counted
from the profiler's records of every allocation, so they are exact and the same each time. With --batch 256 and D = 384
the naive form needs 4 GB at N = 256. --check asks for at most half of it there.
"""

import sys
from itertools import accumulate

import measure
import torch
from torch import Tensor

from relvit_lab.method.heads import PairScores
from relvit_lab.method.tasks import TASKS, cross_entropy, predict_and_compare

SIDES = (7, 8, 14, 16)  # N = 49, 64, 196, 256
LEAST = 2


def step(head: PairScores, tokens: Tensor, target: Tensor, naive: bool) -> None:
    """Loss and gradients."""
    if naive:
        loss = cross_entropy(head(tokens), target)
    else:
        loss = predict_and_compare(cross_entropy, head, tokens, target)
    loss.backward()


def peak(head: PairScores, tokens: Tensor, target: Tensor, naive: bool) -> int:
    """The most bytes held at a time."""
    with torch.profiler.profile(profile_memory=True) as seen:
        loss = (
            cross_entropy(head(tokens), target) if naive else predict_and_compare(cross_entropy, head, tokens, target)
        )
        loss.backward()
    return max(accumulate(e.nbytes() for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"))


def main() -> int:
    parser = measure.parser(__doc__, turns=3)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--sides", default=",".join(map(str, SIDES)), help="of the grid of patches")
    o = parser.parse_args()
    report = measure.Report(o)
    print(measure.machine())
    head = PairScores(o.dim, 9)
    for side in map(int, o.sides.split(",")):
        n, target = side**2, TASKS.get("sprel").target(side)
        for batch in sorted({o.batch // 4, o.batch}):
            tokens = torch.randn(batch, n, o.dim, requires_grad=True)
            ours, naive = (peak(head, tokens, target, naive) for naive in (False, True))
            largest = n == 256 and batch == o.batch
            report.add(
                measure.Row(
                    f"memory of SpRel's loss, N = {n}, batch {batch}: naive, beside blocks",
                    [naive / ours],
                    "times as much",
                    mark=LEAST if largest else None,
                    detail=f"{naive / 2**20:,.0f} and {ours / 2**20:,.0f} MiB",
                )
            )
    pairs = measure.alternate(
        o.alternations,
        lambda: measure.seconds(step, head, tokens, target, False),
        lambda: measure.seconds(step, head, tokens, target, True),
        lambda blocks, whole: f"blocks {blocks:.1f} s, naive {whole:.1f} s",
    )
    report.add(
        measure.Row(
            f"time of SpRel's loss and backward pass in blocks, beside naive, N = {n}, batch {o.batch}",
            [blocks / whole for blocks, whole in pairs], "times as long", less=True,
        )
    )  # fmt: skip
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
