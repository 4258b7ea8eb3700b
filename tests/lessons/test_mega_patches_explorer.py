"""Mega-patches to look at: data against torchvision cell by cell, any person's image, the figure, the kernel's side."""

import itertools

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle
from PIL import Image

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.randomness import generator
from relvit_lab.lessons.mega_patches.explorer import explore_mega_patches
from relvit_lab.lessons.mega_patches.explorer_figure import MegaPatches, cut_into_mega_patches, mega_patches_figure
from relvit_lab.method.augment import apply_patch_changes, draw_patch_changes, window_side
from relvit_lab.show.own_image import square_image
from relvit_lab.show.photographs import photograph


@pytest.fixture
def image():
    return torch.rand(3, 32, 32, generator=generator("image"))


def cells_by_torchvision(data: MegaPatches) -> list[torch.Tensor]:
    """Each cell cropped at its cuts and resized, one by one."""
    image, p = torch.from_numpy(data.image), data.patch
    rows, columns = ([0, *(cut * p for cut in cuts), data.side * p] for cuts in data.cuts.tolist())
    return [
        F.resize(image[:, rows[y] : rows[y + 1], columns[x] : columns[x + 1]], [p, p], antialias=True)
        for y, x in itertools.product(range(data.m), range(data.m))
    ]


# -- what is shown -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "seed"), [(1, 0), (2, 3), (5, 0), (5, 1), (8, 0)])
def test_each_cell_is_its_rectangle_resized_with_antialias(image, m, seed):
    data = cut_into_mega_patches(image, 4, m, seed)
    assert data.cells.shape == (m * m, 3, 4, 4) and data.cells.dtype == np.float32 and data.side == 8
    for cell, expected in enumerate(cells_by_torchvision(data)):
        np.testing.assert_allclose(data.cells[cell], expected, atol=1e-5)
        top, left, height, width = data.rectangle(cell)
        assert data.areas()[cell] == height * width
        rectangle = data.image[:, 4 * top : 4 * (top + height), 4 * left : 4 * (left + width)]
        resized = F.resize(torch.from_numpy(rectangle), [4, 4], antialias=True)
        np.testing.assert_allclose(data.cells[cell], resized, atol=1e-5)
    assert data.areas().sum() == 64


def test_all_cuts_draw_the_image_itself(image):
    data = cut_into_mega_patches(image, 4, 8)
    assert data.cuts.tolist() == [[*range(1, 8)]] * 2 and set(data.areas().tolist()) == {1}
    whole = data.cells.reshape(8, 8, 3, 4, 4).transpose(2, 0, 3, 1, 4).reshape(3, 32, 32)  # (N,3,P,P) -> (3,H,W)
    np.testing.assert_allclose(whole, image, atol=1e-6)


def test_cuts_follow_from_the_seed_or_are_given(image):
    first = cut_into_mega_patches(image, 4, 4, 7)
    assert np.array_equal(first.cells, cut_into_mega_patches(image, 4, 4, 7).cells)
    assert any(not np.array_equal(first.cuts, cut_into_mega_patches(image, 4, 4, seed).cuts) for seed in range(3))
    assert not np.array_equal(first.cuts[0], first.cuts[1])
    given_cuts = [[1, 2, 7], [3, 4, 5]]
    data = cut_into_mega_patches(image, 4, 4, 7, cuts=given_cuts)
    assert data.cuts.tolist() == given_cuts
    assert [data.rectangle(cell) for cell in (0, 6, 15)] == [(0, 0, 1, 3), (1, 4, 1, 1), (7, 5, 1, 3)]
    shared = cut_into_mega_patches(image, 4, 4, 7, shared_cuts=True)
    assert np.array_equal(shared.cuts[0], shared.cuts[1]) and np.array_equal(shared.cuts[0], first.cuts[0])


@pytest.mark.parametrize("on", [*itertools.product([False, True], repeat=3)])
def test_each_augmentation_by_itself_with_the_same_parameters(image, on):
    crop, jitter, grey = on
    plain = cut_into_mega_patches(image, 8, 3, 2)
    data = cut_into_mega_patches(image, 8, 3, 2, crop=crop, jitter=jitter, grey=grey)
    assert np.array_equal(data.cuts, plain.cuts)
    changes = draw_patch_changes(9, 8, generator(2, "patch augmentation"))
    expected = apply_patch_changes(torch.from_numpy(plain.cells), changes, crop=crop, jitter=jitter, grey=grey)
    np.testing.assert_allclose(data.cells, expected.clamp(0, 1), atol=1e-6)
    for cell, words in enumerate(data.changes):
        assert ("cropped to the 7 × 7 pixels" in words) == crop and window_side(8) == 7
        assert ("jittered" in words) == (jitter and bool(changes.jitter[cell]))
        assert ("grey" in words) == (grey and bool(changes.grey[cell]))
        if not words:
            np.testing.assert_allclose(data.cells[cell], plain.cells[cell], atol=1e-6)
        if "grey" in words:
            np.testing.assert_allclose(data.cells[cell, 0], data.cells[cell, 2], atol=1e-6)


