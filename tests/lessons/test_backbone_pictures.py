"""Pictures of the three backbones: frames, windows and numbers where they belong."""

import torch
from matplotlib.patches import Rectangle

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
    figure = drawn(viz.token_sources(IMAGE))
    assert [ax.get_title() for ax in figure.axes[:3]] == ["ViT-S/32", "Swin-T", "T2T-ViT-14"]
    vit, swin, t2t, _, _, corner = figure.axes
    assert frames(vit) == frames(swin) == [(96, 96, 32, 32)]
    assert frames(t2t) == [(66, 66, 63, 63)] and frames(corner) == [(-14, -14, 47, 47)]
    assert "47 x 47 pixels, 42 % of it zeros" in corner.get_xlabel() and "none of it zeros" in t2t.get_xlabel()
    shown = torch.tensor(vit.images[0].get_array())
    picture = IMAGE.permute(1, 2, 0).double()
    torch.testing.assert_close(shown[96:128, 96:128], picture[96:128, 96:128])
    outside = shown[:96]
    assert outside.min() >= 0.77 and (outside.amax(2) - outside.amin(2)).max() < 1e-9  # light, and grey
    assert "T2T-ViT-14, token (0, 0): 47 x 47 pixels" in figure.alt


def test_windows_hold_the_token_and_shift_by_three():
    figure = drawn(viz.swin_windows(IMAGE))
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


def test_windows_are_those_of_timms_swin():
    from relvit_lab.method.backbones import create_backbone

    for stage, (_, tokens) in zip(create_backbone("swin_t").layers, viz.SWIN_STAGES, strict=True):
        shifts = [block.shift_size for block in stage.blocks]
        assert {block.window_size for block in stage.blocks} == {(viz.WINDOW,) * 2}
        assert tuple(stage.blocks[0].input_resolution) == (tokens,) * 2
        assert shifts[0] == (0, 0) and shifts[1] == ((viz.SHIFT,) * 2 if tokens > viz.WINDOW else (0, 0))


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
