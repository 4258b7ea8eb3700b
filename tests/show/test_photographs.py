"""The photographs are scikit-learn's, read without importing it."""


import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from relvit_lab.show.photographs import SQUARES, photograph


@pytest.mark.parametrize("name", SQUARES)
def test_they_are_those_that_scikit_learn_loads(name):
    pixels = load_sample_image(f"{name}.jpg")  # (427,640,3)
    square = Image.fromarray(pixels[:, SQUARES[name] : SQUARES[name] + len(pixels)])
    expected = np.asarray(square.resize((64, 64), Image.Resampling.LANCZOS)) / 255
    np.testing.assert_array_equal(photograph(64, name), expected)