def test_a_patch_of_two_pixels_is_not_cropped():
    data = cut_into_mega_patches(torch.rand(1, 8, 8), 2, 3, crop=True)
    assert data.changes == ("",) * 9


def test_what_does_not_fit_is_said(image):
    with pytest.raises(RelvitError, match="M is at most image side / P = 8"):
        cut_into_mega_patches(image, 4, 9)
    with pytest.raises(RelvitError, match="at least 1"):
        cut_into_mega_patches(image, 4, 0)
    for m in (2.5, True, "5", None):
        with pytest.raises(RelvitError, match="M is a whole number"):
            cut_into_mega_patches(image, 4, m)
    with pytest.raises(RelvitError, match=r"seed is a whole number, not 0\.5"):
        cut_into_mega_patches(image, 4, 2, 0.5)
    for cuts in ([[2, 1], [1, 2]], [[0, 1], [1, 2]], [[1, 8], [1, 2]], [[1], [2]], [1, 2], [[1, 1], [1, 2]]):
        with pytest.raises(RelvitError, match="cuts"):
            cut_into_mega_patches(image, 4, 3, cuts=cuts)
    for cuts in ([[1, 2], [1]], "ab", [[1.0, 2.0], [1.0, 2.0]]):
        with pytest.raises(RelvitError, match="whole numbers"):
            cut_into_mega_patches(image, 4, 3, cuts=cuts)
    with pytest.raises(RelvitError, match="no cell 9 among 3 x 3"):
        cut_into_mega_patches(image, 4, 3).rectangle(9)
    assert cut_into_mega_patches(image, np.int64(4), np.int64(3), np.int32(1)).m == 3  # numpy's numbers serve


# -- a person's own image ------------------------------------------------------------------------------------------


def test_every_kind_of_image_gives_the_same_square(tmp_path):
    pixels = torch.randint(256, (3, 32, 32), dtype=torch.uint8, generator=generator("pixels"))
    array = pixels.permute(1, 2, 0).numpy()  # (C,H,W) -> (H,W,C)
    picture = Image.fromarray(array)
    picture.save(tmp_path / "mine.png")
    with_alpha = np.concatenate([array, np.full((32, 32, 1), 7, np.uint8)], axis=2)
    kinds = [
        picture, tmp_path / "mine.png", str(tmp_path / "mine.png"), array, array / 255, (array / 255).tolist(), pixels,
        pixels / 255, pixels[None], (pixels / 255).double().requires_grad_(), with_alpha, Image.fromarray(with_alpha),
    ]  # fmt: skip
    for kind in kinds:
        square = square_image(kind, 4)
        assert square.image.shape == (3, 32, 32) and square.image.dtype == torch.float32 and square.note == ""
        np.testing.assert_allclose(square.image, pixels / 255, atol=1e-6)
    grey, channel = square_image(pixels[:1], 4).image, array[..., 0]
    for kind in (channel, channel[..., None], Image.fromarray(channel), pixels[0], (pixels[0] / 255).bfloat16()):
        np.testing.assert_allclose(square_image(kind, 4).image, grey, atol=4e-3)
    assert torch.equal(grey[0], grey[2])


def test_other_sizes_are_cropped_to_the_centre_and_resized():
    image = torch.rand(3, 100, 300)
    square, note = square_image(image, 16)
    assert square.shape == (3, 96, 96)
    assert note == "The image of 300 x 100 pixels was cropped to its centre and resized to 96 x 96."
    expected = F.resize(image[:, :, 100:200], [96, 96], antialias=True)
    torch.testing.assert_close(square, expected, atol=1e-5, rtol=0)
    assert square_image(image.mT, 16).image.shape == (3, 96, 96)
    assert square_image(torch.rand(3, 32, 40), 16).note == "The image of 40 x 32 pixels was cropped to its centre."
    assert square_image(torch.rand(3, 800, 800), 16).note == "The image of 800 x 800 pixels was resized to 224 x 224."
    assert square_image(torch.rand(3, 384, 384), 16).image.shape[-1] == 384
    assert square_image(torch.rand(1, 30, 30), 4).image.shape[-1] == 28
    assert cut_into_mega_patches(image, 16, 3).note == note


