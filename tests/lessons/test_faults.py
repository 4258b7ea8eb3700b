"""The failure gallery: each fault is the one that its name says."""

import pytest
import torch
from torch import nn

from relvit_lab.lessons.pe_shortcut import faults
from relvit_lab.method.patches import draw_permutations
from relvit_lab.method.relations import permuted, spatial_relations
from relvit_lab.method.tasks import TASKS, cross_entropy


@pytest.fixture(autouse=True)
def own_tasks(monkeypatch):
    """The faulty tasks are forgotten after each test."""
    monkeypatch.setattr(TASKS, "_entries", dict(TASKS._entries))


def task_of(name):
    (task,) = faults.experiment(name).stages()[0].tasks
    return TASKS[task]


class Says(nn.Module):
    """A head that gives these classes (N, N), surely, for every image."""

    def __init__(self, classes):
        super().__init__()
        self.scores = 20 * nn.functional.one_hot(classes, 9).permute(2, 0, 1).float()

    def forward(self, tokens):
        return self.scores.expand(len(tokens), -1, -1, -1)


def test_every_run_has_its_own_stage_and_one_thing_changed():
    stages = {name: faults.experiment(name).stages() for name in faults.RUNS}
    assert all(len(found) == 1 and found[0].name == "pretrain" and not found[0].pos_embed for found in stages.values())
    assert len({found[0].id for found in stages.values()}) == len(faults.RUNS)
    healthy = stages["healthy"][0].fields
    for name, (stage,) in stages.items():
        changed = {key for key, value in stage.fields.items() if healthy.get(key, value) != value}
        assert len(changed) == (name != "healthy"), (name, changed)


def test_all_four_faults_are_there_once():
    assert sorted(faults.FAULTS.values()) == sorted(faults.NAMES) and faults.RUNS == ("healthy", *faults.FAULTS)


def test_transposed_labels_are_trained_and_the_right_ones_measured():
    (name,) = (name for name in "ABCD" if faults.FAULTS[name] == "transposed labels")
    task, truth = task_of(name), spatial_relations(4)
    target = task.target(4)
    assert torch.equal(target, truth.T)
    tokens = torch.zeros(2, 16, 8)
    assert task.loss(Says(truth.T), tokens, target, None) < 1e-3 < 1 < task.loss(Says(truth), tokens, target, None)
    assert task.metric(Says(truth)(tokens), target) == 100
    assert task.metric(Says(truth.T)(tokens), target) < 10


def test_labels_alone_are_shuffled_each_image_its_own_way():
    (name,) = (name for name in "ABCD" if faults.FAULTS[name].startswith("labels shuffled"))
    task, truth = task_of(name), spatial_relations(4)
    tokens, generator = torch.zeros(50, 16, 8), torch.Generator().manual_seed(3)
    loss = task.loss(Says(truth), tokens, task.target(4), generator)
    p = draw_permutations(50, 16, torch.Generator().manual_seed(3))
    assert torch.allclose(loss, cross_entropy(Says(truth)(tokens), permuted(truth, p)))
    assert loss > 5 and task.metric(Says(truth)(tokens), task.target(4)) == 100


def test_the_other_two_are_fields_of_the_experiment():
    fields = {faults.FAULTS[name]: faults.experiment(name).resolved() for name in "ABCD"}
    assert fields["patch too large"].patch_size == 4
    assert fields["learning rate too high"].lr > 100 * faults.experiment("healthy").resolved().lr
