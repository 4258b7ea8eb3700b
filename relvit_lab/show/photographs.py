"""Real photographs that come with scikit-learn (both CC BY), for notebooks and figures without a network."""

import numpy as np

from relvit_lab.common.errors import RelvitError, nearest

SQUARES = {"flower": 150, "china": 60}  # the left edge of the square that is shown, in pixels


def photograph(side: int = 224, name: str = "flower") -> np.ndarray:
    """A square photograph: (side, side, 3) float in [0, 1]. name: flower or china. Raises RelvitError for another."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    if name not in SQUARES:
        raise RelvitError(f"unknown photograph '{name}': {nearest(name, SQUARES)}")
    pixels = load_sample_image(f"{name}.jpg")  # (427,640,3)
    left = SQUARES[name]
    square = Image.fromarray(pixels[:, left : left + len(pixels)])  # (427,427,3)
    return np.asarray(square.resize((side, side), Image.Resampling.LANCZOS)) / 255
