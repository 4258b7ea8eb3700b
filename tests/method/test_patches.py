"""Patches against slices of the image, permutations against loops, mega-patches against torchvision's resize."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from hypothesis import given
from hypothesis import strategies as st

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.randomness import generator
from relvit_lab.method.patches import (
    draw_cuts,
    draw_permutations,
    grid_side,
    mega_patches,
    patchify,
    permute,
    unpatchify,
)
from relvit_lab.method.relations import spatial_relations


@given(b=st.integers(0, 3), c=st.sampled_from([1, 3]), side=st.integers(1, 6), p=st.integers(1, 5))
def test_there_and_back(b, c, side, p):
    images = torch.rand(b, c, side * p, side * p)
    patches = patchify(images, p)
    assert patches.shape == (b, side * side, c, p, p)
    assert torch.equal(unpatchify(patches), images)


def test_patches_go_row_by_row():
    images = torch.rand(2, 3, 12, 12)
    patches = patchify(images, 4)
    for i in range(9):
        y, x = divmod(i, 3)
        assert torch.equal(patches[:, i], images[:, :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4])
    assert patchify((images * 255).byte(), 4).dtype == torch.uint8


def test_token_t_holds_patch_p_t():
    patches = torch.rand(3, 9, 2, 4, 4)
    p = torch.stack([torch.randperm(9) for _ in range(3)])
    shuffled = permute(patches, p)
    for b, t in itertools.product(range(3), range(9)):
        assert torch.equal(shuffled[b, t], patches[b, p[b, t]])
    assert torch.equal(permute(shuffled, p.argsort(1)), patches)  # shuffled back
    assert torch.equal(permute(patches, p[0])[2], patches[2, p[0]])  # one permutation for all
    assert torch.equal(permute(unpatchify(patches), p), unpatchify(shuffled))  # images: the patch side follows from N
    assert torch.equal(permute(unpatchify(patches), p[1]), unpatchify(permute(patches, p[1])))


def test_each_image_has_its_own_permutation():
    p = draw_permutations(50, 16, generator("p"))
    assert p.shape == (50, 16) and p.dtype == torch.int64
    assert torch.equal(p.sort(1).values, torch.arange(16).expand(50, 16))
    assert len(p.unique(dim=0)) == 50
    assert torch.equal(p, draw_permutations(50, 16, generator("p")))
    assert not torch.equal(p, draw_permutations(50, 16, generator("q")))


def test_all_orders_are_equally_likely():
    counts = Counter(map(tuple, draw_permutations(12_000, 3, generator("orders")).tolist()))
    assert len(counts) == 6
    assert all(abs(count - 2000) < 5 * math.sqrt(2000) for count in counts.values())


def mega_patch_loop(images, cuts, patch, antialias):
    """Cell by cell with torchvision."""
    b, c, h, _ = images.shape
    m = cuts.shape[-1] + 1
    out = torch.empty(b, c, m * patch, m * patch)
    for i in range(b):
        rows, columns = ([0, *(cut * patch for cut in axis), h] for axis in cuts[i].tolist())
        for y, x in itertools.product(range(m), range(m)):
            cell = images[i, :, rows[y] : rows[y + 1], columns[x] : columns[x + 1]]
            resized = F.resize(cell, [patch, patch], antialias=antialias)
            out[i, :, y * patch : (y + 1) * patch, x * patch : (x + 1) * patch] = resized
    return out


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("side", "patch", "m"), [(8, 4, 1), (8, 4, 3), (8, 4, 5), (8, 4, 8), (7, 8, 4), (4, 2, 2)])
def test_mega_patches_equal_a_loop(side, patch, m, antialias):
    images = torch.rand(6, 3, side * patch, side * patch)
    out, cuts = mega_patches(images, m, patch, generator(side, m), antialias=antialias)
    assert out.shape == (6, 3, m * patch, m * patch)
    torch.testing.assert_close(out, mega_patch_loop(images, cuts, patch, antialias), atol=1e-5, rtol=0)
    again, same = mega_patches(images, m, patch, cuts=cuts, antialias=antialias)
    assert torch.equal(again, out) and torch.equal(same, cuts)


def test_as_many_mega_patches_as_patches_change_nothing():
    images = torch.rand(2, 3, 12, 12)
    out, cuts = mega_patches(images, 3, 4)
    torch.testing.assert_close(out, images)
    assert cuts.tolist() == [[[1, 2], [1, 2]]] * 2


def test_stored_images_become_floats():
    images = torch.randint(256, (2, 1, 16, 16), dtype=torch.uint8)
    out, cuts = mega_patches(images, 2, 4)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, mega_patches(images / 255, 2, 4, cuts=cuts)[0])
    for_all, _ = mega_patches(images, 2, 4, cuts=cuts[0])
    torch.testing.assert_close(for_all[0], out[0])
    with pytest.raises(RelvitError, match="uint8 or floats"):
        mega_patches(images.long(), 2, 4)


@given(st.integers(1, 9).flatmap(lambda side: st.tuples(st.just(side), st.integers(1, side))), st.booleans())
def test_cuts_are_sorted_distinct_and_inside(side_m, shared):
    side, m = side_m
    cuts = draw_cuts(20, m, side, generator(side, m), shared)
    assert cuts.shape == (20, 2, m - 1) and cuts.dtype == torch.int64
    edges = torch.nn.functional.pad(torch.nn.functional.pad(cuts, (1, 0)), (0, 1), value=side)
    assert (edges.diff(dim=-1) > 0).all()
    if shared:
        assert torch.equal(cuts[:, 0], cuts[:, 1])


def test_cuts_are_uniform_and_independent():
    """Of 6 sets of 2 cuts among 4 places, all 36 pairs of a row set and a column set come up alike."""
    cuts = draw_cuts(36_000, 3, 5, generator("cuts"))
    counts = Counter((tuple(rows), tuple(columns)) for rows, columns in cuts.tolist())
    assert len(counts) == 36
    assert all(abs(count - 1000) < 5 * math.sqrt(1000) for count in counts.values())
    assert torch.equal(cuts, draw_cuts(36_000, 3, 5, generator("cuts")))
    assert not torch.equal(cuts, draw_cuts(36_000, 3, 5, generator("others")))


def test_errors_say_what_would_do():
    images = torch.rand(2, 3, 32, 32)
    with pytest.raises(RelvitError, match="32 x 32 pixels do not divide into patches of 5: try 4"):
        patchify(images, 5)
    with pytest.raises(RelvitError, match="patches of 40: try 32"):
        grid_side(images, 40)
    with pytest.raises(RelvitError, match="try 1"):
        patchify(images, 0)
    with pytest.raises(RelvitError, match="32 x 16"):
        patchify(images[..., :16], 4)
    with pytest.raises(RelvitError, match="shape"):
        patchify(images[0], 4)
    with pytest.raises(RelvitError, match="8 patches do not fill a square grid"):
        unpatchify(torch.rand(2, 8, 3, 4, 4))
    with pytest.raises(RelvitError, match="shape"):
        unpatchify(torch.rand(2, 9, 3, 4, 5))
    with pytest.raises(RelvitError, match=r"need p of shape \(64,\) or \(2, 64\), not \(3, 64\)"):
        permute(images, draw_permutations(3, 64))
    for n in (60, 49, 0):
        with pytest.raises(RelvitError, match=f"a permutation of {n} patches does not fit images of 32 x 32"):
            permute(images, torch.arange(n))


def test_whole_numbers_of_numpy_are_whole_numbers():
    images, two = torch.rand(1, 3, 8, 8), np.int64(2)
    assert torch.equal(patchify(images, two), patchify(images, 2))
    assert mega_patches(images, two, two)[0].shape == (1, 3, 4, 4)
    assert torch.equal(spatial_relations(two), spatial_relations(2))


@pytest.mark.parametrize("p", [[[0, 1, 2, 5], [0, 1, 2, 3]], [[0, 1, 2, 3], [-1, 1, 2, 3]], [0, 0, 1, 2], [1, 2, 3, 9]])
def test_what_is_no_permutation_mixes_no_images(p):
    with pytest.raises(RelvitError, match="no permutation of 4 patches"):
        permute(torch.rand(2, 4, 1, 2, 2), torch.tensor(p))


@pytest.mark.parametrize("m", [9, 0, -1, 2.5])
def test_too_many_mega_patches(m):
    with pytest.raises(RelvitError, match="at most image side / P = 8"):
        mega_patches(torch.rand(1, 3, 32, 32), m, 4)


@pytest.mark.parametrize("cuts", [[[2, 2], [1, 3]], [[3, 2], [1, 3]], [[0, 2], [1, 3]], [[1, 2], [1, 8]], [[1], [2]]])
def test_cuts_of_a_user_are_checked(cuts):
    with pytest.raises(RelvitError, match="cuts"):
        mega_patches(torch.rand(1, 3, 32, 32), 3, 4, cuts=torch.tensor(cuts))
