"""§3.1: a task of one's own, tried before it is trained, so that a mistake in it is told as one of its parts."""

from functools import partial

import torch
from torch import Tensor, nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.tasks import Task, predict_and_compare


def check_task(task: Task, head: nn.Module, dim: int, side: int) -> None:
    """Two images of random tokens (2, N, D), N = side * side, go through a task's head, loss and metric.

    Raises RelvitError, with what has to come instead, where one of them gives something else; what a part raises
    itself is left as it is. torch's global generator stays as it was.
    """
    n, target = side**2, task.target(side)
    if target.dim() == 0 or len(target) != n or (target.dim() > 1 and target.shape[1] != n and target.dim() != 2):
        _refuse(task, f"target({side}) has {_shown(target)}, not ({n},) or ({n}, {n}): one for each patch, or pair")
    if target.dtype != torch.int64 and not target.is_floating_point():
        _refuse(task, f"target is {target.dtype}: classes are int64 (target.long()), values float")
    if not target.isfinite().all():
        _refuse(task, "target holds NaN or infinite values")
    if target.dtype == torch.int64 and target.min() < 0:
        _refuse(task, f"target has the class {int(target.min())}: classes are counted from 0")
    if not isinstance(head, nn.Module):
        _refuse(task, f"make_head(dim, grid) gives {_shown(head)}, not a torch.nn.Module")
    draws = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, n, dim, generator=draws).requires_grad_()
    head.eval()
    with torch.random.fork_rng(devices=[]):
        said = head(tokens)
        if isinstance(task.loss, partial) and task.loss.func is predict_and_compare:
            _check_outputs(task, said, target)
        loss, metric = task.loss(head, tokens, target, draws), task.metric(said.detach().float(), target)
    head.train()
    if not isinstance(loss, Tensor) or loss.dim() > 0:
        _refuse(task, f"loss gives {_shown(loss)}, not a tensor of one number, such as a mean")
    if not loss.requires_grad:
        _refuse(task, "loss depends on nothing that is trained: is it of the head's scores, and not detached?")
    if not isinstance(metric, Tensor) or metric.numel() != 1:
        _refuse(task, f"metric gives {_shown(metric)}, not a tensor of one number")


def _check_outputs(task: Task, said: object, target: Tensor) -> None:
    """What the default loss takes: a score for each class, or one value, of each pair or patch."""
    pairs, values, n = target.dim() == 2, target.is_floating_point(), len(target)
    k = 1 if values else int(target.max()) + 1
    form, at = ((2, k, n, n), 1) if pairs else ((2, n, k), 2)
    if isinstance(said, Tensor) and said.dim() == len(form):
        outputs = said.shape[at]
        if said.shape == (*form[:at], outputs, *form[at + 1 :]) and (outputs == 1 if values else outputs >= k):
            return
    what = f"{'a value' if values else f'{k} classes'} for each {'pair' if pairs else 'patch'}"
    head = f"{'PairScores' if pairs else 'TokenScores'}(dim, {k})"
    _refuse(task, f"its target is {what}, so from 2 images its head has to give {form} ({head}), not {_shown(said)}")


def _shown(found: object) -> str:
    return f"the shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__


def _refuse(task: Task, what: str) -> None:
    raise RelvitError(f"task '{task.name}': {what}")
