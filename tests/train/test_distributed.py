"""Several devices do what one does: shares of a batch in one process, and two processes on the CPU."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from process_pair import Pair, train
from safetensors.torch import load_file
from torch import nn

from relvit_lab.__main__ import main
from relvit_lab.common.compute.device import Device
from relvit_lab.common.compute.distributed import Devices
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.randomness import BatchGenerator, Share, generator
from relvit_lab.data.base import Split
from relvit_lab.data.feed import SplitFeed
from relvit_lab.method import drloc
from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.heads import PairMLP
from relvit_lab.method.model import RelViT
from relvit_lab.method.pipeline import Pipeline
from relvit_lab.method.tasks import TASKS
from relvit_lab.train.environment import environment
from relvit_lab.train.evaluate import evaluate
from relvit_lab.train.stage_folder import RunFolder

pytestmark = pytest.mark.long

CPU = torch.device("cpu")

# -- shares, in one process ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("batch", [1, 2, 5, 16, 17])
def test_shares_are_the_batch_in_pieces_of_nearly_one_size(world, batch):
    shares = [Share(rank, world) for rank in range(world)]
    counts = [share.images(batch) for share in shares]
    assert sum(counts) == batch and max(counts) - min(counts) <= 1
    own = [list(range(batch))[share.rows(batch)] for share in shares]
    assert [len(rows) for rows in own] == [max(1, count) for count in counts]  # a stand-in where there is none
    assert [row for rows, count in zip(own, counts) if count for row in rows] == list(range(batch))


PIPELINES = {
    "patches": {"patch_augment": True, "shuffle": True},
    "mega": {"mega_patches": 3, "patch_augment": True},
    "released": {"recipe": "released", "crop": "padded", "mega_patches": 4, "shuffle": True, "patch_augment": True},
    "photographs": {"image_size": 64, "patch_size": 16, "patch_augment": True, "shuffle": True},
}


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("world", [2, 3])
def test_shares_are_augmented_as_the_batch_is(name, world):
    fields = {"image_size": 32, "patch_size": 4, "mean": (0.5,) * 3, "std": (0.2,) * 3} | PIPELINES[name]
    side = 140 if name == "photographs" else 32
    images = torch.randint(0, 256, (7, 3, side, side), dtype=torch.uint8, generator=generator("images"))
    labels, pipeline = torch.arange(7), Pipeline(**fields)
    whole = pipeline.train(images, labels, generator("step"))
    parts = []
    for rank in range(world):
        share = Share(rank, world)
        draws = BatchGenerator().of(7, share).manual_seed(generator("step").initial_seed())
        rows = share.rows(7)
        parts.append(pipeline.train(images[rows], labels[rows], draws))
    torch.testing.assert_close(torch.cat([part.images for part in parts]), whole.images, rtol=0, atol=1e-5)
    if whole.permutation is not None:
        assert torch.equal(torch.cat([part.permutation for part in parts]), whole.permutation)


@torch.no_grad()
def test_pairs_that_a_task_draws_are_those_of_the_batch():
    head, tokens, targets = PairMLP(8, 2), torch.randn(5, 16, 8), drloc.normalised_offsets(4)
    whole = drloc.sampled_l1(head, tokens, targets, generator("pairs"))
    losses = []
    for share in (Share(0, 2), Share(1, 2)):
        draws = BatchGenerator().of(5, share).manual_seed(generator("pairs").initial_seed())
        losses.append(drloc.sampled_l1(head, tokens[share.rows(5)], targets, draws).item())
    assert (2 * losses[0] + 3 * losses[1]) / 5 == pytest.approx(whole.item(), abs=1e-6)


@pytest.mark.parametrize("resident", [True, False])
def test_a_feed_gives_shares_of_its_batches(resident):
    split = Split(torch.arange(11 * 12, dtype=torch.uint8).view(11, 3, 2, 2), torch.arange(11))
    feed, order = SplitFeed(split, CPU, resident=resident), torch.randperm(11)
    whole = list(feed.batches(order, 5))
    for first in (0, 1):
        parts = [list(feed.batches(order, 5, first, share=Share(rank, 2))) for rank in (0, 1)]
        for (one, one_labels), (other, other_labels), (images, labels) in zip(*parts, whole[first:], strict=True):
            if len(images) == 1:  # the second device looks at the first one's image
                one, one_labels = one[:0], one_labels[:0]
            assert torch.equal(torch.cat([one, other]), images)
            assert torch.equal(torch.cat([one_labels, other_labels]), labels)


class Summing(Device):
    """A device that keeps the sums of its share, to be added up here."""

    def summed(self, values):
        self.__dict__["sums"] = values
        return values


@pytest.mark.parametrize("mega", [None, 3])
def test_an_evaluation_is_split_and_its_sums_are_equal(mega):
    side = 8 if mega is None else 4 * mega
    model = RelViT(create_backbone("vit_nano", image_size=16 if mega is None else side, patch=4 if mega else 2),
                   [TASKS.get("sprel"), TASKS.get("drloc")], classes=3)  # fmt: skip
    images = torch.randint(0, 256, (7, 3, 16, 16), dtype=torch.uint8)
    split = Split(images, torch.arange(7) % 3)
    pipeline = Pipeline(16, 4 if mega else 2, (0.5,) * 3, (0.2,) * 3, mega_patches=mega)
    whole = evaluate(model, pipeline, split, 3)  # batches of 3, 3 and 1
    devices = [Summing(CPU, "float32", Share(rank, 2)) for rank in (0, 1)]
    for device in devices:
        evaluate(model, pipeline, split, 3, device=device)
    for name, value in whole.items():
        assert sum(float(device.__dict__["sums"][name]) for device in devices) / 7 == pytest.approx(value, abs=1e-5)


def test_batch_norm_is_refused():
    devices = Devices(CPU, "float32", Share(0, 2))
    with pytest.raises(RelvitError, match=r"1 is a batch norm.*one device"):
        devices.wrap(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))


def test_the_environment_says_how_many():
    device = Device(CPU, "float32")
    assert environment(device)["devices"] == 1
    assert environment(replace(device, share=Share(1, 4)))["devices"] == 4


@pytest.mark.parametrize("rank, says", [("0", True), ("1", False)])
def test_only_train_runs_on_several(monkeypatch, capsys, rank, says):
    for name, value in {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert main(["runs"]) == 1
    assert ("only train runs on several devices" in capsys.readouterr().err) == says
    assert main(["train", "--device", "cuda:1"]) == 1


# -- two processes ---------------------------------------------------------------------------------------------------

# 24 steps; batches do not divide by two, and the last ones of "released" have one image: the second process has none.
# AdamW makes a step of about the learning rate of a gradient that is nothing but rounding: hence the small rate.
FIELDS = {"preset": "smoke", "epochs": 4, "batch_size": 17, "train_images": 96, "test_images": 45, "lr": 1e-4,
          "precision": "float32"}  # fmt: skip
SETTINGS = {
    "joint": {"scenario": "downstream_only", "tasks": "sprel+drloc"},
    "mega": {"tasks": "sprel+dist+ang+abspos", "mega_patches": 3, "shuffle": True},
    "released": {"recipe": "released", "drop_path": 0.0, "scenario": "supervised", "batch_size": 19, "test_images": 39},
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    pair = Pair(tmp_path_factory.mktemp("pair"))
    yield pair
    pair.close()


def assert_close(one: Path, two: Path, tolerance: float = 1e-5) -> None:
    folders = sorted(folder.name for folder in (one / "runs").iterdir())
    assert folders and folders == sorted(folder.name for folder in (two / "runs").iterdir())
    for name in folders:
        weights, others = (load_file(home / "runs" / name / "model.safetensors") for home in (one, two))
        for part in weights:
            assert (weights[part] - others[part]).abs().max() <= tolerance, part
        lines, other_lines = (RunFolder(home / "runs" / name).metrics() for home in (one, two))
        for line, other in zip(lines, other_lines, strict=True):
            for split in ("train", "test"):
                assert other[split] == pytest.approx(line[split], rel=0, abs=10 * tolerance)  # some are x 100
                assert other[split]["loss"] == pytest.approx(line[split]["loss"], rel=0, abs=tolerance)


@pytest.mark.parametrize("name", SETTINGS)
def test_two_processes_equal_one(pair, tmp_path, name):
    fields = FIELDS | SETTINGS[name]
    records, others = pair("train", home=str(tmp_path / "two"), **fields)
    assert records[0] == "StageStarted" and records[-1] == "StageFinished" and others == []
    train(str(tmp_path / "one"), **fields)
    assert_close(tmp_path / "one", tmp_path / "two")
    for result in (tmp_path / "two" / "runs").glob("*/result.json"):
        assert json.loads(result.read_text())["environment"]["devices"] == 2


def test_from_two_to_one_and_back(pair, tmp_path):
    """SIGTERM to the second process: both stop after the same step, within an epoch, with one checkpoint."""
    fields = FIELDS | SETTINGS["joint"]
    home = str(tmp_path / "pieces")
    steps = pair("train", home=home, terminate=1, at=7, **fields)
    assert steps[0] == steps[1] and steps[0][0] in (7, 8, 9)
    (folder,) = (tmp_path / "pieces" / "runs").iterdir()
    state = RunFolder(folder).checkpoint(folder.name)
    assert state["step"] == steps[0][0] and not any(name.startswith("module.") for name in state["model"])
    assert train(home, terminate=0, at=13, **fields) == [13]
    records, _ = pair("train", home=home, **fields)
    assert records[-1] == "StageFinished"
    train(str(tmp_path / "whole"), **fields)
    assert_close(tmp_path / "whole", tmp_path / "pieces")
    assert not list(folder.glob("*.partial"))


def test_a_finished_stage_is_read_back_by_the_first(pair, tmp_path):
    fields = FIELDS | {"scenario": "supervised", "epochs": 1, "knn": 3}
    for _ in range(2):
        records, others = pair("train", home=str(tmp_path), **fields)
        assert records[-1] == "StageFinished" and others == []
    (result,) = (json.loads(path.read_text()) for path in tmp_path.glob("runs/*/result.json"))
    assert "knn_3" in result["metrics"]


# -- under torchrun --------------------------------------------------------------------------------------------------


def torchrun(*words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", "-m",
               "relvit_lab", "train", "--preset", "smoke", "--scenario", "supervised", *words]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_an_epoch_is_done(process: subprocess.Popen) -> list[str]:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("epoch"):
            break
    return lines


def test_ctrl_c_then_a_kill_of_one(tmp_path):
    """Ctrl-C leaves a checkpoint and one message; after a kill of one process the other ends as well."""
    process = torchrun("--epochs", "5000")
    said = until_an_epoch_is_done(process)
    assert len([line for line in said if line.startswith("supervised:")]) == 1  # once, not by each
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=180)
    assert out.count("Interrupted in supervised") == 1 and err.count("stopped; the same command") == 1
    (folder,) = (tmp_path / "runs").iterdir()
    step = RunFolder(folder).checkpoint(folder.name)["step"]
    assert step > 0 and not (folder / "result.json").exists()

    process = torchrun("--epochs", "5000")
    said = until_an_epoch_is_done(process)
    assert any(f"step {step + 1}" in line for line in said)
    workers = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
    pids = sorted(map(int, workers.stdout.split()))
    assert len(pids) == 2
    os.kill(pids[1], signal.SIGKILL)
    began = time.monotonic()
    _, err = process.communicate(timeout=180)
    assert process.returncode != 0 and time.monotonic() - began < 60
    assert not re.search(r"^  File .*relvit_lab", err, re.M)  # the one that is left ends without a traceback of ours
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_what_one_meets_is_said_once_and_ends_both(tmp_path):
    pair = Pair(tmp_path)  # of its own, for it is no use afterwards
    words = ["train", "--preset", "smoke", "--scenario", "supervised"]
    assert pair("command", words=words, fails=1, at=4) == [1, 1]
    pair.close()
    said = [file.read_text() for file in pair.said]
    assert "error: this device is unhappy" in said[1] and "error" not in said[0]
    assert "Traceback" not in "".join(said)
