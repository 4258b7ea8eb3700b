"""Pictures of cuts, cells, costs and borders: the numbers that they were given, in the right places, legible."""

import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from relvit_lab.lessons.ask import EXERCISES
from relvit_lab.lessons.mega_patches import exercises as _registers  # noqa: F401
from relvit_lab.lessons.mega_patches import pictures as viz
from relvit_lab.method.augment import patch_augment
from relvit_lab.method.patches import draw_cuts, patchify
from relvit_lab.method.pipeline import Pipeline
from relvit_lab.show.photographs import photograph

PHOTO = torch.rand(3, 28, 28, generator=torch.Generator().manual_seed(0))
PATCHES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
CUTS = torch.tensor([[2, 3], [1, 4]])
TABLE = {"a\nmodel": (50.0, {3: 49.0, 5: 52.0, 8: 51.9}), "other": (60.0, {3: 58.0, 5: 59.0})}


def figures():
    flat = torch.zeros(49, dtype=torch.bool)
    sizes = torch.randint(1, 5, (2, 30, 3, 3), generator=torch.Generator().manual_seed(2))
    return {
        "layouts": viz.layouts(PHOTO, {"one": CUTS, "two": draw_cuts(1, 5, 7)[0]}, 4, mark_squares=True),
        "numbered": viz.layouts(PHOTO, {"one": CUTS}, 4),
        "sizes": viz.cell_sizes({3: sizes, 5: sizes, 14: torch.ones(2, 30, 14, 14)}, 14),
        "time": viz.tokens_and_time({3: 0.01, 5: 0.034, 8: 0.08, 14: 0.295}, "forward, backward, small ViT, 16 images"),
        "pair": viz.border_pair({"as they are": PATCHES, "crop": PATCHES.flip(-1), "all": PATCHES}),
        "gaps": viz.gap_histograms({k: (torch.rand(40) / 4, torch.rand(900)) for k in ("as they are", "crop")}),
        "found": viz.neighbours_found(
            {k: {"pixels": 88.0, "shape": 30.0} for k in ("as they are", "crop", "all")}, 0.5
        ),
        "gallery": viz.patch_gallery({"before": PHOTO, "after": PHOTO}, 4, {"after": flat}),
        "table": viz.against_none(TABLE),
    }


