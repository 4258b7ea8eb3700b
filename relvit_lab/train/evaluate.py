"""§4.2 (the metrics of the tables): a model on test images, with no augmentation and no shuffle."""

from collections.abc import Mapping
from contextlib import closing

import torch
import torch.nn.functional as F

from relvit_lab.common.compute.device import Device
from relvit_lab.common.randomness import BatchGenerator
from relvit_lab.data import Split
from relvit_lab.data.feed import Feed, SplitFeed
from relvit_lab.method.model import RelViT
from relvit_lab.method.pipeline import Pipeline
from relvit_lab.method.tasks import Task
from relvit_lab.train.engine import whole_batches_only


@torch.no_grad()
def evaluate(
    model: RelViT, pipeline: Pipeline, split: Split | Feed, batch_size: int = 256,
    weights: Mapping[str, float] | None = None, device: Device | None = None,
) -> dict[str, float]:  # fmt: skip
    """Means over the images of a split or a feed. device: whose precision it has, and that of its kind share the work
    where there are several; None: the model's, in float32.

    Returns "loss" (the weighted sum of what is trained), "accuracy" in % where there is a classifier, and each task's
    metric by its name.
    """
    weights = weights or {task.name: task.weight for task in model.tasks}
    was_training = model.training
    model.eval()
    sums: dict[str, torch.Tensor] = {}
    device = device or Device(next(model.parameters()).device, "float32")
    feed = split if isinstance(split, Feed) else SplitFeed(split, device.torch)
    with closing(feed.batches(None, batch_size, share=device.share)) as batches:
        for number, (images, labels) in enumerate(batches):
            first = number * batch_size
            count = min(batch_size, len(feed) - first)
            batch = pipeline.evaluate(images, labels, first + device.share.rows(count).start)
            draws = BatchGenerator(images.device).of(count, device.share).manual_seed(first)
            with whole_batches_only(model, count == batch_size), device.autocast():
                logits, tokens = model(batch.images)
                losses = model.task_losses(tokens, generator=draws)
                values = model.task_metrics(tokens)
            parts = [weights[name] * value.float() for name, value in losses.items()]
            if logits is not None:
                parts.append(F.cross_entropy(logits.float(), labels))
                values["accuracy"] = 100 * (logits.argmax(1) == labels).float().mean()
            for name, value in {"loss": sum(parts[1:], start=parts[0]), **values}.items():
                sums[name] = sums.get(name, 0) + value.to(device.sums) * device.share.images(count)
    model.train(was_training)
    return {name: float(value) / len(split) for name, value in device.summed(sums).items()}


def chance(task: Task, side: int) -> float:
    """The metric of the best constant answer on a grid of that side, for a task with the default metric.

    The share of the largest class in %, or 100 times the variance of the target (as MSE x 100).
    """
    target = task.target(side)
    if target.is_floating_point():
        return 100 * float(target.double().var(correction=0))
    return 100 * float(target.flatten().bincount().max()) / target.numel()
