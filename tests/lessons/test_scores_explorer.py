"""The attention-score explorer without a browser: its data against slow oracles, what it sends, its static figures."""

import base64
import dataclasses
import io
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

import relvit_lab
from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.attention_scores import explorer as scores_explorer
from relvit_lab.lessons.attention_scores.explorer import CARRIED, explore_scores
from relvit_lab.lessons.attention_scores.explorer_data import scores_data, with_image
from relvit_lab.lessons.attention_scores.explorer_figure import draw_attention, draw_scores, draw_two_orders, seen_from
from relvit_lab.method.attention import attention_maps
from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.heads import PairScores, TokenScores
from relvit_lab.method.model import RelViT
from relvit_lab.method.tasks import RELVIT, Task
from relvit_lab.show import model_input
from relvit_lab.show.model_input import SHUFFLES
from relvit_lab.train.events import StageFinished
from relvit_lab.train.trained import Trained, untrained

PAIRS, PLACES = ("sprel", "dist", "ang"), ("abspos",)


@pytest.fixture(scope="module")
def digits() -> Trained:
    return relvit_lab.load("digits_tasks")


@pytest.fixture(scope="module")
def both(digits):
    return scores_data(model=digits, other="untrained")


def with_model(digits: Trained, tasks, pos_embed=False) -> Trained:
    """Other heads on another small backbone, for the images of the digits."""
    torch.manual_seed(0)
    backbone = create_backbone("vit_nano", image_size=8, patch=2, pos_embed=pos_embed)
    if pos_embed:
        torch.nn.init.normal_(backbone.pos_embed, std=0.5)
    return dataclasses.replace(digits, model=RelViT(backbone, tasks).eval())


