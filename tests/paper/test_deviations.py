"""Deviations from the paper, and what the tables' runs are and cost: told from the runs themselves."""

import json
import os
from pathlib import Path

import pytest
from run_fixtures import write_cell, write_run

from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.records.store import read_records
from relvit_lab.paper.tables import cost
from relvit_lab.paper.tables.deviation_rules import RULES, SCOPES
from relvit_lab.paper.tables.deviations import deviation_table, deviations, fewer_seeds
from relvit_lab.paper.tables.finished import Made, Run, made_for
from relvit_lab.paper.tables.numbers import aggregate, paper_table
from relvit_lab.paper.tables.recorded import choose_or_recorded
from relvit_lab.paper.tables.text import to_csv, to_latex, to_markdown
from relvit_lab.train.experiment import Experiment

RESULTS = Path(__file__).parents[2] / "results"


def cell(table, row, column, recipe="released", **more):
    (found,) = plan.cells(table, recipe, rows=[row], columns=[column], **more)
    return found


def made(cells, tables=(), **more):
    """Their stages as finished runs. more: of the result."""
    stages = {stage.id: stage for c in cells for seed in c.seeds[:1] for stage in c.stages(seed)}
    return [Made(Run(name, Path(name), _result(stage) | more), stage, tuple(tables)) for name, stage in stages.items()]


def _result(stage):
    kept = {"kept_epoch": 3} if stage.keeps_best else {}
    flowers = {"best_val_accuracy": 50.0} if stage.experiment.dataset == "flower102" and stage.classifies else {}
    return {
        "experiment": stage.experiment.as_dict(), "stage": {"id": stage.id, "name": stage.name} | kept,
        "metrics": {"accuracy": 50.0} | flowers, "environment": {"precision": "float32"}, "test_split": "test",
    }  # fmt: skip


def said(found):
    return {(d.name, d.ours): d.where for d in found}


def test_recipe_paper_at_full_scale_departs_only_where_the_text_is_silent():
    found = deviations(made([cell("table2", "cifar10", "RelViT", "paper")]))
    assert [d.name for d in found] == [
        "Clipping of gradients", "Sizes of resized crops", "Strength of patch augmentation",
        "Weights that are fine-tuned", "Epoch whose accuracy counts",
    ]  # fmt: skip
    assert all("not said" in d.paper or "without values" in d.paper for d in found)
    assert said(found)["Weights that are fine-tuned", "of the last epoch"] == "all 1 pre-trainings"


def test_two_recipes_are_told_apart():
    both = [cell("table2", "cifar10", "RelViT", recipe) for recipe in plan.RECIPES]
    found = said(deviations(made(both)))
    assert found["Weight decay", "0.1, on every parameter"] == "2 of 4 stages: recipe released"
    assert found["Drop path", "0.1"] == "2 of 4 stages: recipe released"
    assert found["Clipping of gradients", "to a norm of 1"] == "all 4 stages"
    assert found["Weights that are fine-tuned", "of the lowest SSL loss in evaluation"] == (
        "1 of 2 pre-trainings: recipe released"
    )
    assert found["Weights that are fine-tuned", "of the last epoch"] == "1 of 2 pre-trainings: recipe paper"
    assert not any(name == "Dropout" for name, _ in found)


def test_two_scales_are_told_apart():
    cells = [cell("table2", "cifar10", "RelViT", "paper"), cell("table2", "svhn", "RelViT", "paper", preset="smoke")]
    found = said(deviations(made(cells)))
    small = "2 of 4 stages: data SVHN; backbone ViT-nano"
    assert found["Epochs a stage", "2, with warm-up in their first tenth"] == small
    assert found["Training images", "a fixed subset of at most 96"] == small
    assert found["Backbone", "ViT-nano, images of 32 px in patches of 4"] == small
    assert found["Batch size", "32"] == found["Highest learning rate", "0.001"] == small


