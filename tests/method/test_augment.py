"""Batched augmentation against torchvision's operations, image by image and patch by patch, and its distributions."""

import math

import pytest
import torch
import torchvision.transforms.v2.functional as F
from torchvision.transforms import RandomResizedCrop

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.randomness import generator
from relvit_lab.method import augment
from relvit_lab.method.augment import (
    Windows,
    apply_patch_changes,
    apply_windows,
    cut_window,
    draw_patch_changes,
    draw_resized_crops,
    draw_windows,
    image_augment,
    patch_augment,
    window_side,
)
from relvit_lab.method.colour import ORDERS

THEIRS = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)


def stored(b, c, h, w=None):
    return torch.randint(256, (b, c, h, w or h), dtype=torch.uint8)


def augmented(images, size, *, crop, flip, generator=None, finish=None, **ranges):
    """Drawn, then applied."""
    windows = draw_windows(len(images), *images.shape[-2:], crop=crop, flip=flip, generator=generator, **ranges)
    return image_augment(images, size, windows, crop=crop, finish=finish)


def boxes(windows):
    """(top, left, height, width) of each image as numbers."""
    return [tuple(box) for box in torch.stack(windows[:4], 1).tolist()]


# Images


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("h", "w", "size"), [(32, 32, 32), (48, 70, 32), (8, 8, 8), (20, 20, 56)])
def test_resized_crop_and_flip(h, w, size, antialias):
    images = torch.rand(40, 3, h, w)
    windows = draw_windows(40, h, w, crop="resized", flip=True, generator=generator(h, w))
    ours = apply_windows(images, size, windows, antialias=antialias)
    assert 5 < windows.flip.sum() < 35
    for i, box in enumerate(boxes(windows)):
        theirs = F.resized_crop(images[i], *box, [size, size], antialias=antialias)
        theirs = F.horizontal_flip(theirs) if windows.flip[i] else theirs
        torch.testing.assert_close(ours[i], theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("side", "size"), [(32, 32), (8, 8), (32, 24), (24, 48), (64, 64)])
