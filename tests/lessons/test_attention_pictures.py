"""Pictures of attention: each number is that of a slow computation, each map lies where its patches do."""

import math

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from relvit_lab.lessons.patch_relations.attention_pictures import attention_by_hand, attention_on_image

QUERY = [1.0, 0, 2, 1]
KEYS = [[2.0, 1, -1, 0], [0.2, 3, 1, 0]]
VALUES = [[4.0, 0], [0, 8]]


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_it_writes_out_every_step():
    figure = attention_by_hand(torch.tensor(QUERY), torch.tensor(KEYS), torch.tensor(VALUES))
    said = texts(figure)
    for step in ("2 + 0 − 2 + 0 = 0", "0.2 + 0 + 2 + 0 = 2.2", "1.1", "1.00", "3.00", "4.00", "25 %", "75 %", "100 %"):
        assert said.count(step) == 1, step
    assert said[-2:] == ["1", "6"] and "score:\nq · k / √4" in said
    assert "token 1: product 2.2, score 1.1, share 75 %" in figure.alt and figure.alt.endswith("add up to 1, 6.")


@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 1), (6, 2, 3), (3, 6, 6)])
def test_the_shares_are_those_of_a_loop(n, d, m):
    random = torch.Generator().manual_seed(n)
    q, k, v = (torch.randn(shape, generator=random) for shape in ((d,), (n, d), (n, m)))
    powers = [math.exp(sum(float(q[t] * key[t]) for t in range(d)) / math.sqrt(d)) for key in k]
    figure = attention_by_hand(q, k, v)
    bars = [p for p in figure.axes[0].patches if isinstance(p, Rectangle) and p.get_height() == pytest.approx(0.6)]
    assert np.allclose([bar.get_width() / 1.1 for bar in bars], [p / sum(powers) for p in powers], atol=1e-6)
    mixed = [sum(p / sum(powers) * float(row[t]) for p, row in zip(powers, v)) for t in range(m)]
    assert np.allclose([float(text.replace("−", "-")) for text in texts(figure)[-m:]], mixed, atol=0.0051)


def test_nothing_is_cut_off_and_all_is_legible():
    random = torch.Generator().manual_seed(0)
    wide = [torch.randn(shape, generator=random) for shape in ((6,), (6, 6), (6, 6))]
    for figure in (attention_by_hand(QUERY, KEYS, VALUES), attention_by_hand(*wide)):
        figure.draw_without_rendering()
        width, height = figure.get_size_inches() * figure.dpi
        for text in figure.axes[0].texts:
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, text
            assert text.get_fontsize() >= 10


def test_a_map_shows_what_the_patch_takes_and_leaves_out_cls():
    image = torch.randint(0, 256, (3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    attention = torch.rand(10, 10, generator=torch.Generator().manual_seed(2)).softmax(-1)  # CLS and 3 x 3 patches
    figure = attention_on_image(image, {"one": attention, "two": attention.T}, [4, 0])
    panels = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in panels[:3]] == ["", "one", "two"] and len(panels) == 6
    for row, patch in enumerate((4, 0)):
        picture, one, two = panels[3 * row : 3 * row + 3]
        assert picture.get_xlabel() == f"patch {patch} looks"
        assert np.allclose(one.images[0].get_array(), attention[1 + patch, 1:].reshape(3, 3))
        assert np.allclose(two.images[0].get_array(), attention.T[1 + patch, 1:].reshape(3, 3))
        assert one.images[0].norm.vmin == 0 and f"{100 * attention[1 + patch, 1:].max():.1f} %" in one.get_xlabel()
    without = attention_on_image(image, {"one": attention[1:, 1:]}, [4])
    assert np.allclose([ax for ax in without.axes if ax.images][1].images[0].get_array().ravel(), attention[5, 1:])