def test_every_rule_can_hold_and_can_fail_to():
    cells = [
        *plan.cells(("table2", "table3"), seeds=[0]),
        *plan.cells("table5", seeds=[0], rows=["6"]),
        *plan.cells("table2", "paper", [0], preset="demo", image_crop="none", flip=False, label_fraction=0.1),
        *plan.cells("table3", "paper", [0], columns=["flower102"], train_on="train+val", pair_head="mlp"),
        *plan.cells("table2", "paper", [0], rows=["imagenet100"], data_source="files"),
    ]  # fmt: skip
    runs = made(cells) + made(plan.cells("figure4", "paper", [0], dataset="digits", preset="demo"), ["figure4"])
    runs += made([cell("table2", "imagenet100", "RelViT")], test_split="val")
    runs += made([cell("table2", "svhn", "RelViT")], environment={"precision": "bf16"})
    holding = {d.name for d in deviations(runs)}
    assert holding == {rule.name for rule in RULES}
    plain = {d.name for d in deviations(made([cell("table2", "cifar10", "RelViT", "paper")]))}
    assert len(plain) == 5
    for name, about in SCOPES.items():
        assert any(map(about, runs)), name
        assert name == "stages" or not all(map(about, runs)), name


def test_flowers_name_their_images():
    name = "Flower-102: accuracy is of"
    (words,) = [ours for rule, ours in said(deviations(made([cell("table2", "flower102", "RelViT")]))) if rule == name]
    assert words.startswith("the last epoch's on test images") and "validation" in words
    assert not any(d.name == name for d in deviations(made([cell("table2", "cifar10", "RelViT")])))


def test_fewer_seeds_are_counted_by_number():
    found = fewer_seeds([5, 1, 1, 3, 5])
    assert [(d.ours, d.where) for d in found] == [
        ("1 seed", "2 of 5 numbers with runs"), ("3 seeds", "1 of 5 numbers with runs"),
    ]  # fmt: skip
    assert fewer_seeds([5, 5]) == () and fewer_seeds([1])[0].where == "all 1 numbers with runs"


# -- tables of real folders ----------------------------------------------------------------------------------------


@pytest.fixture
def runs_dir(tmp_path):
    """Runs of Tables 2 and 4 and of Figure 4, some of several tables, one on another device; written at one time."""
    folder = tmp_path / "runs"
    for seed in range(3):
        write_cell(folder, cell("table2", "cifar10", "Supervised"), {seed: 86.0})
        write_cell(folder, cell("table2", "cifar10", "RelViT"), {seed: 90.0})
    write_cell(folder, cell("table2", "flower102", "RelViT"), {0: 45.0}, environment={"device": "NVIDIA H100"})
    write_cell(folder, cell("table2", "cifar10", "RelViT", "paper"), {0: 80.25}, environment={"precision": "bf16"})
    write_cell(folder, cell("figure4", "Supervised", "Finetuning"), {0: 85.0})
    for k, file in enumerate(sorted(folder.glob("*/result.json"))):
        result = json.loads(file.read_text())
        result["timing"] = {"seconds": 3600.0, "images_per_second": 100.0 + k}
        file.write_text(json.dumps(result))
        os.utime(file, (1.8e9, 1.8e9))
    return folder


def read(runs_dir, names=("table2", "table4", "figure4"), **options):
    runs, cells = choose_or_recorded(str(runs_dir), names, **options)
    return runs, made_for(runs, cells), cells


def test_what_the_runs_are(runs_dir):
    runs, made, cells = read(runs_dir)
    told = dict(cost.about(runs, made, cells).rows)
    assert told["Runs"] == "9 finished stages behind the numbers here" and told["Seeds"] == "0 (5), 1 (2), 2 (2)"
    assert told["Newest result"] == "2027-01-15 08:00 UTC" and told["Recipes"] == "paper (1), released (8)"
    assert "Scale" not in told
    (stage,) = Experiment(dataset="digits", scenario="supervised", preset="smoke").stages()
    write_run(runs_dir, stage, {"accuracy": 50.0})
    runs, made, cells = read(runs_dir)
    assert "; 1 further in the same place" in dict(cost.about(runs, made, cells).rows)["Runs"]
    runs, made, cells = read(runs_dir, preset="smoke")
    told = dict(cost.about(runs, made, cells).rows)
    assert "none of the 10 finished stages here" in told["Runs"] and "paper (9), smoke (1)" in told["Runs"]
    assert told["Looked for"].startswith("preset smoke; recipe released, paper; seed 0, 1")


