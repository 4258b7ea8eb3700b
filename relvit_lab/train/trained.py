"""A trained model given back: from a run folder, with its transform and its experiment."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.paths import resolve
from relvit_lab.method.backbones.weights import read_weights
from relvit_lab.method.model import RelViT
from relvit_lab.method.pipeline import Pipeline
from relvit_lab.train import assets
from relvit_lab.train.build import build_model
from relvit_lab.train.experiment import Experiment, Stage
from relvit_lab.train.stage_folder import RunFolder


@dataclass(frozen=True)
class Trained:
    """What `load` returns.

    model: in eval mode, on the CPU. pipeline: the path of its images. experiment: resolved. stage: its name.
    classes, metrics: of its data set and its last epoch.
    """

    model: RelViT
    pipeline: Pipeline
    experiment: Experiment
    stage: str
    classes: tuple[str, ...]
    metrics: dict
    folder: Path

    def __iter__(self) -> Iterator[object]:
        """model, transform, experiment = load(run)"""
        return iter((self.model, self.transform, self.experiment))

    def transform(self, images: object) -> Tensor:
        """Images as the model takes them: (B, 3, H, W) float, normalised.

        images: a PIL image, or uint8 (H, W), (H, W, C), (C, H, W) or (B, C, H, W) as an array or a tensor, C 1 or 3.
        Another size is resized. With mega-patches the cuts are fixed by the place in the batch.
        """
        pixels = torch.as_tensor(np.array(images) if not isinstance(images, Tensor) else images)
        if pixels.dtype != torch.uint8:
            raise RelvitError(f"transform takes uint8 pixels in 0..255, not {pixels.dtype}")
        if pixels.dim() == 2:
            pixels = pixels[None]
        if pixels.dim() == 3 and pixels.shape[0] not in (1, 3):
            pixels = pixels.permute(2, 0, 1)  # (H,W,C) -> (C,H,W)
        if pixels.dim() == 3:
            pixels = pixels[None]
        if pixels.dim() != 4 or pixels.shape[1] not in (1, 3):
            raise RelvitError(f"transform takes images of 1 or 3 channels, not the shape {tuple(pixels.shape)}")
        return self.pipeline.evaluate(pixels, torch.zeros(len(pixels), dtype=torch.int64)).images


def load(run: str | Path, run_dir: str | Path = "runs") -> Trained:
    """The model of a finished stage, or one that comes with the package (assets/: digits_tasks, cifar10_tasks).

    run: a stage's id (or the start of it), the path of its folder, or the name of an asset. Raises RelvitError.
    """
    asset = assets.FOLDER / f"{run}.json"
    if str(run) in assets.names() and not (resolve(run_dir) / run).exists():
        about = json.loads(asset.read_text(encoding="utf-8"))
        return _build(about, about["stored"]["metrics"], read_weights(asset.with_suffix(".safetensors")), asset.parent)
    folder = _find(run, run_dir)
    about, _, result = folder.finished()
    about["experiment"] |= {"init_from": None, "run_dir": str(folder.path.parent)}
    return _build(about, result["metrics"], folder.weights(), folder.path)


def _build(about: dict, metrics: dict, weights: Mapping[str, Tensor], folder: Path) -> Trained:
    """about: what experiment.json says of the experiment, the stage and the data."""
    fields = about["experiment"]
    e = Experiment.create({name: value for name, value in fields.items() if name in Experiment.names()})
    stage = Stage(about["stage"]["name"], e)
    described = about["data"]
    model = build_model(stage, len(described["classes"]))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RelvitError(f"the weights in {folder} are not this stage's ({str(error)[:200]})") from None
    pipeline = Pipeline(
        e.image_size, e.patch_size, tuple(described["mean"]), tuple(described["std"]), e.recipe,
        mega_patches=stage.mega_patches,
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
        from safetensors.torch import save_file

        save_file({name: value.contiguous() for name, value in weights.items()}, resolve(file))
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
