"""This process: the memory that it keeps, and which of several it is, each with a device of its own."""

import ctypes
import os
import sys

# §4.1 on a CPU (how fast): memory that is given back to Linux after each step costs as much to get again as the work.
# At 224 px that took a third to a half of the input pipeline's time (two virtual cores). No number changes by this.
KEPT = 512 * 2**20  # bytes that may lie free in the process
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h
LARGEST = 32 * 2**20  # bytes: glibc gets larger blocks from Linux each time, whatever it is told


def keep_memory() -> None:
    """For this process, before torch needs memory: keep freed blocks, and have large ones in large pages.

    Does nothing where there is no glibc. A setting of the user's own (the environment variables) stays.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch's, for tensors of 2 MiB and more
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, KEPT)


def processes() -> tuple[int, int]:
    """(rank, world) as torchrun has set them for this process; (0, 1) where it was not started so."""
    rank, world = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    if rank.isdecimal() and world.isdecimal() and {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return int(rank), int(world)
    return 0, 1