def test_cost_and_environment_are_summed_from_the_results(runs_dir):
    _, made, _ = read(runs_dir)
    table = cost.hours(made)
    hours = {row[0]: row[1:] for row in table.rows}
    assert table.headers == ("Hours", "Stages", "CPU", "NVIDIA H100", "all devices")
    # Figure 4's supervised run is a first stage of the others' two
    assert hours["Table 2"] == ("9", "8.00", "1.00", "9.00") and hours["Table 4"] == ("8", "8.00", "-", "8.00")
    assert hours["Figure 4"] == ("1", "1.00", "-", "1.00")
    assert list(hours)[-1].startswith("Together") and table.rows[-1][1:] == ("9", "8.00", "1.00", "9.00")
    rates = cost.rates(made).rows
    assert sum(int(row[5]) for row in rates) == 9
    (flowers,) = [row for row in rates if row[3] == "NVIDIA H100"]
    assert flowers[:3] == ("ViT-S/32", "224", "fine-tuning") and flowers[6] == flowers[7].split(" to ")[0]
    rows = cost.environment(made).rows
    assert {("Precision", "bf16", "1"), ("Precision", "float32", "8"), ("Device", "CPU", "8")} <= set(rows)


def test_runs_that_say_little_of_themselves(runs_dir):
    for file in runs_dir.glob("*/result.json"):
        result = json.loads(file.read_text())
        del result["timing"], result["counts"]
        result["environment"] = {}
        file.write_text(json.dumps(result))
    _, made, _ = read(runs_dir)
    assert cost.hours(made).headers == cost.rates(made).headers == ("No runs with times.",)
    assert ("Device", "not recorded", "9") in cost.environment(made).rows


def test_the_table_of_deviations_has_what_all_runs_do_first(runs_dir):
    runs, made, cells = read(runs_dir)
    rows = deviation_table(runs, made, cells).rows
    listed = {(row[0], row[2]): row[3] for row in rows}
    assert listed["Weight decay", "0.1, on every parameter"] == "8 of 9 stages: recipe released"
    assert listed["Precision", "bfloat16 in forward passes (autocast)"].startswith("1 of 9 stages: recipe paper")
    everywhere = [row[3].startswith("all ") for row in rows]
    assert everywhere == sorted(everywhere, reverse=True)
    assert deviation_table(runs, (), ()).headers == ("No runs, so no deviations.",)


# -- recorded runs, where there are none of one's own --------------------------------------------------------------


def test_recorded_runs_stand_in_and_are_not_linked(tmp_path):
    (tmp_path / "results").symlink_to(RESULTS)
    runs, made, cells = read("nothing", names=())
    told = dict(cost.about(runs, made, cells).rows)
    assert runs.recorded and "none of yours" in told["Runs"] and "say nothing about it" in told["Scale"]
    table = paper_table("table2", runs, cells)
    own = table.entries["cifar10", "RelViT"].ours["paper"]
    records = [record for record in read_records().values() if record["id"] in {one.run.id for one in made}]
    assert len(records) == len(made) > 30
    at = cell("table2", "cifar10", "RelViT", "paper", preset="demo", seeds=(0, 1, 2))
    by_id = {record["id"]: record["metrics"] for record in records}
    best = [by_id[at.stages(seed)[-1].id]["best_accuracy"] for seed in at.seeds]
    assert list(own.like.by_seed.values()) == best and own.like.n == 3
    for text in (to_markdown(table, tmp_path), to_latex(table), to_csv(table, tmp_path), table._repr_html_()):
        assert "None" not in text and "href" not in text and "](" not in text
    assert aggregate(cell("table4", "sprel", "sprel", "paper", preset="demo"), runs).n == 3  # at its kept epoch
    assert cost.hours(made).rows


def test_ones_own_runs_come_first(runs_dir, tmp_path):
    (tmp_path / "results").symlink_to(RESULTS)
    runs, made, _ = read(runs_dir)
    assert not runs.recorded and len(made) == 9
