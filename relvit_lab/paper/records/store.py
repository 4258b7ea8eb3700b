"""Records of finished stages: small JSON files that are committed, with the command that made each, and read back.

results/<stage-id>.json = {id, command, experiment, stage, fields, data, metrics, units, curves, counts, test_split,
environment, cost}. A record holds no weights, no path and no place of the machine that made it.
"""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.files import write_whole
from relvit_lab.common.paths import resolve
from relvit_lab.common.sealed_json import NUMBER, OPTIONAL, Damaged, read
from relvit_lab.train.experiment import Experiment, Stage
from relvit_lab.train.stage_folder import EXPERIMENT, WHOLE, RunFolder

NOTEBOOK = "papermill notebooks/04_train.ipynb out.ipynb"

Record = dict[str, Any]
SHAPE = {name: shape for name, shape in WHOLE.items() if name != "timing"} | {
    "id": str, "command": str, "fields": dict, "data": {"name": str, "digest": str}, "curves": dict,
    "experiment": EXPERIMENT, "metrics": {"*": OPTIONAL},
    "cost": {"seconds": NUMBER, "images_per_second": NUMBER, "images_seen": NUMBER},
}  # fmt: skip
MEASURED = {
    "id": str, "experiment": EXPERIMENT | {"epochs": int}, "stage": {"name": str}, "counts": {"train_images": int},
    "environment": {"device": str}, "cost": {"images_per_second": NUMBER},
}  # fmt: skip


def make_record(folder: Path) -> Record:
    """The record of a finished stage's run folder. Raises RelvitError where it is not finished."""
    about, lines, result = RunFolder(folder).finished()
    if about["experiment"]["init_from"]:
        raise RelvitError(f"{folder} began from weights given by init_from: no command alone makes it again")
    experiment = {name: about["experiment"][name] for name, field in Experiment.settings().items() if field.recorded}
    return {
        "id": about["stage"]["id"],
        "command": command(experiment | _computed(result["environment"])),
        "experiment": experiment,
        "stage": result["stage"],
        "fields": about["fields"],
        "data": {name: value for name, value in about["data"].items() if name != "stamp"},  # that is of the machine
        "metrics": result["metrics"],
        "units": result["units"],
        "curves": _curves(lines),
        "counts": result["counts"],
        "test_split": result["test_split"],
        "environment": result["environment"],
        "cost": {
            **{name: result["timing"][name] for name in ("seconds", "images_per_second")},
            "images_seen": result["counts"]["train_images"] * len(lines),
        },
    }


def _computed(environment: Mapping[str, Any]) -> dict[str, str]:
    """How a stage was computed, as fields of an experiment: left to the machine, another would round otherwise."""
    compiled = environment.get("compiled", False)
    return {"precision": environment["precision"], "compile": "true" if compiled else "false"}


def _curves(lines: Sequence[Mapping[str, Any]]) -> dict:
    """The lines of metrics.jsonl as columns: {"epoch": [...], "lr": [...], "train": {"loss": [...]}, "test": {...}}."""
    columns: dict[str, Any] = {name: [line[name] for line in lines] for name in ("epoch", "lr")}
    for part in ("train", "test"):
        columns[part] = {name: [line[part][name] for line in lines] for name in lines[0][part]}
    return columns


def command(experiment: Mapping[str, Any]) -> str:
    """The papermill command of a resolved experiment: only what differs from the defaults of its data set."""
    return " ".join([NOTEBOOK, *(f"-p {name} {word(value)}" for name, value in given_fields(experiment).items())])


