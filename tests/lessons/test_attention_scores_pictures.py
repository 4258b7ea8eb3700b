"""Pictures of attention scores: the right numbers in the right places."""

import math

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.attention_scores import pictures as viz_scores
from relvit_lab.lessons.attention_scores.token_slider import TokenSlider
from relvit_lab.method.relations import RELATION_NAMES, spatial_relations

SIDE = 3
N = SIDE * SIDE
TRUTH = spatial_relations(SIDE)


def perfect(sure: float = 20.0, side: int = SIDE) -> torch.Tensor:
    """Scores (9, N, N) that answer every pair right."""
    return sure * torch.nn.functional.one_hot(spatial_relations(side), 9).permute(2, 0, 1).float()


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def titles(figure):
    return [ax.get_title() for ax in figure.axes]


def arrays(figure):
    return [np.asarray(image.get_array()) for ax in figure.axes for image in ax.images]


def drawn(figure):
    """It draws, is a PNG, and says in words what it shows."""
    assert figure.png().startswith(b"\x89PNG") and len(figure.alt) > 20
    return figure


def test_score_maps_show_column_j_as_nine_maps():
    scores = torch.randn(9, N, N, generator=torch.Generator().manual_seed(1))
    figure = drawn(viz_scores.score_maps(scores, SIDE, token=1))
    assert [text for text in texts(figure) if text in RELATION_NAMES] == list(RELATION_NAMES)
    probable = scores.softmax(0)[:, :, 1].reshape(9, SIDE, SIDE)
    np.testing.assert_allclose(np.stack(arrays(figure)[:9]), probable, rtol=1e-5)


