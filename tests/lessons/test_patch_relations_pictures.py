"""Pictures of patches, tokens and pairs: the right patch in the right place, the right text in the right cell."""

import itertools
import math
import sys

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Rectangle
from matplotlib.text import Text

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.patch_relations import pictures as viz_patches
from relvit_lab.method.patches import patchify
from relvit_lab.method.relations import RELATION_NAMES, angles, distances, permuted, spatial_relations
from relvit_lab.show.relations import RELATION_COLOURS

P9 = [4, 0, 8, 2, 6, 1, 3, 7, 5]


@pytest.fixture
def image():
    return torch.randint(0, 256, (3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def figures(image):
    return {
        "apart": viz_patches.patches_apart(image, 6),
        "apart, 3": viz_patches.patches_apart(image, 3),
        "tokens": viz_patches.token_rows(image, torch.randn(10, 12), 3, title="z_0"),
        "relations": viz_patches.pair_matrix(spatial_relations(3), (4, 0), "SpRel"),
        "angles": viz_patches.pair_matrix(angles(3), (0, 8), "Ang"),
        "vectors": viz_patches.position_vectors(3, [(0, 8), (2, 6), (0, 1), (7, 8)]),
        "shuffled": viz_patches.shuffled(image, 3, P9),
        "guessed": viz_patches.guessed_pairs(image, 8, [(5, 9, 0), (60, 3, 6), (33, 34, None), (8, 0, 7)]),
    }


def shown_at(ax, x, y):
    """The picture around a point of a panel."""
    (found,) = (
        picture
        for picture in ax.images
        for x0, x1, y0, y1 in [picture.get_extent()]
        if min(x0, x1) < x < max(x0, x1) and min(y0, y1) < y < max(y0, y1)
    )
    return np.asarray(found.get_array())


def pixels(patch):
    return patch.permute(1, 2, 0).numpy() / 255  # (C,P,P) -> (P,P,C)


def test_they_leave_no_pyplot_state_and_have_an_alt_text(image):
    for name, figure in figures(image).items():
        assert isinstance(figure, Figure) and len(figure.alt) > 30, name
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_everything_is_legible_and_nothing_is_cut_off(image):
    for name, figure in figures(image).items():
        figure.draw_without_rendering()
        width, height = figure.get_size_inches() * figure.dpi
        boxes = [ax.get_tightbbox() for ax in figure.axes if ax.axison]
        boxes += [Text.get_window_extent(text) for ax in figure.axes for text in ax.texts if text.get_text()]
        for box in boxes:
            assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, (name, box)
        assert all(text.get_fontsize() >= 10 for text in figure.findobj(Text) if text.get_text()), name


def test_patches_are_moved_apart_in_their_order(image):
    left, right = viz_patches.patches_apart(image, 6).axes
    assert np.allclose(shown_at(left, 2, 2), pixels(image))
    patches = patchify(image[None], 8)[0]
    assert len(right.images) == 36
    for i, picture in enumerate(right.images):
        x0, x1, y1, y0 = picture.get_extent()
        assert np.allclose(picture.get_array(), pixels(patches[i]))
        assert x1 - x0 == pytest.approx(1) and y1 - y0 == pytest.approx(1)
        assert (x0 + 0.5, y0 + 0.5) == pytest.approx((1.14 * (i % 6), 1.14 * (i // 6)))  # with gaps
    assert [text.get_text() for text in right.texts] == [str(i) for i in range(36)]
    assert right.get_title() == "N = 6 x 6 = 36 patches, 8 x 8 pixels each"
    with pytest.raises(RelvitError, match="48 x 48 pixels cannot be cut into 5 x 5"):
        viz_patches.patches_apart(image, 5)


def test_token_rows_put_each_patch_beside_its_numbers(image):
    tokens = torch.randn(10, 12)
    ax = viz_patches.token_rows(image, tokens, 3).axes[0]
    heat, *thumbs = ax.images
    assert np.allclose(heat.get_array(), tokens)
    assert heat.norm.vmin == -heat.norm.vmax  # 0 is the middle of the colours
    patches = patchify(image[None], 16)[0]
    for i, thumb in enumerate(thumbs):
        assert np.allclose(thumb.get_array(), pixels(patches[i]))
        assert np.mean(thumb.get_extent()[2:]) == pytest.approx(i + 1)  # row 0 is CLS
    assert [text.get_text() for text in ax.texts] == ["CLS", *map(str, range(9))]
    assert len(viz_patches.token_rows(image, tokens[1:], 3).axes[0].texts) == 9


def test_a_pair_matrix_writes_every_entry_where_it_belongs():
    target = spatial_relations(3)
    grid, matrix = viz_patches.pair_matrix(target, (4, 0)).axes
    written = {tuple(map(round, text.get_position())): text.get_text() for text in matrix.texts}
    colours = np.asarray(matrix.images[0].get_array())
    for i, j in itertools.product(range(9), repeat=2):
        assert written[j, i] == RELATION_NAMES[target[i, j]]
        assert tuple(colours[i, j]) == to_rgb(RELATION_COLOURS[target[i, j]])
    frames = {patch.get_xy() for patch in matrix.patches if isinstance(patch, Rectangle) and not patch.get_fill()}
    assert frames == {(-0.5, 3.5)}  # column 0, row 4
    assert grid.get_xlabel() == "[4, 0] = RB: patch 4,\nseen from patch 0"


def test_a_pair_matrix_of_values():
    target = distances(3)
    matrix = viz_patches.pair_matrix(target, title="Dist").axes[1]
    written = {tuple(map(round, text.get_position())): text.get_text() for text in matrix.texts}
    assert written[5, 0] == "0.58" and written[0, 0] == "-1.00" and written[4, 0] == "0.00"  # never "-0.00"
    assert np.allclose(matrix.images[0].get_array(), target)


def test_position_vectors_and_their_angles():
    figure = viz_patches.position_vectors(3, [(2, 6), (0, 8)])
    first, second = figure.axes
    ends = [tuple(text.xy) for text in first.texts if hasattr(text, "arrow_patch")]
    assert sorted(ends) == [(1.5, 3.5), (3.5, 1.5)]  # the positions plus side / 2
    (arc,) = (patch for patch in first.patches if isinstance(patch, Arc))
    between = math.degrees(math.atan2(3.5, 1.5) - math.atan2(1.5, 3.5))
    assert arc.theta2 - arc.theta1 == pytest.approx(between)
    assert first.get_title() == f"i = 2, j = 6: {between:.1f}°" == "i = 2, j = 6: 43.6°"
    assert second.get_title() == "i = 0, j = 8: 0.0°" and second.get_xlabel() == "target -0.99"


def test_a_shuffle_moves_patches_and_relations_alike(image):
    figure = viz_patches.shuffled(image, 3, P9)
    before, relations, after, moved = figure.axes
    patches = patchify(image[None], 16)[0]
    for t in range(9):
        assert np.allclose(shown_at(before, t % 3, t // 3), pixels(patches[t]))
        assert np.allclose(shown_at(after, t % 3, t // 3), pixels(patches[P9[t]]))
    assert [text.get_text() for text in after.texts] == list(map(str, P9))
    colours = np.array([to_rgb(colour) for colour in RELATION_COLOURS])
    target = spatial_relations(3)
    assert np.allclose(relations.images[0].get_array(), colours[target])
    assert np.allclose(moved.images[0].get_array(), colours[permuted(target, torch.tensor(P9))])
    assert [label.get_text() for label in moved.get_yticklabels()] == list(map(str, P9))


def test_guessed_pairs_lie_as_they_do_in_the_image(image):
    pairs = [(5, 9, 0), (9, 5, 6), (33, 34, None)]
    figure = viz_patches.guessed_pairs(image, 8, pairs)
    patches = patchify(image[None], 6)[0]
    for ax, (i, j, said) in zip(figure.axes, pairs):
        assert np.allclose(shown_at(ax, 1, 1), pixels(patches[j]))
        relation = int(spatial_relations(8)[i, j])
        assert np.allclose(shown_at(ax, relation % 3, relation // 3), pixels(patches[i]))
        dashed = [patch for patch in ax.patches if patch.get_linestyle() not in ("solid", "-")]
        assert len(dashed) == (said is not None)
        if said is not None:
            assert dashed[0].get_center() == pytest.approx((said % 3, said // 3))
    assert [ax.get_title() for ax in figure.axes] == ["RT, model LT ✗", "LB, model LB ✓", "LC"]
    assert "right on 1 of 2" in figure.get_suptitle()
    assert "model" not in viz_patches.guessed_pairs(image, 8, [(1, 0, None)]).get_suptitle()
