"""Pictures of notebook 09: what is drawn is what was given."""

import numpy as np
import pytest
import torch

from relvit_lab.lessons.what_it_learned import pictures
from relvit_lab.lessons.what_it_learned.measures import Probed, Shares
from relvit_lab.lessons.what_it_learned.models import CHEAT, RELVIT, SUPERVISED

IMAGES = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
PNG = b"\x89PNG"


def drawn(ax) -> np.ndarray:
    return np.asarray(ax.get_images()[0].get_array())


def lines(ax) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in ax.get_lines()}


@pytest.mark.filterwarnings("error")
def test_a_sample_and_paintings_show_the_images_in_order():
    figure = pictures.sample(IMAGES, ["cat", "dog"], rows=3)
    assert [ax.get_title() for ax in figure.axes] == ["cat", "dog", "", "", "", ""]
    for k, ax in enumerate(figure.axes):
        assert drawn(ax) == pytest.approx(IMAGES[k].permute(1, 2, 0).numpy() / 255)
    assert "cat, dog" in figure.alt and figure.png()[:4] == PNG
    painted = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0))
    figure = pictures.paintings(IMAGES[:2], {RELVIT: painted, CHEAT: 1 - painted})
    assert [ax.get_ylabel() for ax in figure.axes] == ["", "", RELVIT, "", CHEAT, ""]
    assert drawn(figure.axes[3]) == pytest.approx(painted[1].view(2, 2, 3).numpy())
    assert drawn(figure.axes[4]) == pytest.approx(1 - painted[0].view(2, 2, 3).numpy())
    assert RELVIT in figure.alt and figure.png()[:4] == PNG


@pytest.mark.filterwarnings("error")
def test_the_nearest_are_named_and_those_at_the_same_place_are_marked():
    found = {RELVIT: [(1, 3), (2, 0)], CHEAT: [(4, 2), (5, 2)]}
    figure = pictures.nearest_figure(IMAGES, list("abcdef"), (0, 2), found, 2)
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", "a", "e ●", "f ●"]
    assert [ax.get_ylabel() for ax in figure.axes] == [RELVIT, "", "", CHEAT, "", ""]
    assert f"{RELVIT}: 0 of 2 at the same place; {CHEAT}: 2 of 2" in figure.alt and figure.png()[:4] == PNG


@pytest.mark.filterwarnings("error")
def test_shares_are_bars_that_end_at_100():
    figure = pictures.shares_figure({RELVIT: Shares(4.0, 6.0, 90.0), CHEAT: Shares(95.0, 1.0, 4.0)})
    (ax,) = figure.axes
    bars = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert bars == [(0, 4), (4, 6), (10, 90), (0, 95), (95, 1), (96, 4)]
    assert [text.get_text() for text in ax.texts] == ["90", "95"]  # no number in a part that is too narrow for it
    assert f"{CHEAT} 95, 1, 4" in figure.alt and figure.png()[:4] == PNG


@pytest.mark.filterwarnings("error")
def test_probes_have_their_errors_and_chance():
    found = {"CLS": {RELVIT: Probed(30.0, 50.0)}, "mean": {RELVIT: Probed(20.0, 40.0), "pixels": Probed(10.0, 15.0)}}
    figure = pictures.probes_figure(found, 100, 10)
    left, right = figure.axes
    assert [label.get_text() for label in right.get_yticklabels()] == [RELVIT, "pixels"]
    ends = left.containers[1].lines[2][0].get_segments()[0][:, 0]  # of the linear probe's error bar
    assert ends == pytest.approx([45, 55])  # 50 of 100 right: a standard error of 5 points
    assert "mean, pixels: k-NN 10, linear 15" in figure.alt and figure.png()[:4] == PNG


@pytest.mark.filterwarnings("error")
def test_the_lens_has_a_point_for_each_layer():
    figure = pictures.lens_figure({"images": {RELVIT: [10.0, 20.0, 30.0]}, "noise": {RELVIT: [9.0, 8.0, 7.0]}}, 19.1)
    left, right = figure.axes
    assert lines(left)[RELVIT] == [10, 20, 30] and lines(right)[RELVIT] == [9, 8, 7]
    assert "noise, RelViT: 9, 8, 7" in figure.alt and figure.png()[:4] == PNG


@pytest.mark.filterwarnings("error")
def test_curves_are_those_of_the_records_by_images_seen():
    def record(**test):
        return {"experiment": {"train_images": 500}, "curves": {"epoch": [1, 2], "test": test}}

    records = {
        SUPERVISED: record(accuracy=[30.0, 40.0]),
        RELVIT: record(accuracy=[None, None], sprel=[20.0, 25.0]),  # a pre-training knows no classes
    }
    figure = pictures.images_seen(records, {"accuracy": 10.0, "sprel": 19.1})
    left, right = figure.axes
    assert lines(left)[SUPERVISED] == [30, 40] and RELVIT not in lines(left)
    assert lines(right)[RELVIT] == [20, 25] and SUPERVISED not in lines(right)
    assert list(right.get_lines()[0].get_xdata()) == [0.5, 1.0]  # thousands
    assert "SpRel, %, RelViT: 20 to 25" in figure.alt and figure.png()[:4] == PNG
