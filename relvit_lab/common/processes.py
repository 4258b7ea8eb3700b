"""Which of several processes this is, each with a device of its own, as torchrun starts them."""

import os


def processes() -> tuple[int, int]:
    """(rank, world) as torchrun has set them for this process; (0, 1) where it was not started so."""
    if all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")):
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return 0, 1
