"""Real photographs that come with scikit-learn (both CC BY), for notebooks and figures without a network."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from relvit_lab.common.errors import RelvitError, nearest

SQUARES = {"flower": 150, "china": 60}  # the left edge of the square that is shown, in pixels


def photograph(side: int = 224, name: str = "flower") -> np.ndarray:
    """A square photograph: (side, side, 3) float in [0, 1]. name: flower or china. Raises RelvitError for another."""
    from PIL import Image

    if name not in SQUARES:
        raise RelvitError(f"unknown photograph '{name}': {nearest(name, SQUARES)}")
    package = Path(find_spec("sklearn").origin).parent  # not imported: that takes two seconds
    whole = Image.open(package / "datasets" / "images" / f"{name}.jpg")  # 640 x 427
    square = whole.crop((SQUARES[name], 0, SQUARES[name] + whole.height, whole.height))
    return np.asarray(square.resize((side, side), Image.Resampling.LANCZOS)) / 255