MANHATTAN = Task(
    "manhattan", lambda dim, grid: PairScores(dim, 2 * grid - 1),
    target=lambda side: torch.tensor(
        [[abs(i // side - j // side) + abs(i % side - j % side) for j in range(side**2)] for i in range(side**2)]
    ),
)  # fmt: skip
QUADRANT = Task(
    "quadrant", lambda dim, grid: TokenScores(dim, 4),
    target=lambda side: torch.tensor(
        [2 * (i // side >= side // 2) + (i % side >= side // 2) for i in range(side**2)]
    ).long(),
)  # fmt: skip
VECTOR = Task("vector", lambda dim, grid: PairScores(dim, 2), target=lambda side: torch.zeros(side**2, side**2, 2))


# -- data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [0, 4])
def test_scores_and_attention_are_the_models_own(digits, shuffle):
    data, image = scores_data(model=digits), relvit_lab.data.load("digits").test.images[0]
    holds = data.permutations[shuffle]
    patches = [image[:, 2 * (k // 4) : 2 * (k // 4) + 2, 2 * (k % 4) : 2 * (k % 4) + 2] for k in holds]
    moved = torch.cat([torch.cat(patches[4 * y : 4 * y + 4], 2) for y in range(4)], 1)  # (1,8,8)
    assert np.array_equal(data.shuffled_picture(shuffle)[..., 0], moved[0].numpy())
    x = digits.transform(moved)
    with torch.no_grad():
        tokens = digits.model(x).tokens[0]  # (16,96)
    answers = data.answers(shuffle)
    for name in PAIRS:
        w = digits.model.heads[name].w.weight.detach().unflatten(0, (-1, 96))  # (K,D,D), each W^T
        for k, i, j in ((0, 0, 0), (len(w) - 1, 3, 12), (0, 15, 7)):
            by_hand = float(tokens[i] @ w[k].T @ tokens[j]) / math.sqrt(96)
            assert answers.scores[name][k, i, j] == pytest.approx(by_hand, abs=2e-3)
    fc = digits.model.heads["abspos"].fc
    assert answers.scores["abspos"].shape == (16, 16)  # (K,N)
    assert np.allclose(answers.scores["abspos"].T, fc(tokens).detach(), atol=1e-3)
    for name in ("sprel", "abspos"):
        assert np.array_equal(answers.said[name], answers.scores[name].argmax(0))
    assert np.array_equal(answers.said["dist"], answers.scores["dist"][0])
    maps = attention_maps(digits.model.backbone, x)
    assert answers.attention.shape == (4, 3, 17, 17) and data.prefix() == 1
    assert all(np.allclose(answers.attention[b], maps[b][0], atol=1e-5) for b in range(4))


def test_targets_mistakes_and_verdicts_against_loops(both):
    p = both.permutations[2]
    for m in (0, 1):
        for name in (*PAIRS, *PLACES):
            plain, target, said = both.tasks[name].target, both.target(name, 2), both.answers(2, m).said[name]
            wrong = []
            for at in np.ndindex(*target.shape):
                assert target[at] == plain[tuple(p[k] for k in at)]
                far = abs(float(said[at]) - float(target[at]))
                wrong.append(far > 0.25 if name in ("dist", "ang") else far > 0)
            assert both.mistakes(name, 2, m).ravel().tolist() == wrong
            assert f"{100 - 100 * sum(wrong) / len(wrong):.1f} % of all" in both.verdict(name, 2, m)


def test_drift_tells_a_model_with_positional_embeddings_from_one_without(digits, both):
    embedded = scores_data(model=with_model(digits, RELVIT, pos_embed=True))
    for name in (*PAIRS, *PLACES):
        assert both.drift(name, 3) < 1e-3 < 0.05 < embedded.drift(name, 3)
    p, first, now = embedded.permutations[3], embedded.answers(0).scores["sprel"], embedded.answers(3).scores["sprel"]
    largest = max(
        abs(now[k, i, j] - first[k, p[i], p[j]]) for k in range(9) for i in range(16) for j in range(16)
    )  # fmt: skip
    assert embedded.drift("sprel", 3) == pytest.approx(float(largest))


def test_untrained_has_the_same_parts_and_fresh_weights(digits):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fresh, again, other = untrained(digits), untrained(digits), untrained(digits, seed=1)
    assert torch.equal(torch.rand(3), expected)  # the caller's draws are as they were
    weights = [one.model.state_dict() for one in (digits, fresh, again, other)]
    assert all({k: v.shape for k, v in w.items()} == {k: v.shape for k, v in weights[0].items()} for w in weights)
    key = "heads.sprel.w.weight"
    assert torch.equal(weights[1][key], weights[2][key]) and not fresh.model.training
    assert not torch.equal(weights[1][key], weights[0][key]) and not torch.equal(weights[1][key], weights[3][key])


def test_tasks_of_ones_own_are_shown_and_vectors_left_out(digits):
    own = with_model(digits, [MANHATTAN, QUADRANT, VECTOR])
    data = scores_data(model=own)
    assert list(data.tasks) == ["manhattan", "quadrant"] and "vector" in data.left_out
    answers = data.answers(1)
    assert answers.scores["manhattan"].shape == (7, 16, 16) and answers.scores["quadrant"].shape == (4, 16)
    assert data.tasks["manhattan"].of_pairs and not data.tasks["quadrant"].of_pairs
    sent = explore_scores(model=own, task="quadrant", score=3).data
    assert len(sent["tasks"]["manhattan"]["names"]) == 7 and "vector" in sent["note"]
    assert len(sent["tasks"]["quadrant"]["colours"]) == 4
    assert draw_scores(data, "quadrant", 5, score=3).alt.startswith("quadrant seen from token 5")


def test_a_head_with_more_outputs_than_the_target_has_classes(digits):
    wide = dataclasses.replace(QUADRANT, make_head=lambda dim, grid: TokenScores(dim, 6))
    data = scores_data(model=with_model(digits, [wide]))
    assert len(data.tasks["quadrant"].names) == 6
    assert len(explore_scores(model=with_model(digits, [wide])).data["tasks"]["quadrant"]["colours"]) == 6


def test_a_second_model_may_lack_a_head(digits):
    less = with_model(digits, RELVIT[:1])
    explorer = explore_scores(model=digits, other=less)
    first, second = explorer.data["shuffles"]["0"]
    assert list(first["tasks"]) == ["sprel", "dist", "ang", "abspos"] and list(second["tasks"]) == ["sprel"]
    assert "no head for Dist" in [
        text.get_text() for ax in draw_scores(explorer.shown, "dist").axes for text in ax.texts
    ]


def test_swin_has_scores_but_no_attention_maps(tmp_path, monkeypatch):
    monkeypatch.setenv("RELVIT_HOME", str(tmp_path))
    experiment = relvit_lab.Experiment(
        dataset="digits", preset="smoke", backbone="swin_t", scenario="downstream_only", tasks=["sprel"], epochs=1
    )
    (finished,) = [event for event in relvit_lab.run(experiment) if isinstance(event, StageFinished)]
    explorer = explore_scores(model=finished.folder)
    assert explorer.shown.answers().attention is None and "Swin" in explorer.shown.without_attention()
    assert "positional" not in explorer.shown.names[0]
    assert explorer.data["models"][0]["blocks"] == 0 and "share" not in explorer.data["shuffles"]["0"][0]
    with pytest.raises(RelvitError, match="no attention maps: Swin"):
        draw_attention(explorer.shown)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": 3}, "not int"),
        ({"model": "no-such-run"}, "no run 'no-such-run'"),
        ({"model": "digits_tasks", "other": "no-such-run"}, "no run 'no-such-run'"),
        ({"model": "digits_tasks", "other": "cifar10_tasks"}, "their sides are 4 and 8; take models of the same"),
        ({"image": "nowhere.png", "model": "digits_tasks"}, "no image at 'nowhere.png'"),
        ({"image": np.full((8, 8), 300.0), "model": "digits_tasks"}, r"lies in \[0, 1\]"),
    ],
)
def test_bad_input_is_named(arguments, said):
    with pytest.raises(RelvitError, match=said):
        scores_data(**arguments)


def test_a_model_without_heads_is_named(digits):
    with pytest.raises(RelvitError, match="no head whose scores can be shown: load a pre-training or a joint stage"):
        scores_data(model=with_model(digits, []))


# -- what is sent --------------------------------------------------------------------------------------------------


def unpacked(task: dict, shape: tuple) -> np.ndarray:
    return task["low"] + task["step"] * np.frombuffer(task["scores"], "<u2").reshape(shape)


def same_order(sent: list, data, shuffle: int) -> None:
    """What the page gets is what the data hold, to the precision that it is sent with."""
    for m, model in enumerate(sent):
        answers = data.answers(shuffle, m)
        for name, scores in answers.scores.items():
            task, width = model["tasks"][name], scores.max() - scores.min()
            assert np.abs(unpacked(task, scores.shape) - scores).max() <= width / 131070 * 1.01
            assert task["outputs"] == len(scores) and task["verdict"] == data.verdict(name, shuffle, m)
            assert task["drift"] == data.drift(name, shuffle, m)
            if data.tasks[name].is_class:
                assert np.array_equal(np.frombuffer(task["said"], np.uint8), answers.said[name].ravel())
            else:
                assert task["said"] is None
        share = np.frombuffer(model["share"], np.uint8).reshape(answers.attention.shape) / 255
        top = np.frombuffer(model["top"], "<f4").reshape(answers.attention.shape[:-1])
        assert np.abs(share * top[..., None] - answers.attention).max() <= top.max() / 509


def test_the_page_gets_one_order_whole_and_another_when_asked(both):
    explorer = scores_explorer.ScoresExplorer(both, task="sprel", token=6)
    sent = explorer.data
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(sent["png"]))), both.picture)
    assert np.array_equal(np.frombuffer(sent["permutations"], np.uint8).reshape(-1, 16), both.permutations)
    assert [one["name"] for one in sent["models"]] == list(both.names) and sent["models"][1]["prefix"] == 1
    assert (sent["models"][0]["blocks"], sent["models"][0]["heads"]) == (4, 3)
    for name, view in both.tasks.items():
        assert np.array_equal(np.frombuffer(sent["tasks"][name]["target"], "<f4"), view.target.ravel())
    assert list(sent["shuffles"]) == ["0"] and explorer.extra == {}
    same_order(sent["shuffles"]["0"], both, 0)
    explorer.shuffle = 5
    assert explorer.extra["shuffle"] == 5
    same_order(explorer.extra["models"], both, 5)


def test_a_page_without_a_kernel_takes_along_what_fits(both):
    explorer = scores_explorer.ScoresExplorer(both, task="sprel")
    explorer.carry()
    assert list(explorer.data["shuffles"]) == [str(s) for s in range(SHUFFLES + 1)]
    same_order(explorer.data["shuffles"]["9"], both, 9)
    explorer.shuffle = 9
    assert explorer.extra == {}  # it is there already
    large = explore_scores(other="untrained")
    large.carry()
    size = sum(
        len(value)
        for models in large.data["shuffles"].values()
        for model in models
        for part in (model, *model["tasks"].values())
        for value in part.values()
        if isinstance(value, bytes)
    )
    assert CARRIED / 2 < size <= CARRIED and 2 <= len(large.data["shuffles"]) < 10


def test_another_image_keeps_what_is_chosen(digits):
    explorer = explore_scores(model=digits, task="dist", token=3, shuffle=2)
    picture = (np.random.default_rng(0).random((40, 60)) * 255).astype(np.uint8)
    explorer.show(picture)
    expected = scores_data(picture, digits)
    assert "cropped to its centre, resized to the model's 8 x 8" in explorer.data["note"]
    assert np.array_equal(explorer.shown.picture, expected.picture)
    assert (explorer.task, explorer.token, explorer.shuffle) == ("dist", 3, 2)
    same_order(explorer.data["shuffles"]["0"], expected, 0)
    same_order(explorer.extra["models"], expected, 2)
    with pytest.raises(RelvitError, match="no image at"):
        explorer.show("nowhere.png")


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def test_an_upload_is_shown_and_a_bad_one_told(digits):
    explorer = explore_scores(model=digits)
    picture = (np.random.default_rng(1).random((8, 8, 3)) * 255).astype(np.uint8)
    explorer.upload = data_url(model_input.png(picture))
    assert np.abs(explorer.shown.picture.astype(int) - picture).max() <= 1 and explorer.upload == ""
    before = explorer.data
    explorer.upload = data_url(b"no picture")
    assert "no image that can be read" in explorer.trouble and " at 0x" not in explorer.trouble
    assert explorer.upload == "" and explorer.data is before
    explorer.upload = data_url(model_input.png(picture))
    assert explorer.trouble == ""


def test_what_is_shown_first_can_be_chosen_and_changed(both):
    explorer = explore_scores(model="digits_tasks", task="ang", token=15, score=2, block=4, head=3, softmax=False)
    assert (explorer.task, explorer.token, explorer.score, explorer.block, explorer.head) == ("ang", 15, 2, 4, 3)
    for name, value, said in (
        ("task", "angle", "did you mean 'ang'"),
        ("token", 16, "from 0 to 15"),
        ("score", 16, "from 0 to 15"),
        ("shuffle", SHUFFLES + 1, f"from 0 to {SHUFFLES}"),
        ("block", 0, "from 1 to 4"),
        ("block", 5, "from 1 to 4"),
        ("head", 4, "from 0 to 3"),
    ):
        with pytest.raises(RelvitError, match=said):
            setattr(explorer, name, value)
    assert explore_scores(model="digits_tasks", token=np.int64(3), back=np.True_).token == 3
    for arguments, said in (
        ({"layer": 2}, "no 'layer'"),
        ({"taks": "sprel"}, "did you mean 'task'"),
        ({"tokne": 3}, "did you mean 'token'"),
        ({"softmax": "yes"}, "softmax is True or False, not 'yes'"),
        ({"cls": 1}, "cls is True or False, not 1"),
        ({"head": 0.5}, "head is a whole number, not 0.5"),
        ({"token": "3"}, "token is a whole number, not '3'"),
        ({"task": 3}, "unknown task '3'"),
    ):
        with pytest.raises(RelvitError, match=said):
            explore_scores(model="digits_tasks", **arguments)
    text = scores_explorer.ScoresExplorer(both, task="dist")._repr_mimebundle_()[0]["text/plain"]
    assert "draw_scores" in text and all(both.verdict("dist", 0, m) in text for m in (0, 1))


# -- the static figures --------------------------------------------------------------------------------------------


def pictured(ax) -> np.ndarray:
    return np.asarray(ax.images[0].get_array(), dtype=float)


def panels(figure, title: str) -> list:
    return [ax for ax in figure.axes if ax.get_title() == title]


def test_the_figure_draws_the_explorers_data(both):
    figure = draw_scores(both, "sprel", token=6, score=3, shuffle=2)
    for m in (0, 1):
        scores = both.answers(2, m).scores["sprel"][:, :, 6]  # (K,N)
        shares = np.exp(scores) / np.exp(scores).sum(0)
        assert np.allclose(pictured(panels(figure, "score k = 3 LC")[m]), scores[3].reshape(4, 4))
        assert np.allclose(pictured(panels(figure, "softmax over K")[m]), shares[3].reshape(4, 4), atol=1e-5)
        right = int((~both.mistakes("sprel", 2, m)[:, 6]).sum())
        assert panels(figure, f"SpRel: {right} of 16 right")
        assert both.verdict("sprel", 2, m) in figure.alt
    assert "shuffled with seed 2" in figure.alt


def test_all_scores_of_a_token_are_a_map_over_the_places(both):
    figure = draw_scores(both, "abspos", token=9)
    scores = both.answers().scores["abspos"][:, 9]
    assert np.allclose(pictured(panels(figure, "all 16 scores of token 9")[0]), scores.reshape(4, 4))
    raw, shares, k = seen_from(both.answers().scores["abspos"], "places", 9, 0)
    assert k is None and np.array_equal(raw, scores) and shares.sum() == pytest.approx(1, abs=1e-5)
    assert len(panels(draw_scores(both, "dist", 9), "the score")) == 2


def test_the_attention_figure_has_the_mean_and_every_head_of_every_block(both):
    figure, maps = draw_attention(both, token=6, shuffle=1), both.answers(1).attention
    grid = [ax for ax in figure.axes if ax.images and ax.get_xlim() == (-0.5, 3.5)]
    assert len(grid) == 4 * 4
    for block in range(4):
        row = 100 * maps[block, :, 1 + 6, 1:]  # (heads,N): from token 6, CLS left out
        assert np.allclose(pictured(grid[4 * block]).ravel(), row.mean(0))
        assert np.allclose(pictured(grid[4 * block + 2]).ravel(), row[1])
    assert "untrained" in draw_attention(both, model=1)._suptitle.get_text()


@pytest.mark.filterwarnings("error")
def test_figures_are_drawn_without_a_warning(both):
    for figure in (draw_scores(both), draw_scores(both, "abspos"), draw_scores(both, "ang"), draw_attention(both)):
        assert figure.png().startswith(b"\x89PNG") and figure.alt


@pytest.mark.parametrize(
    ("draw", "arguments", "said"),
    [
        (draw_scores, {"task": "angle"}, "no task 'angle' here: take one of sprel"),
        (draw_scores, {"token": 16}, "anchor 16"),
        (draw_scores, {"score": 9}, "scores 0 to 8, not 9"),
        (draw_attention, {"token": -1}, "anchor -1"),
        (draw_scores, {"token": 1.5}, "token is a whole number, not 1.5"),
        (draw_scores, {"shuffle": -1}, "shuffle is a whole number from 0 to 9, not -1"),
        (draw_attention, {"shuffle": 12}, "shuffle is a whole number from 0 to 9, not 12"),
    ],
)
def test_what_is_not_there_is_named(both, draw, arguments, said):
    with pytest.raises(RelvitError, match=said):
        draw(both, **arguments)


def test_large_maps_are_not_kept_for_every_order(both):
    data = with_image(both)
    for shuffle in range(5):
        data.answers(shuffle), data.answers(shuffle, 1)
    assert {key[0] for key in data._known} == {0, 4}


def test_two_orders_are_drawn_alike_where_a_model_is_equivariant(digits):
    embedded = with_model(digits, digits.model.tasks, pos_embed=True)
    data = scores_data(model=digits, other=embedded)
    figure = draw_two_orders(data, "sprel", patch=5, score=3, shuffle=2)
    p = list(data.permutations[2])
    for m in (0, 1):
        first = data.answers(0, m).scores["sprel"][3, :, 5]
        moved = data.answers(2, m).scores["sprel"][3, :, p.index(5)]
        then = [moved[p.index(i)] for i in range(16)]
        for title, values in (
            ("in order", first), ("shuffled, drawn in order", then), ("difference", np.abs(then - first)),
        ):  # fmt: skip
            assert np.allclose(pictured(panels(figure, title)[m]).ravel(), values)
    same, other = (pictured(ax).max() for ax in panels(figure, "difference"))
    assert same < 1e-4 and other > 0.01
    drifts = [data.drift("sprel", 2, m) for m in (0, 1)]
    assert drifts[0] < 1e-4 and f"over all pairs {drifts[1]:.2f}" in panels(figure, "difference")[1].get_xlabel()
    assert "k = 3 LC" in figure.alt and re.search(r"at most \de-0\d", figure.alt)
    for task, patch, score, says in (("abspos", 0, 0, "on pairs here: take one of sprel"), ("sprel", 16, 0, "anchor"),
                                     ("sprel", 0, 9, "no score 9")):  # fmt: skip
        with pytest.raises(RelvitError, match=says):
            draw_two_orders(data, task, patch, score)
