"""§4: the plan of runs as workflow/Snakefile takes it: which stages, in which order, with which parameters; and what
became of them."""

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import locked
from relvit_lab.common.paths import resolve
from relvit_lab.common.shortages import write_explained
from relvit_lab.common.values import PLAIN, coerce, nearest_field
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.plan.job import read_failure
from relvit_lab.train.experiment import Experiment

PASSES = ("seed_0", "more_seeds", "last_seeds")
"""The order within a recipe: seed 0 of everything, then the other seeds of Tables 2 and 3, then those of the rest."""
CHOICES = {
    "seeds": tuple[int, ...], "recipes": tuple[str, ...], "rows": tuple[str, ...], "columns": tuple[str, ...],
    "notebook": str,
}  # fmt: skip
"""What `--config` takes beside the fields of Experiment: lists as JSON or joined by commas."""

_HELD = ExitStack()  # the locks of this process, until it ends


@dataclass(frozen=True)
class Sweep:
    """jobs: every stage of the plan, by id, parents first. run_dir, notebook: absolute."""

    jobs: Mapping[str, plan.Job]
    run_dir: Path
    notebook: Path

    @classmethod
    def create(cls, config: Mapping[str, object]) -> "Sweep":
        """From the values of `snakemake --config`. Raises RelvitError for a name or a value that is none."""
        names = (*CHOICES, *Experiment.names())
        for name in config:
            if name not in names:
                known = dict.fromkeys(CHOICES, PLAIN) | Experiment.settings()
                raise RelvitError(f"unknown setting '{name}' of the sweep: {nearest_field(name, known)}")
        chosen = {name: coerce(name, value, CHOICES[name]) for name, value in config.items() if name in CHOICES}
        fields = {name: value for name, value in config.items() if name not in CHOICES}
        notebook = resolve(chosen.pop("notebook", "notebooks/04_train.ipynb"))
        if not notebook.is_file():
            raise RelvitError(f"there is no notebook {notebook}: name another with --config notebook=PATH")
        jobs = plan.jobs(_cells(chosen, fields))
        return cls(jobs, Experiment.create(fields).run_folder(), notebook)

    def passes(self) -> dict[str, list[str]]:
        """The stages by their turn, first come first, as rules of the workflow: {"released_seed_0": [id, ...], ...}."""
        found: dict[str, list[str]] = {}
        for name, job in self.jobs.items():  # in the order of their turns, as are the cells that need them
            cell, seed = job.needed_by[0]
            later = (2 if cell.table in plan.SEED_0_FIRST else 1) if seed else 0
            found.setdefault(f"{cell.recipe}_{PASSES[later]}", []).append(name)
        return found

    def fields(self, name: str) -> str:
        """The parameters of the notebook that train this stage, as JSON."""
        return json.dumps(plan.job_fields(self.jobs[name].stage))

    def parent(self, name: str) -> str | None:
        parent = self.jobs[name].stage.parent
        return parent.id if parent else None

    def result(self, name: str) -> Path:
        return self.run_dir / name / "result.json"

    def of(self, tables: Iterable[str]) -> list[str]:
        """The stages that these tables need."""
        return [name for name, job in self.jobs.items() if set(job.tables) & set(tables)]

    def missing(self, names: Iterable[str | None]) -> list[str]:
        """The results that are not there yet, of these stages. Snakemake is asked for nothing else, so that no result
        is ever made or deleted twice, whatever it believes of times, code and marks that a kill has left."""
        return [str(self.result(name)) for name in names if name and not self.result(name).exists()]

    def what(self, name: str) -> str:
        """What a stage is for, in a few words."""
        cell, seed = self.jobs[name].needed_by[0]
        more = len({(other.key, s) for other, s in self.jobs[name].needed_by}) - 1
        also = f" and {more} more" if more else ""
        return f"{cell.table}, {cell.row}, {cell.column}, {cell.recipe}, seed {seed}{also}"

    def hold(self) -> None:
        """Keep other sweeps from the run folder, wherever they run, until this process ends. Raises RelvitError where
        one is at it."""
        with write_explained(self.run_dir):
            self.run_dir.mkdir(parents=True, exist_ok=True)
            held = _HELD.enter_context(locked(self.run_dir / ".sweep.lock", timeout=0))
        if not held:
            raise RelvitError(
                f"another sweep is running on {self.run_dir}: wait until it has ended, or take another with "
                "--config run_dir=..."
            )

    def summary(self, tables: Iterable[str]) -> str:
        """What became of the stages of these tables: how many have a result; which failed, why, and where the notebook
        is; which are missing."""
        wanted = self.of(tables)
        left = [name for name in wanted if not self.result(name).exists()]
        failed = {name: failure for name in left if (failure := read_failure(self.run_dir / name))}
        missing = [name for name in left if name not in failed]
        lines = [f"{len(wanted) - len(left)} of {len(wanted)} stages have their result in {self.run_dir}."]
        if failed:
            lines.append(f"{len(failed)} failed:")
        for name, failure in failed.items():
            lines += [f"  {name} ({self.what(name)})", f"    {failure['message']}"]
            lines.append(f"    notebook: {self.run_dir / name / failure['notebook']}")
        if missing:
            lines.append(f"{len(missing)} did not run to their end:")
        for name in missing:
            why = f"waits for {self.parent(name)}" if self.parent(name) in left else "the same command goes on with it"
            lines.append(f"  {name} ({self.what(name)}): {why}")
        return "\n".join(lines)


def _cells(chosen: Mapping[str, object], fields: Mapping[str, object]) -> list[plan.Cell]:
    """All tables; `dataset` is for Figure 4 alone."""
    overrides = {name: value for name, value in fields.items() if name != "dataset"}
    cells = list(plan.cells(**chosen, **overrides))
    if "dataset" in fields:
        kept = {cell.key for cell in cells if cell.table == "figure4"}
        others = {name: value for name, value in chosen.items() if name not in ("rows", "columns")}
        own = plan.cells("figure4", **others, **fields)
        cells = [cell for cell in cells if cell.table != "figure4"] + [cell for cell in own if cell.key in kept]
    return cells