def test_each_map_lies_where_its_relation_points():
    """Seen from the middle, the map of class k lights up at patch k, and stands at place k of the 3 x 3."""
    figure = viz_scores.score_maps(perfect(), SIDE, token=4)
    (ax,) = (ax for ax in figure.axes if len(ax.images) == 9)
    lefts = [image.get_extent()[0] for image in ax.images]
    tops = [image.get_extent()[3] for image in ax.images]
    for k, image in enumerate(ax.images):
        assert np.asarray(image.get_array()).argmax() == k
        assert lefts[k] == lefts[k % 3] and tops[k] == tops[3 * (k // 3)]
    assert lefts[0] < lefts[1] < lefts[2] and tops[0] < tops[3] < tops[6]


def test_score_maps_cross_and_count_the_mistakes():
    scores = perfect()
    scores[:, 2, 5] = torch.eye(9)[8] * 9  # patch 2 seen from 5 is CT, not RB
    crosses = [
        c.get_offsets().tolist()
        for ax in viz_scores.score_maps(scores, SIDE, token=5).axes
        for c in ax.collections
        if isinstance(c, PathCollection) and len(ax.images)
    ]
    assert crosses == [[[2.0, 0.0]], [[2.0, 0.0]]]  # in the predictions and in the confidences
    assert "largest of nine: 8 of 9 right" in titles(viz_scores.score_maps(scores, SIDE, token=5))
    assert "largest of nine: 9 of 9 right" in titles(viz_scores.score_maps(scores, SIDE, token=4))


def test_score_maps_on_an_image_and_on_a_larger_grid():
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    figure = drawn(viz_scores.score_maps(perfect(side=8), 8, 63, image))
    assert "64 of 64" in figure.alt and "0" not in texts(figure)
    assert "24" in texts(viz_scores.score_maps(perfect(side=5), 5, 12))


def test_confidence_is_the_largest_probability():
    figure = viz_scores.score_maps(torch.zeros(9, N, N), SIDE, 0)
    np.testing.assert_allclose(arrays(figure)[-1], 1 / 9)
    assert "how sure: 11 % on average" in titles(figure)


def test_bilinear_form_shows_the_product():
    z, w = torch.tensor([[1, 0], [0, 2], [3, 1]]), torch.tensor([[0, 1], [-1, 0]])
    figure = drawn(viz_scores.bilinear_form(z, w, 2, 1))
    numbers = [text for text in (t.get_text() for t in figure.axes[3].texts) if text not in "×="]
    expected = (z @ w @ z.T).flatten().tolist()
    assert [int(n.replace("−", "-")) for n in numbers] == expected and expected[7] == 6
    assert "give the score 6" in figure.alt
    frame = figure.axes[3].patches[-1]
    assert frame.get_xy() == (0.5, 1.5)  # column 1, row 2


def test_logit_spread_draws_its_numbers():
    figure = drawn(viz_scores.logit_spread([24, 96], {"none": [2.8, 5.6], "√D": [0.57, 0.58]}))
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[2.8, 5.6], [0.57, 0.58]]
    assert {"none", "√D"} <= set(texts(figure)) and "2.80 at D = 24, 5.60 at 96" in figure.alt
    styles = {line.get_linestyle() for line in figure.axes[0].lines}
    assert len(styles) == 2  # told apart without colour


def test_cost_bars_and_the_claim():
    figure = drawn(viz_scores.cost_bars({"full": 6.2, "rank": 1.4}, claim=2))
    assert [bar.get_width() for bar in figure.axes[0].patches] == [6.2, 1.4]
    assert "the paper: +2 %" in texts(figure)
    assert not viz_scores.cost_bars({"full": 6.2}).axes[0].lines


def test_calibration_bins():
    confidence = torch.tensor([[0.15, 0.18], [0.95, 1.0]])
    right = torch.tensor([[False, True], [True, True]])
    figure = drawn(viz_scores.calibration(confidence, right, title="Four"))
    line = figure.axes[0].lines[1]
    np.testing.assert_allclose(line.get_xdata(), [0.165, 0.975])
    np.testing.assert_allclose(line.get_ydata(), [0.5, 1.0])
    assert [bar.get_height() for bar in figure.axes[1].patches] == [0, 50, 0, 0, 0, 0, 0, 0, 0, 50]
    assert figure.alt.startswith("Four: 57.0 % sure and 75.0 % right on average")


def test_confusions_count_by_the_true_relation():
    said = TRUTH.repeat(2, 1, 1)
    said[0][TRUTH == 3] = 0  # in one of two images left of is taken for left top
    figure = drawn(viz_scores.confusions(TRUTH, said))
    shares = [[float(t.get_text()) for t in ax.texts] for ax in figure.axes[:9]]
    assert shares[3] == [50, 0, 0, 50, 0, 0, 0, 0, 0]
    assert shares[8] == [0, 0, 0, 0, 0, 0, 0, 0, 100]
    assert "LC: right 50, most often confused with LT" in figure.alt


def test_shuffle_test_compares_with_the_permuted_scores():
    scores = torch.randn(N, N, generator=torch.Generator().manual_seed(2))
    p = torch.tensor([4, 0, 8, 1, 7, 2, 6, 3, 5])
    figure = drawn(viz_scores.shuffle_test({"follows": (scores, scores[p][:, p]), "does not": (scores, scores)}, p))
    panels = arrays(figure)
    np.testing.assert_allclose(panels[2], scores[p][:, p])
    assert np.all(panels[3] == 0) and "follows: largest difference 0;" in figure.alt
    off = (scores - scores[p][:, p]).abs().max().item()
    assert math.isclose(panels[7].max(), off, rel_tol=1e-6) and f"does not: largest difference {off:.2f}" in figure.alt


def test_the_slider_draws_the_token_that_is_chosen():
    asked = []

    def draw(token):
        asked.append(token)
        return viz_scores.score_maps(perfect(), SIDE, token)

    slider = TokenSlider(draw, SIDE, token=4)
    first = slider.picture
    assert asked == [4] and first.startswith(b"\x89PNG") and "seen from patch 4" in slider.alt
    slider.token = 0
    assert asked == [4, 0] and slider.picture != first and "seen from patch 0" in slider.alt
    assert "token j = 0" in slider._repr_mimebundle_()[0]["text/plain"]
    with pytest.raises(RelvitError, match="0 to 8"):
        TokenSlider(draw, SIDE, token=9)
