"""The notebooks: run by papermill as a user runs them, clean when committed, their parameters those of Experiment."""

import ast
import dataclasses
import json
import os
import subprocess
import sys
import typing
from pathlib import Path

import nbformat
import numpy as np
import pytest
from papermill import execute_notebook

from relvit_lab.train.experiment import Experiment

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
TRAIN = next(path for path in NOTEBOOKS if path.name == "04_train.ipynb")


def papermill(out: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "papermill", str(TRAIN), str(out), "--log-output", "--no-progress-bar", *words],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def set_parameters(**fields) -> list[str]:
    return [word for name, value in fields.items() for word in ("-p", name, str(value))]


def outputs(path: Path) -> tuple[str, int]:
    """All text and the number of pictures in an executed notebook."""
    text, pictures = "", 0
    for cell in nbformat.read(path, 4).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", "".join(output.get("traceback", []))
            assert not (output.output_type == "stream" and output.name == "stderr"), output.text
            data = output.get("data", {})
            text += output.get("text", "") + data.get("text/plain", "") + data.get("text/html", "")
            pictures += "image/png" in data
    return text, pictures


@pytest.mark.long
def test_a_whole_run_through_papermill_and_again_it_returns_at_once(tmp_path):
    """On images of one's own."""
    x, y = np.random.default_rng(0).integers(0, 255, (40, 12, 12, 3), np.uint8), np.arange(40) % 3
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    fields = {"preset": "smoke", "dataset": "own.npz", "tasks": "sprel+dist+ang+abspos", "train_images": 20}
    done = papermill(tmp_path / "one.ipynb", *set_parameters(**fields))
    assert done.returncode == 0, done.stderr[-3000:]
    results = {path: json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/result.json")}
    assert sorted(result["stage"]["name"] for result in results.values()) == ["finetune", "pretrain"]
    assert all(result["experiment"]["scenario"] == "pretrain_finetune" for result in results.values())
    assert all(result["counts"]["train_images"] == 20 for result in results.values())
    text, pictures = outputs(tmp_path / "one.ipynb")
    assert text.count("epoch 2/2") == 2 and "accuracy" in text and str(tmp_path / "runs") in text
    assert pictures == 5  # the curves and one for each task
    assert done.stderr.count("epoch 1/2") + done.stdout.count("epoch 1/2") == 2  # a line an epoch in the log

    before = {path: path.read_bytes() for path in results}
    execute_notebook(TRAIN, tmp_path / "two.ipynb", fields, progress_bar=False)
    text, again = outputs(tmp_path / "two.ipynb")
    assert text.count("already done, replayed") == 2 and again == pictures
    assert {path: path.read_bytes() for path in (tmp_path / "runs").glob("*/result.json")} == before


def test_a_mistake_stops_the_run_with_code_1(tmp_path):
    """Wrong names and values of every other kind: test_experiment.py."""
    done = papermill(tmp_path / "out.ipynb", *set_parameters(preset="smoke", epoch=3))
    assert done.returncode == 1 and "unknown parameter 'epoch': did you mean 'epochs'" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_the_parameters_cell_holds_the_fields_and_their_defaults():
    (cell,) = (cell for cell in nbformat.read(TRAIN, 4).cells if "parameters" in cell.metadata.get("tags", []))
    given = {}
    for statement in ast.parse(cell.source).body:
        assert isinstance(statement, ast.AnnAssign), "name: type = default"
        given[statement.target.id] = (ast.unparse(statement.annotation), ast.literal_eval(statement.value))
    assert tuple(given) == Experiment.names()
    helps = [line.partition("  # ")[2] for line in cell.source.splitlines()]
    assert helps == [field.help for field in Experiment.settings().values()]
    hints = typing.get_type_hints(Experiment)
    for field in dataclasses.fields(Experiment):
        annotation, value = given[field.name]
        assert (tuple(value) if isinstance(value, list) else value) == field.default
        optional = type(None) in typing.get_args(hints[field.name])
        assert annotation.startswith("Optional[") == optional and "|" not in annotation


def test_help_notebook_shows_every_parameter():
    command = [sys.executable, "-m", "papermill", "--help-notebook", str(TRAIN)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ).stdout
    assert all(f"{name}:" in said for name in Experiment.names())
    assert "Optional[int]" in said


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_clean(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert "papermill" not in notebook.metadata and "widgets" not in notebook.metadata
    for cell in notebook.cells:
        assert not {"execution", "papermill"} & set(cell.metadata), cell.id
        if cell.cell_type == "code":
            assert cell.execution_count is None or "keep_output" in cell.metadata.get("tags", []), cell.id
            assert not cell.outputs or "keep_output" in cell.metadata.get("tags", []), cell.id
