"""Randomness without state: every generator is a function of what it is for.

A step's draws depend on (seed, stage, step) alone, so a run that was killed goes on to the same bits, and the
global batch is the same however many devices share it.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


def key(*parts: object) -> int:
    """A 63-bit number from anything printable, the same in every process and on every machine."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by `key(*parts)`, for example generator(seed, stage, step)."""
    return torch.Generator(device).manual_seed(key(*parts))


@dataclass(frozen=True)
class Share:
    """The part of every batch that one of `world` devices has; rank: from 0."""

    rank: int = 0
    world: int = 1

    def rows(self, batch: int) -> slice:
        """Its images of a batch: one piece, of a size within one of any other device's. Where there are fewer images
        than devices, one that would have none looks at the first, which counts for nothing (`images`)."""
        start, stop = (batch * rank // self.world for rank in (self.rank, self.rank + 1))
        return slice(start, stop) if stop > start else slice(0, 1)

    def images(self, batch: int) -> int:
        """How many of its images count."""
        return batch * (self.rank + 1) // self.world - batch * self.rank // self.world


WHOLE = Share()


class BatchGenerator(torch.Generator):
    """A generator that knows of which batch its draws are: `batch` images, of which this device has `rows`."""

    batch: int
    rows: slice

    def of(self, batch: int, share: Share) -> "BatchGenerator":
        self.batch, self.rows = batch, share.rows(batch)
        return self


def drawn_for(count: int, generator: torch.Generator | None) -> tuple[int, slice]:
    """For how many images to draw with a generator where a device has `count`, and which rows of the draws are theirs.

    Draws for the whole batch make a step the same however many devices share it.
    """
    if isinstance(generator, BatchGenerator):
        return generator.batch, generator.rows
    return count, slice(0, count)


def epoch_order(seed: int, stage: str, epoch: int, images: int) -> Tensor:
    """The order in which an epoch (from 0) visits the images: (images,) int64, a permutation."""
    return torch.randperm(images, generator=generator(seed, stage, "order", epoch))
