"""Tables from run folders, against numbers worked out by hand."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from run_fixtures import write_cell, write_run

from relvit_lab.common.errors import RelvitError
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.records.report import WHAT, Report
from relvit_lab.paper.records.store import read_records
from relvit_lab.paper.tables.entries import BUILT, Aggregate, comparison, paired
from relvit_lab.paper.tables.finished import collect
from relvit_lab.paper.tables.html import to_html
from relvit_lab.paper.tables.numbers import aggregate, paper_table
from relvit_lab.paper.tables.recorded import recorded_table

RESULTS = Path(__file__).parents[2] / "results"


def cell(table, row, column, recipe="released", **more):
    (found,) = plan.cells(table, recipe, rows=[row], columns=[column], **more)
    return found


SUPERVISED, RELVIT = cell("table2", "cifar10", "Supervised"), cell("table2", "cifar10", "RelViT")


@pytest.fixture
def runs_dir(tmp_path):
    return tmp_path / "runs"


def entry(made, row, column, recipe="released"):
    return made.entries[row, column].ours[recipe]


# Reading


def test_runs_are_read_by_the_id_in_their_result(runs_dir):
    write_cell(runs_dir, RELVIT, {0: 90.0}, folder="a-copy-from-the-cluster")
    runs = collect([runs_dir])
    (run,) = runs
    assert run.id == RELVIT.stages(0)[-1].id and run.folder.name == "a-copy-from-the-cluster"
    assert aggregate(RELVIT, runs).by_seed == {0: 90.5}


def test_unfinished_folders_are_passed_over_and_broken_ones_are_said(runs_dir):
    (runs_dir / "begun").mkdir(parents=True)
    (runs_dir / "begun" / "experiment.json").write_text("{}")
    for name, text in (("half", '{"stage": {"id": "x"'), ("other", '{"a": 1}'), ("list", "[1]")):
        (runs_dir / name).mkdir()
        (runs_dir / name / "result.json").write_text(text)
    runs = collect([runs_dir, runs_dir.parent / "not there"])
    assert len(runs) == 0
    assert [problem.split(":")[0].rsplit("/", 1)[-1] for problem in runs.unreadable] == ["half", "list", "other"]


def test_the_same_run_twice_counts_once_where_it_is_equal(runs_dir, tmp_path):
    (folder,) = write_cell(runs_dir, RELVIT, {0: 90.0}).values()
    shutil.copytree(folder, tmp_path / "other" / folder.name)
    result = json.loads((tmp_path / "other" / folder.name / "result.json").read_text())
    result["timing"]["seconds"] = 7.0  # another machine: slower, the same numbers
    (tmp_path / "other" / folder.name / "result.json").write_text(json.dumps(result))
    runs = collect([runs_dir, tmp_path / "other", runs_dir])
    (run,) = runs
    assert run.result["metrics"]["accuracy"] == 90.0 and not runs.differing
    assert aggregate(RELVIT, runs).by_seed == {0: 90.5}


def test_the_same_run_twice_does_not_count_where_it_differs_and_that_is_said(runs_dir, tmp_path):
    write_cell(runs_dir, RELVIT, {0: 90.0, 1: 91.0})
    write_cell(tmp_path / "other", RELVIT, {0: 90.01})
    runs = collect([runs_dir, tmp_path / "other"])
    own = aggregate(RELVIT, runs)
    assert own.by_seed == {1: 91.5} and own.missing == (0, 2, 3, 4)
    made = paper_table("table2", runs, plan.cells("table2"))
    (note,) = [note for note in made.notes if note.startswith("NOT COUNTED")]
    assert str(runs_dir) in note and str(tmp_path / "other") in note
    assert not any("NOT COUNTED" in note for note in paper_table("table3", runs, plan.cells("table3")).notes)


def test_a_probe_added_to_one_of_two_equal_runs_is_no_difference(runs_dir, tmp_path):
    (folder,) = write_cell(runs_dir, RELVIT, {0: 90.0}).values()
    shutil.copytree(folder, tmp_path / "other" / folder.name)
    result = json.loads((folder / "result.json").read_text())
    result["metrics"]["knn_20"] = 55.0
    (folder / "result.json").write_text(json.dumps(result))
    (run,) = collect([tmp_path / "other", runs_dir])
    assert run.value("knn_20") == 55.0 and run.folder == folder.resolve()


# Aggregates, by hand


def test_mean_and_sample_standard_deviation(runs_dir):
    write_cell(runs_dir, RELVIT, {0: 88.0, 1: 90.0, 2: 92.0, 3: 94.0, 4: 96.0})
    own = aggregate(RELVIT, collect([runs_dir]), "accuracy")
    assert own.mean == 92 and own.sd == pytest.approx(10**0.5) and own.n == 5 and own.missing == ()  # 40 / 4
    assert {seed: len(folders) for seed, folders in own.folders.items()} == dict.fromkeys(range(5), 1)
    best = aggregate(RELVIT, collect([runs_dir]))
    assert best.mean == 92.5  # like for like: the best epoch


def test_one_seed_has_no_spread_and_none_has_nothing(runs_dir):
    assert aggregate(RELVIT, collect([runs_dir])) == Aggregate({}, {}, (0, 1, 2, 3, 4))
    write_cell(runs_dir, RELVIT, {3: 90.0})
    own = aggregate(RELVIT, collect([runs_dir]))
    assert own.by_seed == {3: 90.5} and own.mean == 90.5 and own.sd is None and own.missing == (0, 1, 2, 4)
    empty = Aggregate()
    assert empty.mean is None and empty.sd is None and empty.n == 0


def test_differences_are_paired_over_the_seeds_that_both_have(runs_dir):
    write_cell(runs_dir, RELVIT, {0: 90.0, 1: 92.0, 2: 91.0, 4: 50.0})
    write_cell(runs_dir, SUPERVISED, {0: 86.0, 1: 86.0, 2: 86.0, 3: 10.0})
    runs = collect([runs_dir])
    gap = paired(aggregate(RELVIT, runs), aggregate(SUPERVISED, runs))
    assert gap.by_seed == {0: 4, 1: 6, 2: 5} and gap.mean == 5 and gap.sd == 1 and gap.missing == (3, 4)
    assert [len(folders) for folders in gap.folders.values()] == [2, 2, 2]


def test_flowers_are_compared_on_val_and_reported_on_test(runs_dir):
    flowers = cell("table2", "flower102", "RelViT")
    write_cell(runs_dir, flowers, {0: 45.0}, best=2.0)
    made = paper_table("table2", collect([runs_dir]), plan.cells("table2"))
    own = entry(made, "flower102", "RelViT")
    assert own.like.by_seed == {0: 46.0}  # best on val: 45 + 2 - 1
    assert own.headline.by_seed == {0: 45.0}
    assert own.difference == pytest.approx(46.0 - 45.78)


def test_a_task_is_compared_at_the_epoch_that_was_kept(runs_dir):
    dist = cell("table4", "sprel+dist", "dist")
    (stage,) = dist.stages(0)
    curves = {"sprel": [30.0, 40.0, 39.0], "dist": [12.0, 10.0, 11.0]}
    write_run(runs_dir, stage, {"sprel": 39.0, "dist": 11.0}, curves, kept_epoch=2)
    own = entry(paper_table("table4", collect([runs_dir]), plan.cells("table4")), "sprel+dist", "dist")
    assert own.like.by_seed == {0: 10.0} and own.headline.by_seed == {0: 11.0}
    assert own.difference == pytest.approx(10.0 - 10.29) and own.gain is None
    text = cell("table4", "sprel+dist", "dist", "paper")  # keeps the last
    write_run(runs_dir, text.stages(0)[-1], {"sprel": 39.0, "dist": 11.0}, curves)
    assert aggregate(text, collect([runs_dir])).by_seed == {0: 11.0}


def test_recipes_are_columns_of_their_own(runs_dir):
    write_cell(runs_dir, RELVIT, {0: 90.0, 1: 91.0})
    write_cell(runs_dir, cell("table2", "cifar10", "RelViT", "paper"), {0: 80.0})
    made = paper_table("table2", collect([runs_dir]), plan.cells("table2"))
    assert made.sources == ("released", "paper")
    assert entry(made, "cifar10", "RelViT").headline.mean == 90.5
    assert entry(made, "cifar10", "RelViT", "paper").headline.mean == 80.0
    one = paper_table("table2", collect([runs_dir]), plan.cells("table2", "paper"))
    assert one.sources == ("paper",) and one.seeds("paper") == (1, 60)


# Tables


def test_an_improvement_is_computed_and_tested(runs_dir):
    write_cell(runs_dir, RELVIT, {0: 90.0, 1: 92.0, 2: 91.0}, best=0.5)
    write_cell(runs_dir, SUPERVISED, {0: 86.0, 1: 86.0, 2: 86.0, 3: 10.0}, best=1.0)
    made = paper_table("table2", collect([runs_dir]), plan.cells("table2"))
    own = entry(made, "cifar10", "Improv.")
    assert own.headline.mean == 5 and own.like.mean == pytest.approx(4.5)
    assert own.difference == pytest.approx(4.5 - 4.14) and own.within is None
    assert own.p == pytest.approx(1 - 75**0.5 / 77**0.5)  # t^2 = 75, and p = 1 - t / sqrt(t^2 + 2)
    assert own.told_apart is True
    assert entry(made, "cifar10", "RelViT").gain.by_seed == own.headline.by_seed


def test_one_seed_in_common_has_no_test(runs_dir):
    write_cell(runs_dir, RELVIT, {0: 90.0, 1: 92.0})
    write_cell(runs_dir, SUPERVISED, {1: 86.0, 2: 86.0})
    own = entry(paper_table("table2", collect([runs_dir]), plan.cells("table2")), "cifar10", "Improv.")
    assert own.headline.by_seed == {1: 6.0} and own.p is None and own.told_apart is None


@pytest.mark.parametrize(
    "shown, own, base",
    [
        (("ViT: Improv.", "svhn"), ("ViT: RelViT", "svhn"), ("ViT: Supervised", "svhn")),
        (("Swin: Improv.", "svhn"), ("Swin: RelSwin", "svhn"), ("Swin: L_drloc", "svhn")),
        (("T2T: Improv.", "svhn"), ("T2T: RelT2T-ViT", "svhn"), ("T2T: L_drloc", "svhn")),
    ],
)
def test_table_3_improves_on_what_the_paper_improves_on(runs_dir, shown, own, base):
    assert comparison("table3", *shown) == (own, base)
    write_cell(runs_dir, cell("table3", *own), {0: 96.0})
    write_cell(runs_dir, cell("table3", *base), {0: 94.0})
    write_cell(runs_dir, cell("table3", f"{shown[0].split(':')[0]}: Supervised", "cifar10"), {0: 10.0})
    made = paper_table("table3", collect([runs_dir]), plan.cells("table3"))
    assert entry(made, *shown).headline.by_seed == {0: 2.0}
    assert made.entries["Swin: L_drloc", "svhn"].number.quoted and not made.entries[own].number.quoted


def test_tables_4_and_5_compare_with_their_baselines(runs_dir):
    for table, rows in {
        "table4": {"Supervised": 85.0, "sprel+abspos": 90.0},
        "table5": {"Supervised": 40.0, "No-Mega-Patches": 45.0, "6": 46.0},
    }.items():
        for row, value in rows.items():
            write_cell(
                runs_dir, cell(table, row, "Finetuning" if table == "table4" else "flower102 vit_s_16"), {0: value}
            )
    runs = collect([runs_dir])
    four, five = (paper_table(name, runs, plan.cells(name)) for name in ("table4", "table5"))
    assert entry(four, "sprel+abspos", "Finetuning").gain.by_seed == {0: 5.0}
    assert entry(four, "Supervised", "Finetuning").gain is None
    assert entry(five, "6", "flower102 vit_s_16").gain.by_seed == {0: 1.0}
    assert entry(five, "No-Mega-Patches", "flower102 vit_s_16").gain.by_seed == {0: 5.0}
    assert five.entries["10", "flower102 vit_s_32"].ours == {}  # the paper's dash: nothing to run


def test_a_difference_within_the_noise_is_flagged(runs_dir):
    write_cell(runs_dir, RELVIT, {0: 89.6, 1: 89.9, 2: 89.8, 3: 89.5})  # best: mean 90.2, against 90.23 ± 0.09
    write_cell(runs_dir, SUPERVISED, {0: 80.0, 1: 80.1})
    write_cell(runs_dir, cell("table4", "sprel", "Finetuning"), {0: 89.0})
    runs = collect([runs_dir])
    made = paper_table("table2", runs, plan.cells("table2"))
    assert entry(made, "cifar10", "RelViT").within is True
    assert entry(made, "cifar10", "Supervised").within is False
    assert entry(made, "svhn", "RelViT").within is None  # not run
    one = entry(paper_table("table4", runs, plan.cells("table4")), "sprel", "Finetuning")
    assert one.difference == pytest.approx(0.48) and one.within is None  # one seed, and no spread in print


@pytest.mark.parametrize("table", ["table2", "table3", "table4", "table5"])
def test_without_runs_every_place_is_there_and_empty(table):
    made = paper_table(table, collect([]), plan.cells(table))
    assert made.rows == paper.rows(table) and made.columns == paper.columns(table)
    for (row, column), place in made.entries.items():
        assert place.number == paper.get(table, row, column)
        assert set(place.ours) == (set(plan.RECIPES) if place.number else set())
        assert all(own.like.n == own.headline.n == 0 and own.difference is None for own in place.ours.values())
    assert made.notes == () and made.seeds("released")[0] == 0
    planned = {(c.row, c.column) for c in plan.cells(table, "released")}
    assert made.seeds("released")[1] == 5 * len(planned)


def test_table_1_counts_the_models():
    made = paper_table("table1", collect([]))
    for (row, column), place in made.entries.items():
        counted = place.ours[BUILT]
        if column != "params":
            assert counted.value == place.number.value, (row, column)
    exact = {row: made.entries[row, "params"].ours[BUILT].exact for row in made.rows}
    assert exact == {
        "vit_s_4": 21_338_496, "vit_s_8": 21_393_792, "vit_s_32": 22_493_952, "vit_s_16": 21_665_664,
        "vit_s_14": 21_619_584,
    }  # fmt: skip
    assert any("ViT-S/16" in note for note in made.footnotes)


def test_slips_stand_under_the_tables_that_they_are_about():
    two, five = (paper_table(name, collect([])).footnotes for name in ("table2", "table5"))
    assert any("+5.85" in note for note in two) and not any("+5.85" in note for note in five)
    assert any("mean over M" in note for note in five) and not any("mean over M" in note for note in two)
    three = paper_table("table3", collect([])).footnotes
    assert not any("Eq. 3" in note or "Table 1" in note for note in three)


def test_what_the_runs_were_made_with_is_said_where_it_matters(runs_dir, monkeypatch):
    monkeypatch.setattr("relvit_lab.train.environment.commit", lambda: "aaaa")
    for seed, (commit, precision) in enumerate([("aaaa", "float32"), ("aaaa", "bf16"), ("bbbb", "bf16")]):
        write_cell(runs_dir, RELVIT, {seed: 90.0}, environment={"commit": commit, "precision": precision})
    made = paper_table("table2", collect([runs_dir]), plan.cells("table2"))
    assert made.notes == (
        "Our runs were made by commit aaaa (2), bbbb (1); this table by aaaa.",
        "Our runs have precision bf16 (2), float32 (1).",
    )
    assert entry(made, "cifar10", "RelViT").like.n == 3  # said, not left out


def test_runs_at_another_scale_say_so(runs_dir):
    small = plan.cells("table2", "released", preset="smoke")
    write_cell(runs_dir, small[0], {0: 20.0})
    made = paper_table("table2", collect([runs_dir]), small)
    assert "not at the paper's scale: preset smoke" in made.notes[0]
    assert entry(made, small[0].row, small[0].column).headline.mean == 20.0
    assert paper_table("table2", collect([runs_dir]), plan.cells("table2")).notes == ()  # those are other cells


def test_names_that_are_no_table():
    with pytest.raises(RelvitError, match="did you mean 'table2'"):
        paper_table("tabel2", collect([]))
    with pytest.raises(RelvitError, match="viz_tables"):
        paper_table("figure4", collect([]))


@pytest.mark.xdist_group("timing")
def test_a_thousand_folders_make_all_tables_in_seconds(runs_dir):
    cells, stages = plan.cells(), {}
    for c in cells:
        for seed in c.seeds:
            stages.setdefault(c.stages(seed)[-1].id, c.stages(seed)[-1])
    curves = {"accuracy": [50.0] * 100}
    for stage in list(stages.values())[:1000]:
        if stage.name == "pretrain":
            tasks = dict.fromkeys(stage.tasks, 40.0)
            write_run(runs_dir, stage, tasks, {t: [v] * 100 for t, v in tasks.items()}, kept_epoch=90)
        else:
            metrics = {"accuracy": 50.0, "best_accuracy": 51.0, "best_val_accuracy": 51.0}
            write_run(runs_dir, stage, metrics, curves)
    assert len(list(runs_dir.iterdir())) == 1000
    plan._stages.cache_clear()
    plan._cell_stages.cache_clear()
    start = time.perf_counter()
    runs = collect([runs_dir])
    made = [paper_table(f"table{k}", runs, cells) for k in (1, 2, 3, 4, 5)]
    seconds = time.perf_counter() - start
    assert len(runs) == 1000 and sum(made[k].seeds("released")[0] for k in (1, 2, 3, 4)) > 600
    print(f"{seconds:.2f} s")
    assert seconds < 20, f"{seconds:.1f} s"  # 4 on an idle machine


def test_where_recorded_runs_are_shown_a_column_without_any_has_no_empty_places(runs_dir):
    write_cell(runs_dir, SUPERVISED, {0: 84.5, 1: 84.5})
    full = paper_table("table2", collect([runs_dir]), plan.cells("table2"))
    filled = paper_table("table2", replace(collect([runs_dir]), recorded=True), plan.cells("table2"))
    assert all(full.shown(column) == full.sources for column in full.columns)
    assert {column: filled.shown(column) for column in filled.columns} == {
        "Supervised": ("released",), "RelViT": (), "Improv.": (),
    }  # fmt: skip
    page = to_html(filled, runs_dir)
    assert page.count('<th scope="col"') == 4 and page.count("<td style") == 4 * len(filled.rows)
    assert "85.00" in page and "90.23" in page, "ours, and the paper's own"
    none = paper_table("table5", replace(collect([runs_dir]), recorded=True), plan.cells("table5"))
    assert not any(map(none.shown, none.columns)) and "None of the recorded runs" in none.notes[-1]
    assert paper_table("table5", collect([runs_dir]), plan.cells("table5")).notes == ()


def test_the_recorded_runs_are_a_table_of_their_own():
    table = recorded_table(read_records(RESULTS))
    assert len(table.rows) > 10 and len({row[:2] for row in table.rows}) == len(table.rows)
    report = Report(read_records(RESULTS))
    (line,) = (row for row in table.rows if row[:2] == (WHAT["twice"], "12 + 12"))
    assert line[2] == ", ".join(f"{value:.1f}" for value in report.of("twice", "accuracy"))
    assert recorded_table({}).rows == ()
