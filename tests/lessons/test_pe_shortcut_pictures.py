"""Pictures of notebook 05: the right tags, lines and bars in the right places, and refusals that say why."""

import math

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

from relvit_lab.lessons.pe_shortcut import pictures as viz_shortcut

IMAGE = torch.arange(9).repeat_interleave(16).view(9, 1, 4, 4).expand(-1, 3, -1, -1).float() / 8
P = [4, 8, 2, 6, 1, 0, 5, 3, 7]


def photograph():
    """(3, 12, 12): patch t of the 3 x 3 grid has the grey t / 8."""
    return IMAGE.view(3, 3, 3, 4, 4).permute(2, 0, 3, 1, 4).reshape(3, 12, 12)  # (rows,columns,C,P,P) -> (C,H,W)


def drawn(figure):
    """It draws, is a PNG, and says in words what it shows."""
    assert figure.png().startswith(b"\x89PNG") and len(figure.alt) > 20
    return figure


def tags(ax):
    """(the place that E_pos says, the place that the label means) of each token, in its order; "" where none is."""
    rows = {}
    for text in ax.texts:
        x, y = text.get_position()
        at = round(y), round(x)
        rows.setdefault(at, ["", ""])[int(y > at[0])] = text.get_text()
    return [tuple(rows[at]) for at in sorted(rows)]


def framed(ax):
    return sum(isinstance(patch, Rectangle) and patch.get_linewidth() == 4.0 for patch in ax.patches)


def test_four_settings_tag_each_token_with_what_it_is_told():
    figure = drawn(viz_shortcut.four_settings(photograph(), P))
    standard, shuffled = [str(t) for t in range(9)], [str(held) for held in P]
    expected = [zip(standard, standard), zip(standard, shuffled), zip([""] * 9, standard), zip([""] * 9, shuffled)]
    for ax, name, pairs in zip(figure.axes, viz_shortcut.FOUR, expected):
        assert ax.get_title() == name and tags(ax) == list(pairs)
    assert [framed(ax) for ax in figure.axes] == [9, 1, 0, 0]  # patch 2 stayed
    assert "9 of 9" in figure.alt and "PE on, shuffle: 1 of 9" in figure.alt


def test_four_settings_show_patch_p_t_in_token_t():
    figure = viz_shortcut.four_settings(photograph(), P)
    for ax, held in zip(figure.axes, (range(9), P, range(9), P)):
        picture = np.asarray(ax.images[0].get_array())
        seen = picture[::4, ::4, 0].flatten()  # a pixel of each patch
        np.testing.assert_allclose(seen, np.array(held) / 8, atol=1e-6)


def test_climb_draws_each_run_and_the_floor():
    runs = {"PE on": [35.0, 80.0, 100.0], "PE off": [29.0, 34.0, 39.0]}
    figure = drawn(viz_shortcut.climb(runs, 14.1, "Digits"))
    ax = figure.axes[0]
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == list(runs.values())
    assert list(ax.lines[2].get_ydata()) == [14.1, 14.1]
    styles = {(line.get_marker(), str(line.get_color())) for line in ax.lines[:2]}
    assert len(styles) == 2 and len({marker for marker, _ in styles}) == 2  # told apart without colour
    said = [text.get_text() for text in ax.texts]
    assert said == ["PE on: 100.0 %", "PE off: 39.0 %", "knowing nothing: 14.1 %"]
    assert all(text in figure.alt for text in said)


def test_names_at_line_ends_do_not_touch():
    figure = viz_shortcut.climb({"a": [39.0], "b": [39.1], "c": [39.2], "d": [39.3]}, 14.0, "Close")
    heights = sorted(text.xyann[1] for text in figure.axes[0].texts)
    assert min(np.diff(heights)) > 0.06


VALUES = {"nothing": {"SpRel": 19.0, "AbsPos": 6.0}, "PE": {"SpRel": 100.0, "AbsPos": 99.5}}


def test_leak_bars_are_as_long_as_their_values():
    images = {title: torch.rand(1, 8, 8) for title in VALUES}
    figure = drawn(viz_shortcut.leak_bars(images, VALUES, {"SpRel": 20.3, "AbsPos": 6.25}))
    panels = [ax for ax in figure.axes if ax.patches]
    widths = [bar.get_width() for ax in panels for bar in ax.patches]
    assert widths == [19.0, 6.0, 100.0, 99.5]
    assert [ax.lines[0].get_xdata()[0] for ax in panels] == [20.3, 6.25, 20.3, 6.25]
    assert "PE: SpRel 100.0 %, AbsPos 99.5 %" in figure.alt
    assert [bool(ax.patches[0].get_hatch()) for ax in panels] == [False, True] * 2


RUNS = {
    "healthy": {"loss": [2.0, 1.5], "sprel": [29.0, 39.0], "floor": 14.1},
    "A": {"loss": [11.8, 2.1], "sprel": [12.0, 16.0], "floor": 14.1},
    "C": {"loss": [1.4, 0.5], "sprel": [65.0, 85.0], "floor": 25.0},
}


def test_symptoms_show_each_run_over_the_healthy_one():
    figure = drawn(viz_shortcut.symptoms(RUNS))
    (a_loss, c_loss), (a_sprel, c_sprel) = figure.axes[:2], figure.axes[2:]
    for ax, name, key in (
        (a_loss, "A", "loss"),
        (c_loss, "C", "loss"),
        (a_sprel, "A", "sprel"),
        (c_sprel, "C", "sprel"),
    ):
        assert [list(line.get_ydata()) for line in ax.lines[:2]] == [RUNS["healthy"][key], RUNS[name][key]]
    assert a_loss.lines[2].get_ydata()[0] == pytest.approx(math.log(9))
    assert (a_sprel.lines[2].get_ydata()[0], c_sprel.lines[2].get_ydata()[0]) == (14.1, 25.0)
    assert a_loss.get_ylim()[1] > 11.8 and c_loss.get_ylim()[0] < 0.5
    assert [ax.get_title() for ax in (a_loss, c_loss)] == ["run A", "run C"]
    assert "ends at 85.0 %" in [text.get_text() for text in c_sprel.texts]
    assert "A: loss from 11.80 to 2.10, SpRel at the end 16.0 %" in figure.alt


def test_confusions_show_shares_of_each_row():
    counts = torch.tensor([[3, 1, 0], [0, 0, 5], [4, 0, 0]])
    figure = drawn(viz_shortcut.confusions({"healthy": torch.eye(3), "B": counts}, ("LT", "CT", "RT")))
    healthy, b = figure.axes[:2]
    np.testing.assert_allclose(b.images[0].get_array(), [[75, 25, 0], [0, 0, 100], [100, 0, 0]])
    assert [text.get_text() for text in b.texts] == ["75", "25", "", "", "", "100", "100", "", ""]
    assert [text.get_text() for text in healthy.get_yticklabels()] == ["LT", "CT", "RT"]
    assert "B: 23.1 % of all pairs on the diagonal, 30.8 % on the other" in figure.alt


def test_border_kinds_count_and_number_the_tokens():
    kinds = torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    figure = drawn(viz_shortcut.border_kinds({"zeros": kinds, "none": torch.zeros(3, 3, dtype=torch.int64)}))
    zeros, none = figure.axes[:2]
    assert [text.get_text() for text in zeros.texts] == [str(k) for k in range(9)]
    assert (zeros.get_xlabel(), none.get_xlabel()) == ("9 kinds of token", "1 kind of token")
