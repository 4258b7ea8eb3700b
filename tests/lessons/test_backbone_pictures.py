"""Pictures of the three backbones: frames, windows and numbers where they belong, and refusals that say why."""

import pytest
import torch
from matplotlib.patches import Rectangle

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.pe_shortcut import backbone_pictures as viz

IMAGE = torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(0))


def drawn(figure):
    """It draws, is a PNG, and says in words what it shows."""
    assert figure.png(40).startswith(b"\x89PNG") and len(figure.alt) > 20
    return figure


def frames(ax):
    """(left, top, width, height) of each frame, without its white rim."""
    return [
        (*patch.get_xy(), patch.get_width(), patch.get_height())
        for patch in ax.patches
        if isinstance(patch, Rectangle) and not patch.get_fill() and patch.get_edgecolor()[:3] != (1, 1, 1)
    ]


def test_sources_are_framed_and_the_rest_is_faded():
    figure = drawn(viz.token_sources(IMAGE, [(3, 2), (0, 0)]))
    assert [ax.get_title() for ax in figure.axes[:3]] == ["ViT-S/32", "Swin-T", "T2T-ViT-14"]
    vit, swin, t2t, _, _, corner = figure.axes
    assert frames(vit) == frames(swin) == [(64, 96, 32, 32)]
    assert frames(t2t) == [(34, 66, 63, 63)] and frames(corner) == [(-14, -14, 47, 47)]
    assert "47 x 47 pixels, 42 % of it zeros" in corner.get_xlabel() and "none of it zeros" in t2t.get_xlabel()
    shown = torch.tensor(vit.images[0].get_array())
    picture = IMAGE.permute(1, 2, 0).double()
    torch.testing.assert_close(shown[96:128, 64:96], picture[96:128, 64:96])
    outside = shown[:96]
    assert outside.min() >= 0.77 and (outside.amax(2) - outside.amin(2)).max() < 1e-9  # light, and grey
    assert "T2T-ViT-14, token (0, 0): 47 x 47 pixels" in figure.alt


def test_windows_hold_the_token_and_shift_by_three():
    figure = drawn(viz.swin_windows(IMAGE, (104, 72)))
    assert [ax.get_title() for ax in figure.axes] == [
        f"stage {k}: {n} x {n} tokens" for k, n in ((1, 56), (2, 28), (3, 14), (4, 7))
    ]
    assert [len(frames(ax)) for ax in figure.axes] == [2, 2, 2, 1]  # one window alone has nothing to shift to
    for ax, pixels in zip(figure.axes, (4, 8, 16, 32)):
        for left, top, width, height in frames(ax):
            assert left <= 72 < left + width and top <= 104 < top + height
            assert width == height == 7 * pixels
        (left, top, *_), *shifted = frames(ax)
        assert left % (7 * pixels) == top % (7 * pixels) == 0
        assert all((x - 3 * pixels) % (7 * pixels) == (y - 3 * pixels) % (7 * pixels) == 0 for x, y, *_ in shifted)
    corner = viz.swin_windows(IMAGE, (0, 0)).axes[0]
    assert frames(corner) == [(0, 0, 28, 28), (0, 0, 12, 12)]  # three tokens are left of a shifted window there


def test_windows_are_those_of_timms_swin():
    from relvit_lab.method.backbones import create_backbone

    for stage, (_, tokens) in zip(create_backbone("swin_t").layers, viz.SWIN_STAGES, strict=True):
        shifts = [block.shift_size for block in stage.blocks]
        assert {block.window_size for block in stage.blocks} == {(viz.WINDOW,) * 2}
        assert tuple(stage.blocks[0].input_resolution) == (tokens,) * 2
        assert shifts[0] == (0, 0) and shifts[1] == ((viz.SHIFT,) * 2 if tokens > viz.WINDOW else (0, 0))


@pytest.mark.parametrize("draw", [viz.token_sources, viz.swin_windows])
def test_images_of_another_size_are_refused(draw):
    with pytest.raises(RelvitError, match="32 x 32"):
        draw(IMAGE[:, :32, :32])


def test_maps_show_values_and_means():
    low, high = torch.zeros(3, 3), torch.full((3, 3), 100.0)
    low[0, 0] = 18
    maps = {"grey": {"A": low, "B, no PE": high}, "noise": {"A": high, "B, no PE": low}}
    figure = drawn(viz.place_maps({"grey": IMAGE, "noise": IMAGE}, maps))
    panels = [ax for ax in figure.axes if ax.get_xlabel()]
    assert [ax.get_xlabel() for ax in panels] == ["2.0 %", "100.0 %", "100.0 %", "2.0 %"]
    assert [text.get_text() for text in panels[0].texts] == ["18"]
    assert panels[1].get_title() == "B,\nno PE" and panels[0].images[0].get_clim() == (0, 100)
    assert "grey, A: 2.0 %; grey, B, no PE: 100.0 %" in figure.alt


@pytest.mark.parametrize(
    "maps", [{}, {"grey": {}}, {"noise": {"A": torch.zeros(2, 2)}}, {"grey": {"A": 0}, "noise": {"B": 0}}]
)
def test_maps_refuse_kinds_and_titles_that_differ(maps):
    with pytest.raises(RelvitError, match="same kinds"):
        viz.place_maps(dict.fromkeys(["grey", "noise"][: max(1, len(maps))], IMAGE), maps)
