"""A trained model given back: from a run folder, with its transform and its experiment."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from relvit_lab import data
from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.files import write_whole
from relvit_lab.common.paths import resolve
from relvit_lab.common.shortages import write_explained
from relvit_lab.common.weights_file import read_weights
from relvit_lab.data import given_image
from relvit_lab.method.model import RelViT
from relvit_lab.method.pipeline import Pipeline
from relvit_lab.train import assets
from relvit_lab.train.build import build_model
from relvit_lab.train.experiment import Resolved, Stage
from relvit_lab.train.stage_folder import RunFolder


@dataclass(frozen=True)
class Trained:
    """What `load` returns.

    model: in eval mode, on the CPU. pipeline: the path of its images. experiment: resolved. stage: its name.
    classes, metrics: of its data set and its last epoch.
    """

    model: RelViT
    pipeline: Pipeline
    experiment: Resolved
    stage: str
    classes: tuple[str, ...]
    metrics: dict
    folder: Path

    def __iter__(self) -> Iterator[object]:
        """model, transform, experiment = load(run)"""
        return iter((self.model, self.transform, self.experiment))

    def transform(self, images: object) -> Tensor:
        """Images as the model takes them: (B, 3, H, W) float, normalised.

        images: one or a list of what data.given_image takes, of any sizes: a path, a file's bytes, an upload, a PIL
        image, an array (H, W), (H, W, C) or (C, H, W), uint8 or float in [0, 1]; or images as a data set holds them, as
        uint8 (B, C, H, W) or (C, H, W), C 1 or 3. A file gives what the same file gives in a data set: upright, its
        middle square, resized. With mega-patches the cuts are fixed by the place in the batch. Raises RelvitError.
        """
        parts = [self._stored(one) for one in _each(images)]
        if len({part.shape[1:] for part in parts}) == 1:
            parts = [torch.cat(parts)]
        made, first = [], 0
        for part in parts:
            made.append(self.pipeline.evaluate(part, torch.zeros(len(part), dtype=torch.int64), first).images)
            first += len(part)
        return torch.cat(made)

    def _stored(self, image: object) -> Tensor:
        """(B, C, S, S) uint8 as data.load would hold it; of a tensor in another size, the pipeline resizes it."""
        of_files, size = data.of_files(self.experiment.dataset), self.experiment.image_size
        side = data.stored_side(size) if of_files else size
        if isinstance(image, (Tensor, np.ndarray)) and image.ndim == 4:
            batch = [self._stored(one) for one in image]
            if not batch:
                raise RelvitError("transform takes at least one image")
            return torch.cat(batch)
        given = given_image.given_image(image)
        if isinstance(given, Tensor):
            given = given if given.dtype == torch.uint8 else (given * 255).round().byte()
            if min(given.shape[-2:]) == side or (isinstance(image, Tensor) and not of_files):
                return given_image.middle(given)[None]
        return given_image.square(given, side)[None]


def _each(images: object) -> list:
    """The images of a list, or of an upload; anything else is one."""
    uploads = given_image.uploaded(images)
    several = uploads if uploads is not None else images
    if not isinstance(several, (list, tuple)):
        return [images]
    if not several:
        raise RelvitError("transform takes at least one image")
    return list(several)


def load(run: str | Path, run_dir: str | Path = "runs") -> Trained:
    """The model of a finished stage, or one that comes with the package (assets/README.md lists them).

    run: a stage's id (or the start of it), the path of its folder, or the name of an asset. Raises RelvitError.
    """
    run = str(run)
    asset = assets.FOLDER / f"{run}.json"
    if run in assets.names() and not (resolve(run_dir) / run).exists():
        about = json.loads(asset.read_text(encoding="utf-8"))
        return _build(about, about["stored"]["metrics"], read_weights(asset.with_suffix(".safetensors")), asset.parent)
    folder = _find(run, run_dir)
    about, _, result = folder.finished()
    about["experiment"] |= {"init_from": None, "run_dir": str(folder.path.parent)}
    return _build(about, result["metrics"], folder.weights(), folder.path)


def _build(about: dict, metrics: dict, weights: Mapping[str, Tensor], folder: Path) -> Trained:
    """about: what experiment.json says of the experiment, the stage and the data."""
    fields = about["experiment"]
    e = Resolved.create({name: value for name, value in fields.items() if name in Resolved.names()})
    stage = Stage(about["stage"]["name"], e)
    described = about["data"]
    model = build_model(stage, len(described["classes"]))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RelvitError(f"the weights in {folder} are not this stage's ({str(error)[:200]})") from None
    pipeline = Pipeline(
        e.image_size, e.patch_size, tuple(described["mean"]), tuple(described["std"]), e.recipe,
        mega_patches=stage.mega_patches, centre=e.image_size if data.of_files(e.dataset) else None,
    )  # fmt: skip
    return Trained(model.eval(), pipeline, e, stage.name, tuple(described["classes"]), metrics, folder)


def untrained(trained: Trained, seed: int = 0) -> Trained:
    """The same architecture, heads and transform with fresh weights: what the model was like before its training."""
    with torch.random.fork_rng(devices=[]):  # the caller's draws stay as they are
        torch.manual_seed(seed)
        model = build_model(Stage(trained.stage, trained.experiment), len(trained.classes))
    return replace(trained, model=model.eval(), metrics={})


def export_timm(run: str | Path, file: str | Path | None = None, run_dir: str | Path = "runs") -> dict[str, Tensor]:
    """The backbone of a finished stage as a timm state dict, its classifier as timm's head where it has one.

    file: written as .safetensors, too. Load it with timm.create_model(...).load_state_dict. Raises RelvitError.
    """
    trained = load(run, run_dir)
    weights = dict(trained.model.backbone.timm_state_dict())
    if trained.model.classifier is not None:
        head = getattr(trained.model.backbone, "timm_head", "head")
        weights |= {f"{head}.{name}": value for name, value in trained.model.classifier.state_dict().items()}
    if file is not None:
        from safetensors.torch import save

        path = resolve(file)
        with write_explained(path):
            write_whole(path, save({name: value.contiguous() for name, value in weights.items()}))
    return weights


def _find(run: str | Path, run_dir: str | Path) -> RunFolder:
    places = [resolve(run_dir) / run, resolve(run)]
    for path in places:
        if (path / "experiment.json").is_file():
            return RunFolder(path)
    known = [path.parent.name for path in resolve(run_dir).glob("*/result.json")]
    begun = [name for name in known if name.startswith(str(run))]
    if len(begun) == 1:
        return RunFolder(resolve(run_dir) / begun[0])
    raise RelvitError(f"no run '{run}' in {resolve(run_dir)}: {nearest(run, begun or [*known, *assets.names()])}")
