"""Photographs as files: packing them with one thread and with two, and a packed epoch beside torchvision's usual way.

    python benchmarks/packed_store.py            5,000 JPEGs of 400 x 300, made of scikit-learn's two photographs
    python benchmarks/packed_store.py --check    exit code 1 where packing gains less than 1.6, or the epoch is not
                                                 3 times as fast

The usual way is ImageFolder in a DataLoader of two processes: each epoch decodes every file, RandomResizedCrop to 224,
flip, ToTensor, Normalize. Ours takes the packed images of 256 x 256 and does the same on batches. Whatever is compared
takes turns in one run, so that all else the machine does meets both. It needs 3 GB in the temporary folder.
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from input_pipeline import processor

from relvit_lab.data import folder, packed
from relvit_lab.feed import SplitFeed
from relvit_lab.pipeline import Pipeline
from relvit_lab.randomness import epoch_order, generator

LEAST_PACKING, LEAST_EPOCH = 1.6, 3.0
IMAGE_SIZE, BATCH, WORKERS = 224, 64, 2


def write_photographs(root: Path, count: int) -> None:
    """ImageFolder's layout, ten classes: nine tenths in train/, one in val/. Parts of the photographs at random places,
    400 x 300, half of them mirrored; JPEG quality 90."""
    from PIL import Image, ImageOps
    from sklearn.datasets import load_sample_images

    photographs = [Image.fromarray(image) for image in load_sample_images().images]  # 640 x 427
    draws = torch.Generator().manual_seed(0)
    for n in range(count):
        left, top, mirrored = (int(torch.randint(end, (), generator=draws)) for end in (241, 128, 2))
        image = photographs[n % 2].crop((left, top, left + 400, top + 300))
        path = root / ("val" if n % 10 == 9 else "train") / f"class{n // 10 % 10}" / f"{n:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        (ImageOps.mirror(image) if mirrored else image).save(path, quality=90)


def seconds(do: Callable, *arguments: object) -> float:
    start = time.perf_counter()
    do(*arguments)
    return time.perf_counter() - start


def pack(root: Path, place: Path, workers: int) -> None:
    packed.load(folder.files(root, "photographs"), place, IMAGE_SIZE, progress=False, workers=workers)


def compare_packing(root: Path, place: Path, alternations: int, count: int) -> float:
    """How many times as fast two threads are as one: the median."""
    ratios = []
    for turn in range(1, alternations + 1):
        one, two = (seconds(pack, root, place / str(workers), workers) for workers in (1, 2))
        for workers in (1, 2):
            shutil.rmtree(place / str(workers))
        ratios.append(one / two)
        print(
            f"packing {turn}: 1 thread {count / one:,.0f} img/s, 2 threads {count / two:,.0f} img/s: "
            f"{ratios[-1]:.2f} times"
        )
    return report("packing with two threads", ratios)


def compare_epochs(root: Path, place: Path, alternations: int) -> float:
    """How many times as fast a packed epoch is as the DataLoader's: the median."""
    from torch.utils.data import DataLoader
    from torchvision import transforms as T
    from torchvision.datasets import ImageFolder

    dataset = packed.load(folder.files(root, "photographs"), place, IMAGE_SIZE, progress=False)
    pipeline = Pipeline(IMAGE_SIZE, 16, dataset.mean, dataset.std, centre=dataset.centre)
    feed = SplitFeed(dataset.train, torch.device("cpu"))
    transform = T.Compose([
        T.RandomResizedCrop(IMAGE_SIZE), T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize(dataset.mean, dataset.std),
    ])  # fmt: skip
    loader = DataLoader(
        ImageFolder(root / "train", transform), BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True
    )

    def packed_epoch(epoch: int) -> None:
        order = epoch_order(0, "benchmark", epoch, len(feed))
        for step, (images, labels) in enumerate(feed.batches(order, BATCH)):
            pipeline.train(images, labels, generator(0, epoch, step))

    def usual_epoch() -> None:
        for _ in loader:
            pass

    for _ in zip(range(4), loader):  # starts the workers
        pass
    packed_epoch(0)
    ratios, count = [], len(feed)
    for turn in range(1, alternations + 1):
        fast, slow = seconds(packed_epoch, turn), seconds(usual_epoch)
        ratios.append(slow / fast)
        print(
            f"epoch {turn}: packed {count / fast:,.0f} img/s, files {count / slow:,.0f} img/s: {ratios[-1]:.1f} times"
        )
    return report("a packed epoch", ratios)


def report(what: str, ratios: list[float]) -> float:
    median = statistics.median(ratios)
    print(f"{what}: {median:.2f} times as fast, the median of {len(ratios)} ({min(ratios):.2f} to {max(ratios):.2f})")
    return median


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000, help="how many JPEGs (default 5000)")
    parser.add_argument("--alternations", type=int, default=5, help="how often the two take turns (default 5)")
    parser.add_argument(
        "--check", action="store_true", help=f"exit code 1 below {LEAST_PACKING} (packing) or {LEAST_EPOCH} (epoch)"
    )
    o = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    print(f"{processor()}, {os.cpu_count()} cores; {platform.system()}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "pillow")))
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "photographs")
        write_photographs(root, o.images)
        print(f"{o.images:,} JPEGs of 400 x 300, packed at {packed.stored_side(IMAGE_SIZE)} for {IMAGE_SIZE} px")
        pack(root, Path(place, "warm"), 2)  # the files are in memory then
        packing = compare_packing(root, Path(place), o.alternations, o.images)
        epoch = compare_epochs(root, Path(place, "warm"), o.alternations)
    low = [
        f"{what} is below {least} times"
        for what, median, least in (("packing", packing, LEAST_PACKING), ("the epoch", epoch, LEAST_EPOCH))
        if median < least
    ]
    if o.check and low:
        print("; ".join(low), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
