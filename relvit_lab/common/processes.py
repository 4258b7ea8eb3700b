"""Which of several processes this is, each with a device of its own, as torchrun starts them."""

import os


def processes() -> tuple[int, int]:
    """(rank, world) as torchrun has set them for this process; (0, 1) where it was not started so."""
    rank, world = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    if rank.isdecimal() and world.isdecimal() and {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return int(rank), int(world)
    return 0, 1
