"""The check-up: skills and verdicts by hand, and models whose way of answering is known."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.own_task.checkup import KINDS, Checkup, checkup, skill, verdict
from relvit_lab.method.heads import PairScores, TokenScores
from relvit_lab.method.patches import patchify
from relvit_lab.method.relations import absolute_positions
from relvit_lab.method.tasks import TASKS, Task
from relvit_lab.train.evaluate import chance

SIDE, N = 4, 16


def test_skill_is_0_at_the_floor_and_100_at_the_best():
    assert skill(25, 25, 100) == 0 and skill(100, 25, 100) == 100 and skill(62.5, 25, 100) == 50
    assert skill(20, 20, 0) == 0 and skill(0, 20, 0) == 100 and skill(15, 20, 0) == 25  # an error
    assert skill(10, 25, 100) == -20 and skill(40, 20, 0) == -100  # worse than one constant answer
    assert skill(100, 100, 100) == 0  # nothing to gain


@pytest.mark.parametrize(
    ("skills", "kind"),
    [
        ((30, 4, 30), "looks"), ((4.9, 4.9, 4.9), "learnt nothing"), ((60, 70, 60), "needs no place"),
        ((100, 100, 2), "reads the place"), ((40, 20, 20), "needs no place"), ((40, 20, 19.9), "reads the place"),
        ((40, 19.9, 0), "looks"), ((5, 0, 5), "looks"), ((-10, -10, -10), "learnt nothing"),
    ],
)  # fmt: skip
def test_verdicts(skills, kind):
    assert verdict(*skills) == kind and kind in KINDS


def test_a_task_with_one_answer_has_nothing_to_learn():
    assert Checkup("x", "x", "%", 100.0, 100.0, 100.0, 100.0, 100.0, 100.0).verdict == "nothing to learn"


class Known(nn.Module):
    """A model that answers in a known way: from each patch's mean grey, or from its place in the sequence."""

    side = SIDE

    def __init__(self, task: Task, looks: bool):
        super().__init__()
        self.tasks, self.looks = (task,), looks
        self.heads = nn.ModuleDict({task.name: Head(task)})

    def forward(self, images):
        place = torch.arange(N).expand(len(images), -1)
        if self.looks:
            grey = patchify(images, images.shape[-1] // SIDE).mean((2, 3, 4))  # (B,N)
            place = (grey * (N - 1)).round().long().clamp(0, N - 1)
        return SimpleNamespace(tokens=place)

    def targets(self, task, permutation=None):
        from relvit_lab.method.relations import permuted

        target = task.target(SIDE)
        return target if permutation is None else permuted(target, permutation)


class Head(nn.Module):
    def __init__(self, task: Task):
        super().__init__()
        self.target, self.outputs = task.target(SIDE), int(task.target(SIDE).max()) + 1

    def forward(self, place):
        said = self.target[place] if self.target.dim() == 1 else self.target[place[:, :, None], place[:, None, :]]
        if said.is_floating_point():
            return said[:, None] if said.dim() == 3 else said[..., None]
        scores = nn.functional.one_hot(said, self.outputs).float()
        return scores if said.dim() == 2 else scores.movedim(-1, 1)  # (B,N,N,K) -> (B,K,N,N)


def known(task: Task, looks: bool) -> SimpleNamespace:
    return SimpleNamespace(model=Known(task, looks), transform=lambda images: images.float() / 255)


def readable(count: int) -> torch.Tensor:
    """Images whose patch i has the grey value i / (N - 1): (B, 1, 8, 8) uint8."""
    values = torch.linspace(0, 255, N).round().byte().view(SIDE, SIDE)
    return values.repeat_interleave(2, 0).repeat_interleave(2, 1).expand(count, 1, 8, 8).clone()


@pytest.mark.parametrize("name", ["sprel", "dist", "abspos"])
def test_a_model_that_looks_and_one_that_is_told(name):
    task = TASKS.get(name)
    looks, told = (checkup(known(task, looks), name, readable(64)) for looks in (True, False))
    best = 0 if name == "dist" else 100
    assert looks.verdict == "looks" and told.verdict == "reads the place"
    assert looks.images == told.images == looks.shuffled == told.noise == told.standard == pytest.approx(best, abs=1e-3)
    assert looks.floor == told.floor == chance(task, SIDE)
    assert looks.standard == pytest.approx(told.shuffled, abs=1e-3)  # answers for one order, labels of the other
    assert looks.skills()["images"] == pytest.approx(100, abs=1e-2) and looks.skills()["noise"] < 50


def test_a_question_that_needs_no_place():
    task = Task("same", lambda dim, grid: PairScores(dim, 2), target=lambda grid: torch.eye(grid**2).long())
    found = checkup(known(task, looks=False), "same", readable(8))
    assert found.verdict == "needs no place" and found.shuffled == found.standard == 100


def test_the_seed_decides_noise_and_shuffles():
    task = TASKS.get("abspos")
    one, same, other = (checkup(known(task, True), "abspos", readable(32), seed) for seed in (0, 0, 1))
    assert one == same != other


def test_what_has_no_checkup_is_named():
    task = TASKS.get("abspos")
    with pytest.raises(RelvitError, match="no head for 'dist': it has abspos"):
        checkup(known(task, True), "dist", readable(2))
    own = Task(
        "own", lambda dim, grid: TokenScores(dim, N), metric=lambda said, target: said.mean(), target=absolute_positions
    )
    with pytest.raises(RelvitError, match="'own' has a metric of its own"):
        checkup(known(own, True), "own", readable(2))


def test_a_trained_model(tmp_path):
    import relvit_lab
    from relvit_lab import data

    trained = relvit_lab.load("digits_tasks")
    found = checkup(trained, "sprel", data.load("digits").test.images)
    assert found.images == pytest.approx(trained.metrics["sprel"], abs=0.5) and found.verdict == "looks"
    assert found.shuffled == pytest.approx(found.images, abs=0.1)  # no PE: the order is nothing to it
    assert found.noise < found.images - 10 and found.title == "SpRel" and found.unit == "%"
