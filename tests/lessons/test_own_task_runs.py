"""Notebook 08's recorded table: what is said of it follows from its numbers."""

import itertools
import statistics

import pytest

from relvit_lab.lessons.own_task import runs as own_task_runs
from relvit_lab.lessons.own_task.runs import BOTH, ONCE, findings, moved, recorded, table

KEPT = recorded()
TASKS = [label for label in KEPT["accuracy"] if label not in (ONCE, BOTH)]


def apart(one: str, other: str) -> bool:
    """Student's t for three seeds, by hand: the 95 % interval of the mean difference leaves 0 out."""
    gaps = [a - b for a, b in zip(KEPT["accuracy"][one], KEPT["accuracy"][other])]
    return abs(statistics.mean(gaps)) > 4.30 * statistics.stdev(gaps) / 3**0.5


def test_the_record_is_whole():
    planned = {*own_task_runs.TASKS_OF_THE_NOTEBOOK.values(), own_task_runs.CHEAT}
    assert set(TASKS) == planned and {len(values) for values in KEPT["accuracy"].values()} == {len(KEPT["seeds"])}


def test_the_table_has_means_spreads_and_differences():
    found = table(KEPT["accuracy"], KEPT["epochs"])
    means = [statistics.mean(KEPT["accuracy"][row[0]]) for row in found.rows]
    assert means == sorted(means, reverse=True) and len(means) == len(TASKS) + 2
    for label, epochs, seeds, spread, over_once, over_twice in found.rows:
        values = KEPT["accuracy"][label]
        assert seeds == ", ".join(f"{v:.1f}" for v in values) and epochs == ("8" if label == ONCE else "8 + 8")
        assert spread == f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"
        if label in TASKS:
            for said, other in ((over_once, ONCE), (over_twice, BOTH)):
                assert float(said) == pytest.approx(
                    statistics.mean(values) - statistics.mean(KEPT["accuracy"][other]), abs=0.05 + 1e-9)  # fmt: skip


def test_each_finding_is_counted_again():
    ahead, once, turned, pairs, same = findings(KEPT["accuracy"]).splitlines()
    accuracy = KEPT["accuracy"]
    for label in TASKS:
        first = accuracy[label][0] - accuracy[ONCE][0]
        whole = statistics.mean(accuracy[label]) - statistics.mean(accuracy[ONCE])
        assert (f"{label} (" in turned) == (first * whole < 0), label
        beats = any(a >= b for a, b in zip(accuracy[label], accuracy[BOTH]))
        assert (label in ahead.split(": ")[1]) == beats, label
    told = [label for label in TASKS if apart(label, ONCE)]
    assert once.endswith(f": {'; '.join(told) or 'none'}.")
    differ = [pair for pair in itertools.combinations(TASKS, 2) if apart(*pair)]
    assert f"{len(TASKS) * (len(TASKS) - 1) // 2} pairs of tasks: {len(differ)} (" in pairs
    better = sum(statistics.mean(accuracy[label]) > statistics.mean(accuracy["Same patch"]) for label in TASKS)
    assert f"number {better + 1} of {len(TASKS)}" in same


def test_it_says_how_far_another_machine_ended():
    said = moved({"accuracy": {"SpRel": [60.0, 70.0]}, "elsewhere": {"SpRel": [63.4, 69.0]}})
    assert "SpRel: 63.4, 69.0, up to 3.4 points apart" in said
    assert set(KEPT["elsewhere"]) <= set(KEPT["accuracy"])
