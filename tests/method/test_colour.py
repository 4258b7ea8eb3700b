"""Colour operations on patches that lie last against torchvision's, patch by patch."""

import pytest
import torch
import torchvision.transforms.v2.functional as F

from relvit_lab.method.colour import (
    HUE_AT,
    OPERATIONS,
    ORDERS,
    OTHERS,
    adjust_hue_,
    blend_,
    grey_of,
    jitter_,
    jitter_plan,
)

THEIRS = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)


def pixels(n, p=4):
    """(n, 3, p, p) with what a hue has to get right: greys, black, white, ties of two channels."""
    x = torch.rand(n, 3, p, p)
    x[0] = x[0, :1]
    x[1], x[2] = 0, 1
    x[3, 1], x[4, 2], x[5, 2] = x[3, 0], x[4, 0], x[5, 1]
    x[6] = torch.tensor([1.0, 0, 0]).view(3, 1, 1)
    x[7] = x[7].round()  # the corners of the cube
    return x


def normalised(x):
    """Beyond [0, 1] on both sides, as recipe "released" has it."""
    return (x - 0.47) / 0.25


def last(x):
    """(n, 3, p, p) -> (3, p, p, n)"""
    return x.permute(1, 2, 3, 0).contiguous()


def close(ours, theirs):
    torch.testing.assert_close(ours.permute(3, 0, 1, 2), theirs, atol=1e-5, rtol=0)


def test_the_tables_of_orders():
    assert ORDERS.shape == (24, 4) and len(ORDERS.unique(dim=0)) == 24
    for order, at, others in zip(ORDERS.tolist(), HUE_AT.tolist(), OTHERS.tolist()):
        assert OPERATIONS[order[at]] == "hue" and others == [i for i in order if OPERATIONS[i] != "hue"]


@pytest.mark.parametrize("values", [lambda x: x, normalised])
def test_hue_is_torchvisions(values):
    x, turns = values(pixels(500)), torch.rand(500) - 0.5
    turns[:8] = torch.tensor([0.1, -0.1, 0.07, 0.3, -0.3, 0.05, -0.02, 0.09])
    ours = last(x)
    adjust_hue_(ours, turns)
    close(ours, torch.stack([F.adjust_hue(patch, float(turn)) for patch, turn in zip(x, turns)]))


def test_hue_turns_and_turns_back():
    x = last(torch.rand(50, 3, 4, 4))
    turned, turns = x.clone(), torch.rand(50) - 0.5
    adjust_hue_(turned, turns)
    assert (turned - x).abs().max() > 0.1
    adjust_hue_(turned, -turns)
    torch.testing.assert_close(turned, x, atol=1e-5, rtol=0)
    red = torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(3, 1, 2).clone()
    adjust_hue_(red, torch.tensor([1 / 3, -1 / 3]))
    torch.testing.assert_close(red[:, 0].T, torch.tensor([[0.0, 1, 0], [0, 0, 1]]))


def test_hue_of_a_pixel_with_maximum_zero_is_a_number():
    """torchvision divides by the maximum, and gives NaN here."""
    x = torch.tensor([0.0, -1, -2]).view(3, 1, 1)
    assert F.adjust_hue(x, 0.1).isnan().any()
    adjust_hue_(x, torch.tensor([0.1]))
    assert not x.isnan().any()


@pytest.mark.parametrize("values", [lambda x: x, normalised])
@pytest.mark.parametrize("operation", [0, 1, 2], ids=OPERATIONS[:3])
def test_blends_are_torchvisions(operation, values):
    x, factor = values(pixels(60)), torch.rand(60) + 0.5
    ours = last(x)
    blend_(ours, factor, (1 - factor) * (operation == 1), (1 - factor) * (operation == 2))
    close(ours, torch.stack([THEIRS[operation](patch, float(f)) for patch, f in zip(x, factor)]))


def test_grey_is_torchvisions():
    x = pixels(20)
    torch.testing.assert_close(grey_of(last(x)).permute(2, 0, 1), F.rgb_to_grayscale(x)[:, 0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("values", [lambda x: x, normalised])
def test_all_orders_are_torchvisions(values):
    order = torch.arange(24).repeat(5)
    order = order[HUE_AT[order].argsort()]
    hue_at = [0, 30, 60, 90, 120]  # each place for a quarter of the orders
    x, factors = values(pixels(120)), torch.rand(120, 4) * 0.8 + 0.6
    factors[:, 3] = torch.rand(120) * 0.2 - 0.1
    ours = last(x)
    jitter_(ours, *jitter_plan(order, factors), hue_at)
    theirs = x.clone()
    for i in range(120):
        for operation in ORDERS[order[i]].tolist():
            theirs[i] = THEIRS[operation](theirs[i], float(factors[i, operation]))
    close(ours, theirs)
