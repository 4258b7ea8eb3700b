"""§4.1's input pipeline: relvit_lab's batched one beside per-patch torchvision transforms in a DataLoader.

    python benchmarks/input_pipeline.py                          CIFAR-10's sizes, 32 px and patches of 4
    python benchmarks/input_pipeline.py --size 224 --patch 16    ImageNet-100's
    python benchmarks/input_pipeline.py --check                  exit code 1 below 60 (32/4) or 15 times (224/16)
    python benchmarks/input_pipeline.py --variants               also one order of colour operations for all patches
                                                                 of a batch, and the operations compiled

Both start from the same uint8 images in memory and end with normalised, shuffled images, labels and the four permuted
targets. They take turns in one run, so that whatever else the machine does meets both; the DataLoader's workers are
started beforehand, and idle while ours runs. The images are tiles of scikit-learn's two photographs, or of --npz.
"""

import itertools
import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from unittest import mock

import measure
import torch
from torch import Tensor
from usual_way import PatchDataset, PILPatchDataset, usual_loader

from relvit_lab import data
from relvit_lab.method import augment, colour, relations
from relvit_lab.method.augment import draw_patch_changes
from relvit_lab.method.pipeline import Pipeline

LEAST = {(32, 4): 60, (224, 16): 15}  # times as fast, with two cores
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
    return count / measure.seconds(prepare, count)


def with_other(prepare: Callable[[int], None], others: dict[tuple[object, str], Callable]) -> Callable[[int], None]:
    """The same with other functions in the place of a module's own, by (module, name)."""

    def prepare_otherwise(count: int) -> None:
        with ExitStack() as held:
            for (module, name), other in others.items():
                held.enter_context(mock.patch.object(module, name, other))
            prepare(count)

    return prepare_otherwise


def in_one_order(count: int, patch: int, generator: torch.Generator | None = None) -> augment.PatchChanges:
    """As draw_patch_changes, but all patches of a batch get the four colour operations in one order."""
    changes = draw_patch_changes(count, patch, generator)
    return changes._replace(order=changes.order[:1].expand(count))


def compiled() -> dict[tuple[object, str], Callable]:
    """The colour operations compiled (which needs a C++ compiler, and some seconds at first)."""
    return {(colour, n): torch.compile(getattr(colour, n), dynamic=True) for n in ("blend_", "adjust_hue_")}


VARIANTS = {
    "one order for all patches": lambda: {(augment, "draw_patch_changes"): in_one_order},
    "colour operations compiled": compiled,
}


def main() -> int:
    parser = measure.parser(__doc__)
    parser.add_argument("--size", type=int, default=32, help="side of the images, in pixels (default 32)")
    parser.add_argument("--patch", type=int, default=4, help="side of the patches, in pixels (default 4)")
    parser.add_argument("--images", type=int, help="images a turn for the usual way (default: some seconds' worth)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the DataLoader (default 2)")
    parser.add_argument("--usual", choices=("tensor", "pil"), default="tensor", help="form of the usual way's patches")
    parser.add_argument("--npz", help="images from x_train of this file, instead of photographs")
    parser.add_argument("--variants", action="store_true", help="also one order for all patches, and compiled")
    arguments = parser.parse_args()
    report, size, patch = measure.Report(arguments), arguments.size, arguments.patch

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
    ours_count = (128 if size <= 64 else 8) * BATCH  # about as many seconds as the usual way

    print(measure.machine())
    print(f"{size} px, patches of {patch}; {arguments.workers} workers, {arguments.usual} patches, in the usual way")
    prepare_usual(2 * arguments.workers)  # starts the workers
    prepare_ours(BATCH)
    pairs = measure.alternate(
        arguments.alternations,
        lambda: rate(prepare_ours, ours_count),
        lambda: rate(prepare_usual, usual_count),
        lambda fast, slow: f"ours {fast:,.0f} img/s, usual {slow:,.0f} img/s: {fast / slow:.1f} times",
    )
    rates = [f"{statistics.median(side):,.0f}" for side in zip(*pairs)]
    report.add(
        measure.Row(
            f"input pipeline, {size}/{patch}, beside torchvision's {arguments.usual} transforms patch by patch",
            [fast / slow for fast, slow in pairs],
            mark=LEAST.get((size, patch)) if arguments.usual == "tensor" else None,
            detail=f"{rates[0]} and {rates[1]} img/s",
        )
    )
    for name, others in VARIANTS.items() if arguments.variants else ():
        prepare_otherwise = with_other(prepare_ours, others())
        first = measure.seconds(prepare_otherwise, BATCH)
        prepare_otherwise(2 * BATCH)  # other sizes compile once more
        pairs = measure.alternate(
            arguments.alternations,
            lambda do=prepare_otherwise: rate(do, ours_count),
            lambda: rate(prepare_ours, ours_count),
            lambda one, other: f"{one:,.0f} img/s, beside {other:,.0f} as it is",
        )
        report.add(
            measure.Row(
                f"input pipeline, {size}/{patch}: {name}, beside as it is",
                [one / other for one, other in pairs],
                detail=f"{statistics.median(one for one, _ in pairs):,.0f} img/s; the first batch took {first:.1f} s",
            )
        )
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
