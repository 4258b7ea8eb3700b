"""Where tokens come from, against loops and against the real modules; and the readout of places, at a small size."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.pe_shortcut import backbone_leaks as leaks
from relvit_lab.lessons.pe_shortcut.backbone_leaks import POOLING, STEPS, Case, Step
from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.model import pool

T2T = STEPS["T2T-ViT-14"]


def slow_shares(steps, side, row, column):
    """(side, side): the share of each pixel in one token, by following every window back to its entries."""
    sides = [side]
    for step in steps:
        sides.append((sides[-1] + 2 * step.padding - step.window) // step.stride + 1)
    shares = {(row, column): 1.0}
    for step, below in zip(reversed(steps), reversed(sides[:-1])):
        earlier: dict = {}
        for (r, c), share in shares.items():
            rows = [r * step.stride - step.padding + k for k in range(step.window)]
            columns = [c * step.stride - step.padding + k for k in range(step.window)]
            inside = [(y, x) for y in rows for x in columns if 0 <= y < below and 0 <= x < below]
            for at in inside:
                earlier[at] = earlier.get(at, 0) + share / (step.window**2 if step.counted else len(inside))
        shares = earlier
    picture = np.zeros((side, side))
    for at, share in shares.items():
        picture[at] = share
    return picture


@pytest.mark.parametrize("steps", [*STEPS.values(), (Step(7, 4, 2),), (Step(3, 2, 1), POOLING)])
@pytest.mark.parametrize("place", [(0, 0), (0, 2), (1, 3), (-1, -1)])
def test_sources_follow_every_window(steps, place):
    side = 224 if len(steps) != 2 else 24
    shares = leaks.sources(steps, side)
    row, column = (at % len(shares) for at in place)
    slow = slow_shares(steps, side, row, column)
    np.testing.assert_allclose(np.outer(shares[row], shares[column]), slow, atol=1e-12)
    assert float(leaks.zeros(steps, side)[row, column]) == pytest.approx(1 - slow.sum(), abs=1e-12)
    (top, bottom), (left, right) = leaks.reach(steps, side, row), leaks.reach(steps, side, column)
    ys, xs = np.nonzero(slow)
    assert (max(top, 0), min(bottom, side)) == (ys.min(), ys.max() + 1)
    assert (max(left, 0), min(right, side)) == (xs.min(), xs.max() + 1)


def gradient(embed, place):
    """(side, side) bool: the pixels that move the token at a place; `embed` makes tokens (1, N, D) of an image."""
    image = torch.rand(1, 3, 224, 224, requires_grad=True)
    embed(image)[0, place].square().sum().backward()
    return image.grad[0].abs().sum(0) > 0


@pytest.mark.parametrize("place", [0, 24, 48])
def test_sources_are_the_pixels_that_reach_the_token_in_the_real_backbones(place, monkeypatch):
    """Attention left out: ViT's patch embedding, Swin's merging alone, T2T with performers that go token by token."""
    from relvit_lab.method.backbones import t2t as module

    torch.manual_seed(0)
    vit, swin, t2t = (create_backbone(name) for name in ("vit_s_32", "swin_nano", "t2t_nano"))

    def merged(image):
        x = swin.patch_embed(image)
        for stage in swin.layers:
            x = stage.downsample(x)
        return x.flatten(1, 2)

    monkeypatch.setattr(
        module.TokenPerformer, "forward", lambda self, x: self.proj(self.kqv(x)[..., : len(self.w) * 2])
    )
    embeds = (vit.patch_embed, merged, lambda image: pool(t2t.tokens_to_token(image), 14))
    row, column = divmod(place, 7)
    for steps, embed in zip(STEPS.values(), embeds, strict=True):
        shares = leaks.sources(steps, 224)
        expected = (shares[row][:, None] * shares[column][None, :]) > 0
        assert torch.equal(gradient(embed, place), expected)


def test_what_the_notebook_says_about_the_zeros():
    zeros = leaks.zeros(T2T, 224)
    assert zeros.shape == (7, 7) and zeros[1:6, 1:6].max() < 1e-12 and zeros[0, 0] == zeros.max()
    assert zeros[0, 0] == pytest.approx(0.42, abs=0.005) and zeros[0, 3] == pytest.approx(0.24, abs=0.005)
    assert 0.004 < zeros[6, 3] < 0.006  # below and to the right a single line of zeros enters
    assert leaks.zeros(STEPS["Swin-T"], 224).max() < 1e-12 and leaks.reach(T2T, 224, 3) == (66, 129)
    with pytest.raises(RelvitError, match="do not fit"):
        leaks.sources((Step(32, 32),), 16)


@pytest.mark.parametrize("kind", leaks.KINDS)
def test_images_without_content(kind):
    images = leaks.content_free(kind, 6, 32)
    assert images.shape == (6, 3, 32, 32) and images.min() >= 0 and images.max() <= 1
    assert torch.equal(images, leaks.content_free(kind, 6, 32))
    assert not torch.equal(images, leaks.content_free(kind, 6, 32, seed=1))
    spread, levels = images.std((1, 2, 3)), images.mean((1, 2, 3))
    low, high = {"grey": (0, 1e-6), "grainy": (0.01, 0.04), "noise": (0.25, 0.32)}[kind]
    assert (spread >= low).all() and (spread <= high).all()
    assert (levels.std() > 0.2) == (kind != "noise")
    with pytest.raises(RelvitError, match="did you mean 'noise'"):
        leaks.content_free("nois", 1, 8)


# The readout


def test_tokens_that_hold_their_place_are_read_and_others_are_not():
    draws = torch.Generator().manual_seed(0)
    content = torch.randn(40, 49, 64, generator=draws)
    place = 3 * torch.randn(49, 64, generator=draws)
    assert leaks.read_places(content + place).min() == 100
    chance = leaks.read_places(content)
    assert chance.shape == (7, 7) and abs(chance.mean() - 100 / 49) < 1.2  # three standard deviations
    only = torch.where(torch.arange(49)[:, None] == 10, place, 0.0)  # one place says where it is
    map_ = leaks.read_places(content + only)
    assert map_.flatten()[10] == 100 and map_.mean() < 6


def test_each_image_is_read_by_the_weights_of_others():
    """More dimensions than tokens: weights fit what they were computed from perfectly, and mean nothing elsewhere."""
    tokens = torch.randn(8, 9, 300, generator=torch.Generator().manual_seed(0))
    assert leaks.read_places(tokens, ridge=1e-6).mean() < 35


def test_what_rounding_leaves_is_not_read():
    """Tokens all alike but for the last bits, which go by place."""
    places = 1e-7 * torch.randn(49, 64, generator=torch.Generator().manual_seed(0))
    for spread in (0.0, 1.0):
        level = 1 + spread * torch.randn(12, 1, 64, generator=torch.Generator().manual_seed(1))
        assert leaks.read_places(level + places).mean() == pytest.approx(100 / 49)


@pytest.mark.parametrize("shape", [(8, 5, 4), (8, 1, 4), (3, 9, 4), (9, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(RelvitError, match="square grid"):
        leaks.read_places(torch.zeros(shape))


def test_border_and_inside():
    map_ = torch.tensor([[1.0, 1, 1, 1], [1, 5, 7, 1], [1, 5, 7, 1], [1, 1, 1, 1]])
    assert leaks.border_and_inside(map_) == (1, 6)


# The measurement


def read(kind, backbone, options=(), change=None, side=112):
    images = leaks.content_free(kind, 16, side)
    return leaks.read_places(leaks.tokens(Case("", backbone, options, change), images))


def test_the_order_of_the_leaks_on_plain_grey():
    """T2T's small form has 4 x 4 places here: with zeros alone nine kinds of token, so 9 of 16 places at most."""
    chance = 100 / 16
    t2t, zeros, neither = (
        read("grey", "t2t_nano", change=change) for change in (None, leaks.without_embeddings, leaks.without_zeros)
    )
    assert t2t.mean() > 99 and neither.mean() == pytest.approx(chance)
    assert 5 * chance < zeros.mean() <= 9 * chance and (zeros > 0).sum() <= 12
    sides = (("patch", 28),)
    assert read("grey", "vit_nano", (("pos_embed", False), *sides)).mean() == pytest.approx(chance)
    assert read("grey", "vit_nano", sides).mean() > 3 * chance
    assert read("grey", "swin_nano", side=224).mean() == pytest.approx(100 / 49)


