"""Real photographs that come with scikit-learn (both CC BY), for notebooks and figures without a network."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.values import is_whole

SQUARES = {"flower": 150, "china": 60}  # the left edge of the square that is shown, in pixels
LARGEST = 4096  # pixels a side; they have 427 of their own


def photograph(side: int = 224, name: str = "flower") -> np.ndarray:
    """A square photograph: (side, side, 3) float in [0, 1]. name: flower or china. Raises RelvitError for another,
    and for a side that is no whole number from 1 to 4096."""
    from PIL import Image

    if not is_whole(side) or not 1 <= side <= LARGEST:
        raise RelvitError(f"the side of a photograph is a whole number from 1 to {LARGEST} pixels, not {side!r}")
    if str(name) not in SQUARES:
        raise RelvitError(f"unknown photograph '{name}': {nearest(name, SQUARES)}")
    package = Path(find_spec("sklearn").origin).parent  # not imported: that takes two seconds
    whole = Image.open(package / "datasets" / "images" / f"{name}.jpg")  # 640 x 427
    square = whole.crop((SQUARES[name], 0, SQUARES[name] + whole.height, whole.height))
    return np.asarray(square.resize((side, side), Image.Resampling.LANCZOS)) / 255