def test_padded_crop(side, size):
    images, pad = torch.rand(40, 3, side, side), {8: 1, 24: 3, 32: 4, 64: 4}[side]
    windows = draw_windows(40, side, side, crop="padded", flip=True, generator=generator(side))
    ours = apply_windows(images, size, windows, padding=pad)
    assert windows.top.min() == windows.left.min() == -pad and windows.top.max() == windows.left.max() == pad
    for i, (top, left, *_) in enumerate(boxes(windows)):
        theirs = F.crop(F.pad(images[i], [pad] * 4), top + pad, left + pad, side, side)
        theirs = F.resize(theirs, [size, size], antialias=True)
        theirs = F.horizontal_flip(theirs) if windows.flip[i] else theirs
        torch.testing.assert_close(ours[i], theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("crop", ["resized", "padded", "none"])
@pytest.mark.parametrize("flip", [True, False])
def test_image_augment_draws_then_applies(crop, flip):
    images = stored(7, 3, 24)
    ours = augmented(images, 16, crop=crop, flip=flip, generator=generator("i"))
    windows = draw_windows(7, 24, 24, crop=crop, flip=flip, generator=generator("i"))
    torch.testing.assert_close(ours, apply_windows(images / 255, 16, windows, padding=3 if crop == "padded" else 0))
    assert ours.shape == (7, 3, 16, 16) and ours.dtype == torch.float32
    assert ours.min() >= 0 and ours.max() <= 1 + 1e-6
    assert flip or not windows.flip.any()


def test_nothing_asked_nothing_changed():
    images = stored(3, 3, 12)
    assert torch.equal(augmented(images, 12, crop="none", flip=False), images / 255)
    resized = augmented(images, 9, crop="none", flip=False)
    torch.testing.assert_close(resized, F.resize(images / 255, [9, 9], antialias=True), atol=1e-5, rtol=0)


def test_grey_digits_become_three_channels():
    digits = stored(10, 1, 8)
    out = augmented(digits, 8, crop="padded", flip=False, generator=generator("d"))
    assert torch.equal(out[:, 0], out[:, 1]) and torch.equal(out[:, 0], out[:, 2])
    same = augmented(digits.expand(-1, 3, -1, -1), 8, crop="padded", flip=False, generator=generator("d"))
    assert torch.equal(out, same)
    out.mul_(2)  # the channels are three memories, not one seen thrice
    assert augmented(stored(0, 1, 8), 8, crop="resized", flip=True).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(
    ("h", "w", "scale", "ratio"),
    [
        (32, 32, (0.08, 1), (3 / 4, 4 / 3)),
        (8, 8, (0.08, 1), (3 / 4, 4 / 3)),
        (40, 90, (0.5, 1), (3 / 4, 4 / 3)),  # many tries do not fit
        (64, 64, (0.08, 0.3), (1 / 2, 2)),
    ],
)
def test_crop_boxes_are_distributed_as_torchvisions(h, w, scale, ratio):
    """Means, spread and deciles of area and aspect, and where the boxes lie, against as many of torchvision's."""
    n = 4000
    image = torch.empty(3, h, w)
    theirs = torch.tensor([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(n)])
    ours = torch.stack(draw_resized_crops(n, h, w, generator(h, w), scale, ratio), 1)
    assert ours.dtype == torch.int64 and (ours[:, :2] >= 0).all() and (ours[:, 2:] > 0).all()
    assert (ours[:, 0] + ours[:, 2] <= h).all() and (ours[:, 1] + ours[:, 3] <= w).all()
    for what in (
        lambda box: box[2] * box[3] / (h * w),  # area
        lambda box: (box[3] / box[2]).log(),  # aspect
        lambda box: (box[0] + box[2] / 2) / h,  # centre
        lambda box: (box[1] + box[3] / 2) / w,
    ):
        a, b = what(ours.double().T), what(theirs.double().T)
        error = math.sqrt((a.var() + b.var()) / n)
        assert abs(a.mean() - b.mean()) < 5 * error + 1e-12
        assert a.std().item() == pytest.approx(b.std().item(), rel=0.1)
        # Two-sample Kolmogorov-Smirnov, at a level of about 1e-5
        grid = torch.cat([a, b]).sort().values
        gap = torch.searchsorted(a.sort().values, grid, right=True) - torch.searchsorted(
            b.sort().values, grid, right=True
        )
        assert gap.abs().max() / n < 2.5 * math.sqrt(2 / n)


@pytest.mark.parametrize(("h", "w"), [(10, 100), (100, 10), (30, 30)])
def test_where_no_try_fits_the_central_window_is_taken(h, w):
    impossible, ratio = (4.0, 5.0), (3 / 4, 4 / 3)  # several times the image's area
    theirs = RandomResizedCrop.get_params(torch.empty(3, h, w), list(impossible), list(ratio))
    ours = torch.stack(draw_resized_crops(5, h, w, None, impossible, ratio), 1)
    assert ours.tolist() == [list(theirs)] * 5


def test_half_of_the_images_are_mirrored_independently_of_their_crop():
    windows = draw_windows(10_000, 32, 32, crop="padded", flip=True, generator=generator("f"))
    assert abs(windows.flip.sum() - 5000) < 5 * 50
    assert abs(windows.left[windows.flip].float().mean()) < 0.2
    counts = torch.bincount(9 * (windows.top + 4) + windows.left + 4, minlength=81)
    assert (counts - 10_000 / 81).abs().max() < 5.5 * math.sqrt(10_000 / 81)  # all 81 shifts alike


# Patches


def torchvision_patch(patch, changes, i, crop=True, jitter=True, grey=True):
    """Patch i of apply_patch_changes, with torchvision's operations."""
    p, side = patch.shape[-1], window_side(patch.shape[-1])
    if crop:
        patch = F.crop(patch, int(changes.top[i]), int(changes.left[i]), side, side)
        patch = F.resize(patch, [p, p], antialias=bool(i % 2))  # enlarging: antialias makes no difference
    if jitter and changes.jitter[i]:
        for operation in ORDERS[changes.order[i]].tolist():
            patch = THEIRS[operation](patch, float(changes.factors[i, operation]))
    if grey and changes.grey[i]:
        patch = F.rgb_to_grayscale(patch, 3)
    return patch


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("p", [2, 4, 8, 14, 16, 32])
def test_patch_changes_are_torchvisions(p, normalised):
    n = 150 if p < 16 else 60
    patches = torch.rand(n, 3, p, p)
    patches[:5] = patches[:5, :1]  # some grey ones
    if normalised:  # what recipe "released" does
        patches = (patches - 0.47) / 0.25
    changes = draw_patch_changes(n, p, generator(p))
    ours = apply_patch_changes(patches, changes)
    theirs = torch.stack([torchvision_patch(patch, changes, i) for i, patch in enumerate(patches)])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    if not normalised:
        assert ours.min() >= 0 and ours.max() <= 1 + 1e-6


@pytest.mark.parametrize(
    "asked", [{"crop": False}, {"jitter": False}, {"grey": False}, {"crop": False, "jitter": False, "grey": False}]
)
def test_each_part_can_be_left_out(asked):
    patches = torch.rand(2, 16, 3, 8, 8)
    ours = patch_augment(patches, generator=generator("a"), **asked)
    changes = draw_patch_changes(32, 8, generator("a"))
    theirs = [torchvision_patch(patch, changes, i, **asked) for i, patch in enumerate(patches.flatten(0, 1))]
    torch.testing.assert_close(ours, torch.stack(theirs).view(patches.shape), atol=1e-5, rtol=0)


def test_the_window_of_the_patch_crop():
    assert [window_side(p) for p in (4, 8, 14, 16, 32)] == [3, 7, 12, 14, 28]
    assert window_side(2) == 2 and window_side(1) == 1  # digits: no crop
    digits = torch.rand(3, 16, 1, 2, 2).expand(-1, -1, 3, -1, -1)
    assert torch.equal(patch_augment(digits, jitter=False, grey=False), digits)


def test_patches_are_drawn_as_the_recipe_says():
    n = 48_000
    changes = draw_patch_changes(n, 16, generator("n"))
    for chosen, share in ((changes.jitter, 0.8), (changes.grey, 0.2), (changes.jitter & changes.grey, 0.16)):
        assert abs(chosen.sum() - share * n) < 5 * math.sqrt(n * share * (1 - share))
    orders = torch.bincount(changes.order, minlength=24)
    assert (orders - n / 24).abs().max() < 5 * math.sqrt(n / 24)
    places = torch.bincount(3 * changes.top + changes.left, minlength=9)
    assert (places - n / 9).abs().max() < 5 * math.sqrt(n / 9)
    low, high = torch.tensor([0.6, 0.6, 0.6, -0.1]), torch.tensor([1.4, 1.4, 1.4, 0.1])
    assert (changes.factors >= low).all() and (changes.factors <= high).all()
    quantiles = changes.factors.quantile(torch.tensor([0.05, 0.5, 0.95]), dim=0)
    torch.testing.assert_close(
        (quantiles - low) / (high - low), torch.tensor([0.05, 0.5, 0.95])[:, None].expand(3, 4), atol=0.02, rtol=0
    )
    together = torch.corrcoef(torch.stack([*changes.factors.T, *(v.float() for v in changes if v.dim() == 1)]))
    assert (together - torch.eye(len(together))).abs().max() < 5 / math.sqrt(n)


def test_every_image_and_every_patch_has_its_own():
    images = stored(1, 3, 32).expand(20, -1, -1, -1)
    for crop in ("resized", "padded"):
        out = augmented(images, 32, crop=crop, flip=True, generator=generator("own", crop))
        assert len({tuple(image.flatten().tolist()) for image in out}) > 15
    patches = torch.rand(1, 1, 3, 8, 8).expand(4, 16, -1, -1, -1)
    out = patch_augment(patches, generator=generator("own"))
    assert len(out.flatten(0, 1).flatten(1).unique(dim=0)) > 50  # 64, but for a few only cropped or grey


@pytest.mark.parametrize(
    "make",
    [
        lambda g: augmented(stored(4, 3, 32), 32, crop="resized", flip=True, generator=g),
        lambda g: patch_augment(torch.rand(4, 16, 3, 8, 8), generator=g),
    ],
)
def test_a_generator_decides_everything(make):
    def result(seed):
        torch.manual_seed(0)
        return make(generator(seed))

    assert torch.equal(result(1), result(1))
    assert not torch.equal(result(1), result(2))
    torch.manual_seed(0)
    first = make(None)  # without one: torch's own
    torch.manual_seed(0)
    assert torch.equal(make(None), first)


@pytest.mark.parametrize("part", [1, 3000, 10_000])
def test_the_parts_make_no_difference(monkeypatch, part):
    images, patches = stored(9, 3, 32), torch.rand(9, 16, 3, 8, 8)
    crops = augmented(images, 32, crop="resized", flip=True, generator=generator("p"))
    changed = patch_augment(patches, generator=generator("p"))
    monkeypatch.setattr(augment, "PART", part)
    torch.testing.assert_close(
        augmented(images, 32, crop="resized", flip=True, generator=generator("p")), crops, atol=1e-6, rtol=0
    )
    torch.testing.assert_close(patch_augment(patches, generator=generator("p")), changed, atol=1e-6, rtol=0)


def test_photographs_are_cropped_in_8_bits_as_torchvision_does():
    from torchvision.transforms.v2.functional import horizontal_flip, resized_crop

    images = stored(5, 3, 160)
    windows = draw_windows(5, 160, 160, crop="resized", flip=True, generator=generator("photographs"))
    assert windows.flip.any() and not windows.flip.all()
    cut = torch.empty(5, 3, 96, 96)
    for image, ours, *window, mirrored in zip(images, cut, *(values.tolist() for values in windows)):
        ours[...] = cut_window(image, 96, *window, mirrored)
        theirs = resized_crop(image, *window, [96, 96], antialias=True)
        theirs = horizontal_flip(theirs) if mirrored else theirs
        assert (ours - theirs).abs().max() <= mirrored  # which is mirrored before it is resized
    exact = apply_windows(images.float(), 96, windows)
    assert (cut - exact).abs().max() < 1.6
    ours = augmented(images, 96, crop="resized", flip=True, generator=generator("photographs"))
    torch.testing.assert_close(ours, cut / 255)
    grey = augmented(images[:, :1], 96, crop="resized", flip=True, generator=generator("photographs"))
    assert torch.equal(grey, ours[:, :1].expand(-1, 3, -1, -1))


@pytest.mark.parametrize("crop, side", [("resized", 32), ("resized", 160), ("none", 32)])
def test_what_is_done_at_once_is_done_to_every_image(crop, side):
    images = stored(20, 3, side)
    plain, finished = (
        augmented(images, 32, crop=crop, flip=True, generator=generator("f"), finish=finish)
        for finish in (None, lambda part: part.sub_(2))
    )
    assert torch.equal(finished, plain - 2)


def test_inputs_are_left_alone_and_threads_come_back():
    torch.set_num_threads(2)
    images, patches = stored(3, 3, 16), torch.rand(2, 4, 3, 8, 8)
    before = images.clone(), patches.clone()
    with torch.inference_mode():
        augmented(images, 16, crop="none", flip=True)
        patch_augment(patches)
    assert torch.equal(images, before[0]) and torch.equal(patches, before[1])
    assert torch.get_num_threads() == 2


def test_other_floats():
    patches = torch.rand(1, 40, 3, 4, 4, dtype=torch.float64)
    ours = patch_augment(patches, generator=generator("f64"))
    assert ours.dtype == torch.float64
    theirs = patch_augment(patches.float(), generator=generator("f64"))
    torch.testing.assert_close(ours.float(), theirs, atol=1e-5, rtol=0)


def test_errors_say_what_is_wrong():
    with pytest.raises(RelvitError, match="unknown crop 'resize': did you mean 'resized'"):
        augmented(stored(1, 3, 8), 8, crop="resize", flip=True)
    with pytest.raises(RelvitError, match="dtype uint8"):
        augmented(torch.rand(1, 3, 8, 8), 8, crop="none", flip=True)
    with pytest.raises(RelvitError, match="1 or 3 channels"):
        augmented(stored(1, 4, 8), 8, crop="none", flip=True)
    with pytest.raises(RelvitError, match="shape"):
        augmented(stored(1, 3, 8)[0], 8, crop="none", flip=True)
    with pytest.raises(RelvitError, match="to 0"):
        augmented(stored(1, 3, 8), 0, crop="none", flip=True)
    for wrong in ({"scale": (0, 1)}, {"scale": (1, 0.5)}, {"ratio": (-1, 1)}):
        with pytest.raises(RelvitError, match="smallest"):
            augmented(stored(1, 3, 8), 8, crop="resized", flip=True, **wrong)
    for shape in ((2, 4, 1, 4, 4), (4, 3, 4, 4), (2, 4, 3, 4, 5)):
        with pytest.raises(RelvitError, match=r"\(B, N, 3, P, P\)"):
            patch_augment(torch.rand(shape))
    with pytest.raises(RelvitError, match="divide by 255"):
        patch_augment(torch.zeros(1, 4, 3, 4, 4, dtype=torch.uint8))


def test_windows_may_be_given():
    """A window per image, by hand: the left half, mirrored."""
    images = torch.arange(16.0).view(1, 1, 4, 4)
    one = torch.tensor([1])
    half = Windows(top=0 * one, left=0 * one, height=4 * one, width=2 * one, flip=one == 1)
    out = apply_windows(images, 2, half, antialias=False)  # rows 0.5 and 2.5, columns 1 and 0
    torch.testing.assert_close(out[0, 0], torch.tensor([[3.0, 2.0], [11.0, 10.0]]))


def test_what_is_drawn_and_what_is_made_of_it_stay_the_same():
    """Recorded runs depend on these draws: windows of a fixed seed, and images cut to given ones, by hand."""
    fixed = {
        "resized": ([2, 8, 3, 18], [2, 2, 6, 16], [15, 16, 18, 10], [12, 22, 17, 12], [False, True, False, True]),
        "padded": ([3, -2, 0, -1], [3, 3, 2, 2], [32] * 4, [32] * 4, [True, True, True, False]),
        "none": ([0] * 4, [0] * 4, [32] * 4, [32] * 4, [True, False, False, False]),
    }
    for crop, values in fixed.items():
        drawn = draw_windows(4, 32, 32, crop=crop, flip=True, generator=generator("fixed"))
        assert tuple(part.tolist() for part in drawn) == values, crop
    images = stored(4, 3, 32)
    state = torch.get_rng_state()
    windows = Windows(*map(torch.tensor, fixed["padded"]))
    ours = image_augment(images, 32, windows, crop="padded")
    assert torch.equal(torch.get_rng_state(), state)  # to apply draws nothing
    for one, image, top, left, _, _, mirrored in zip(ours, images, *fixed["padded"]):
        shifted = F.crop(F.pad(image, [4] * 4), top + 4, left + 4, 32, 32)
        assert torch.equal(one, (shifted.flip(-1) if mirrored else shifted) / 255)
    windows = Windows(*map(torch.tensor, fixed["resized"]))
    ours = image_augment(images, 12, windows, crop="resized")
    for one, image, *box, mirrored in zip(ours, images, *fixed["resized"]):
        theirs = F.resized_crop(image / 255, *box, [12, 12], antialias=True)
        torch.testing.assert_close(one, theirs.flip(-1) if mirrored else theirs, atol=1e-5, rtol=0)