def test_with_grain_the_controls_stay_at_chance():
    t2t, zeros, neither = (
        read("grainy", "t2t_nano", change=change) for change in (None, leaks.without_embeddings, leaks.without_zeros)
    )
    assert t2t.mean() > 95 and t2t.mean() > zeros.mean() > neither.mean() and abs(neither.mean() - 100 / 16) < 5


def test_the_wrapped_t2t_is_a_torus():
    """Shifted around by a step of the first grid's three splits, the image's tokens are shifted, and nothing else."""
    torch.manual_seed(0)
    backbone = create_backbone("t2t_nano", image_size=64).eval()
    leaks.without_zeros(backbone)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        one, moved = (backbone.tokens_to_token(x).unflatten(1, (4, 4)) for x in (image, image.roll((16, 32), (2, 3))))
    torch.testing.assert_close(one.roll((1, 2), (1, 2)), moved, atol=1e-5, rtol=1e-4)
    wrapped = leaks._wrapped_split(image, Step(7, 4, 2))
    plain = F.unfold(image, 7, stride=4, padding=2).mT
    inside = torch.arange(256).view(16, 16)[1:-1, 1:-1].flatten()
    assert torch.equal(wrapped[:, inside], plain[:, inside]) and not torch.equal(wrapped, plain)


def test_tokens_leave_the_draws_of_others_alone_and_follow_the_seed():
    images = leaks.content_free("noise", 2, 56)
    case = Case("", "vit_nano", (("patch", 8),))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = leaks.tokens(case, images)
    assert torch.equal(before, torch.get_rng_state()) and torch.equal(first, leaks.tokens(case, images, batch=1))
    assert not torch.equal(first, leaks.tokens(case, images, seed=1)) and first.shape == (2, 49, 96)
