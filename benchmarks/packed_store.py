"""Photographs as files: packing them with one thread and with two, and a packed epoch beside torchvision's usual way.

    python benchmarks/packed_store.py            5,000 JPEGs of 400 x 300, made of scikit-learn's two photographs
    python benchmarks/packed_store.py --check    exit code 1 where packing gains less than 1.6, or the epoch is not
                                                 3 times as fast

The usual way is ImageFolder in a DataLoader of two processes: each epoch decodes every file, RandomResizedCrop to 224,
flip, ToTensor, Normalize. Ours takes the packed images of 256 x 256 and does the same on batches. Whatever is compared
takes turns in one run, so that all else the machine does meets both. It needs 3 GB in the temporary folder.
"""

import itertools
import shutil
import sys
import tempfile
from pathlib import Path

import measure
import torch

from relvit_lab.common.randomness import epoch_order, generator
from relvit_lab.data import folder, packed
from relvit_lab.data.feed import SplitFeed
from relvit_lab.method.pipeline import Pipeline

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


def pack(root: Path, place: Path, workers: int) -> None:
    packed.load(folder.files(root, "photographs"), place, IMAGE_SIZE, progress=False, workers=workers)


def compare_packing(root: Path, place: Path, turns: int, count: int) -> measure.Row:
    """How many times as fast two threads are as one."""

    def packing(workers: int) -> float:
        took = measure.seconds(pack, root, place / str(workers), workers)
        shutil.rmtree(place / str(workers))
        return count / took

    pairs = measure.alternate(
        turns,
        lambda: packing(2),
        lambda: packing(1),
        lambda two, one: f"2 threads {two:,.0f} img/s, 1 thread {one:,.0f} img/s: {two / one:.2f} times",
    )
    return measure.Row("packing photographs with two threads, beside one", _ratios(pairs), mark=LEAST_PACKING)


def _ratios(pairs: list[tuple[float, float]]) -> list[float]:
    return [ours / usual for ours, usual in pairs]


def compare_epochs(root: Path, place: Path, turns: int) -> measure.Row:
    """How many times as fast a packed epoch is as the DataLoader's."""
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
    epochs, count = itertools.count(1), len(feed)
    pairs = measure.alternate(
        turns,
        lambda: count / measure.seconds(packed_epoch, next(epochs)),
        lambda: count / measure.seconds(usual_epoch),
        lambda fast, slow: f"packed {fast:,.0f} img/s, files {slow:,.0f} img/s: {fast / slow:.1f} times",
    )
    return measure.Row(
        "an epoch of packed photographs, beside ImageFolder in a DataLoader", _ratios(pairs), mark=LEAST_EPOCH
    )


def main() -> int:
    parser = measure.parser(__doc__)
    parser.add_argument("--images", type=int, default=5000, help="how many JPEGs (default 5000)")
    o = parser.parse_args()
    report = measure.Report(o)
    print(measure.machine())
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "photographs")
        write_photographs(root, o.images)
        print(f"{o.images:,} JPEGs of 400 x 300, packed at {packed.stored_side(IMAGE_SIZE)} for {IMAGE_SIZE} px")
        pack(root, Path(place, "warm"), 2)  # the files are in memory then
        report.add(compare_packing(root, Path(place), o.alternations, o.images))
        report.add(compare_epochs(root, Path(place, "warm"), o.alternations))
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
