"""The committed figures are what the code draws."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relvit_lab.figures import FIGURES, write_figures

COMMITTED = Path(__file__).parents[1] / "figures"


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


@pytest.mark.parametrize("name", FIGURES)
def test_committed_figures_are_those_of_the_code(name):
    """Byte for byte under constraints.txt; with other versions of matplotlib nearly pixel for pixel."""
    drawn, kept = FIGURES[name]().png(), (COMMITTED / f"{name}.png").read_bytes()
    if drawn != kept:
        one, other = pixels(drawn), pixels(kept)
        assert one.shape == other.shape and np.abs(one - other).mean() < 3, "python -m relvit_lab figures, then commit"


def test_twice_the_same_bytes(tmp_path):
    first, second = ([path.read_bytes() for path in write_figures(tmp_path / name)] for name in "ab")
    assert first == second and len(first) == len(FIGURES)


def test_nothing_else_lies_in_figures():
    assert {path.name for path in COMMITTED.iterdir()} == {f"{name}.png" for name in FIGURES}
