"""Table 4's effects by hand, and our own runs found where they lie."""

import json
from pathlib import Path

import pytest

from relvit_lab.common.errors import RelvitError
from relvit_lab.paper import ablation
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.records import small_study as small
from relvit_lab.paper.records.store import read_records

RESULTS = Path(__file__).parents[2] / "results"


def additive(**effects):
    """Accuracies of all combinations if each task adds what it adds."""
    return {row: 80 + sum(effects.get(task, 0) for task in row.split("+")) for row in ablation.COMBINATIONS}


def test_main_effects_by_hand():
    printed = ablation.printed()
    assert len(printed) == 15
    with_it = [89.39, 90.13, 89.75, 89.90, 89.80, 89.73, 89.67, 90.06]  # read off Table 4: those with AbsPos
    without = [89.02, 89.27, 88.75, 89.24, 90.12, 89.34, 88.81]
    assert ablation.main_effect(printed, "abspos") == pytest.approx(sum(with_it) / 8 - sum(without) / 7)
    # with task t in 8 of 15, another task is in 4 of those 8 and in 4 of the 7 others
    values = additive(abspos=1.0, dist=-0.5)
    assert ablation.main_effect(values, "abspos") == pytest.approx(1.0 - 0.5 * (4 / 8 - 4 / 7))
    assert ablation.main_effect(additive(), "sprel") == 0


def test_interaction_by_hand():
    printed = ablation.printed()
    cells = ablation.two_by_two(printed, "sprel", "abspos")
    assert cells[True, True] == pytest.approx((90.13 + 89.80 + 89.73 + 90.06) / 4)
    assert cells[False, False] == pytest.approx((89.27 + 88.75 + 89.34) / 3)
    assert cells[True, False] == pytest.approx((89.02 + 89.24 + 90.12 + 88.81) / 4)
    assert cells[False, True] == pytest.approx((89.39 + 89.75 + 89.90 + 89.67) / 4)
    assert ablation.interaction(printed, "sprel", "abspos") == pytest.approx(89.93 - 89.6775 - (89.2975 - 89.12))
    assert ablation.interaction(additive(sprel=1, abspos=2), "sprel", "abspos") == pytest.approx(0)
    both = {row: 80 + 3 * (ablation.has(row, "sprel") and ablation.has(row, "abspos")) for row in printed}
    assert ablation.interaction(both, "sprel", "abspos") == pytest.approx(3)


def test_ranking():
    assert ablation.ranked(ablation.printed())[:3] == ["sprel+abspos", "sprel+ang", "sprel+dist+ang+abspos"]
    assert set(ablation.printed("ang")) == {row for row in ablation.COMBINATIONS if "ang" in row.split("+")}


def test_effects_refuse_what_is_not_all_of_table_4():
    printed = ablation.printed()
    with pytest.raises(RelvitError, match="without ang"):
        ablation.main_effect({row: v for row, v in printed.items() if row != "ang"}, "sprel")
    with pytest.raises(RelvitError, match="Supervised is none"):
        ablation.interaction({**printed, "Supervised": 85.38}, "sprel", "abspos")


# Our own runs


def finished(stage, accuracy):
    """A folder as a finished stage leaves it, as far as tables read it."""
    stage.folder.mkdir(parents=True)
    about = {"stage": {"id": stage.id}, "experiment": {}, "environment": {}, "metrics": {"accuracy": accuracy}}
    (stage.folder / "result.json").write_text(json.dumps(about))


def test_ours_reads_run_folders_by_seed(tmp_path):
    cells = {
        cell.row: cell
        for cell in plan.cells("table4", "paper", (0, 1), columns="Finetuning", preset="smoke", run_dir=str(tmp_path))
    }
    finished(cells["dist+abspos"].stages(0)[-1], 41.5)
    finished(cells["dist+abspos"].stages(1)[-1], 43.5)
    finished(cells["Supervised"].stages(1)[-1], 40.0)
    finished(cells["ang"].stages(0)[0], 1.0)  # pre-training alone is no accuracy after fine-tuning
    none = tmp_path / "no_records"
    none.mkdir()
    found = ablation.ours("smoke", run_dirs=[tmp_path], records=none)
    assert found == {"Supervised": {1: 40.0}, "dist+abspos": {0: 41.5, 1: 43.5}}
    assert ablation.ours("smoke", seeds=(0,), run_dirs=[tmp_path], records=none) == {"dist+abspos": {0: 41.5}}
    assert ablation.ours("smoke", recipe="released", run_dirs=[tmp_path], records=none) == {}


def test_ours_finds_the_committed_records(tmp_path):
    found = ablation.ours("demo", run_dirs=[tmp_path], records=RESULTS)
    records = small.find(read_records(RESULTS), "finetuned")  # SpRel and AbsPos, as results/README.md reports them
    assert found["sprel+abspos"] == {r["experiment"]["seed"]: r["metrics"]["accuracy"] for r in records}
    assert len(records) == 3


def test_ours_says_which_presets_there_are(tmp_path):
    with pytest.raises(RelvitError, match="demo"):
        ablation.ours("demoo", run_dirs=[tmp_path])
