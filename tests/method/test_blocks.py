"""A loss over all pairs in blocks of images: the naive loss and gradients, and how much memory each holds."""

from itertools import accumulate

import pytest
import torch
from torch import nn

from relvit_lab.method import tasks
from relvit_lab.method.blocks import mean_in_blocks
from relvit_lab.method.heads import PairScores
from relvit_lab.method.patches import draw_permutations
from relvit_lab.method.relations import permuted
from relvit_lab.method.tasks import TASKS, cross_entropy, squared_error

HEADS = {
    "sprel": (lambda dim: PairScores(dim, 9), cross_entropy),
    "dist": (lambda dim: PairScores(dim, 1), squared_error),
    "sprel in two factors": (lambda dim: PairScores(dim, 9, rank=3), cross_entropy),
}


def both(name, batch=7, side=3, dim=12, images=2, shuffled=False, dtype=torch.float32, above=3.0):
    """Loss and gradients, (tokens, weights...), naive and in blocks."""
    make, compare = HEADS[name]
    torch.manual_seed(0)
    head = make(dim)
    tokens = torch.randn(batch, side**2, dim)
    target = TASKS.get(name.split()[0]).target(side)
    if shuffled:
        target = permuted(target, draw_permutations(batch, side**2, torch.Generator().manual_seed(1)))
    found = []
    for blocks in (False, True):
        z = tokens.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            loss = mean_in_blocks(compare, head, z, target, images) if blocks else compare(head(z), target)
        gradients = torch.autograd.grad(above * loss, (z, *head.parameters()))  # what comes from above counts
        found.append((loss.detach(), gradients))
    return found


def largest_difference(one, other):
    """Of gradients, as a share of the largest entry."""
    return max(((a - b).abs().max() / a.abs().max()).item() for a, b in zip(one, other))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("images", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("shuffled", [False, True])
def test_the_same_loss_and_gradients(name, images, shuffled):
    (naive, by), (blocked, own) = both(name, images=images, shuffled=shuffled)
    assert abs(naive - blocked) <= 1e-6 * abs(naive)
    assert largest_difference(by, own) < 1e-6


@pytest.mark.parametrize("name", HEADS)
def test_in_bf16(name):
    """The tokens' gradients to 1e-3. The weights' are rounded to bf16 where the naive form has summed them (2e-3); in
    blocks the sum is float32, and so no further from the gradients in float32 than the naive one."""
    sizes = {"batch": 16, "side": 8, "dim": 48, "images": 3, "above": 1.0}
    (naive, by), (blocked, own) = both(name, **sizes, dtype=torch.bfloat16)
    (_, exact), _ = both(name, **sizes)
    assert abs(naive - blocked) <= 1e-3 * abs(naive)
    assert [g.dtype for g in by] == [g.dtype for g in own]
    assert (by[0] - own[0]).norm() < 1e-3 * by[0].norm()
    for one, other, right in zip(by[1:], own[1:], exact[1:]):
        assert (other - right).norm() <= (one - right).norm()
        assert (other - one).norm() < 3e-3 * one.norm()


def test_without_gradients():
    head, z, target = PairScores(6, 9), torch.randn(5, 4, 6), TASKS.get("sprel").target(2)
    with torch.no_grad():
        loss = mean_in_blocks(cross_entropy, head, z, target, 2)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, cross_entropy(head(z), target), rtol=1e-6, atol=0)


def test_frozen_weights_get_no_gradient():
    head, z = PairScores(6, 9).requires_grad_(False), torch.randn(5, 4, 6, requires_grad=True)
    mean_in_blocks(cross_entropy, head, z, TASKS.get("sprel").target(2), 2).backward()
    assert z.grad is not None and head.w.weight.grad is None


@pytest.mark.parametrize("name", ["sprel", "dist", "ang"])
def test_a_task_takes_blocks_where_its_scores_are_many(name, monkeypatch):
    task = TASKS.get(name)
    head, z, target = task.make_head(10, 3), torch.randn(6, 9, 10), task.target(3)
    whole = task.loss(head, z, target, None)
    sizes = []
    handle = head.register_forward_hook(lambda module, given, out: sizes.append(len(out)))
    monkeypatch.setattr(tasks, "BLOCK", 4 * head.largest(9))
    parts = task.loss(head, z, target, None)
    handle.remove()
    assert sizes == [3, 3]  # two blocks, as even as can be
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=0)
    monkeypatch.setattr(tasks, "BLOCK", 1)  # a single image is more than a block: one at a time
    torch.testing.assert_close(task.loss(head, z, target, None), whole, rtol=1e-6, atol=0)


def test_largest_is_what_the_head_makes():
    for rank in (None, 3):
        head = PairScores(10, 9, rank)
        made = [out.numel() for out in _tensors(head, torch.randn(1, 16, 10))]
        assert head.largest(16) == max(made)


def _tensors(head: nn.Module, z: torch.Tensor) -> list[torch.Tensor]:
    found = []
    for child in head.children():
        child.register_forward_hook(lambda module, given, out: found.append(out))
    found.append(head(z))
    return found


def peak(batch: int, images: int | None) -> int:
    """The most bytes held at a time by loss and backward pass of SpRel at N = 256: naive where images is None."""
    torch.manual_seed(0)
    head, target = PairScores(96, 9), TASKS.get("sprel").target(16)
    z = torch.randn(batch, 256, 96, requires_grad=True)
    with torch.profiler.profile(profile_memory=True) as seen:
        loss = (
            cross_entropy(head(z), target) if images is None else mean_in_blocks(cross_entropy, head, z, target, images)
        )
        loss.backward()
    changes = [e.nbytes() for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    assert changes
    return max(accumulate(changes))


def test_peak_memory_at_256_tokens_is_less_than_half_and_hardly_grows():
    blocks = peak(16, 4)
    assert blocks < 0.5 * peak(16, None)
    assert peak(32, 4) < 1.2 * blocks  # the tokens' gradients grow, the scores do not
