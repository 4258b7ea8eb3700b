"""§4 (beyond its tables): what the frozen features of a finished stage are worth, added to its result.

Training does not depend on it, so that it may be asked for later: the same command then trains nothing.
"""

from collections.abc import Callable, Iterator

from relvit_lab import data
from relvit_lab.data.base import counter
from relvit_lab.train.build import build_model, build_pipeline, train_feed
from relvit_lab.train.device import Device
from relvit_lab.train.events import Note
from relvit_lab.train.experiment import Experiment, Stage
from relvit_lab.train.feed import SplitFeed
from relvit_lab.train.probes import probe
from relvit_lab.train.stage_folder import RunFolder


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
    with counter(len(train) + len(test), "frozen features") as count:
        found = probe(
            model, pipeline, train, test, k, linear, e.batch_size, device.autocast, lambda seen, _: count(seen)
        )
    if "knn" in found:
        found[f"knn_{k}"] = found.pop("knn")
    result["metrics"] |= found
    result["units"] |= dict.fromkeys(found, "%")
    folder.write_json("result.json", result)
