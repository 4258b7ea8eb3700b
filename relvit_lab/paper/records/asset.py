"""A finished stage becomes a model of the package (assets/): `python -m relvit_lab asset STAGE NAME`."""

import json
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.paper.records.store import make_record
from relvit_lab.train import assets
from relvit_lab.train.build import load_data
from relvit_lab.train.evaluate import chance, evaluate
from relvit_lab.train.trained import load


def make_asset(run: str | Path, name: str, run_dir: str | Path = "runs", folder: Path = assets.FOLDER) -> Path:
    """Keep a finished stage as a model of the package. Returns the file of its weights.

    Its metrics are measured again, on the weights as they are stored, and stand beside those of chance.
    Raises RelvitError for a stage that is not finished, and for weights of more than 2 MB.
    """
    from safetensors.torch import save

    trained = load(run, run_dir)
    record = make_record(trained.folder)
    weights = {key: value.half().contiguous() for key, value in trained.model.state_dict().items()}
    data = save(weights, {"stage": record["id"]})
    if len(data) > assets.LARGEST:
        raise RelvitError(f"{record['id']} has {len(data) / 1e6:.1f} MB of weights: an asset has at most 2")
    trained.model.load_state_dict(weights)
    side = trained.model.side
    record["stored"] = {
        "dtype": "float16",
        "metrics": evaluate(trained.model, trained.pipeline, load_data(trained.experiment).test),
        "chance": {task.name: chance(task, side) for task in trained.model.tasks},
    }
    file = folder / f"{name}.safetensors"
    file.write_bytes(data)
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return file
