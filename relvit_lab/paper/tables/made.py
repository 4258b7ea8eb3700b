"""The finished runs behind the tables' numbers, each with its stage and the tables that need it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relvit_lab.paper.plan.cells import Cell, jobs
from relvit_lab.paper.tables.finished import Run, Runs
from relvit_lab.train.experiment import Stage

UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Made:
    """A finished run; its stage, which has the same id and so the same scientific fields; the tables that need it."""

    run: Run
    stage: Stage
    tables: tuple[str, ...] = ()

    @property
    def result(self) -> Mapping[str, Any]:
        return self.run.result

    @property
    def preset(self) -> str:
        """Changes no id, so the run itself is asked."""
        return str(self.result["experiment"].get("preset") or UNKNOWN)

    def environment(self, name: str) -> str:
        return str(self.result["environment"].get(name) or UNKNOWN)


def made_for(runs: Runs, cells: Sequence[Cell]) -> list[Made]:
    """The runs that the cells' numbers come from, their parents' too."""
    planned = jobs(cells)
    return [Made(runs.by_id[name], job.stage, job.tables) for name, job in planned.items() if name in runs.by_id]
