"""The peer's loss and metric against loops over pairs, its draws, and what a permutation of tokens does to it."""

import pytest
import torch
from torch import nn

from relvit_lab.method import drloc, tasks
from relvit_lab.method.heads import PairMLP, PairScores
from relvit_lab.method.relations import offsets, permuted

B, SIDE, D = 3, 4, 6
N = SIDE * SIDE
HEADS = {"mlp": lambda: PairMLP(D, 2, 16), "scores": lambda: PairScores(D, 2), "factored": lambda: PairScores(D, 2, 3)}


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def tokens():
    return torch.randn(B, N, D, generator=generator(0))


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("kind", HEADS)
def test_the_loss_is_the_loop_over_drawn_pairs(kind, form, shuffled, tokens):
    task, head = tasks.get("drloc", form), HEADS[kind]()
    p = torch.stack([torch.randperm(N) for _ in range(B)]) if shuffled else torch.arange(N).expand(B, N)
    targets = permuted(task.target(SIDE), p) if shuffled else task.target(SIDE)
    pairs = torch.randint(N, (B, 64, 2), generator=generator())
    total = 0.0
    for b in range(B):
        for i, j in pairs[b].tolist():
            said = head(tokens[b : b + 1, [i, j]])[0, :, 0, 1].tolist()
            place_i, place_j = p[b, i].item(), p[b, j].item()
            unit = SIDE if form == "paper" else 1
            t = (abs(place_i % SIDE - place_j % SIDE) / unit, abs(place_i // SIDE - place_j // SIDE) / unit)
            total += abs(t[0] - said[0]) + abs(t[1] - said[1])
    loss = task.loss(head, tokens, targets, generator())
    numbers = B * 64 * (1 if form == "paper" else 2)  # the released code's mean is over the two coordinates as well
    assert loss.item() == pytest.approx(total / numbers, rel=1e-5)
    loss.backward()
    assert all(q.grad is not None and q.grad.isfinite().all() for q in head.parameters())


class Known(nn.Module):
    """Says the offset that the positions inside the tokens (B, N, 2) have, wrong by a constant."""

    def __init__(self, scale, error=(0.0, 0.0)):
        super().__init__()
        self.scale, self.error = scale, torch.tensor(error)

    def forward(self, z):
        return ((z[:, :, None] - z[:, None]).abs() * self.scale + self.error).movedim(-1, 1)  # (B,2,N,N)

    def pairs(self, z, pairs):
        everything, image = self(z), torch.arange(len(z))[:, None]
        return everything[image, :, pairs[..., 0], pairs[..., 1]]


@pytest.mark.parametrize(("form", "scale"), [("paper", 1 / 7), ("released", 1)])
def test_right_answers_cost_nothing_and_errors_are_counted_in_patches(form, scale):
    task, index = tasks.get("drloc", form), torch.arange(49)
    places = torch.stack([index % 7, index // 7], -1).float()[None]  # (1,49,2): x, y
    right, targets = Known(scale), task.target(7)
    assert task.loss(right, places, targets, generator()) < 1e-6 and task.metric(right(places), targets) < 1e-5
    off = Known(scale, (1.5 * scale, -0.25 * scale))  # |dx| wrong by 1.5 patches, |dy| by 0.25
    assert task.metric(off(places), targets).item() == pytest.approx(1.75, rel=1e-4)
    share = 1 if form == "paper" else 1 / 2  # of the sum over the two coordinates
    assert task.loss(off, places, targets, generator()).item() == pytest.approx(1.75 * scale * share, rel=1e-4)


@pytest.mark.parametrize("form", ["paper", "released"])
def test_the_metric_is_the_mean_over_all_pairs(form, tokens):
    task, head = tasks.get("drloc", form), PairMLP(D, 2, 16)
    said, targets = head(tokens), task.target(SIDE)
    unit = SIDE if form == "paper" else 1
    expected = sum(
        (said[b, :, i, j] - targets[i, j]).abs().sum().item() * unit
        for b in range(B) for i in range(N) for j in range(N)
    ) / (B * N * N)  # fmt: skip
    assert task.metric(said, targets).item() == pytest.approx(expected, rel=1e-5)
    p = torch.stack([torch.randperm(N) for _ in range(B)])
    shuffled = torch.stack([tokens[b, p[b]] for b in range(B)])
    assert task.metric(head(shuffled), permuted(targets, p)).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_over_every_pair_follows_a_permutation(tokens, monkeypatch):
    """Tokens and targets permuted alike, and the drawn pairs with them: the same loss."""
    head, p = PairMLP(D, 2, 16), torch.randperm(N)
    drawn = torch.randint(N, (B, drloc.PAIRS, 2))
    task = tasks.get("drloc")
    monkeypatch.setattr(torch, "randint", lambda *args, **options: drawn)
    plain = task.loss(head, tokens, task.target(SIDE), None)
    monkeypatch.setattr(torch, "randint", lambda *args, **options: p.argsort()[drawn])  # where those tokens are now
    moved = task.loss(head, tokens[:, p], permuted(task.target(SIDE), p), None)
    stayed = task.loss(head, tokens[:, p], task.target(SIDE), None)
    torch.testing.assert_close(moved, plain)
    assert (stayed - plain).abs() > 1e-3


def test_draws_are_the_generators(tokens):
    task, head = tasks.get("drloc"), PairMLP(D, 2, 16)
    loss = [task.loss(head, tokens, task.target(SIDE), generator(seed)).item() for seed in (1, 1, 2)]
    assert loss[0] == loss[1] != loss[2]
    torch.manual_seed(5)
    without = task.loss(head, tokens, task.target(SIDE), None).item()
    torch.manual_seed(5)
    assert task.loss(head, tokens, task.target(SIDE), None).item() == without
    before = torch.get_rng_state()
    task.loss(head, tokens, task.target(SIDE), generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_both_forms_of_the_target():
    assert drloc.normalised_offsets(7).max() == 6 / 7 and offsets(7).max() == 6
    assert drloc.normalised_offsets(7)[0, 48].tolist() == pytest.approx([6 / 7, 6 / 7])
