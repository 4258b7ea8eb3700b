"""The relations explorer without a browser: its data against slow oracles, images of one's own, its static figure."""

import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

import relvit_lab
from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.patch_relations.explorer import RelationsExplorer, explore_relations
from relvit_lab.lessons.patch_relations.explorer_data import relations_data
from relvit_lab.lessons.patch_relations.explorer_figure import draw_relations, relations_figure
from relvit_lab.method.relations import RELATION_NAMES
from relvit_lab.method.tasks import BUILT_IN, RELVIT, TASKS
from relvit_lab.show.model_input import SHUFFLES
from relvit_lab.show.photographs import photograph
from relvit_lab.show.relations import RELATION_COLOURS
from relvit_lab.show.task_panels import LOUD
from relvit_lab.show.task_views import WORDS, furthest, widest
from relvit_lab.train.events import StageFinished

PAPER = tuple(task.name for task in RELVIT)
TOLERANCE = 0.25  # of distances and angles


@pytest.fixture(autouse=True, scope="module")
def built_in_tasks_alone():
    """Whatever other tests have registered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TASKS, "_entries", {task.name: task for task in BUILT_IN})
        yield


@pytest.fixture(scope="module")
def digits():
    return relvit_lab.load("digits_tasks")


@pytest.fixture(scope="module")
def with_model(digits):
    return relations_data(model=digits)


def numbered(side: int, patch: int) -> np.ndarray:
    """An image whose patch i has the grey value i everywhere: (S, S, 3) uint8."""
    values = np.arange(side * side, dtype=np.uint8).reshape(side, side)
    return np.repeat(values.repeat(patch, 0).repeat(patch, 1)[..., None], 3, axis=2)


# -- data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [0, 1, SHUFFLES])
@pytest.mark.parametrize("side", [2, 3, 7, 16])
def test_targets_of_a_shuffled_image_say_where_its_patches_came_from(side, shuffle):
    data = relations_data(numbered(side, 4), patch=4)
    assert data.side == side and data.note == ""
    holds = data.shuffled_picture(shuffle)[::4, ::4, 0].reshape(-1).tolist()  # which patch lies at each place
    assert sorted(holds) == list(range(side * side)) and (holds == sorted(holds)) == (shuffle == 0)
    sprel, dist, ang = (data.target(name, shuffle) for name in ("sprel", "dist", "ang"))
    shape = (side * side, side * side)
    relation, length, degrees = np.empty(shape, int), np.empty(shape), np.empty(shape)
    for i, a in enumerate(holds):
        for j, b in enumerate(holds):
            dy, dx = a // side - b // side, a % side - b % side
            relation[i, j] = 3 * ((dy > 0) - (dy < 0) + 1) + (dx > 0) - (dx < 0) + 1
            length[i, j] = math.hypot(dy, dx)
            (ya, xa), (yb, xb) = ((k // side + side / 2, k % side + side / 2) for k in (a, b))
            degrees[i, j] = math.degrees(abs(math.atan2(ya, xa) - math.atan2(yb, xb)))
    far, wide = furthest(side), widest(side)
    assert np.array_equal(sprel, relation)
    assert np.abs((dist + 1) / 2 * far - length).max() < 1e-5
    assert np.abs((ang + 1) / 2 * wide - degrees).max() < 0.9  # eq. 7's epsilon
    assert data.target("abspos", shuffle).tolist() == holds
    assert (far, wide) == (pytest.approx(length.max()), pytest.approx(degrees.max()))


def test_shuffles_are_those_of_torchs_seeds():
    data = relations_data(numbered(3, 2), patch=2)
    drawn = torch.rand(1, 9, generator=torch.Generator().manual_seed(4)).argsort(dim=1)[0]
    assert data.permutations[4].tolist() == drawn.tolist()
    assert data.permutations.shape == (1 + SHUFFLES, 9) and data.permutations[0].tolist() == list(range(9))


def test_words_agree_with_the_names_of_the_classes():
    for word, name in zip(WORDS, RELATION_NAMES):
        expected = {"L": "LEFT", "R": "RIGHT"}.get(name[0], ""), {"T": "TOP", "B": "BOTTOM"}.get(name[1], "")
        said = word.removesuffix(" of").replace("ABOVE", "TOP").replace("BELOW", "BOTTOM").replace("ON", "")
        assert said == " ".join(filter(None, expected))


def test_a_model_is_asked_about_each_shuffled_image(digits, with_model):
    data, image = with_model, relvit_lab.data.load("digits").test.images[0]
    assert data.side == 4 and data.picture.shape == (8, 8, 3) and "digits" in data.note
    assert np.array_equal(data.picture[..., 0], image[0].numpy())
    assert set(data.predictions) == set(data.tasks) == set(PAPER)
    for shuffle in (0, 3):
        shuffled = torch.from_numpy(data.shuffled_picture(shuffle))  # (8,8,3)
        with torch.no_grad():
            tokens = digits.model(digits.transform(shuffled)).tokens
            scores = {name: digits.model.heads[name](tokens)[0] for name in PAPER}  # (9,N,N), (1,N,N) or (N,N)
        assert np.array_equal(data.predictions["sprel"][shuffle], scores["sprel"].argmax(0))
        assert np.array_equal(data.predictions["abspos"][shuffle], scores["abspos"].argmax(1))
        assert np.allclose(data.predictions["dist"][shuffle], scores["dist"][0], atol=1e-4)
        assert np.allclose(data.predictions["ang"][shuffle], scores["ang"][0], atol=1e-4)


def test_without_positional_embeddings_the_answers_move_with_the_patches(with_model):
    for name in PAPER:
        p = with_model.permutations[2]
        first, moved = with_model.predictions[name][0], with_model.predictions[name][2]
        assert np.allclose(first[p] if first.ndim == 1 else first[p][:, p], moved, atol=1e-3)


def test_mistakes_and_the_share_that_is_right(with_model):
    data = with_model
    for name in PAPER:
        target, said = data.target(name, 1), data.predictions[name][1]
        wrong = [
            said[at] != target[at] if name in ("sprel", "abspos") else abs(said[at] - target[at]) > TOLERANCE
            for at in np.ndindex(*target.shape)
        ]
        assert data.mistakes(name, 1).ravel().tolist() == wrong
        assert f"{100 - 100 * sum(wrong) / len(wrong):.1f} % of all" in data.verdict(name, 1)
    error = np.mean([(a - b) ** 2 for a, b in zip(data.predictions["dist"][0].flat, data.target("dist").flat)])
    assert data.verdict("dist").startswith(f"MSE x 100: {100 * error:.1f};")


def test_a_model_with_two_heads_has_two_predictions(digits, monkeypatch):
    monkeypatch.setattr(
        digits.model, "heads", torch.nn.ModuleDict({k: digits.model.heads[k] for k in ("ang", "sprel")})
    )
    data = relations_data(model=digits)
    assert list(data.predictions) == ["sprel", "ang"]
    assert relations_figure(model=digits).alt.count("% of all") == 2
    assert explore_relations(model=digits).data["tasks"]["dist"]["said"] is None
    heads = {name: digits.model.heads[name] for name in ("ang", "sprel")}
    monkeypatch.setitem(digits.model._modules, "heads", torch.nn.ModuleDict(heads))
    data = relations_data(model=digits)
    assert list(data.predictions) == ["sprel", "ang"]
    assert relations_figure(model=digits).alt.count("% of all") == 2
    assert explore_relations(model=digits).data["tasks"]["dist"]["said"] is None
    monkeypatch.setitem(digits.model._modules, "heads", torch.nn.ModuleDict())
    with pytest.raises(RelvitError, match="has no head for SpRel, Dist, Ang, AbsPos"):
        relations_data(model=digits)


# -- images of one's own -------------------------------------------------------------------------------------------


def own_images(path) -> dict:
    picture = (photograph(48) * 255).round().astype(np.uint8)  # (48,48,3)
    Image.fromarray(picture).save(path)
    return {
        "PIL": Image.fromarray(picture),
        "uint8 (H,W,C)": picture,
        "float (H,W,C)": picture / 255,
        "tensor (C,H,W)": torch.from_numpy(picture).permute(2, 0, 1),
        "path": path,
        "text": str(path),
    }


def test_every_form_of_an_image_gives_the_same(tmp_path):
    pictures = [relations_data(image, patch=8).picture for image in own_images(tmp_path / "own.png").values()]
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures) and pictures[0].shape == (48, 48, 3)


def test_a_grey_image_becomes_three_equal_channels():
    picture = relations_data(numbered(4, 3)[..., 0], patch=3).picture
    assert np.array_equal(picture, numbered(4, 3))


def test_an_image_that_is_not_square_is_cropped_to_its_centre_with_a_note():
    wide = np.zeros((32, 96, 3), dtype=np.uint8)
    wide[:, 32:64] = 255
    data = relations_data(wide, patch=8)
    assert data.picture.shape == (32, 32, 3) and data.picture.min() == 255
    assert "cropped to its centre" in data.note and "96 x 32" in data.note
    assert explore_relations(wide, 8).data["note"] == data.note


def test_the_image_that_a_model_sees_has_the_models_size(digits):
    wide = (np.random.default_rng(0).random((40, 60)) * 255).astype(np.uint8)
    data = relations_data(wide, model=digits)
    assert data.picture.shape == (8, 8, 3) and "the model's 8 x 8" in data.note and "cropped" in data.note
    assert np.abs(data.picture[..., 0].mean() - wide[:, 10:50].mean()) < 5
    assert relations_data(wide, patch=2, model=digits).side == 4


def test_a_model_of_mega_patches_shows_the_cells_that_it_sees(monkeypatch, tmp_path):
    monkeypatch.setenv("RELVIT_HOME", str(tmp_path))
    experiment = relvit_lab.Experiment(
        dataset="digits", preset="smoke", mega_patches=3, stop_after="pretrain", epochs=1
    )
    (finished,) = [event for event in relvit_lab.run(experiment) if isinstance(event, StageFinished)]
    data = relations_data(photograph(100), model=finished.folder)
    assert data.side == 3 and data.picture.shape == (6, 6, 3) and data.predictions["sprel"].shape == (10, 9, 9)
    assert data.note == "The image of 100 x 100 pixels was resized to the model's 8 x 8, cut into 3 x 3 mega-patches."


@pytest.mark.parametrize(
    ("side", "patch"), [(224, 32), (300, 32), (64, 8), (32, 4), (8, 2), (17, 2)], ids=lambda value: str(value)
)
def test_the_usual_patch_follows_the_size(side, patch):
    data = relations_data(np.zeros((side, side), dtype=np.uint8))
    assert data.picture.shape[0] == data.side * patch


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"patch": 4}, r"not 32 x 32: try a patch of 8 to 64 pixels"),
        ({"patch": 224}, r"2 x 2 to 16 x 16 patches, not 1 x 1"),
        ({"patch": 0}, "whole number from 1 up"),
        ({"patch": 2.5}, "whole number from 1 up"),
        ({"tasks": []}, "no task to show"),
        ({"image": "nowhere.png"}, "no image at 'nowhere.png'"),
        ({"image": 7}, "not int"),
        ({"image": np.zeros((2, 8, 8, 3))}, "one image of the batch"),
        ({"image": np.full((8, 8), 300.0)}, r"lies in \[0, 1\]"),
        ({"image": np.zeros((8, 8), dtype=np.int64)}, "not int64"),
        ({"model": 3}, "not int"),
        ({"model": "no-such-run"}, "no run 'no-such-run'"),
        ({"model": SimpleNamespace(model=None)}, "relvit_lab.load"),
    ],
)
def test_bad_input_is_named(arguments, said):
    with pytest.raises(RelvitError, match=said):
        relations_data(**arguments)


def test_a_patch_that_is_not_the_models_is_named(digits):
    with pytest.raises(RelvitError, match="patches of 2 pixels, not 4: leave patch out"):
        relations_data(patch=4, model=digits)


# -- the widget's Python face --------------------------------------------------------------------------------------


def test_the_browser_gets_all_data_at_once(with_model):
    sent = RelationsExplorer(with_model).data
    n = with_model.side**2
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(sent["png"]))), with_model.picture)
    assert np.array_equal(np.frombuffer(sent["permutations"], np.uint8).reshape(-1, n), with_model.permutations)
    for name, kind in {"sprel": np.uint8, "dist": np.float32, "ang": np.float32, "abspos": np.uint8}.items():
        task = sent["tasks"][name]
        assert np.array_equal(np.frombuffer(task["target"], kind), with_model.tasks[name].target.ravel())
        assert np.array_equal(np.frombuffer(task["said"], kind), with_model.predictions[name].ravel())
        assert task["verdicts"] == [with_model.verdict(name, s) for s in range(SHUFFLES + 1)]
    sprel = sent["tasks"]["sprel"]
    assert sprel["colours"] == list(RELATION_COLOURS) and sprel["names"] == list(RELATION_NAMES)
    assert sprel["words"] == list(WORDS) and [task["title"] for task in sent["tasks"].values()][1:] == [
        "Dist",
        "Ang",
        "AbsPos",
    ]
    assert len(sent["heat"]) == 3 * 256


def test_256_patches_fit_into_bytes():
    data = relations_data(patch=14)
    sent = RelationsExplorer(data).data
    assert data.side == 16 and max(sent["permutations"]) == max(sent["tasks"]["abspos"]["target"]) == 255


def test_what_is_shown_first_can_be_chosen_and_changed():
    explorer = explore_relations(numbered(3, 2), 2, task="dist", anchor=8, shuffle=2)
    assert (explorer.task, explorer.anchor, explorer.shuffle) == ("dist", 8, 2)
    for name, value, said in (
        ("task", "distance", "did you mean 'dist'"),
        ("anchor", 9, "from 0 to 8"),
        ("shuffle", SHUFFLES + 1, f"from 0 to {SHUFFLES}"),
    ):
        with pytest.raises(RelvitError, match=said):
            setattr(explorer, name, value)
    with pytest.raises(RelvitError, match="from 0 to 48"):
        explore_relations(anchor=49)
    assert "relations_figure" in explorer._repr_mimebundle_()[0]["text/plain"]
    assert explore_relations(anchor=np.int64(3), shuffle=torch.tensor(2)).anchor == 3


@pytest.mark.parametrize("show", [explore_relations, relations_figure])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"anchor": 1.5}, "anchor is a whole number, not 1.5"),
        ({"shuffle": -1}, "shuffle is a whole number from 0 to 9, not -1"),
        ({"shuffle": 12}, "shuffle is a whole number from 0 to 9, not 12"),
        ({"shuffle": "2"}, "shuffle is a whole number.*, not '2'"),
        ({"tasks": []}, "no task to show"),
    ],
)
def test_odd_values_are_named_by_the_explorer_and_by_its_figure(show, arguments, said):
    with pytest.raises(RelvitError, match=said):
        show(**arguments)


# -- the static figure ---------------------------------------------------------------------------------------------


def panel(figure, title: str):
    return next(ax for ax in figure.axes if ax.get_title() == title)


def shown(ax) -> np.ndarray:
    return np.asarray(ax.images[0].get_array(), dtype=float)


def test_the_figure_draws_the_explorers_data():
    explorer = explore_relations(numbered(4, 4), 4, shuffle=3, anchor=6)
    figure = draw_relations(explorer.shown, 6, 3)
    target, colours = explorer.shown.target("sprel", 3), np.array([to_rgb(c) for c in RELATION_COLOURS])
    assert np.allclose(shown(panel(figure, "shuffle 3")), explorer.shown.shuffled_picture(3) / 255)
    assert np.allclose(shown(panel(figure, "SpRel: seen from 6")), colours[target[:, 6].reshape(4, 4)])
    assert np.allclose(shown(panel(figure, "SpRel: targets")), colours[target])
    assert np.allclose(shown(panel(figure, "Dist: seen from 6")), explorer.shown.target("dist", 3)[:, 6].reshape(4, 4))
    numbers = [text.get_text() for text in panel(figure, "AbsPos: each patch's place").texts]
    assert numbers == [str(k) for k in explorer.shown.permutations[3]]
    assert "shuffled with seed 3" in figure.alt and "place 6" in figure.alt
    assert relations_figure(numbered(4, 4), 4, 6, shuffle=3).alt == figure.alt


def test_the_figure_marks_a_models_mistakes(with_model):
    figure = draw_relations(with_model)
    wrong, said = with_model.mistakes("sprel"), with_model.predictions["sprel"][0]
    full = np.array([to_rgb(c) for c in RELATION_COLOURS])[said]
    drawn = shown(panel(figure, with_model.verdict("sprel")))
    assert np.allclose(drawn[~wrong], full[~wrong]) and np.allclose(drawn[wrong], 1 - (1 - full[wrong]) * LOUD)
    assert with_model.verdict("ang") in figure.alt
    assert "digits" in [text.get_text() for text in figure.texts][-1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("patch", [112, 32, 14], ids=["N=4", "N=49", "N=256"])
def test_figures_of_every_size_are_drawn_without_a_warning(patch):
    assert relations_figure(patch=patch).png().startswith(b"\x89PNG")


def test_an_anchor_outside_the_grid_is_named():
    with pytest.raises(RelvitError, match="anchor 49"):
        relations_figure(anchor=49)
