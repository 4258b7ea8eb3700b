"""Pictures of notebook 08: what is drawn is what was given."""

import pytest

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.own_task.checkup import Checkup
from relvit_lab.lessons.own_task.pictures import ASKED, accuracies, checkups

HONEST = Checkup("rank", "Rank", "MSE x 100", 20.0, 0.0, 15.0, 21.0, 15.0, 30.0)  # skills 25, -5, 25, -50
EASY = Checkup("same", "Same patch", "%", 90.0, 100.0, 97.0, 98.0, 97.0, 97.0)  # skills 70, 80, 70, 70


def points(ax, marker: str) -> list[tuple[float, float]]:
    lines = [line for line in ax.get_lines() if line.get_marker() == marker]
    return [(x, y) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata())]


@pytest.mark.filterwarnings("error")
def test_a_dot_for_each_seed_and_a_line_for_each_baseline():
    figure = accuracies({"Rank": [60.0, 64.0], "Dist": [58.0]}, {"once": [50.0, 52.0], "twice": [80.0]})
    (ax,) = figure.axes
    assert points(ax, "o") == [(60.0, 0), (64.0, 0), (58.0, 1)]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Rank", "Dist"]
    upright = [line.get_xdata()[0] for line in ax.get_lines() if line.get_linestyle() != "None"]
    assert upright == [51.0, 80.0]
    assert "Rank 62.0; Dist 58.0; once 51.0; twice 80.0" in figure.alt and figure.png()[:4] == b"\x89PNG"
    with pytest.raises(RelvitError, match="at least one accuracy"):
        accuracies({"Rank": []}, {})


@pytest.mark.filterwarnings("error")
def test_a_checkup_has_four_points_and_its_verdict():
    figure = checkups([HONEST, EASY])
    (ax,) = figure.axes
    for key, (_, _, marker) in ASKED.items():
        (one, _), (other, _) = points(ax, marker)
        assert other == pytest.approx(EASY.skills()[key])
        assert one == pytest.approx(max(HONEST.skills()[key], -30))  # far below the floor: at the edge
    assert [text.get_text() for text in ax.texts] == ["looks", "needs no place"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Rank", "Same patch"]
    assert "Rank: images 25" in figure.alt and figure.png()[:4] == b"\x89PNG"
    assert "Mine: images 25" in checkups([HONEST], ["Mine"]).alt
    for found, names in (([], []), ([HONEST], ["a", "b"])):
        with pytest.raises(RelvitError, match="as many of each"):
            checkups(found, names)