@given(height=st.integers(1, 900), width=st.integers(1, 900), patch=st.integers(1, 450))
def test_any_size_becomes_whole_patches_and_stays_so(height, width, patch):
    image = torch.zeros(1, height, width)
    if min(height, width) < patch:
        with pytest.raises(RelvitError, match=f"no room for a patch of {patch}: try {min(height, width)}"):
            square_image(image, patch)
        return
    square = square_image(image, patch).image
    side = square.shape[-1]
    assert square.shape == (3, side, side) and side % patch == 0 and 1 <= side // patch <= 32
    again = square_image(square, patch)
    assert torch.equal(again.image, square) and again.note == ""


def test_without_an_image_a_photograph():
    np.testing.assert_allclose(square_image().image.permute(1, 2, 0), photograph(224), atol=1e-6)
    assert square_image(patch=4).image.shape[-1] == 128 and square_image(patch=300).image.shape[-1] == 300


def test_a_phone_photograph_is_the_right_way_up(tmp_path):
    array = np.zeros((32, 32, 3), np.uint8)
    array[0] = 255  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by half a turn
    Image.fromarray(array[::-1, ::-1]).save(tmp_path / "turned.png", exif=exif)
    assert torch.equal(square_image(tmp_path / "turned.png", 4).image, torch.from_numpy(array / 255).permute(2, 0, 1))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.rand(2, 3, 32, 32), r"not \(2, 3, 32, 32\): take one image of the batch"),
        (torch.rand(5, 32, 32), "1, 3 or 4 channels"),
        (np.zeros((0, 32, 3)), "the shape"),
        (np.zeros(5), "the shape"),
        (np.full((32, 32, 3), 200.0), r"lies in \[0, 1\], not \[200.00, 200.00\]: divide by 255"),
        (torch.randn(3, 32, 32) * 3, "before it was normalised"),
        (np.full((32, 32), np.nan), r"lies in \[0, 1\]"),
        (np.zeros((32, 32), int), "uint8, or float in .*, not int64"),
        (np.zeros((32, 32), bool), "not bool"),
        ([[1.0, 0.5], [0.5]], "rows are all of one length"),
        (7, "a PIL image, a path, an array or a tensor, not int"),
        ("nowhere.png", "no image at 'nowhere.png'"),
        (__file__, "no image that can be read"),
    ],
)
def test_bad_images_are_told_what_is_wrong(image, message):
    with pytest.raises(RelvitError, match=message):
        explore_mega_patches(image, 4)


@pytest.mark.parametrize("patch", [0, -4, 2.5, True, None, "16"])
def test_bad_patches_are_told_what_is_wrong(patch):
    with pytest.raises(RelvitError, match=r"patch.* is a whole number"):
        explore_mega_patches(None, patch)


# -- the figure ----------------------------------------------------------------------------------------------------


def test_the_figure_draws_the_data(image):
    data = cut_into_mega_patches(image, 4, 3, cuts=[[2, 3], [1, 6]])
    figure = mega_patches_figure(data)
    left, right = figure.axes
    np.testing.assert_allclose(left.images[0].get_array(), data.image.transpose(1, 2, 0))
    assert len(right.images) == 9
    for drawn, cell in zip(right.images, data.cells):
        np.testing.assert_allclose(drawn.get_array(), cell.transpose(1, 2, 0))
    at = [line.get_segments()[k] for line in left.collections for k in range(len(line.get_segments()))]
    rows = {y0 + 0.5 for (_, y0), (_, y1) in at if y0 == y1} & {2.0, 3.0}
    assert rows == {2.0, 3.0}
    frames = [patch.get_bbox().bounds for patch in left.patches if isinstance(patch, Rectangle)]
    assert set(frames) == {(0.5, 2.5, 5.0, 5.0)}  # the largest: rows 3 to 7, columns 1 to 5
    assert "5 x 5 = 25 patches" in figure.get_supxlabel() and "the mean is 7.1" in figure.get_supxlabel()
    assert "8 x 8 = 64 patches" in left.get_title() and "M = 3: 9 mega-patches" in right.get_title()
    for words in ("rows 2, 3 and columns 1, 6", "3 x 3 rectangles", "4 x 4 pixels"):
        assert words in figure.alt
    assert figure.png()[:4] == b"\x89PNG"


