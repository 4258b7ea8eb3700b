"""How explorers and pictures see tasks: the kind follows from the target; what cannot be shown says why."""

import numpy as np
import pytest
import torch

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.patch_relations.explorer import RelationsExplorer, explore_relations
from relvit_lab.lessons.patch_relations.explorer_data import relations_data
from relvit_lab.lessons.patch_relations.explorer_figure import relations_figure
from relvit_lab.method.heads import PairScores, TokenScores
from relvit_lab.method.relations import spatial_relations
from relvit_lab.method.tasks import BUILT_IN, RELVIT, TASKS, Task
from relvit_lab.show.task_panels import class_colours, task_predicted
from relvit_lab.show.task_views import TOLERANCE, task_view, views


def pair_values(grid: int) -> torch.Tensor:
    index = torch.arange(grid * grid)
    return 10.0 * (index[:, None] - index).abs()


def pair_classes(grid: int) -> torch.Tensor:
    return 1 - torch.eye(grid * grid).long()


def quarter(grid: int) -> torch.Tensor:
    index = torch.arange(grid * grid)
    return 2 * (2 * (index // grid) >= grid).long() + (2 * (index % grid) >= grid).long()


OWN = {
    "pair_values": Task("pair_values", lambda dim, grid: PairScores(dim, 1), target=pair_values, title="Steps"),
    "pair_classes": Task(
        "pair_classes", lambda dim, grid: PairScores(dim, 2), target=pair_classes, classes=("the same", "another")
    ),
    "token_classes": Task("token_classes", lambda dim, grid: TokenScores(dim, 4), target=quarter,
                          classes=("LT", "RT", "LB", "RB")),
    "token_values": Task(
        "token_values", lambda dim, grid: TokenScores(dim, 1), target=lambda grid: torch.linspace(-3, 5, grid * grid)
    ),
}  # fmt: skip


@pytest.fixture
def registered(monkeypatch) -> None:
    monkeypatch.setattr(TASKS, "_entries", {task.name: task for task in (*BUILT_IN, *OWN.values())})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A pre-training on all four kinds, a few steps long."""
    import io

    import relvit_lab

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TASKS, "_entries", {task.name: task for task in (*BUILT_IN, *OWN.values())})
        experiment = relvit_lab.Experiment(
            tasks=tuple(OWN), preset="smoke", epochs=1, stop_after="pretrain", run_dir=str(tmp_path_factory.mktemp("r"))
        )
        finished = relvit_lab.follow(relvit_lab.run(experiment), face="log", out=io.StringIO())
        yield relvit_lab.load(finished[-1].folder)


# -- one task ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pairs", "kind", "names", "ends"),
    [
        ("sprel", True, "relations", 9, None), ("dist", True, "values", 0, (-1, 1)),
        ("ang", True, "values", 0, (-1, 1)), ("abspos", False, "places", 16, None),
        ("pair_values", True, "values", 0, (0, 150)),
        ("pair_classes", True, "classes", 2, None), ("token_classes", False, "classes", 4, None),
        ("token_values", False, "values", 0, (-3, 5)),
    ],
)  # fmt: skip
def test_the_kind_follows_from_the_target(registered, name, pairs, kind, names, ends):
    view = task_view(TASKS.get(name), 4)
    assert (view.of_pairs, view.kind, len(view.names), view.is_class) == (pairs, kind, names, kind != "values")
    assert np.array_equal(view.target, TASKS.get(name).target(4).numpy())
    assert len(class_colours(view)) == names
    if ends:
        assert (view.low, view.high) == pytest.approx(ends)
        assert view.tolerance == pytest.approx((ends[1] - ends[0]) * TOLERANCE)


def test_only_the_papers_tasks_speak_of_patches_and_degrees():
    paper = {task.name: task_view(task, 5) for task in RELVIT}
    assert "patches from" in paper["dist"].sentence and paper["dist"].most == pytest.approx(32**0.5)
    assert "°" in paper["ang"].sentence and paper["ang"].digits == 0
    other = task_view(Task("dist", lambda dim, grid: PairScores(dim, 1), target=pair_values), 5)
    assert "patches from" not in other.sentence and "{low} to {high}" in other.sentence
    same = task_view(Task("mine", lambda dim, grid: PairScores(dim, 9), target=spatial_relations), 5)
    assert same.sentence == paper["sprel"].sentence and same.kind == "relations" and same.legend() == ""


def test_names_and_what_is_written_on_a_patch(registered):
    short, long = (task_view(TASKS.get(name), 4) for name in ("token_classes", "pair_classes"))
    assert short.marks == ("LT", "RT", "LB", "RB") and short.legend() == "0 LT, 1 RT, 2 LB, 3 RB"
    assert long.marks == ("0", "1") and long.legend() == "0 the same, 1 another"
    few = task_view(Task("few", lambda dim, grid: TokenScores(dim, 4), target=quarter, classes=("a", "b")), 4)
    assert few.names == ("a", "b", "", "") and few.marks == ("0", "1", "2", "3")
    assert few.covering(np.array([0, 6])).names == ("a", "b", "", "", "", "", "")
    assert few.covering(np.array([0, 3])) is few


def test_many_classes_are_told_apart_by_their_order():
    target = lambda grid: torch.arange(grid**2) // 2  # noqa: E731
    view = task_view(Task("many", lambda dim, grid: TokenScores(dim, grid**2), target=target), 8)
    assert len(set(class_colours(view))) == 32


def test_mistakes_and_the_verdict_against_loops(registered):
    for name, view in views(4)[0].items():
        draws = np.random.default_rng(0)
        said = draws.permutation(view.target.ravel()).reshape(view.target.shape)
        wrong = [
            a != b if view.is_class else abs(float(a) - float(b)) > (view.high - view.low) / 8
            for a, b in zip(view.target.flat, said.flat)
        ]
        assert view.mistakes(view.target, said).ravel().tolist() == wrong, name
        verdict = view.verdict(view.target, said)
        assert (
            f"{100 - 100 * sum(wrong) / len(wrong):.1f} % of all {'pairs' if view.of_pairs else 'patches'}" in verdict
        )
        if not view.is_class:
            error = sum((float(a) - float(b)) ** 2 for a, b in zip(view.target.flat, said.flat)) / len(wrong)
            assert f"MSE x 100: {100 * error:.1f};" in verdict


# -- the registry --------------------------------------------------------------------------------------------------


def test_all_that_can_be_shown_in_the_registrys_order(registered):
    found, note = views(3)
    assert list(found) == ["sprel", "dist", "ang", "abspos", *OWN] and note == ""
    assert list(views(3, ["token_values", "sprel"])[0]) == ["sprel", "token_values"]
    assert list(views(3, "dist")[0]) == ["dist"]


def broken(grid):
    raise ZeroDivisionError("my mistake")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (lambda grid: torch.zeros(grid**2, grid**2, 2), "shape (9, 9, 2) for 9 patches"),
        (lambda grid: torch.zeros(grid), "shape (3,) for 9 patches, not (9,) or (9, 9)"),
        (lambda grid: torch.full((grid**2,), float("nan")), "not finite"),
        (lambda grid: torch.arange(grid**2) - 1, "a class is a number from 0 up, not -1"),
        (lambda grid: broken(grid) if grid == 3 else torch.zeros(grid**2), "my mistake"),
    ],
)
def test_what_cannot_be_shown_is_left_out_and_said(registered, target, says):
    TASKS.add(Task("odd", lambda dim, grid: TokenScores(dim, 1), target=target))
    found, note = views(3)
    assert list(found) == ["sprel", "dist", "ang", "abspos", *OWN] and "odd" in note and says in note
    data = relations_data(np.zeros((12, 12)), patch=4)
    assert note in data.note and list(data.tasks) == list(found)
    with pytest.raises((RelvitError, ZeroDivisionError)) as raised:
        views(3, ["odd"])
    assert says in str(raised.value)
    with pytest.raises(RelvitError, match="did you mean 'sprel'"):
        views(3, ["sprle"])
    with pytest.raises(RelvitError, match=r"task 'drloc' cannot be shown"):
        views(3, ["drloc"])


# -- explorer and figures ------------------------------------------------------------------------------------------


def test_the_browser_gets_every_kind_of_task(registered):
    data = relations_data(np.zeros((12, 12)), patch=4)
    sent = RelationsExplorer(data).data["tasks"]
    assert list(sent) == ["sprel", "dist", "ang", "abspos", *OWN]
    for name, task in sent.items():
        view = data.tasks[name]
        numbers = np.frombuffer(task["target"], np.dtype(task["number"]))
        assert np.array_equal(numbers, view.target.ravel()) and task["said"] is None
        assert len(task["colours"]) == len(task["marks"]) == len(task["names"]) == len(view.names)
        assert task["pairs"] == view.of_pairs and task["kind"] == view.kind
    assert sent["token_classes"]["number"] == "uint8" and sent["pair_values"]["number"] == "float32"


def test_more_than_256_classes_take_two_bytes(monkeypatch):
    many = Task(
        "many", lambda dim, grid: PairScores(dim, 9), target=lambda grid: torch.arange(grid**4).view(grid**2, -1)
    )
    monkeypatch.setattr(TASKS, "_entries", {"many": many})
    task = explore_relations(np.zeros((20, 20)), 4).data["tasks"]["many"]
    assert task["number"] == "uint16" and np.frombuffer(task["target"], np.uint16).max() == 624


def test_a_model_of_ones_own_tasks(registered, trained):
    explorer = explore_relations(model=trained)
    assert explorer.task == "pair_values" and set(explorer.shown.predictions) == set(OWN)
    for name in OWN:
        said = explorer.shown.predictions[name]
        assert said.shape[1:] == explorer.shown.tasks[name].target.shape
        assert explorer.data["tasks"][name]["verdicts"][2] == explorer.shown.verdict(name, 2)
    assert explorer.data["tasks"]["sprel"]["said"] is None
    alone = explore_relations(model=trained, tasks=["token_values"])
    assert list(alone.data["tasks"]) == ["token_values"] == list(alone.shown.predictions)
    with pytest.raises(RelvitError, match="has no head for Dist: load"):
        explore_relations(model=trained, tasks=["dist"])
    with pytest.raises(RelvitError, match="task 'sprel' is not shown here"):
        alone.task = "sprel"


def test_a_head_that_does_not_fit_its_target_is_named(registered, trained, monkeypatch):
    monkeypatch.setitem(
        TASKS._entries, "token_values", Task("token_values", OWN["token_values"].make_head, target=quarter)
    )
    with pytest.raises(RelvitError, match=r"'token_values' cannot be shown: its head says float32"):
        explore_relations(model=trained)


@pytest.mark.filterwarnings("error")
def test_the_figure_has_a_column_for_each_task(registered, trained):
    figure = relations_figure(model=trained, tasks=list(OWN), shuffle=1)
    titles = [ax.get_title() for ax in figure.axes]
    assert "token_classes: each patch" in titles and "Steps: targets" in titles and figure.png()[:4] == b"\x89PNG"
    assert "0 LT, 1 RT, 2 LB, 3 RB" in [ax.get_xlabel() for ax in figure.axes]
    assert figure.alt.count("% of all") == len(OWN)
    seen = next(ax for ax in figure.axes if ax.get_title() == "token_classes: each patch")
    p = explore_relations(model=trained).shown.permutations[1]
    marks = [text.get_text() for text in seen.texts]
    assert marks == [("LT", "RT", "LB", "RB")[quarter(4)[k]] for k in p]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [*OWN, "sprel", "abspos"])
def test_a_picture_crosses_the_mistakes(registered, name):
    view = task_view(TASKS.get(name), 4)
    said = view.target.copy()
    said[3] = said[3] + (1 if view.is_class else view.high - view.low) if name != "abspos" else 7
    if view.kind in ("relations", "classes"):
        said[3] = (view.target[3] + 1) % len(view.names)
    figure = task_predicted(np.zeros((3, 8, 8)), view, said, anchor=5)
    assert figure.png()[:4] == b"\x89PNG" and view.verdict(view.target, said) in figure.alt
    wrong = view.mistakes(view.target, said)
    assert wrong.sum() == wrong[3].sum() > 0
    with pytest.raises(RelvitError, match="anchor 16"):
        task_predicted(np.zeros((3, 8, 8)), view, said, anchor=16)


def test_values_that_are_all_alike_have_a_range():
    view = task_view(
        Task("flat", lambda dim, grid: PairScores(dim, 1), target=lambda grid: torch.ones(grid**2, grid**2)), 3
    )
    assert (view.low, view.high) == (1, 2) and not view.mistakes(view.target, view.target).any()
