"""Smoke runs to begin a test with: each is trained once, and copied into the project of every test that asks for it."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from relvit_lab.train.events import EpochDone, StageFinished
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.stage_folder import RunFolder
from relvit_lab.train.training import run


class SmokeRuns:
    """folder: where the runs lie that are copied, each in a project of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.made: dict[str, tuple[Path, list[StageFinished]]] = {}

    def finished(self, **fields) -> list[StageFinished]:
        """The stages of Experiment(**fields) as they were when they had been trained; their folders are the test's."""
        return self._copy("finished", fields)

    def stopped(self, **fields) -> RunFolder:
        """The folder of an experiment's only stage, stopped after its first epoch."""
        self._copy("stopped", fields)
        return RunFolder(Experiment(**fields).stages()[-1].folder)

    def _copy(self, state: str, fields: dict) -> list[StageFinished]:
        name = json.dumps([state, fields], sort_keys=True)
        if name not in self.made:
            self.made[name] = self._train(self.folder / str(len(self.made)), state, fields)
        home, finished = self.made[name]
        runs = Path(os.environ["RELVIT_HOME"]) / "runs"
        shutil.copytree(home / "runs", runs, dirs_exist_ok=True)
        return [replace(stage, folder=runs / stage.id) for stage in finished]

    def _train(self, home: Path, state: str, fields: dict) -> tuple[Path, list[StageFinished]]:
        finished = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RELVIT_HOME", str(home))
            records = run(Experiment(**fields))
            for record in records:
                if isinstance(record, StageFinished):
                    finished.append(record)
                elif state == "stopped" and isinstance(record, EpochDone):
                    records.close()
        return home, finished
