"""Figures: the right panels, the right colours in the right cells, and nothing left open."""

import io
import itertools
import sys

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from matplotlib.text import Text

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.relations import distances, spatial_relations
from relvit_lab.method.tasks import TASKS
from relvit_lab.show import relations as viz_relations
from relvit_lab.show import style as viz_style
from relvit_lab.show.curves import curves
from relvit_lab.show.relations import positions_predicted, predictions_grid
from relvit_lab.show.task_panels import task_predicted
from relvit_lab.show.task_views import task_view

UNITS = {"accuracy": "%", "sprel": "%", "abspos": "%", "dist": "MSE x 100"}


def lines(train, test, epochs=4):
    """Metric lines in which each name has its values[k] at epoch k + 1."""
    return [
        {"epoch": k + 1, "train": {n: v[k] for n, v in train.items()}, "test": {n: v[k] for n, v in test.items()}}
        for k in range(epochs)
    ]


FALLING, RISING = [4.0, 3.0, 2.0, 1.5], [10.0, 30.0, 50.0, 60.0]
PRETRAIN = lines(
    {"loss": [5.0, 4.0, 3.0, 2.0], "sprel": [1.0, 0.9, 0.8, 0.7], "dist": [0.2, 0.1, 0.1, 0.1]},
    {"loss": FALLING, "sprel": RISING, "dist": [16.0, 12.0, 11.0, 10.3]},
)
FINETUNE = lines(
    {"loss": FALLING, "classification": FALLING, "accuracy": RISING}, {"loss": FALLING, "accuracy": RISING}
)


@pytest.fixture
def image():
    return torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def cells(ax):
    """The colours of a panel's patches: (side, side, 3)."""
    return np.asarray(ax.images[0].get_array())


# -- curves --------------------------------------------------------------------------------------------------------


def test_curves_have_a_row_for_each_stage_and_a_panel_for_each_unit():
    figure = curves([("pretrain", PRETRAIN), ("finetune", FINETUNE)], UNITS)
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in shown] == [
        "pretrain: training loss",
        "pretrain: accuracy on test images, %",
        "pretrain: error on test images, MSE x 100",
        "finetune: training loss",
        "finetune: accuracy on test images, %",
    ]
    assert [len(ax.lines) for ax in shown] == [3, 1, 1, 1, 2]  # one part is the total; training beside test
    assert sorted(texts(figure)) == sorted(
        ["Total 2.000", "SpRel 0.700", "Dist 0.100", "SpRel 60.0", "Dist 10.3", "Loss 1.500", "Accuracy 60.0",
         "in training 60.0"]
    )  # fmt: skip


def test_curves_draw_the_numbers_that_they_were_given():
    figure = curves([("pretrain", PRETRAIN)], UNITS)
    accuracy = figure.axes[1].lines[0]
    assert accuracy.get_xdata().tolist() == [1, 2, 3, 4] and accuracy.get_ydata().tolist() == RISING
    total = figure.axes[0].lines[0]
    assert total.get_ydata().tolist() == [5.0, 4.0, 3.0, 2.0]


def test_a_quantity_keeps_its_colour_in_every_panel():
    figure = curves([("pretrain", PRETRAIN)], UNITS)
    losses, accuracies, errors = (ax.lines for ax in figure.axes)
    assert losses[1].get_color() == accuracies[0].get_color() != losses[2].get_color() == errors[0].get_color()


def test_labels_at_the_ends_do_not_touch():
    close = {name: [2.0, 1.0, 0.5, 0.1 + 0.001 * k] for k, name in enumerate(["sprel", "abspos", "dist", "ang"])}
    figure = curves([("pretrain", lines({"loss": FALLING} | close, {"sprel": RISING}))], UNITS)
    figure.draw_without_rendering()
    # Text's own: an annotation counts its leader in
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    boxes.sort(key=lambda box: box.y0)
    assert len(boxes) == 5
    for below, above in itertools.pairwise(boxes):
        assert above.y0 - below.y1 > -3  # pixels; the boxes have some air in them


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "stages",
    [
        [],
        [("pretrain", [])],
        [("pretrain", PRETRAIN[:1])],
        [("odd", lines({"loss": [float("nan")] * 4}, {"accuracy": [0.0, None, 0.0, 100.0]}))],
        [("off", lines({"loss": [0.0] * 4}, {"accuracy": [10.0, 20.0, 30.0, 900.0], "mine": [-1.0] * 4}))],
    ],
    ids=["no stage", "no epoch", "one epoch", "gaps", "out of range"],
)
def test_curves_of_little_or_odd_data_are_drawn_without_a_warning(stages):
    assert curves(stages, UNITS).png().startswith(b"\x89PNG")


