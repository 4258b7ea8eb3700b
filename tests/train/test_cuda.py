"""On a GPU: the same images, losses and gradients as on the CPU; every backbone trains in bf16. Skipped without one."""

import dataclasses

import pytest
import torch

from relvit_lab.common.compute.choose_device import pick_device
from relvit_lab.method.pipeline import Pipeline
from relvit_lab.train.build import load_data
from relvit_lab.train.events import StageFinished
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.state import Training
from relvit_lab.train.training import run

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def images(count: int = 16, size: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("more", [{}, {"mega_patches": 4}, {"crop": "padded"}, {"recipe": "released"}])
def test_the_pipeline_gives_the_same_images(more):
    labels = torch.arange(16) % 10
    made = {}
    for place in ("cpu", DEVICE):
        pipeline = Pipeline(32, 4, (0.5,) * 3, (0.25,) * 3, patch_augment=True, shuffle=True, **more)
        draws = torch.Generator().manual_seed(1)
        made[place] = pipeline.train(images().to(place), labels.to(place), draws)
    assert made[DEVICE].images.device.type == DEVICE
    torch.testing.assert_close(made[DEVICE].images.cpu(), made["cpu"].images, atol=2e-3, rtol=0)
    assert torch.equal(made[DEVICE].permutation.cpu(), made["cpu"].permutation)


def test_float32_steps_are_those_of_the_cpu():
    e = Experiment(preset="smoke", dataset="digits", scenario="downstream_only", dropout=0.0, precision="float32")
    stage = e.stages()[0]
    dataset = load_data(stage.experiment)
    sums = {}
    for place in ("cpu", DEVICE):
        training = Training(stage, pick_device(place, "float32"), dataset)
        order = torch.arange(training.batch_size)
        for batch in training.train.batches(order, training.batch_size):
            training.train_step(*batch)
        sums[place] = {name: float(value) for name, value in training.sums.items()}
    assert sums[DEVICE] == pytest.approx(sums["cpu"], rel=1e-4)


def test_a_seed_repeats_in_bf16():
    e = Experiment(preset="smoke", dataset="digits", precision="bf16", device=DEVICE)
    losses = []
    for name in ("a", "b"):
        finished = [r for r in run(dataclasses.replace(e, run_dir=name)) if isinstance(r, StageFinished)]
        losses.append([r.result["metrics"] for r in finished])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("backbone", ["vit_s_4", "vit_s_32", "swin_t", "t2t_vit_14"])
def test_every_backbone_trains_in_bf16(backbone, compiled):
    """Full size, joint, two steps: finite losses."""
    e = Experiment(
        preset="demo", dataset="digits", backbone=backbone, scenario="downstream_only", batch_size=4, compile=compiled
    )
    stage = e.stages()[0]
    training = Training(stage, pick_device(DEVICE, "bf16"), load_data(stage.experiment))
    for batch in training.train.batches(torch.arange(8), 4):
        training.train_step(*batch)
    assert all(torch.isfinite(value) for value in training.sums.values())
