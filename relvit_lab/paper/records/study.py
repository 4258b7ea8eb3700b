"""A study: named settings of real runs with their seeds, the commands that make them, and their records found again."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from relvit_lab.common.errors import RelvitError
from relvit_lab.paper.records.store import Record, find_record, given_fields, word
from relvit_lab.train.experiment import Experiment, Stage


@dataclass(frozen=True)
class Study:
    """settings: the fields of Experiment of each run, by a name. seeds: by name too. listed_by: the command that prints
    the commands. how: options of `train` that say where and how, beside what an experiment's id holds."""

    settings: Mapping[str, Mapping[str, Any]]
    seeds: Mapping[str, tuple[int, ...]]
    listed_by: str
    how: str = ""

    def experiment(self, name: str, seed: int = 0) -> Experiment:
        return Experiment.create({**self.settings[name], "seed": seed})

    def stages(self, name: str, seed: int = 0) -> tuple[Stage, ...]:
        """Its stages; worked out once, for their ids cost a hash each and are asked for again and again."""
        if (name, seed) not in self._stages:
            self._stages[name, seed] = self.experiment(name, seed).stages()
        return self._stages[name, seed]

    @cached_property
    def _stages(self) -> dict[tuple[str, int], tuple[Stage, ...]]:
        return {}

    def command(self, name: str, seed: int = 0) -> str:
        """The command that trains it: what differs from the defaults, and `how`."""
        fields = given_fields(self.experiment(name, seed).resolved().as_dict())
        options = " ".join(f"--{key.replace('_', '-')} {word(value)}" for key, value in fields.items())
        return f"python -m relvit_lab train {options} {self.how}".rstrip()

    def find(self, records: Mapping[str, Record], name: str, stage: str = "last") -> list[Record]:
        """The records of a setting, one for each seed that has been run. stage: "first" (pre-training) or "last".

        Raises RelvitError where there is none.
        """
        place = 0 if stage == "first" else -1
        planned = self.seeds.get(name, ())  # none of a setting that is another study's
        found = (find_record(records, self.stages(name, seed)[place]) for seed in planned)
        there = [record for record in found if record is not None]
        if not there:
            raise RelvitError(f"no record of '{name}': run its commands ({self.listed_by}), then record")
        return there

    def missing(self, records: Mapping[str, Record]) -> dict[str, list[int]]:
        """The seeds that are planned but have no record of their last stage, by setting, where there are any."""
        gaps = {
            name: [seed for seed in seeds if find_record(records, self.stages(name, seed)[-1]) is None]
            for name, seeds in self.seeds.items()
        }
        return {name: lacking for name, lacking in gaps.items() if lacking}
