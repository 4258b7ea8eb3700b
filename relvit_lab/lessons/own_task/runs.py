"""Notebook 08, section 6: every task of the notebook with three seeds, recorded, and what chance does to such a table.

`python -m relvit_lab.lessons.own_task.runs` trains them anew, each stage on one thread, and writes
assets/own_task_runs.json; the notebook's table is made from that file. Another processor rounds otherwise, and short
runs then end points apart.
"""

import itertools
import json
from collections.abc import Mapping
from statistics import mean
from typing import Any

import torch

from relvit_lab.common.paths import project_root
from relvit_lab.common.stats import told_apart
from relvit_lab.paper.records.results import plus_minus
from relvit_lab.show.summary import Table
from relvit_lab.train import assets

RECORDED = assets.FOLDER / "own_task_runs.json"
COMMON = {"dataset": "digits", "epochs": 8}
SEEDS = (0, 1, 2)
TWICE = {"scenario": "supervised", "supervised_stages": 2}
TASKS_OF_THE_NOTEBOOK = {
    "quadrant": "Quadrant", "sprel": "SpRel", "same": "Same patch", "middle": "Middle", "rank": "Rank",
    "manhattan": "Manhattan", "dist": "Dist",
}  # fmt: skip
CHEAT = "Quadrant, PE on"
ONCE, BOTH = "supervised, once", "supervised, twice"


def recorded() -> dict[str, Any]:
    """{command, environment, epochs, seeds, accuracy: {label: [% by seed]}, elsewhere: accuracies of some settings or
    all of them on another machine}."""
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def table(accuracy: Mapping[str, list[float]], epochs: int) -> Table:
    """All settings, the best mean first, with what each is ahead of the supervised ones by."""
    rows = []
    for label in sorted(accuracy, key=lambda label: -mean(accuracy[label])):
        values = accuracy[label]
        gaps = [f"{mean(values) - mean(accuracy[other]):+.1f}" if label not in (ONCE, other) else "-"
                for other in (ONCE, BOTH)]  # fmt: skip
        stages = f"{epochs}" if label == ONCE else f"{epochs} + {epochs}"
        rows.append((label, stages, ", ".join(f"{value:.1f}" for value in values), plus_minus(values), *gaps))
    return Table(("trained", "epochs", "seeds 0, 1, 2", "mean ± sd", "over once", "over twice"), tuple(rows))


def findings(accuracy: Mapping[str, list[float]]) -> str:
    """What the table says, line by line."""
    tasks = [label for label in accuracy if label not in (ONCE, BOTH)]
    ahead = [label for label in tasks if any(a >= b for a, b in zip(accuracy[label], accuracy[BOTH]))]
    gaps = {label: _gaps(accuracy, label, ONCE) for label in tasks}
    apart = [label for label, gap in gaps.items() if told_apart(gap)]
    pairs = list(itertools.combinations(tasks, 2))
    differ = [" and ".join(pair) for pair in pairs if told_apart(_gaps(accuracy, *pair))]
    ranked = sorted(tasks, key=lambda label: -mean(accuracy[label]))
    turned = [
        f"{label} ({gap[0]:+.1f}, all seeds {mean(gap):+.1f})" for label, gap in gaps.items() if gap[0] * mean(gap) < 0
    ]
    return "\n".join((
        f"Ahead of {BOTH} with any seed: {_listed(ahead)}.",
        f"Told apart from {ONCE} (95 % interval of the differences, seed by seed): {_listed(apart)}.",
        f"Seed 0 alone would have said the opposite of all three about: {_listed(turned)}.",
        f"Told apart of the {len(pairs)} pairs of tasks: {len(differ)} ({_listed(differ)}); by chance, one or two.",
        f"Same patch, which asks nothing worth knowing, is number {ranked.index('Same patch') + 1} of {len(ranked)}.",
    ))  # fmt: skip


def moved(kept: Mapping[str, Any]) -> str:
    """How far the same code and seeds ended elsewhere from what is in the table."""
    lines = []
    for label, values in kept["elsewhere"].items():
        apart = max(abs(a - b) for a, b in zip(values, kept["accuracy"][label]))
        lines.append(f"{label}: {', '.join(f'{value:.1f}' for value in values)}, up to {apart:.1f} points apart")
    return "The same code and seeds on another machine. " + "; ".join(lines) + "."


def _gaps(accuracy: Mapping[str, list[float]], one: str, other: str) -> list[float]:
    return [a - b for a, b in zip(accuracy[one], accuracy[other])]


def _listed(names: list[str]) -> str:
    return "; ".join(names) or "none"


# Made anew


def record_runs(run_dir: str = "runs/own_task") -> dict[str, Any]:
    """Train all of it with the notebook's own tasks, and give it as `recorded` does."""
    from relvit_lab import Experiment, run
    from relvit_lab.common.compute.choose_device import pick_device
    from relvit_lab.train.environment import environment
    from relvit_lab.train.events import StageFinished

    _register()
    torch.set_num_threads(1)
    settings = {BOTH: TWICE, **{label: {"tasks": name} for name, label in TASKS_OF_THE_NOTEBOOK.items()}}
    settings[CHEAT] = {"tasks": "quadrant", "pos_embed": True}
    accuracy: dict[str, list[float]] = {ONCE: []}
    for label, fields in settings.items():
        for seed in SEEDS:
            events = run(Experiment(seed=seed, run_dir=run_dir, **COMMON, **fields))
            first, *_, last = (e.result["metrics"]["accuracy"] for e in events if isinstance(e, StageFinished))
            accuracy.setdefault(label, []).append(round(last, 2))
            if label == BOTH:
                accuracy[ONCE].append(round(first, 2))
            print(f"{label:<20} seed {seed} {last:5.1f} %", flush=True)
    return {
        "command": "python -m relvit_lab.lessons.own_task.runs",
        "environment": environment(pick_device("cpu", "float32")),
        "epochs": COMMON["epochs"], "seeds": list(SEEDS), "accuracy": accuracy, "elsewhere": recorded()["accuracy"],
    }  # fmt: skip


def _register() -> None:
    """The tasks that the notebook makes, by its own cells; its two exercises by their solutions."""
    from relvit_lab.lessons.own_task import exercises as own_task

    path = project_root() / "notebooks" / "08_your_own_task.ipynb"
    cells = {c["id"]: "".join(c["source"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"]}
    names: dict[str, Any] = {}
    exec(cells["imports"], names)
    names |= dict.fromkeys(("print", "relations_figure"), lambda *_, **__: None)
    names |= {"manhattan_targets": own_task.manhattan, "quadrant_targets": own_task.quadrant}
    names["answer_or_reference"] = lambda _, answer: answer
    for cell in ("rank", "register", "register-two", "same", "own"):
        exec(cells[cell], names)


if __name__ == "__main__":
    text = json.dumps(record_runs(), indent=1)
    RECORDED.write_text(text + "\n", encoding="utf-8")
