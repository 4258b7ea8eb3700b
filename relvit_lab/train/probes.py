"""§4 (beyond its tables): what the frozen feature is worth, by its nearest neighbours and by a linear classifier.

n training and t test images, D dimensions of the feature that the classifier of a model would read. Training does not
depend on it, so that it may be asked of a finished stage: the same command then trains nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from relvit_lab import data
from relvit_lab.common.compute.device import Device
from relvit_lab.common.errors import RelvitError
from relvit_lab.data import Split
from relvit_lab.data.base import bar
from relvit_lab.data.feed import Feed, SplitFeed
from relvit_lab.method.model import RelViT
from relvit_lab.method.pipeline import Pipeline
from relvit_lab.train.build import build_model, build_pipeline, train_feed
from relvit_lab.train.events import Note
from relvit_lab.train.experiment import Experiment, Stage
from relvit_lab.train.stage_folder import RunFolder

TEMPERATURE = 0.07  # of the neighbours' votes: Wu et al., CVPR 2018
BLOCK = 2**24  # similarities held at a time (64 MiB)
MAX_ITERATIONS = 1000


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


# -- the classifiers ------------------------------------------------------------------------------------------------


@torch.no_grad()
def knn_accuracy(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, k: int) -> float:
    """The share of test images, in %, that their k nearest training images put into the right class.

    By cosine similarity s; a neighbour's vote has the weight exp(s / 0.07), as in Wu et al., "Unsupervised feature
    learning via non-parametric instance discrimination" (CVPR 2018), so that ties hardly occur. k above n counts as n.
    train: (n, D), test: (t, D), on one device, where it is computed in float32, in blocks of test images.
    train_labels: (n,), test_labels: (t,) int64. Raises RelvitError for k below 1, and where n is 0.
    """
    _check_images(train)
    if k < 1:
        raise RelvitError(f"knn is a number of neighbours, at least 1, not {k}")
    k, classes = min(k, len(train)), int(train_labels.max()) + 1
    train, test = F.normalize(train.float(), dim=1), F.normalize(test.float(), dim=1)
    train_labels, test_labels = train_labels.to(train.device), test_labels.to(train.device)
    right = torch.zeros((), dtype=torch.int64, device=train.device)
    size = max(1, BLOCK // max(len(train), k * classes))
    for block, answers in zip(test.split(size), test_labels.split(size)):
        similarity, index = (block @ train.T).topk(k)  # (b,D) (D,n) -> (b,n) -> (b,k) each
        weights = ((similarity - 1) / TEMPERATURE).exp()  # of at most 1
        votes = F.one_hot(train_labels[index], classes) * weights[..., None]  # (b,k,classes)
        right += (votes.sum(1).argmax(1) == answers).sum()
    return 100 * int(right) / max(1, len(test))


def linear_accuracy(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    """The share of test images, in %, that a linear classifier of the training features puts into the right class.

    scikit-learn's logistic regression (L2 penalty, C = 1, L-BFGS) on features standardised by the training images; it
    draws nothing, and runs on the CPU. (torch's L-BFGS to the same optimum was no faster there: 8.7 to 14.0 s against
    7.9 s for 50,000 x 384 in 10 classes, on one core.) Shapes as in knn_accuracy.
    Raises RelvitError where there are no training images.
    """
    from sklearn.linear_model import LogisticRegression  # here, not above: it takes a second to import

    _check_images(train)
    mean, sd = train.double().mean(0), train.double().std(0, correction=0)
    sd = torch.where(sd > 0, sd, 1.0)  # a feature that never changes says nothing
    x, y = (((part - mean) / sd).float().cpu().numpy() for part in (train, test))
    labels, answers = train_labels.cpu().numpy(), test_labels.cpu().numpy()
    if len(set(labels.tolist())) == 1:  # nothing to tell apart
        return 100 * float((answers == labels[0]).mean())
    classifier = LogisticRegression(max_iter=MAX_ITERATIONS).fit(x, labels)
    return 100 * float((classifier.predict(y) == answers).mean())


def _check_images(train: Tensor) -> None:
    if not len(train):
        raise RelvitError("k-NN and linear probe need training images, and there are none")


# -- of a finished stage --------------------------------------------------------------------------------------------


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
