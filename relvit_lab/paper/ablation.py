"""Section 4.3, Table 4, as an experiment with four switches: what each task adds, over all 15 combinations.

values, below, is an accuracy by combination, named as in numbers.py ("sprel+abspos"); "Supervised" is no combination.
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.paper import numbers as paper

COMBINATIONS = paper.rows("table4")[1:]


def has(combination: str, task: str) -> bool:
    """Whether the task is one of the combination's."""
    return task in combination.split("+")


def printed(column: str = "Finetuning") -> dict[str, float]:
    """Table 4's numbers by combination, in the paper's order; of a task's column, only where it was trained."""
    found = {row: paper.get("table4", row, column) for row in COMBINATIONS}
    return {row: number.value for row, number in found.items() if number is not None}


def ranked(values: Mapping[str, float]) -> list[str]:
    """The combinations, best first."""
    return sorted(values, key=lambda row: -values[row])


def main_effect(values: Mapping[str, float], task: str) -> float:
    """The mean of the combinations with the task minus the mean of those without. RelvitError where one is missing."""
    _all_of(values)
    with_it = [value for row, value in values.items() if has(row, task)]
    without = [value for row, value in values.items() if not has(row, task)]
    return statistics.mean(with_it) - statistics.mean(without)


def two_by_two(values: Mapping[str, float], one: str, other: str) -> dict[tuple[bool, bool], float]:
    """Means by (whether `one` is there, whether `other` is); 4, 4, 4 and, with neither, 3 combinations."""
    _all_of(values)
    groups: dict[tuple[bool, bool], list[float]] = {}
    for row, value in values.items():
        groups.setdefault((has(row, one), has(row, other)), []).append(value)
    return {key: statistics.mean(groups[key]) for key in ((False, False), (True, False), (False, True), (True, True))}


def interaction(values: Mapping[str, float], one: str, other: str) -> float:
    """What `one` adds where `other` is there, minus what it adds where it is not. 0: each adds what it adds."""
    mean = two_by_two(values, one, other)
    return (mean[True, True] - mean[False, True]) - (mean[True, False] - mean[False, False])


def ours(
    preset: str = "demo",
    recipe: str = "paper",
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    run_dirs: Sequence[str | Path] = ("runs",),
    records: str | Path = "results",
) -> dict[str, dict[int, float]]:
    """Our own accuracies after fine-tuning, by row of Table 4 ("Supervised" too) and seed: last epoch, test images.

    Of finished stages in run_dirs, and of what stands in the records only. Rows without any are left out. Raises
    RelvitError for a preset or recipe that is none, and where they were trained on several data sets of one name.
    """
    from relvit_lab.common.paths import resolve
    from relvit_lab.paper.plan import cells as plan
    from relvit_lab.paper.records import store as results  # late: the pictures and slips need none of it
    from relvit_lab.paper.tables import finished as tables_runs

    runs = tables_runs.collect([resolve(folder) for folder in run_dirs])
    kept = results.read_records(records)
    found: dict[str, dict[int, float]] = {}
    data: dict[str, str] = {}  # digests, and where one of each is from
    for cell in plan.cells("table4", recipe, seeds, columns="Finetuning", preset=preset):
        for seed in cell.seeds:
            stage = cell.stages(seed)[-1]
            run = runs.by_id.get(stage.id)
            one = run.result if run else results.find_record(kept, stage)
            if one is not None:
                found.setdefault(cell.row, {})[seed] = one["metrics"]["accuracy"]
                digest = run.digest if run else one["data"]["digest"]
                data |= {digest: str(run.folder if run else f"the record {one['id']}")} if digest else {}
    if len(data) > 1:
        raise RelvitError(f"{' and '.join(data.values())} were trained on different images under one name: run those "
                          "of the wrong data again with fresh=True")  # fmt: skip
    return found


def _all_of(values: Mapping[str, float]) -> None:
    missing = [row for row in COMBINATIONS if row not in values]
    if missing or len(values) != len(COMBINATIONS):
        other = [row for row in values if row not in COMBINATIONS]
        raise RelvitError(
            f"the effects need all {len(COMBINATIONS)} combinations and nothing else: "
            f"{f'without {missing[0]}' if missing else f'{other[0]} is none'}"
        )