# -- what is shared ------------------------------------------------------------------------------------------------


def figures(image):
    relations = spatial_relations(8)
    return {
        "curves": curves([("pretrain", PRETRAIN), ("finetune", FINETUNE)], UNITS),
        "grid": predictions_grid([image] * 4, [relations] * 4, 8, titles=["cat"] * 4),
        "field": task_predicted(image, task_view(TASKS.get("dist"), 4), distances(4)),
        "positions": positions_predicted(image, torch.arange(64), 8, title="AbsPos"),
    }


def test_figures_leave_no_pyplot_state_and_have_an_alt_text(image):
    for name, figure in figures(image).items():
        assert isinstance(figure, Figure) and len(figure.alt) > 30, name
        bundle, metadata = figure._repr_mimebundle_()
        assert bundle["text/plain"] == metadata["image/png"]["alt"] == figure.alt
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_everything_is_legible_and_nothing_is_cut_off(image):
    for name, figure in figures(image).items():
        figure.draw_without_rendering()
        width, height = figure.get_size_inches() * figure.dpi
        boxes = [ax.get_tightbbox() for ax in figure.axes if ax.axison]
        boxes += [text.get_window_extent() for text in figure.findobj(Text) if text in figure.texts]
        boxes += [text.get_window_extent() for ax in figure.axes for text in ax.texts]
        for box in boxes:
            assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, (name, box)
        assert all(text.get_fontsize() >= 10 for text in figure.findobj(Text) if text.get_text()), name


def test_the_notebooks_own_style_does_not_reach_the_figures(image):
    import matplotlib

    usual = positions_predicted(image, torch.arange(64), 8).png()
    with matplotlib.style.context("dark_background"):
        assert positions_predicted(image, torch.arange(64), 8).png() == usual


def test_pictures():
    grey = torch.tensor([[[0.0, 1.0], [0.5, 0.25]]])
    assert np.allclose(viz_style.to_picture(grey), grey[0][..., None].numpy().repeat(3, axis=2))
    colour = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)
    assert np.allclose(viz_style.to_picture(colour)[1, 0], np.array([2, 6, 10]) / 255)
    with pytest.raises(RelvitError, match="normalised"):
        viz_style.to_picture(grey * 4 - 2)
    with pytest.raises(RelvitError, match=r"\(32, 32, 3\)"):
        viz_style.to_picture(np.zeros((32, 32, 3)))


# -- relations -----------------------------------------------------------------------------------------------------


def test_the_palette_has_nine_colours_that_differ():
    colours = np.array([to_rgb(colour) for colour in viz_relations.RELATION_COLOURS])
    apart = np.abs(colours[:, None] - colours[None]).sum(-1) + 9 * np.eye(9)
    assert colours.shape == (9, 3) and apart.min() > 0.3


def test_relations_colour_the_right_cells_and_cross_the_mistakes(image):
    truth = spatial_relations(4)
    predicted = truth.clone()
    anchor = 5  # row 1, column 1
    predicted[6, anchor] = 0  # patch 6 lies right of 5 (5, "RC"); the model says left top
    predicted[3, 9] = 4  # another anchor's: not in this panel, but counted
    figure = predictions_grid([image], predicted[None], 4, [anchor])
    picture, _, true, _, said, _ = figure.axes
    colours = [to_rgb(colour) for colour in viz_relations.RELATION_COLOURS]

    for i in range(16):  # the slow way: from the definition
        y, x = divmod(i, 4)
        relation = 3 * (np.sign(y - 1) + 1) + (np.sign(x - 1) + 1)
        assert tuple(cells(true)[y, x]) == colours[relation]
        assert tuple(cells(said)[y, x]) == (colours[0] if i == 6 else colours[relation])
    assert picture.images[0].get_interpolation() == "nearest"

    (crosses,) = [c for c in said.collections if isinstance(c, PathCollection) and len(c.get_offsets())]
    assert crosses.get_offsets().tolist() == [[2.0, 1.0]]  # x, y of patch 6
    assert not [c for c in true.collections if isinstance(c, PathCollection) and len(c.get_offsets())]
    assert said.get_xlabel() == "15 of 16 right"
    assert f"{100 * 254 / 256:.1f} % of all pairs right" in figure.get_suptitle()


