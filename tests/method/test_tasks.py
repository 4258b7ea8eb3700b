"""Losses and metrics against loops over pairs, and a task of one's own."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.registry import Registry
from relvit_lab.method import tasks
from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.heads import PairScores, TokenScores
from relvit_lab.method.model import RelViT
from relvit_lab.method.relations import permuted
from relvit_lab.method.tasks import BUILT_IN, DRLOC, RELVIT, TASKS, Task

B, SIDE, D = 2, 3, 8
N = SIDE * SIDE


def cross_entropy_loop(logits: list[float], answer: int) -> float:
    return math.log(sum(math.exp(v) for v in logits)) - logits[answer]


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randn(B, N, D, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("name", ["sprel", "dist", "ang"])
def test_pair_losses_are_eq_10_12_13(name, shuffled, tokens):
    task = TASKS.get(name)
    head = task.make_head(D, SIDE)
    targets = task.target(SIDE)
    if shuffled:
        targets = permuted(targets, torch.stack([torch.randperm(N) for _ in range(B)]))
    scores, total, right = head(tokens), 0.0, 0
    for b in range(B):
        for i in range(N):
            for j in range(N):
                answer = (targets[b] if shuffled else targets)[i, j].item()
                said = scores[b, :, i, j].tolist()
                if name == "sprel":
                    total += cross_entropy_loop(said, answer)
                    right += max(range(9), key=said.__getitem__) == answer
                else:
                    total += (said[0] - answer) ** 2
    count = B * N * N
    assert task.loss(head, tokens, targets, None).item() == pytest.approx(total / count, rel=1e-5)
    metric = 100 * right / count if name == "sprel" else 100 * total / count
    assert task.metric(scores, targets).item() == pytest.approx(metric, rel=1e-5)


def test_token_loss_is_eq_11(tokens):
    task = TASKS.get("abspos")
    head, p = task.make_head(D, SIDE), torch.stack([torch.randperm(N) for _ in range(B)])
    targets = permuted(task.target(SIDE), p)
    scores, total, right = head(tokens), 0.0, 0
    for b in range(B):
        for t in range(N):
            said = scores[b, t].tolist()
            total += cross_entropy_loop(said, p[b, t].item())
            right += max(range(N), key=said.__getitem__) == p[b, t].item()
    assert task.loss(head, tokens, targets, None).item() == pytest.approx(total / B / N, rel=1e-5)
    assert task.metric(scores, targets).item() == pytest.approx(100 * right / B / N, rel=1e-5)


def test_the_order_of_the_registry():
    assert TASKS.names()[:5] == ("sprel", "dist", "ang", "abspos", "drloc")
    assert BUILT_IN == (*RELVIT, DRLOC) and [task.weight for task in BUILT_IN] == [1, 1, 1, 1, 0.5]


def test_shuffling_changes_no_loss_without_positional_embeddings():
    torch.manual_seed(0)
    model = RelViT(create_backbone("vit_nano", pos_embed=False), RELVIT).eval()
    images, p = torch.randn(3, 3, 32, 32), torch.stack([torch.randperm(64) for _ in range(3)])
    from relvit_lab.method.patches import permute

    plain = model.task_losses(model(images).tokens)
    shuffled = model.task_losses(model(permute(images, p)).tokens, p)
    wrong = model.task_losses(model(permute(images, p)).tokens)  # labels that did not follow
    for name in plain:
        assert shuffled[name].item() == pytest.approx(plain[name].item(), abs=1e-5)
    assert any(abs(wrong[name] - plain[name]) > 1e-3 for name in plain)


def quadrant(grid: int) -> torch.Tensor:
    index = torch.arange(grid * grid)
    return 2 * (index // grid >= grid / 2).long() + (index % grid >= grid / 2).long()


def test_a_task_of_ones_own_from_two_functions(tokens):
    task = Task("quadrant", lambda dim, grid: TokenScores(dim, 4), target=quadrant)
    assert task.title == "quadrant" and task.unit == "%" and task.higher
    head = task.make_head(D, SIDE)
    loss = task.loss(head, tokens, task.target(SIDE), None)
    loss.backward()
    assert head(tokens).shape == (B, N, 4) and loss > 0
    assert 0 <= task.metric(head(tokens), task.target(SIDE)) <= 100


def test_a_task_may_bring_its_own_loss_and_sample():
    seen = []

    def sampled(head, tokens, targets, generator):
        i = torch.randint(targets.shape[-1], (4,), generator=generator)
        seen.append(i.tolist())
        return (head(tokens)[:, 0, i, i] - targets[i, i]).square().mean()

    task = Task("few", lambda dim, grid: PairScores(dim, 1), sampled, target=TASKS.get("dist").target, weight=0.5)
    head = task.make_head(D, SIDE)
    for _ in range(2):
        task.loss(head, torch.ones(B, N, D), task.target(SIDE), torch.Generator().manual_seed(3))
    assert seen[0] == seen[1] and task.weight == 0.5 and not task.higher


def test_adding_the_same_name_again_replaces(tokens):
    registry = Registry("task", RELVIT)
    registry.add(Task("mine", lambda dim, grid: TokenScores(dim, 4), target=quadrant))
    registry.add(Task("mine", lambda dim, grid: TokenScores(dim, 5), target=quadrant))
    assert registry.names()[-1] == "mine" and len(registry) == 5
    assert registry.get("mine").make_head(D, 3)(tokens).shape[-1] == 5


def test_factored_heads_have_rank_d_over_k():
    backbone = create_backbone("vit_nano", pos_embed=False)
    model = RelViT(backbone, BUILT_IN, factored=True)
    counts = {name: sum(p.numel() for p in head.parameters()) for name, head in model.heads.items()}
    rank = 96 // 9
    assert counts["sprel"] == 2 * 96 * 9 * rank and counts["dist"] == 2 * 96 * 96


def test_predictions_have_the_shape_of_targets():
    model = RelViT(create_backbone("vit_nano", image_size=8), BUILT_IN, classes=3).eval()
    images = torch.randn(2, 3, 8, 8)
    assert model(images).logits.shape == (2, 3)
    for task in RELVIT:
        predicted, target = model.predictions(images, task.name), task.target(4)
        assert predicted.shape == (2, *target.shape) and predicted.dtype == target.dtype


def test_the_two_forms_of_drloc():
    paper, released = tasks.get("drloc"), tasks.get("drloc", "released")
    assert paper is tasks.get("drloc", drloc_form="paper") is TASKS.get("drloc")
    assert torch.equal(released.target(7), 7 * paper.target(7)) and released.target(7).max() == 6
    assert (paper.name, paper.title, paper.unit, paper.weight) == (
        released.name, released.title, released.unit, released.weight,
    )  # fmt: skip
    assert paper.title == "DRLoc" and not paper.higher and not released.higher
    assert all(tasks.get(task.name, "released") is task for task in RELVIT)
    with pytest.raises(RelvitError, match="form of drloc 'relased': did you mean 'released'"):
        tasks.get("drloc", "relased")
    with pytest.raises(RelvitError, match="did you mean 'sprel'"):
        tasks.get("sprl")


def test_a_drloc_of_ones_own_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(TASKS, "_entries", dict(TASKS._entries))
    own = TASKS.add(Task("drloc", lambda dim, grid: TokenScores(dim, 4), target=quadrant))
    assert tasks.get("drloc", "released") is own


def test_a_ramp_rises_and_falls_epoch_by_epoch_and_counts_in_the_fingerprint():
    released = tasks.get("drloc", "released")
    weight = {epoch: 0.5 * released.ramp(epoch) for epoch in (0, 0.9, 1, 10, 20, 50, 99, 160, 300, 301)}
    assert weight == pytest.approx({0: 0, 0.9: 0, 1: 0.025, 10: 0.25, 20: 0.5, 50: 0.4464, 99: 0.3589, 160: 0.25,
                                    300: 0, 301: 0}, abs=5e-5)  # fmt: skip
    assert all(task.ramp_epochs == task.end_epoch == 0 and task.ramp(0) == 1 for task in BUILT_IN)

    def mine(**fields):
        return Task("mine", lambda dim, grid: TokenScores(dim, 4), target=quadrant, **fields)

    some = [{}, {"ramp_epochs": 5}, {"end_epoch": 5}, {"before_norm": True}, {"ramp_epochs": 5, "end_epoch": 9}]
    assert len({mine(**fields).fingerprint() for fields in some}) == len(some)
    assert [mine(ramp_epochs=5).ramp(e) for e in (0, 3, 5, 99)] == [0, 0.6, 1, 1]
    assert [mine(end_epoch=4).ramp(e) for e in (0, 1, 4, 9)] == [1, 0.75, 0, 0]


def test_a_task_without_a_target_says_so():
    with pytest.raises(TypeError, match="target"):
        Task("nothing", lambda dim, grid: nn.Identity())


def test_what_counts_in_the_fingerprint():
    """The code that computes counts; what classes and columns are called does not."""
    from functools import partial

    def head(dim, grid):
        return TokenScores(dim, 4)

    plain = Task("quadrant", head, target=quadrant)
    named = Task("quadrant", head, target=quadrant, title="Quadrant", classes=("LT", "RT", "LB", "RB"))
    assert named.fingerprint() == plain.fingerprint() and plain.classes == ()
    heads = [partial(TokenScores, outputs=outputs) for outputs in (4, 4, 5)]
    digests = [Task("quadrant", head, target=quadrant).fingerprint() for head in heads]
    assert digests[0] == digests[1] != digests[2]


OBJECT = """
class Halves:
    def __init__(self, parts): self.parts, self.of = parts, torch.nn.ReLU()
    def __call__(self, grid): return torch.arange(grid * grid) // {by} % self.parts
print(Task("halves", lambda dim, grid: TokenScores(dim, 2), target={target}).fingerprint())
"""
TARGETS = [(2, "Halves(2)"), (2, "Halves(3)"), (2, "Halves(2).__call__"), (3, "Halves(2).__call__")]


def test_code_without_a_file_and_objects_have_a_fingerprint_that_lasts():
    """Two processes agree, and tell apart what differs; typed into an interpreter, code has no source."""

    def printed() -> list[str]:
        typed = [OBJECT.format(by=by, target=target) for by, target in TARGETS]
        code = f"import torch\nfrom relvit_lab.method.tasks import Task, TokenScores\nfor typed in {typed}: exec(typed)"
        done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert printed() == (found := printed()) and len(set(found)) == len(TARGETS)


@pytest.mark.parametrize(
    "name, says",
    [
        ("sprel", "classes of pairs, in %"),
        ("ang", "values of pairs, in MSE x 100"),
        ("abspos", "classes of patches, in %"),
    ],
)
def test_it_says_what_it_is(name, says):
    assert repr(TASKS.get(name)) == f"Task '{name}': {says}"
