"""The ids of what was run before: results and models on record are found by them, so no change of code changes one."""

import json
from pathlib import Path

import pytest

from relvit_lab.train.assets import FOLDER
from relvit_lab.train.experiment import Experiment, _hash

RESULTS = Path(__file__).parents[2] / "results"
FILES = [*sorted(RESULTS.rglob("*.json")), *sorted(FOLDER.glob("*.json"))]
RECORDS = [record for file in FILES if "stage" in (record := json.loads(file.read_text(encoding="utf-8")))]

# of fields that no record has at another value than the default; computed when the field was new
MORE = [
    ({"dataset": "flower102", "preset": "paper", "recipe": "released", "train_on": "train+val"},
     "flower102-pretrain_finetune-f5a7eb1132", ["flower102-pretrain-801f4b0864", "flower102-finetune-ad14cd7691"]),
    ({"dataset": "imagenet100", "preset": "paper", "scenario": "downstream_only", "backbone": "swin_t",
      "tasks": "drloc", "drloc_form": "released", "pair_head": "mlp", "data_source": "files"},
     "imagenet100-downstream_only-5a0e767403", ["imagenet100-joint-c548286d2c"]),
    ({"dataset": "svhn", "preset": "demo", "tasks": "abspos,sprel,dist", "task_weights": "1,2,3", "mega_patches": 4,
      "shuffle": True, "knn": 5, "linear_probe": True, "stop_after": "pretrain", "pair_head": "scores"},
     "svhn-pretrain_finetune-de1fa150db", ["svhn-pretrain-57cb405f9f"]),
    ({"dataset": "tiny_imagenet", "epochs": 7, "batch_size": 8, "lr": 1e-3, "weight_decay": 0.1, "dropout": 0.1,
      "drop_path": 0.2, "clip": 1, "train_images": 50, "test_images": 20, "image_size": 32, "patch_size": 8,
      "backbone": "vit_nano", "factored_heads": True, "image_crop": "padded", "flip": False, "pos_embed": True,
      "device": "cpu", "precision": "float32", "compile": True, "profile": True, "run_dir": "x", "fresh": True},
     "tiny_imagenet-pretrain_finetune-4814c706e1",
     ["tiny_imagenet-pretrain-72352c0bd0", "tiny_imagenet-finetune-17a3e99a26"]),
]  # fmt: skip


def test_every_record_and_model_still_has_its_id():
    assert len(RECORDS) > 100
    for record in RECORDS:
        assert record["id"].endswith(_hash(record["fields"]))
        if record["experiment"]["dataset"].endswith(".npz"):  # of the search on images held back: not on this machine
            continue
        stages = {stage.name: stage.id for stage in Experiment.create(record["experiment"]).stages()}
        assert stages[record["stage"]["name"]] == record["id"]


@pytest.mark.parametrize("fields, run, stages", MORE)
def test_ids_of_fields_that_no_record_changes(fields, run, stages):
    experiment = Experiment(**fields)
    assert experiment.id == run and [stage.id for stage in experiment.stages()] == stages