def test_the_figure_takes_an_image_and_says_what_is_on(image):
    figure = mega_patches_figure(image, 4, 2, 1, crop=True, grey=True, shared_cuts=True)
    assert "Patch augmentation: crop, grey; the same cuts both ways" in figure.get_supxlabel()
    assert "1 mega-patch of" in mega_patches_figure(image, 4, 1).axes[1].get_title()
    np.testing.assert_array_equal(
        mega_patches_figure(image, 4, 2, 1).axes[1].images[3].get_array(),
        cut_into_mega_patches(image, 4, 2, 1).cells[3].transpose(1, 2, 0),
    )


# -- the kernel's side of the explorer -----------------------------------------------------------------------------


def ask(explorer, **changes):
    """What the page does."""
    explorer.asked = {**explorer.asked, **changes, "number": explorer.asked["number"] + 1}
    assert explorer.shown["number"] == explorer.asked["number"]
    return explorer.shown


def pixels(shown, patch):
    side = shown["m"] * patch
    return np.frombuffer(shown["cells"], np.uint8).reshape(side, side, 4)


def test_an_answer_holds_the_cells(image):
    explorer = explore_mega_patches(image, patch=4, m=3, seed=5)
    data = cut_into_mega_patches(image, 4, 3, 5)
    assert explorer.about["side"] == 8 and explorer.about["patch"] == 4 and explorer.about["picture"][:4] == b"\x89PNG"
    shown = explorer.shown
    assert shown["cuts"] == data.cuts.tolist() and shown["changes"] == [""] * 9 and shown["error"] == ""
    rgba = pixels(shown, 4)
    assert (rgba[..., 3] == 255).all()
    for cell, (y, x) in enumerate(itertools.product(range(3), range(3))):
        drawn = rgba[4 * y : 4 * y + 4, 4 * x : 4 * x + 4, :3].transpose(2, 0, 1)
        np.testing.assert_allclose(drawn / 255, data.cells[cell], atol=0.51 / 255)


def test_what_is_asked_is_answered_and_kept_as_data(image):
    explorer = explore_mega_patches(image, patch=4)
    for changes in (
        {"m": 7}, {"m": 8}, {"m": 1}, {"m": 3, "cuts": [[1, 2], [6, 7]]}, {"crop": True}, {"jitter": True},
        {"grey": True}, {"cuts": None}, {"seed": 4}, {"shared": True}, {"crop": False}, {"seed": -1, "m": 5},
    ):  # fmt: skip
        shown = ask(explorer, **changes)
        now = explorer.asked
        data = cut_into_mega_patches(
            image, 4, now["m"], now["seed"], cuts=now["cuts"], shared_cuts=now["shared"], crop=now["crop"],
            jitter=now["jitter"], grey=now["grey"],
        )  # fmt: skip
        assert (shown["m"], shown["cuts"], tuple(shown["changes"])) == (now["m"], data.cuts.tolist(), data.changes)
        assert np.array_equal(explorer.data.cells, data.cells) and np.array_equal(explorer.data.image, data.image)
    assert mega_patches_figure(explorer.data).axes[1].get_title().startswith("M = 5")


def test_impossible_questions_keep_what_is_shown(image):
    explorer = explore_mega_patches(image, patch=4, m=3)
    before = explorer.shown["cells"]
    assert "cuts" in ask(explorer, cuts=[[5, 2], [1, 2]])["error"]
    assert explorer.shown["cells"] == before
    assert ask(explorer, cuts=None)["error"] == "" and explorer.shown["cells"] == before


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(-3, 12)), max_size=20))
def test_cuts_are_valid_after_any_drag(moves):
    """A drag holds a line between its neighbours, as explorer.js does (the page itself: tests/browser)."""
    explorer = explore_mega_patches(torch.zeros(1, 16, 16), patch=2, m=5)
    for axis, index, to in moves:
        cuts = [list(axis_cuts) for axis_cuts in explorer.shown["cuts"]]
        around = [0, *cuts[axis], 8]
        cuts[axis][index] = max(around[index] + 1, min(around[index + 2] - 1, to))
        shown = ask(explorer, cuts=cuts)
        assert shown["error"] == "" and shown["cuts"] == cuts
        assert explorer.data.areas().min() >= 1 and explorer.data.areas().sum() == 64


def test_the_note_stays_with_the_explorer():
    explorer = explore_mega_patches(torch.rand(3, 100, 120), m=2)
    assert "cropped" in explorer.about["note"] and explorer.data.note == explorer.about["note"]
    ask(explorer, m=3)
    assert explorer.data.note == explorer.about["note"]


def test_without_a_browser_it_says_what_it_shows():
    explorer = explore_mega_patches(m=6, seed=2)
    bundle = explorer._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "14 x 14 patches of 16 pixels, cut into 6 x 6 mega-patches (seed 2)" in data["text/plain"]
    assert "mega_patches_figure" in data["text/html"]
