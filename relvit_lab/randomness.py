"""Randomness without state: every generator is a function of what it is for.

A step's draws depend on (seed, stage, step) alone, so a run that was killed goes on to the same bits, and the
global batch is the same however many devices share it.
"""

import hashlib

import torch
from torch import Tensor


def key(*parts: object) -> int:
    """A 63-bit number from anything printable, the same in every process and on every machine."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by `key(*parts)`, for example generator(seed, stage, step)."""
    return torch.Generator(device).manual_seed(key(*parts))


def epoch_order(seed: int, stage: str, epoch: int, images: int) -> Tensor:
    """The order in which an epoch (from 0) visits the images: (images,) int64, a permutation."""
    return torch.randperm(images, generator=generator(seed, stage, "order", epoch))
