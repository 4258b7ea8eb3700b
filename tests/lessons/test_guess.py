"""The game: its pairs and their truth, the model's answers on the same pairs, the score, and what cannot be played."""

import io

import numpy as np
import pytest
import torch

import relvit_lab
from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.patch_relations.guess import (
    LEVELS,
    WORDS,
    candidates,
    guess_data,
    guess_figure,
    guess_relation,
    score,
)
from relvit_lab.method.relations import spatial_relations
from relvit_lab.show.photographs import photograph


@pytest.fixture(scope="module")
def trained():
    return relvit_lab.load("digits_tasks")


def relation(i, j, side):
    """The slow way."""
    (y_i, x_i), (y_j, x_j) = divmod(i, side), divmod(j, side)
    return int(3 * (np.sign(y_i - y_j) + 1) + np.sign(x_i - x_j) + 1)


def decoded(png):
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("side", [2, 5, 8])
def test_pairs_are_of_two_patches_without_repetition_and_with_their_truth(side):
    data = guess_data(rounds=6, side=side)
    for level, pairs in data.pairs.items():
        assert len({(i, j) for i, j, *_ in pairs}) == 6
        for i, j, truth, says in pairs:
            assert i != j and truth == relation(i, j, side) and says == -1
            near = abs(i // side - j // side) <= 1 and abs(i % side - j % side) <= 1
            assert level == "any" or near
    assert sorted(data.bag) == list(range(side * side))
    assert data.picture.dtype == np.uint8 and data.picture.shape[0] % side == 0 and data.coarse is None


def test_all_pairs_that_may_come():
    assert len(candidates(8, "any")) == 64 * 63
    assert len(candidates(8, "near")) == 4 * 7 * 8 + 4 * 7 * 7  # straight and diagonal, both ways round
    every = {truth for _, _, truth, _ in guess_data(rounds=200).pairs["any"]}
    assert every == {0, 1, 2, 3, 5, 6, 7, 8}


def test_a_seed_gives_the_same_game_and_another_seed_another():
    assert guess_data().pairs == guess_data().pairs != guess_data(seed=1).pairs
    assert guess_data().bag == guess_data().bag != guess_data(seed=1).bag


def test_the_model_answers_the_same_pairs_of_the_image_that_is_shown(trained):
    data = guess_data(photograph(64), trained, rounds=10)
    assert data.side == 4 and data.picture.shape == (64, 64, 3) and data.coarse.shape == (8, 8, 3)
    seen = trained.transform(torch.from_numpy(data.picture))
    with torch.no_grad():
        said = trained.model.predictions(seen, "sprel")[0]
    assert all(says == said[i, j] for pairs in data.pairs.values() for i, j, _, says in pairs)
    # what is shown as the model's is what it sees: the picture, shrunk
    shrunk = data.picture.reshape(8, 8, 8, 8, 3).mean((1, 3))
    assert np.abs(shrunk - data.coarse).mean() < 12
    assert guess_data(photograph(64), "digits_tasks", rounds=10).pairs == data.pairs


def test_the_browser_gets_what_python_has(trained):
    game = guess_relation(photograph(64), trained, rounds=3, level="near")
    assert np.array_equal(decoded(game.png), game.shown.picture)
    assert np.array_equal(decoded(game.coarse_png), game.shown.coarse)
    assert game.side == 4 and game.pairs == game.shown.pairs and game.bag == game.shown.bag and game.level == "near"
    assert len(game.words) == len(game.names) == 9 and game.words[3] == "left of" == WORDS[3]
    bundle = game._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "live notebook: 3 pairs" in data["text/plain"]
    assert guess_relation(photograph(64), rounds=1).coarse_png == b""


def answers(pairs, level, said):
    return [{"level": level, "i": i, "j": j, "truth": t, "said": s} for (i, j, t, _), s in zip(pairs, said)]


def test_the_score_counts_you_and_the_model_on_the_same_pairs(trained):
    game = guess_relation(photograph(64), trained, rounds=8)
    pairs = game.pairs["any"]
    truth = [pair[2] for pair in pairs]
    game.answers = answers(pairs, "any", [*truth[:2], *((t + 1) % 9 for t in truth[2:5])])
    now = game.score()
    assert now.played == {"any": 5, "near": 0} and now.right == {"any": 2, "near": 0}
    assert now.on == {"any": 5, "near": 8}
    assert now.model["any"] == sum(pair[2] == pair[3] for pair in pairs[:5])
    assert now.model["near"] == sum(pair[2] == pair[3] for pair in game.pairs["near"])
    assert "2 of 5 (40 %)" in repr(now) and "not played yet" in repr(now) and "<table>" in now._repr_html_()
    lines = repr(now).splitlines()
    assert len(lines) == 7 and lines[0].split() == ["who", "any", "two", "patches", "neighbours"]


def test_chance_is_counted_from_all_pairs(trained):
    data = guess_data(photograph(64), trained, rounds=1)
    now = score(data, [])
    target = spatial_relations(4)
    off = ~torch.eye(16, dtype=torch.bool)
    assert now.fixed["any"] == pytest.approx(36 / 240) == target[off].bincount().max() / 240
    assert now.fixed["near"] == pytest.approx(12 / 84)
    right = torch.from_numpy(data.said)[off] == target[off]
    assert now.everywhere["any"] == pytest.approx(right.float().mean().item())
    assert now.chance == 1 / 8
    without = score(guess_data(rounds=1), [])
    assert without.model == {"any": None, "near": None} and "model" not in repr(without)
    assert without.fixed["any"] == pytest.approx(784 / 4032)


def test_the_figure_draws_such_pairs(trained):
    figure = guess_figure(photograph(64), trained, rounds=5, level="near")
    data = guess_data(photograph(64), trained, rounds=5, seed=1)
    assert len(figure.axes) == 5
    right = sum(truth == says for _, _, truth, says in data.pairs["near"])
    assert f"right on {right} of 5" in figure.get_suptitle()
    assert guess_figure().png().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"level": "far"}, "level is any or near"),
        ({"rounds": 0}, "rounds is from 1 to 4032"),
        ({"side": 2, "rounds": 13}, "rounds is from 1 to 12"),
        ({"side": 1}, "from 2 to 16"),
        ({"side": True}, "from 2 to 16"),
        ({"side": 4.0}, "from 2 to 16, not 4.0"),
        ({"rounds": 2.5}, "rounds is a whole number, not 2.5"),
        ({"rounds": "5"}, "rounds is a whole number, not '5'"),
        ({"image": np.zeros((3, 3), np.uint8)}, "no room"),
        ({"model": 5}, "relvit_lab.load"),
        ({"model": "nothing_such"}, "no run 'nothing_such'"),
    ],
)
def test_what_cannot_be_played_is_said(arguments, says):
    with pytest.raises(RelvitError, match=says):
        guess_relation(**arguments)
    if "level" in arguments:
        with pytest.raises(RelvitError, match=says):
            guess_figure(**arguments)


def test_numpys_numbers_are_whole_numbers():
    assert guess_data(side=np.int64(4), rounds=np.int32(3)).pairs == guess_data(side=4, rounds=3).pairs


def test_levels_have_words():
    assert list(LEVELS) == ["any", "near"]
