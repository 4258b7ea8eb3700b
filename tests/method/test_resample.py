"""Crop + resize as matrices against torchvision's crop, then resize, window by window."""

import pytest
import torch
import torchvision.transforms.v2.functional as F

from relvit_lab.common.compute.host import one_thread, to_device
from relvit_lab.common.errors import RelvitError
from relvit_lab.method.resample import axis_weights, resample


def windows(count, height, width):
    """Random windows within height x width: top, left, height, width, (count,) each."""
    h, w = torch.randint(1, height + 1, (count,)), torch.randint(1, width + 1, (count,))
    top, left = ((torch.rand(count) * (side - length + 1)).long() for side, length in ((height, h), (width, w)))
    return top, left, h, w


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("height", "width", "out"), [(32, 32, 32), (8, 8, 8), (60, 41, 24), (13, 50, 64), (30, 30, 1)])
def test_equals_crop_then_resize(height, width, out, antialias):
    images = torch.rand(24, 3, height, width)
    top, left, h, w = windows(24, height, width)
    top[:2], left[:2], h[:2], w[:2] = 0, 0, height, width  # the whole image is a window too
    ours = resample(images, axis_weights(top, h, out, height, antialias), axis_weights(left, w, out, width, antialias))
    for i, image in enumerate(images):
        box = top[i], left[i], h[i], w[i]
        theirs = F.resized_crop(image, *(int(value) for value in box), [out, out], antialias=antialias)
        torch.testing.assert_close(ours[i], theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("antialias", [True, False])
def test_rows_sum_to_one_and_stay_in_the_window(antialias):
    start, length = torch.tensor([[0, 3], [7, 2]]), torch.tensor([[10, 4], [1, 8]])
    weights = axis_weights(start, length, 5, 10, antialias)
    assert weights.shape == (2, 2, 5, 10) and weights.dtype == torch.float32 and weights.min() >= 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 5))
    for i in range(2):
        for j in range(2):
            outside = torch.ones(10, dtype=torch.bool)
            outside[start[i, j] : start[i, j] + length[i, j]] = False
            assert not weights[i, j][:, outside].any()


def test_the_same_size_is_the_same_image():
    image = torch.rand(2, 3, 9, 9)
    whole = axis_weights(torch.tensor(0), torch.tensor(9), 9, 9)
    assert torch.equal(resample(image, whole, whole), image)


def test_one_set_of_weights_serves_a_batch_and_any_float():
    images = torch.rand(2, 5, 3, 12, 10, dtype=torch.float64)  # more than one leading dimension
    wy = axis_weights(torch.tensor(2), torch.tensor(7), 4, 12)
    wx = axis_weights(torch.tensor(0), torch.tensor(10), 6, 10)
    out = resample(images, wy, wx)
    assert out.shape == (2, 5, 3, 4, 6) and out.dtype == torch.float64
    torch.testing.assert_close(out, F.resized_crop(images, 2, 0, 7, 10, [4, 6]), atol=1e-5, rtol=0)


def test_autocast_does_not_round_the_pixels():
    images = torch.rand(4, 3, 16, 16)
    weights = axis_weights(torch.tensor(3), torch.tensor(9), 16, 16)
    plain = resample(images, weights, weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(resample(images, weights, weights), plain)


@pytest.mark.parametrize(("out", "size"), [(0, 4), (4, 0)])
def test_no_pixels_is_an_error(out, size):
    with pytest.raises(RelvitError, match=f"cannot resize {size} pixels to {out}"):
        axis_weights(torch.tensor(0), torch.tensor(4), out, size)


def test_one_thread_is_for_the_cpu_and_ends_with_the_block():
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError), one_thread(torch.device("cpu")):
        assert torch.get_num_threads() == 1
        _ = 1 / 0
    assert torch.get_num_threads() == 2
    with one_thread(torch.device("meta")):
        assert torch.get_num_threads() == 2


def test_to_device_keeps_values():
    values = torch.arange(5)
    assert torch.equal(to_device(values, "cpu"), values)
    assert to_device(values, torch.device("meta")).device.type == "meta"
