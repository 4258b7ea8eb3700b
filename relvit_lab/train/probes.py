"""§4 (beyond its tables): what the frozen feature is worth, by its nearest neighbours and by a linear classifier.

n training and t test images, D dimensions of the feature that the classifier of a model would read. Training does not
depend on it, so that it may be asked of a finished stage: the same command then trains nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext

import torch
from torch import Tensor

from relvit_lab import data
from relvit_lab.common.compute.device import Device
from relvit_lab.common.feature_classifiers import knn_accuracy, linear_accuracy
from relvit_lab.data import Split
from relvit_lab.data.base import bar
from relvit_lab.data.feed import Feed, SplitFeed
from relvit_lab.method.model import RelViT
from relvit_lab.method.pipeline import Pipeline
from relvit_lab.train.build import build_model, build_pipeline, train_feed
from relvit_lab.train.events import Note
from relvit_lab.train.experiment import Experiment, Stage
from relvit_lab.train.stage_folder import RunFolder


def probe(
    model: RelViT, pipeline: Pipeline, train: Split | Feed, test: Split | Feed, k: int | None = None,
    linear: bool = False, batch_size: int = 256, autocast=nullcontext,
) -> dict[str, float]:  # fmt: skip
    """Accuracies in % on the test images of what is asked for: "knn" (k neighbours) and "linear_probe".

    The model's weights and mode stay as they are. Training images are seen without augmentation. Raises RelvitError for
    k below 1 and for a training split without images.
    """
    if k is None and not linear:
        return {}
    train_features, test_features = (features(model, pipeline, s, batch_size, autocast) for s in (train, test))
    both = (train_features, train.labels, test_features, test.labels)
    accuracies = {} if k is None else {"knn": knn_accuracy(*both, k)}
    return accuracies | ({"linear_probe": linear_accuracy(*both)} if linear else {})


@torch.no_grad()
def features(
    model: RelViT, pipeline: Pipeline, split: Split | Feed, batch_size: int = 256, autocast=nullcontext
) -> Tensor:
    """The backbone's feature of each image of a split or a feed, in eval mode and with no augmentation.

    (n, D) float32, on the model's device. A progress bar shows after two seconds."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    parts = [torch.empty(0, model.backbone.dim, device=device)]
    try:
        feed = split if isinstance(split, Feed) else SplitFeed(split, device)
        with closing(feed.batches(None, batch_size)) as batches, bar(len(split), "frozen features") as shown:
            for number, (images, labels) in enumerate(batches):
                batch = pipeline.evaluate(images, labels, number * batch_size)
                with autocast():
                    feature, _ = model.backbone(batch.images)
                parts.append(feature.float())
                shown.update(len(images))
    finally:
        model.train(was_training)
    return torch.cat(parts)


# Of a finished stage


def missing_probes(e: Experiment, result: dict) -> list[str]:
    """The metrics that the experiment asks for and a result lacks."""
    asked = [f"knn_{e.knn}"] * (e.knn is not None) + ["linear_probe"] * e.linear_probe
    return [name for name in asked if name not in result["metrics"]]


def add_probes(stage: Stage, folder: RunFolder, device: Device, dataset: Callable[[], data.Dataset]) -> Iterator[Note]:
    """Compute what the experiment asks for and the folder's result.json lacks: "knn_K", the accuracy in % of the
    K nearest neighbours on the test images, and "linear_probe". The classifiers learn from the stage's training images
    (fine-tuning's share of labels too), without augmentation, and the weights in model.safetensors. The folder's lock
    is held by the caller."""
    e, result = stage.experiment, folder.ended()
    missing = missing_probes(e, result)
    if not missing:
        return
    linear = "linear_probe" in missing
    k = e.knn if len(missing) > linear else None
    whole = dataset()
    train, test = train_feed(stage, whole, device.torch), SplitFeed(whole.test, device.torch)
    words = " and ".join([f"{k} nearest neighbours"] * (k is not None) + ["a linear probe"] * linear)
    yield Note(f"{words} on the frozen features of {len(train):,} training and {len(test):,} test images")
    model = build_model(stage, len(whole.classes))
    model.load_state_dict(folder.weights())
    model.to(device.torch)
    pipeline = build_pipeline(stage, whole)
    found = probe(model, pipeline, train, test, k, linear, e.batch_size, device.autocast)
    if "knn" in found:
        found[f"knn_{k}"] = found.pop("knn")
    result["metrics"] |= found
    result["units"] |= dict.fromkeys(found, "%")
    folder.write_json("result.json", result)
