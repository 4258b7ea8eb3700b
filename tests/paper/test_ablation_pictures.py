"""Pictures of Table 4: dots where the numbers are, filled where a combination has the task, bars as long as effects."""

import numpy as np
import pytest

from relvit_lab.common.errors import RelvitError
from relvit_lab.paper import ablation
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.tables import ablation_pictures as viz_ablation

PRINTED = ablation.printed()
NUMBERS = {row: paper.get("table4", row, "Finetuning") for row in PRINTED}


def drawn(figure):
    """It draws, is a PNG, and says in words what it shows."""
    assert figure.png(dpi=40).startswith(b"\x89PNG") and len(figure.alt) > 20
    return figure


TASKS = viz_ablation.TASKS


def axes(figure):
    """(the paper's panel, our panel or None, the dots, the bars or None)."""
    by_label = {ax.get_ylabel().split(",")[0]: ax for ax in figure.axes if ax.get_ylabel()}
    dots = next(ax for ax in figure.axes if [t.get_text() for t in ax.get_yticklabels()] == [*map(paper.label, TASKS)])
    bars = next((ax for ax in figure.axes if ax.get_xlabel() == "points"), None)
    return by_label["the paper"], by_label.get("our runs"), dots, bars


def points(ax):
    """[(x, y), ...] of all round markers."""
    lines = (line for line in ax.lines if line.get_marker() == "o")
    return [(float(x), float(y)) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata())]


def test_upset_puts_the_best_left_with_its_tasks_below():
    figure = drawn(viz_ablation.upset(NUMBERS, baseline=85.38, spread=0.09))
    top, ours, dots, _ = axes(figure)
    order = ablation.ranked(PRINTED)
    assert ours is None
    assert points(top) == [(k, PRINTED[row]) for k, row in enumerate(order)]
    filled = [line for line in dots.lines if line.get_linestyle() == "-" and line.get_color() == viz_ablation.INK]
    assert [list(line.get_ydata()) for line in filled] == [
        [k for k, task in enumerate(TASKS) if task in row.split("+")] for row in order
    ]
    said = [text.get_text() for text in top.texts]
    assert {f"{value:.2f}" for value in PRINTED.values()} <= set(said)
    assert "supervised: 85.38, 3.37 below the lowest" in said and "best ± 0.09" in said
    assert figure.alt.startswith("The paper: SpRel + AbsPos 90.13; SpRel + Ang 90.12")


def test_upset_takes_plain_numbers_and_some_only():
    figure = drawn(viz_ablation.upset({"sprel": 50.0, "abspos": 51.0}, baseline=49.5))
    top, _, _, bars = axes(figure)
    assert points(top) == [(0, 51.0), (1, 50.0)]
    assert bars is None, "no main effects without all combinations"
    assert any(line.get_linestyle() == "--" and set(line.get_ydata()) == {49.5} for line in top.lines)


def test_main_effects_are_bars_in_the_rows_of_their_tasks():
    bars = axes(viz_ablation.upset(NUMBERS))[3]
    for y, task in enumerate(TASKS):
        (bar,) = (bar for bar in bars.patches if bar.get_y() < y < bar.get_y() + bar.get_height())
        assert bar.get_width() == pytest.approx(ablation.main_effect(PRINTED, task))
    assert [text.get_text() for text in bars.texts] == ["+0.18", "-0.08", "+0.03", "+0.58"]


def test_our_runs_have_a_panel_of_their_own_with_a_dot_for_each_seed():
    ours = {"sprel": [47.0, 48.0, 49.0], "sprel+abspos": [50.0], "ang": []}
    figure = drawn(viz_ablation.upset(NUMBERS, ours=ours, our_baseline=[45.0, 47.0]))
    _, panel, _, bars = axes(figure)
    order = ablation.ranked(PRINTED)
    at = order.index("sprel")
    assert sorted(points(panel)) == [(0, 50.0), (at, 47.0), (at, 48.0), (at, 49.0)]
    said = [text.get_text() for text in panel.texts]
    assert said[:2] == ["48.00", "50.00"] or said[:2] == ["50.00", "48.00"]
    assert "supervised: 46.00" in said
    assert len(bars.patches) == len(TASKS), "our main effects only once all 15 are there"
    assert "Our runs: SpRel 48.00; SpRel + AbsPos 50.00" in figure.alt


def test_with_all_our_runs_there_are_two_bars_a_task():
    figure = viz_ablation.upset(NUMBERS, ours={row: [100 - value] for row, value in PRINTED.items()})
    bars = axes(figure)[3]
    assert len(bars.patches) == 2 * len(TASKS)
    assert "Main effects, our runs: SpRel -0.18, Dist +0.08, Ang -0.03, AbsPos -0.58" in figure.alt


def test_upset_refuses_what_is_no_combination():
    with pytest.raises(RelvitError, match="'abspos\\+sprel' is no combination"):
        viz_ablation.upset({"abspos+sprel": 90.0})
    with pytest.raises(RelvitError, match="no combination"):
        viz_ablation.upset(NUMBERS, ours={"Supervised": [1.0]})


def test_interaction_lines_go_through_the_means():
    figure = drawn(viz_ablation.interaction_lines(PRINTED, "sprel", "abspos"))
    (ax,) = figure.axes
    means = ablation.two_by_two(PRINTED, "sprel", "abspos")
    lines = [list(line.get_ydata()) for line in ax.lines if len(line.get_xdata()) == 2]
    assert lines == [[means[False, there], means[True, there]] for there in (False, True)]
    assert sum(len(line.get_xdata()) == 1 for line in ax.lines) == 15
    assert "+0.08" in ax.get_title(loc="left") and "SpRel adds +0.25" in ax.texts[1].get_text()


def test_chance_histograms_mark_what_is_printed():
    gaps = np.linspace(0.1, 0.5, 100)
    figure = drawn(viz_ablation.chance_histograms({0.09: gaps, 0.46: 5 * gaps}, printed=1.38))
    (ax,) = figure.axes
    assert any(list(line.get_xdata()) == [1.38, 1.38] for line in ax.lines)
    assert "spread ± 0.09\nmean 0.30" in [text.get_text() for text in ax.texts]
    share = np.mean(5 * gaps >= 1.38)
    assert f"spread 0.46: mean 1.50, {share:.1%} reach" in figure.alt and "0.0% reach" in figure.alt
