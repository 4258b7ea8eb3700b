"""A wrong answer drawn beside the right one: from the student's own outputs, with a frame around what differs."""

import pytest
import torch
from matplotlib.patches import Rectangle

from relvit_lab.lessons.ask import EXERCISES, check
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.lessons.ask.difference import LARGEST, Difference

ask.load_all()
SEEN = ("01-relation", "01-shuffle", "02-cell", "02-borders", "03-scores", "03-above", "05-pool", "08-manhattan")


def difference(right: torch.Tensor, got: torch.Tensor, place: tuple[int, ...]) -> Difference:
    return Difference("f(x)", (), right, got, place)


def frames(drawing) -> list[tuple[int, int]]:
    """(row, column) of the framed entries of the given answer."""
    boxes = [patch for patch in drawing.axes[1].patches if isinstance(patch, Rectangle)]
    return sorted((round(box.get_y() + 0.5), round(box.get_x() + 0.5)) for box in boxes)


@pytest.mark.parametrize("name", SEEN)
def test_a_wrong_matrix_or_image_is_shown_beside_the_right_one(name):
    for answer in EXERCISES.get(name).wrong.values():
        verdict = check(name, answer)
        if verdict.difference is not None and verdict.difference.place:
            shown = verdict._repr_html_()
            assert '<img src="data:image/png' in shown and 'entries differ."' in shown
            return
    pytest.fail("none is drawn")


def test_what_differs_is_framed_and_both_are_the_outputs():
    right = torch.arange(12.0).reshape(3, 4)
    got = right.clone()
    got[1, 2], got[2, 0] = -1, float("nan")
    drawing = difference(right, got, (1, 2)).draw()
    assert frames(drawing) == [(1, 2), (2, 0)] and "2 of 12 entries differ" in drawing.alt
    images = [ax.images[0].get_array() for ax in drawing.axes]
    assert images[0].tolist() == right.tolist() and images[1][1, 2] == -1 and images[1].mask[2, 0]


@pytest.mark.parametrize("got", [torch.ones(2, 3, requires_grad=True) * 2, torch.ones(2, 3, dtype=torch.bfloat16)])
def test_answers_that_have_gradients_or_16_bits_are_drawn(got):
    assert len(frames(difference(torch.zeros(2, 3), got, (0, 0)).draw())) == 6


def test_of_more_dimensions_the_part_with_the_first_difference_is_drawn():
    right = torch.zeros(5, 9, 4, 4)
    got = right.clone()
    got[3, 7, 1, 0] = 1
    drawing = difference(right, got, (3, 7, 1, 0)).draw()
    assert frames(drawing) == [(1, 0)] and drawing.get_suptitle() == "f(x), [3, 7]"


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_are_images(channels):
    right = torch.rand(6, channels, 4, 5)
    got = right.clone()
    got[2, 0, 3, 1] += 0.5
    drawing = difference(right, got, (2, 0, 3, 1)).draw()
    assert drawing.axes[0].images[0].get_array().shape == (4, 5, 3) and frames(drawing) == [(3, 1)]


def test_one_entry_a_patch_is_drawn_as_the_grid():
    right = torch.arange(16)
    drawing = difference(right, right.flip(0), (0,)).draw()
    assert drawing.axes[0].images[0].get_array().shape == (4, 4) and len(frames(drawing)) == 16
    row = difference(torch.arange(5), torch.zeros(5), (1,)).draw()
    assert row.axes[0].images[0].get_array().shape == (1, 5)


@pytest.mark.parametrize(
    ("right", "place"),
    [(1.0, ()), ("looks", ()), (torch.zeros(3), ()), (torch.zeros(3, LARGEST + 1), (0, 0)), (torch.zeros(2), None)],
)
def test_there_is_not_always_something_to_look_at(right, place):
    assert difference(right, right, place).draw() is None


def test_what_is_partly_written_is_not_called_untouched():
    said = check("05-faults", {"A": "transposed labels", "B": ..., "C": ..., "D": ...})
    assert said.status == "not yet" and "Still open: B, C, D" in said.text and "an exercise of" not in said.text
    assert "an exercise of" in check("05-faults", dict.fromkeys("ABCD", ...)).text
    assert "is a `return` missing?" in check("01-relation", lambda i, j, side: print(end="")).text