def given_fields(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a resolved experiment again: its data set, its preset, and all that differs from their defaults."""
    given: dict[str, Any] = {"dataset": experiment["dataset"], "preset": experiment["preset"]}
    # what others depend on comes first: M, for one, must fit a grid that the sizes decide
    first = ("scenario", "recipe", "tasks", "backbone", "image_size", "patch_size")
    defaults = Experiment(**given).resolved().as_dict()
    for name in dict.fromkeys((*first, *Experiment.names())):
        if name in experiment and name not in given and defaults[name] != experiment[name]:
            given[name] = experiment[name]
            defaults = Experiment(**given).resolved().as_dict()
    return given


def word(value: Any) -> str:
    """A field's value as one word of a command line."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, (list, bool)) or value is None:
        return shlex.quote(json.dumps(value))
    return shlex.quote(str(value))


def parse_command(text: str) -> Experiment:
    """The experiment of a record's command."""
    words = shlex.split(text)
    return Experiment.create({words[i + 1]: words[i + 2] for i, word in enumerate(words) if word == "-p"})


# Files


def write_records(run_dirs: Iterable[str | Path], to: str | Path = "results") -> list[Path]:
    """A record for every finished stage under the run folders. Returns what was written. Raises RelvitError."""
    written, target = [], resolve(to)
    for run_dir in map(resolve, run_dirs):
        found = sorted(path.parent for path in run_dir.glob("*/result.json"))
        if not found:
            raise RelvitError(f"no finished stage in {run_dir}")
        target.mkdir(parents=True, exist_ok=True)
        for folder in found:
            record = make_record(folder)
            path = target / f"{record['id']}.json"
            write_whole(path, json.dumps(record, separators=(",", ":")).replace(',"', ',\n"') + "\n")
            written.append(path)
    return written


def read_records(folder: str | Path = "results", whole: bool = True) -> dict[str, Record]:
    """All records by id, those of the search in its folder too, in the order of their names. whole: each has all that a
    record has; else at least what a rate is measured by. Raises RelvitError for a file that is none."""
    records, folder = {}, resolve(folder)
    for path in sorted([*folder.glob("*.json"), *folder.glob("search/*.json")]):
        try:
            record = read(path, SHAPE if whole else MEASURED)
        except Damaged as error:
            raise RelvitError(f"{path} is no record of a stage ({error.why}): python -m relvit_lab record") from None
        records[record["id"]] = record
    return records


def find_record(records: Mapping[str, Record], stage: Stage) -> Record | None:
    """The record of a stage, or None. Compared by the fields that the record knows, its parents' too: a field that was
    added to Experiment since changes ids, but not what was run."""
    if stage.id in records:
        return records[stage.id]
    return next((record for record in records.values() if _same(record, stage, records)), None)


def _same(record: Record | None, stage: Stage | None, records: Mapping[str, Record]) -> bool:
    if record is None or stage is None:
        return record is stage
    fields = json.loads(json.dumps(stage.fields))
    if any(fields.get(name) != value for name, value in record["fields"].items() if name != "from"):
        return False
    return _same(records.get(record["stage"]["parent"]), stage.parent, records)


# Again


def rerun(record: Record, data_dir: str | Path = "data", run_dir: str | Path = "runs/rerun") -> list[tuple]:
    """Run a record's command again up to its stage, and compare: (metric, recorded, now) for each of its metrics.

    Equal to the bit on the same kind of machine, with the same versions and as many threads; on another the last digits
    differ, and small models then end a little elsewhere. Progress is shown. Raises RelvitError.
    """
    from dataclasses import replace

    from relvit_lab.show.follow import follow
    from relvit_lab.train.training import run

    experiment = replace(parse_command(record["command"]), **_computed(record["environment"]))
    stop = record["stage"]["name"]
    again = replace(experiment, data_dir=str(data_dir), run_dir=str(run_dir), stop_after=stop)
    now = follow(run(again))[-1].result["metrics"]
    return [(name, value, now.get(name)) for name, value in record["metrics"].items()]


def get_record(records: Mapping[str, Record], name: str) -> Record:
    """A record by its id or the start of it. Raises RelvitError, naming the nearest."""
    found = [record for key, record in records.items() if key.startswith(name)]
    if len(found) != 1:
        problem = f"{len(found)} records begin with" if found else "results/ holds no record"
        raise RelvitError(f"{problem} '{name}': {nearest(name, [r['id'] for r in found] or records)}")
    return found[0]
