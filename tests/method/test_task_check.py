"""Mistakes in a task of one's own are told as one of its parts, before anything is trained."""

import pytest
import torch
from torch import nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.heads import PairScores, TokenScores
from relvit_lab.method.task_check import check_task
from relvit_lab.method.tasks import BUILT_IN, DRLOC_FORMS, TASKS, Task, get
from relvit_lab.train.build import build_model
from relvit_lab.train.experiment import Experiment

DIM, SIDE = 12, 3


def quarter(grid):
    return torch.arange(grid * grid) % 4


def rows(grid):
    row = torch.arange(grid * grid) // grid
    return (row[:, None] == row).long()


def four(dim, grid):
    return TokenScores(dim, 4)


def tried(**fields):
    task = Task("mine", **{"make_head": four, "target": quarter, **fields})
    check_task(task, task.make_head(DIM, SIDE), DIM, SIDE)


@pytest.mark.parametrize("task", [*BUILT_IN, *DRLOC_FORMS.values()], ids=lambda task: task.title)
def test_the_tasks_of_the_package_fit(task):
    check_task(task, task.make_head(DIM, SIDE), DIM, SIDE)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"make_head": lambda dim, grid: nn.Linear(dim, 9)},  # more scores than classes
        {"make_head": lambda dim, grid: PairScores(dim, 2), "target": rows},
        {"make_head": lambda dim, grid: PairScores(dim, 1), "target": lambda grid: rows(grid).double()},
        {"make_head": lambda dim, grid: TokenScores(dim, 1), "target": lambda grid: quarter(grid) / 4},
        {"loss": lambda head, tokens, targets, draws: head(tokens).mean()},
        {"make_head": lambda dim, grid: nn.Sequential(nn.Dropout(0.5), nn.Linear(dim, 4))},
    ],
)
def test_tasks_that_fit(fields):
    tried(**fields)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"make_head": lambda dim, grid: None}, "make_head.*NoneType, not a torch.nn.Module"),
        ({"make_head": lambda dim, grid: TokenScores(dim, 3)}, r"4 classes for each patch.*\(2, 9, 4\)"),
        ({"make_head": lambda dim, grid: PairScores(dim, 4)}, r"each patch.*TokenScores\(dim, 4\)"),
        ({"target": rows}, r"2 classes for each pair.*PairScores\(dim, 2\)"),
        ({"target": lambda grid: rows(grid).float()}, r"a value for each pair.*PairScores\(dim, 1\)"),
        ({"target": lambda grid: torch.arange(5)}, r"target\(3\) has the shape \(5,\), not \(9,\) or \(9, 9\)"),
        ({"target": lambda grid: torch.zeros(grid**2, 4, 2)}, r"not \(9,\) or \(9, 9\)"),
        ({"target": lambda grid: torch.tensor(1)}, r"has the shape \(\), not \(9,\)"),
        ({"target": lambda grid: quarter(grid).int()}, "classes are int64"),
        ({"target": lambda grid: quarter(grid) > 1}, "classes are int64"),
        ({"target": lambda grid: quarter(grid) - 1}, "class -1: classes are counted from 0"),
        ({"target": lambda grid: quarter(grid) / 0}, "NaN or infinite"),
        ({"loss": lambda head, tokens, targets, draws: head(tokens)}, r"loss gives the shape \(2, 9, 4\)"),
        ({"loss": lambda head, tokens, targets, draws: 1.0}, "loss gives float"),
        ({"loss": lambda head, tokens, targets, draws: None}, "loss gives NoneType"),
        ({"loss": lambda head, tokens, targets, draws: head(tokens).mean().detach()}, "depends on nothing"),
        ({"metric": lambda said, targets: 3.0}, "metric gives float"),
        ({"metric": lambda said, targets: said}, r"metric gives the shape \(2, 9, 4\)"),
    ],
)
def test_what_does_not_fit_is_named(fields, words):
    with pytest.raises(RelvitError, match=f"task 'mine': .*{words}"):
        tried(**fields)


def test_what_a_part_raises_itself_is_left_as_it_is():
    with pytest.raises(ZeroDivisionError):
        tried(loss=lambda head, tokens, targets, draws: 1 / 0)


@pytest.mark.parametrize("target", [None, [0, 1, 2, 3], 3])
def test_a_target_is_a_tensor(target):
    with pytest.raises(RelvitError, match=f"target.grid. gives {type(target).__name__}, not a tensor"):
        Task("mine", four, target=lambda grid: target)


@pytest.mark.parametrize(
    "name", ["loss", "accuracy", "classification", "best_accuracy", "a.b", "a b", "a,b", "a+b", "", "train", "keys"]
)
def test_names_that_would_get_lost_among_others_are_refused(name):
    with pytest.raises(RelvitError, match="no task is called"):
        Task(name, four, target=quarter)


def test_it_changes_neither_random_numbers_nor_the_head(monkeypatch):
    head = nn.Sequential(nn.BatchNorm1d(9), nn.Dropout(0.5), nn.Linear(DIM, 4))
    before = {name: value.clone() for name, value in head.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    check_task(Task("mine", lambda dim, grid: head, target=quarter), head, DIM, SIDE)
    assert torch.equal(torch.rand(4), expected) and head.training
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())
    assert all(weight.grad is None for weight in head.parameters())


def test_a_stage_is_not_begun_with_a_task_that_does_not_fit(monkeypatch):
    monkeypatch.setitem(TASKS._entries, "mine", Task("mine", lambda dim, grid: TokenScores(dim, 2), target=quarter))
    stage = Experiment(dataset="digits", preset="smoke", tasks=("mine",)).stages()[0]
    with pytest.raises(RelvitError, match="task 'mine': its target is 4 classes"):
        build_model(stage, 10)
    assert get("sprel") in BUILT_IN  # which are not tried again