def words(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_figures_leave_no_pyplot_state_and_have_an_alt_text():
    for name, figure in figures().items():
        assert isinstance(figure, Figure) and len(figure.alt) > 30, name
        bundle, metadata = figure._repr_mimebundle_()
        assert bundle["text/plain"] == metadata["image/png"]["alt"] == figure.alt
        assert figure.png().startswith(b"\x89PNG")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_everything_is_legible_and_nothing_is_cut_off():
    for name, figure in figures().items():
        figure.draw_without_rendering()
        width, height = figure.get_size_inches() * figure.dpi
        boxes = [ax.get_tightbbox() for ax in figure.axes if ax.axison]
        boxes += [Text.get_window_extent(text) for ax in figure.axes for text in ax.texts]
        for box in boxes:
            assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, (name, box)
        shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert all(text.get_fontsize() >= 10 for text in shown), name


def test_the_notebooks_own_style_does_not_reach_the_figures():
    import matplotlib

    usual = viz.against_none(TABLE).png()
    with matplotlib.style.context("dark_background"):
        assert viz.against_none(TABLE).png() == usual


def test_layouts_draw_each_cell_where_its_cuts_are():
    figure = viz.layouts(PHOTO, {"one": CUTS}, 4)
    (ax,) = figure.axes
    frames = {(*rectangle.get_xy(), rectangle.get_width(), rectangle.get_height()) for rectangle in ax.patches}
    rows, columns = (0, 2, 3, 7), (0, 1, 4, 7)  # cuts[0] cuts the rows
    expected = {
        (columns[c] - 0.5, rows[r] - 0.5, columns[c + 1] - columns[c], rows[r + 1] - rows[r])
        for r in range(3)
        for c in range(3)
    }
    assert frames == expected
    places = {text.get_text(): text.get_position() for text in ax.texts}
    assert places["1"] == (1 - 0.5 + 1.5, -0.5 + 1)  # row 0, column 1: x from 1 to 4, y from 0 to 2
    assert places["3"] == (-0.5 + 0.5, 2 - 0.5 + 0.5)  # row 1, column 0


def test_layouts_mark_the_square_cells():
    cuts = torch.tensor([[2, 3], [2, 3]])  # sizes 2, 1, 4 both ways: only the diagonal is square
    figure = viz.layouts(PHOTO, {"alike": cuts, "own": CUTS}, 4, mark_squares=True)
    alike, own = figure.axes
    assert alike.get_xlabel() == "3 of 9 cells are square" and own.get_xlabel() == "1 of 9 cells are square"
    hatched = [rectangle for rectangle in alike.patches if rectangle.get_hatch()]
    assert sorted(rectangle.get_xy() for rectangle in hatched) == [(-0.5, -0.5), (1.5, 1.5), (2.5, 2.5)]
    assert "3 of 9" in figure.alt


def test_cell_sizes_show_means_and_percentiles():
    heights, widths = torch.tensor([1, 2, 3, 4]), torch.tensor([2, 2, 2, 2])
    figure = viz.cell_sizes({3: (heights, widths)}, 14)
    areas, longer = figure.axes
    assert words(figure) == ["5.0", "1.6"]  # (2 + 4 + 6 + 8) / 4; (2 + 1 + 1.5 + 2) / 4
    bar = areas.lines[0].get_ydata()
    assert np.allclose(bar, np.percentile([2, 4, 6, 8], [5, 95]))
    assert np.allclose(longer.lines[1].get_ydata(), [1.625])


def test_times_are_the_measured_ones_and_the_lines_meet_in_the_last():
    seconds = {14: 0.4, 3: 0.02, 5: 0.05}  # in any order
    figure = viz.tokens_and_time(seconds, "a step")
    (ax,) = figure.axes
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["measured"].get_xdata().tolist() == [9, 25, 196]
    assert np.allclose(lines["measured"].get_ydata(), [20, 50, 400])
    assert np.allclose(lines["as the tokens"].get_ydata(), [400 * 9 / 196, 400 * 25 / 196, 400])
    assert np.allclose(lines["as the pairs"].get_ydata(), [400 * (9 / 196) ** 2, 400 * (25 / 196) ** 2, 400])
    assert ax.get_title(loc="left") == "a step:\n8.0 times faster at 25 tokens than at 196"
    assert "25 tokens 50 ms" in figure.alt


def test_a_pair_shows_the_columns_that_touch():
    figure = viz.border_pair({"one": PATCHES})
    above, below = figure.axes
    last, first = below.lines
    assert np.allclose(last.get_ydata(), PATCHES[0, :, :, -1].mean(0))
    assert np.allclose(first.get_ydata(), PATCHES[1, :, :, 0].mean(0))
    gap = float((PATCHES[0, :, :, -1] - PATCHES[1, :, :, 0]).abs().mean())
    assert f"{gap:.3f}" in below.get_xlabel() and f"{gap:.3f}" in figure.alt
    left, right = above.images
    assert left.get_extent()[1] < right.get_extent()[0]  # a gap, so that one sees where the border is
    assert np.allclose(left.get_array(), PATCHES[0].permute(1, 2, 0))


def test_histograms_hold_all_pairs_and_say_their_means():
    near, far = torch.linspace(0, 0.2, 11), torch.linspace(0, 1, 101)
    figure = viz.gap_histograms({"one": (near, far)})
    (ax,) = figure.axes
    heights = np.array([bar.get_height() for bar in ax.patches])
    assert np.isclose(heights.sum(), 200)  # 100 % of each
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["not touching, mean 0.500", "neighbours, mean 0.100"]


def test_bars_are_the_rates_beside_chance():
    rates = {"none": {"pixels": 88.0, "shape": 70.0}, "crop": {"pixels": 52.0, "shape": 33.0}}
    figure = viz.neighbours_found(rates, 2.0)
    (ax,) = figure.axes
    assert [bar.get_height() for bar in ax.patches] == [88, 52, 70, 33]
    assert ax.patches[2].get_hatch() and not ax.patches[0].get_hatch()  # told apart in grey
    assert ax.lines[0].get_ydata()[0] == 2.0 and "chance 2.0" in words(figure)


def test_the_gallery_frames_the_marked_patches():
    marked = torch.zeros(49, dtype=torch.bool)
    marked[[0, 9]] = True  # 9: row 1, column 2
    figure = viz.patch_gallery({"before": PHOTO, "after": PHOTO}, 4, {"after": marked})
    before, after = figure.axes
    assert not before.patches and before.get_xlabel() == ""
    centres = {(r.get_x() + r.get_width() / 2, r.get_y() + r.get_height() / 2) for r in after.findobj(Rectangle)[:-1]}
    assert {(round(x, 6), round(y, 6)) for x, y in centres} == {(0.0, 0.0), (2.0, 1.0)}
    assert after.get_xlabel() == "2 of 49 patches flat" and "2 of 49" in figure.alt


def test_table_5_as_differences():
    figure = viz.against_none(TABLE)
    (ax,) = figure.axes
    circles = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert np.allclose(circles, [2.0, 1.9, -1.0, -1.0, -2.0])  # from the top, column by column
    assert "+0.97" in words(figure) and "-1.50" in words(figure)
    assert "best M = 5, +2.00" in figure.alt
    # 5 and 8 lie too close to be drawn above each other
    places = {text.get_text(): text.get_position() for text in ax.texts[:3]}
    assert abs(places["5"][0] - places["8"][0]) > 0.15


# What notebook 02 says of the photograph: its predictions hold only while these do


def test_borders_give_most_neighbours_away_and_the_crop_leaves_half():
    border_gaps = EXERCISES.get("02-borders").reference
    patches = patchify(torch.tensor(photograph()).permute(2, 0, 1)[None].float(), 16)
    inner = torch.arange(196)[torch.arange(196) % 14 < 13]

    def found(seen):
        best = border_gaps(seen[0]).fill_diagonal_(9).argmin(dim=1)
        return 100 * (best[inner] == inner + 1).float().mean().item()

    def changed(seed, **parts):
        return patch_augment(patches, generator=torch.Generator().manual_seed(seed), **parts)

    assert found(patches) == pytest.approx(88.5, abs=2)
    assert np.mean([found(changed(k, jitter=False, grey=False)) for k in range(5)]) == pytest.approx(52, abs=5)
    assert np.mean([found(changed(k)) for k in range(5)]) == pytest.approx(9, abs=4)


def test_jitter_after_normalising_erases_more_than_a_third():
    pixels = torch.tensor(photograph() * 255).round().permute(2, 0, 1)[None].to(torch.uint8)
    flat = {}
    for recipe in ("paper", "released"):
        pipeline = Pipeline(
            224, 16, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), recipe, "none", False, patch_augment=True
        )
        seen = pipeline.train(pixels, torch.zeros(1, dtype=torch.int64), torch.Generator().manual_seed(0)).images
        values = patchify(seen, 16)[0].flatten(2)  # (N,3,P,P) -> (N,3,P*P)
        flat[recipe] = ((values.amax(2) - values.amin(2)).amax(1) < 1e-6).float().mean().item()
    assert flat["paper"] == 0 and 1 / 3 < flat["released"] < 0.45
