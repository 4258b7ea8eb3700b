"""§4.1's input pipeline: relvit_lab's batched one beside per-patch torchvision transforms in a DataLoader.

    python benchmarks/input_pipeline.py                          CIFAR-10's sizes, 32 px and patches of 4
    python benchmarks/input_pipeline.py --size 224 --patch 16    ImageNet-100's
    python benchmarks/input_pipeline.py --check                  exit code 1 where the median ratio is below 60

Both start from the same uint8 images in memory and end with normalised, shuffled images, labels and the four permuted
targets. They take turns in one run, so that whatever else the machine does meets both; the DataLoader's workers are
started beforehand, and idle while ours runs. The images are tiles of scikit-learn's two photographs, or of --npz.
"""

import argparse
import itertools
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor
from usual_way import PatchDataset, PILPatchDataset, usual_loader

from relvit_lab import data, relations
from relvit_lab.pipeline import Pipeline

LEAST = 60  # times as fast, at 32 px with patches of 4, on two cores
BATCH = 256
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # CIFAR-10's; any would cost the same


def photograph_tiles(count: int, size: int) -> Tensor:
    """Tiles of the photographs in scikit-learn at random places: (count, 3, size, size) uint8."""
    from sklearn.datasets import load_sample_images

    draws = torch.Generator().manual_seed(0)
    photographs = [torch.tensor(image).permute(2, 0, 1) for image in load_sample_images().images]  # (3,427,640)
    tiles = []
    for i in range(count):
        photograph = photographs[i % len(photographs)]
        top, left = (int(torch.randint(n - size + 1, (), generator=draws)) for n in photograph.shape[1:])
        tiles.append(photograph[:, top : top + size, left : left + size])
    return torch.stack(tiles)


def ours(images: Tensor, labels: Tensor, size: int, patch: int, targets: tuple[Tensor, ...]) -> Callable[[int], None]:
    """A function that prepares `count` images in batches, as training does."""
    pipeline = Pipeline(size, patch, MEAN, STD, patch_augment=True, shuffle=True)
    draws = torch.Generator().manual_seed(0)
    order = itertools.cycle(torch.arange(len(images)).split(min(BATCH, len(images))))

    def prepare(count: int) -> None:
        while count > 0:
            chosen = next(order)
            batch = pipeline.train(images[chosen], labels[chosen], draws)
            for target in targets:
                relations.permuted(target, batch.permutation)
            count -= len(chosen)

    return prepare


def usual(dataset: PatchDataset, workers: int) -> Callable[[int], None]:
    """A function that has `count` images prepared by the workers of a DataLoader."""
    indices: list[int] = []
    loader = usual_loader(dataset, indices, workers)

    def prepare(count: int) -> None:
        indices[:] = [i % len(dataset) for i in range(count)]
        for _ in loader:
            pass

    return prepare


def rate(prepare: Callable[[int], None], count: int) -> float:
    """Images a second."""
    start = time.perf_counter()
    prepare(count)
    return count / (time.perf_counter() - start)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32, help="side of the images, in pixels (default 32)")
    parser.add_argument("--patch", type=int, default=4, help="side of the patches, in pixels (default 4)")
    parser.add_argument("--alternations", type=int, default=5, help="how often the two take turns (default 5)")
    parser.add_argument("--images", type=int, help="images a turn for the usual way (default: some seconds' worth)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the DataLoader (default 2)")
    parser.add_argument("--usual", choices=("tensor", "pil"), default="tensor", help="form of the usual way's patches")
    parser.add_argument("--npz", help="images from x_train of this file, instead of photographs")
    parser.add_argument("--check", action="store_true", help=f"exit code 1 where the median is below {LEAST} times")
    arguments = parser.parse_args()
    size, patch = arguments.size, arguments.patch

    if arguments.npz:
        images = data.load(arguments.npz).train.images[: 4 * BATCH]
        images = images.expand(-1, 3, -1, -1).contiguous()
    else:
        images = photograph_tiles(4 * BATCH if size <= 64 else BATCH, size)
    labels = torch.arange(len(images)) % 10
    side = size // patch
    targets = (
        relations.spatial_relations(side),
        relations.distances(side),
        relations.angles(side),
        relations.absolute_positions(side),
    )
    form = PatchDataset if arguments.usual == "tensor" else PILPatchDataset
    prepare_ours = ours(images, labels, size, patch, targets)
    prepare_usual = usual(form(images, labels, size, patch, MEAN, STD, targets), arguments.workers)
    usual_count = arguments.images or (512 if size <= 64 else 128)
    ours_count = (16 if size <= 64 else 2) * BATCH

    print(f"{processor()}, {os.cpu_count()} cores; {platform.system()}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "pillow")))
    print(f"{size} px, patches of {patch}; {arguments.workers} workers, {arguments.usual} patches, in the usual way")
    prepare_usual(2 * arguments.workers)  # starts the workers
    prepare_ours(BATCH)
    ratios = []
    for turn in range(1, arguments.alternations + 1):
        fast, slow = rate(prepare_ours, ours_count), rate(prepare_usual, usual_count)
        ratios.append(fast / slow)
        print(f"{turn}: ours {fast:,.0f} img/s, usual {slow:,.0f} img/s: {ratios[-1]:.1f} times", flush=True)
    median = statistics.median(ratios)
    print(f"median of {len(ratios)}: {median:.1f} times as fast ({min(ratios):.1f} to {max(ratios):.1f})")
    if arguments.check and median < LEAST:
        print(f"This is below {LEAST} times.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