def test_arrows_point_from_the_anchor_to_the_patch(image):
    figure = predictions_grid([image], spatial_relations(3)[None], 3, [4])
    (arrows,) = [c for c in figure.axes[2].collections if isinstance(c, Quiver)]
    assert len(arrows.U) == 8  # none on the anchor itself
    for (x, y), u, v in zip(arrows.XY, arrows.U, arrows.V):
        assert np.sign(u) == x - 1 and np.sign(v) == y - 1  # rows count downwards, and so does this axis


def test_a_grid_has_a_column_for_each_image(image):
    truth = spatial_relations(8)
    images, predicted = torch.stack([image] * 3), torch.stack([truth] * 3)
    figure = predictions_grid(images, predicted, 8, anchors=[0] * 3, titles=["cat", "ship", "frog"])
    assert len(figure.axes) == 3 * (3 + 1)
    assert [ax.get_title() for ax in figure.axes[:3]] == ["cat", "ship", "frog"]
    assert [ax.get_xlabel() for ax in figure.axes[8:11]] == ["64 of 64 right"] * 3
    assert "LT" in texts(figure) and "RB" in texts(figure)
    with pytest.raises(RelvitError, match="3 images, 2 predictions"):
        predictions_grid(images, predicted[:2], 8)


def test_anchors_lie_apart_and_in_the_grid():
    for side in range(1, 17):
        anchors = viz_relations.default_anchors(side)
        assert len(set(anchors)) == len(anchors) >= min(side, 3) and all(0 <= a < side * side for a in anchors)


def test_wrong_shapes_and_anchors_are_named(image):
    with pytest.raises(RelvitError, match=r"\(64, 64\), not \(16, 16\)"):
        predictions_grid([image], spatial_relations(4)[None], 8)
    with pytest.raises(RelvitError, match="anchor 64"):
        predictions_grid([image], spatial_relations(8)[None], 8, anchors=[64])


# -- fields and positions ------------------------------------------------------------------------------------------


def test_a_field_shows_its_anchors_column_true_beside_predicted(image):
    target = distances(4)
    predicted = torch.arange(256.0).reshape(16, 16) / 256
    figure = task_predicted(image, task_view(TASKS.get("dist"), 4), predicted, anchor=6)
    _, true, said = figure.axes[:3]
    assert np.allclose(cells(true), target[:, 6].reshape(4, 4))
    assert np.allclose(cells(said), predicted[:, 6].reshape(4, 4))
    assert true.images[0].get_clim() == said.images[0].get_clim() == (-1, 1)  # one scale for both
    error = 100 * float(((predicted - target) ** 2).mean())
    assert f"MSE x 100: {error:.1f}" in figure.get_suptitle()


def test_positions_have_an_arrow_for_each_mistake(image):
    predicted = torch.arange(16)
    predicted[1], predicted[2] = 11, 1
    figure = positions_predicted(image, predicted, 4)
    (arrows,) = [c for c in figure.axes[0].collections if isinstance(c, Quiver)]
    assert arrows.XY.tolist() == [[1.0, 0.0], [2.0, 0.0]]
    assert arrows.U.tolist() == [2.0, -1.0] and arrows.V.tolist() == [2.0, 0.0]  # 1 -> 11 (row 2, column 3); 2 -> 1
    assert "14 of 16 patches in the right place (87.5 %)" in figure.get_suptitle()
    with pytest.raises(RelvitError, match="16 numbers"):
        positions_predicted(image, predicted + 1, 4)


def test_positions_lay_the_patches_out_where_they_were_put(image):
    picture = viz_style.to_picture(image)
    assert np.array_equal(viz_style.joined(viz_style.cut(picture, 4)), picture)
    places = np.arange(16)
    places[0] = 5  # two claim place 5, none place 0
    laid = viz_relations._lay_out(picture, places, 4)
    assert np.allclose(laid[8:16, 8:16], (picture[:8, :8] + picture[8:16, 8:16]) / 2)
    hatched = positions_predicted(image, places, 4).axes[1].patches
    assert [patch.get_xy() for patch in hatched] == [(-0.5, -0.5)]
    with pytest.raises(RelvitError, match="3 x 3 patches"):
        positions_predicted(image, np.arange(9), 3)


def test_a_png_holds_its_alt_text(image):
    from PIL import Image

    figure = positions_predicted(image, torch.arange(64), 8)
    assert Image.open(io.BytesIO(figure.png())).text["Description"] == figure.alt
