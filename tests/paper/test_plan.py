"""The plan of runs: which cells there are, what each trains, and which stages they share."""

import time
from collections import Counter

import pytest

from relvit_lab.common.errors import RelvitError
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.plan.cells import cells, job_fields, jobs, stages
from relvit_lab.train.experiment import Experiment


def cell(table, row, column, recipe="released", **overrides):
    [found] = cells(table, recipe, rows=[row], columns=[column], **overrides)
    return found


def ids(*place, seed=0, **overrides):
    return [stage.id for stage in cell(*place, **overrides).stages(seed)]


@pytest.fixture(scope="module")
def one_seed():
    return cells(recipes="released", seeds=[0])


# -- which cells


def test_a_cell_for_every_number_of_the_paper_and_for_each_curve_of_figure_4(one_seed):
    printed = {(n.table, n.row, n.column) for n in paper.NUMBERS if n.table != "table1" and not n.improvement}
    places = [(c.table, c.row, c.column) for c in one_seed]
    assert len(set(places)) == len(places)
    assert {place for place in places if place[0] != "figure4"} == printed
    of_figure = [place[1:] for place in places if place[0] == "figure4"]
    curves = [(row, column) for row in paper.rows("figure4") for column in paper.columns("figure4")]
    assert of_figure == [place for place in curves if place != ("Supervised", "SpRel")]


def test_the_number_of_cells_by_table(one_seed):
    assert Counter(c.table for c in one_seed) == {
        "table2": 6 * 2, "table3": 8 * 4, "table4": 1 + 15 + 32, "table5": 8 * 6 - 4, "figure4": 4 * 2 + 1,
    }  # fmt: skip


def test_both_recipes_have_the_same_cells_released_first():
    both = cells(seeds=[0])
    half = len(both) // 2
    assert [c.recipe for c in both] == ["released"] * half + ["paper"] * half
    assert [c.key[:3] for c in both[:half]] == [c.key[:3] for c in both[half:]]
    for c in both:
        assert c.experiment(0).resolved().recipe == c.recipe


def test_five_seeds_unless_others_are_given():
    assert {c.seeds for c in cells()} == {(0, 1, 2, 3, 4)}
    assert {c.seeds for c in cells("table2", seeds=[3, 1, 3])} == {(3, 1)}


def test_what_counts_in_a_cell():
    accuracy = cell("table2", "cifar10", "RelViT")
    assert (accuracy.stage, accuracy.metric, accuracy.like) == ("last", "accuracy", "best_accuracy")
    for place in (("table2", "flower102", "RelViT"), ("table5", "3", "flower102 vit_s_14"),
                  ("table3", "Swin: L_drloc", "flower102")):  # fmt: skip
        assert cell(*place).like == "best_val_accuracy"
    assert cell("table2", "imagenet100", "RelViT").like == "best_accuracy"
    pretext = cell("table4", "dist+abspos", "dist")
    assert (pretext.stage, pretext.metric, pretext.like) == ("first", "dist", "dist")
    assert [stage.name for stage in pretext.stages(0)] == ["pretrain"]


def test_a_cell_can_be_a_key():
    assert len(set(cells())) == 290


# -- what is trained


@pytest.mark.parametrize(
    "place, names",
    [
        (("table2", "cifar10", "Supervised"), ["supervised", "supervised2"]),
        (("table2", "cifar10", "RelViT"), ["pretrain", "finetune"]),
        (("table3", "ViT: Supervised", "cifar10"), ["supervised"]),
        (("table3", "Swin: Supervised", "cifar10"), ["supervised"]),
        (("table3", "T2T: L_drloc", "cifar10"), ["joint"]),
        (("table3", "T2T: RelT2T-ViT", "cifar10"), ["joint"]),
        (("table4", "Supervised", "Finetuning"), ["supervised", "supervised2"]),
        (("table5", "Supervised", "flower102 vit_s_16"), ["supervised", "supervised2"]),
        (("table5", "10", "flower102 vit_s_16"), ["pretrain", "finetune"]),
        (("figure4", "PE on, shuffle", "Finetuning"), ["pretrain", "finetune"]),
        (("figure4", "Supervised", "Finetuning"), ["supervised"]),
    ],
)
def test_the_stages_of_each_kind_of_cell(place, names):
    assert [stage.name for stage in cell(*place).stages(0)] == names


def test_backbones_are_the_papers():
    at = {c.row: c.experiment(0).resolved().backbone for c in cells("table2", "paper", columns=["RelViT"])}
    assert at == {
        "cifar10": "vit_s_4", "svhn": "vit_s_4", "cifar100": "vit_s_4", "flower102": "vit_s_32",
        "tiny_imagenet": "vit_s_8", "imagenet100": "vit_s_32",
    }  # fmt: skip
    joint = [cell("table3", row, "cifar10") for row in ("ViT: RelViT", "Swin: RelSwin", "T2T: RelT2T-ViT")]
    assert [c.experiment(0).resolved().backbone for c in joint] == ["vit_s_4", "swin_t", "t2t_vit_14"]


def test_tasks_and_switches():
    assert cell("table4", "dist+ang", "ang").experiment(0).tasks == ("dist", "ang")
    assert cell("table2", "svhn", "RelViT").experiment(0).tasks == ("sprel", "abspos")
    mega = cell("table5", "6", "imagenet100 vit_s_32").experiment(0)
    assert (mega.mega_patches, mega.tasks) == (6, ("sprel", "abspos"))
    shortcut = cell("figure4", "PE on, no shuffle", "SpRel").experiment(0)
    assert (shortcut.pos_embed, shortcut.shuffle, shortcut.tasks) == (True, False, ("sprel",))
    for recipe in plan.RECIPES:  # each form of the peer's loss with the recipe of its name
        peer = cell("table3", "Swin: L_drloc", "svhn", recipe).experiment(0)
        assert (peer.tasks, peer.drloc_form) == (("drloc",), recipe)


# -- shared stages


@pytest.mark.parametrize(
    "one, other",
    [
        (("table2", "cifar10", "RelViT"), ("table4", "sprel+abspos", "Finetuning")),
        (("table2", "cifar10", "Supervised"), ("table4", "Supervised", "Finetuning")),
        (("table2", "imagenet100", "RelViT"), ("table5", "No-Mega-Patches", "imagenet100 vit_s_32")),
        (("table2", "flower102", "RelViT"), ("table5", "No-Mega-Patches", "flower102 vit_s_32")),
        (("table2", "imagenet100", "Supervised"), ("table5", "Supervised", "imagenet100 vit_s_32")),
        (("table4", "sprel", "Finetuning"), ("figure4", "PE off, no shuffle", "Finetuning")),
    ],
)
@pytest.mark.parametrize("preset", ["paper", "demo", "smoke"])
def test_cells_that_are_the_same_runs(one, other, preset):
    for recipe in plan.RECIPES:
        for seed in (0, 3):
            first = ids(*one, recipe=recipe, seed=seed, preset=preset)
            assert first == ids(*other, recipe=recipe, seed=seed, preset=preset)
            assert len(first) == 2


def test_the_first_supervised_stage_is_table_3s_and_figure_4s():
    for name in plan.SMALL:
        assert ids("table3", "ViT: Supervised", name) == ids("table2", name, "Supervised")[:1]
    assert ids("figure4", "Supervised", "Finetuning") == ids("table2", "cifar10", "Supervised")[:1]


def test_nothing_else_is_shared_between_cells(one_seed):
    """Two cells of accuracies end in one stage only where the test above says so."""
    ends = Counter(c.stages(0)[-1].id for c in one_seed if c.metric == "accuracy")
    # CIFAR-10 in Table 4; two columns of Table 5; Figure 4's PE off, no shuffle, and its baseline
    assert sum(n - 1 for n in ends.values()) == 2 + 4 + 2
    assert max(ends.values()) == 2


def test_figure_4s_settings_are_different_runs():
    found = [ids("figure4", curve.row, "Finetuning") for curve in plan.FIGURE_4.values()]
    assert len({name for pair in found for name in pair}) == 8


def test_fine_tuning_starts_from_pre_training_of_its_own_seed():
    c = cell("table2", "cifar10", "RelViT")
    starts = {seed: c.stages(seed)[1].parent.id for seed in c.seeds}
    assert starts == {seed: c.stages(seed)[0].id for seed in c.seeds}
    assert len(set(starts.values())) == 5


def test_the_number_of_stages():
    # Table 2; 3 without ViT's baseline; 14 combinations; 4 columns of Table 5 and the M of all; three settings of PE
    once = 6 * 4 + (4 + 2 * 3 * 4) + 14 * 2 + (4 * 4 + 32 * 2) + 3 * 2
    assert len(jobs(cells(recipes="released", seeds=[0]))) == once == 166
    assert len(jobs(cells(recipes="released"))) == 5 * once
    assert len(jobs(cells())) == 2 * 5 * once
    assert len(jobs(cells("table2", "paper"))) == 5 * 24
    assert len(jobs(cells("figure4", "paper", seeds=[0]))) == 9


@pytest.mark.parametrize("preset", ["demo", "smoke"])
def test_the_small_presets_have_the_shape_of_the_whole_plan(preset):
    small = cells(preset=preset, seeds=[0], recipes="released")
    assert [c.key for c in small] == [c.key for c in cells(seeds=[0], recipes="released")]
    assert len(jobs(small)) == 166
    backbones = {stage.experiment.backbone for stage in stages(small).values()}
    assert backbones == {"vit_nano", "swin_nano", "t2t_nano"}
    sides = {c.column: c.experiment(0).resolved().patch_size for c in small if c.table == "table5"}
    assert [size for name, size in sides.items() if name.startswith("flower102")] == [32, 16, 14]


def test_recipes_share_no_stage():
    released, paper_ = (set(jobs(cells(recipes=recipe, seeds=[0]))) for recipe in plan.RECIPES)
    assert not released & paper_


# -- the order


def test_every_stage_comes_once_after_its_parent():
    seen = []
    for name, job in jobs(cells(seeds=[1, 0])).items():
        assert job.stage.id == name and name not in seen
        assert job.stage.parent is None or job.stage.parent.id in seen
        seen.append(name)


def test_seed_0_first_then_the_papers_five_then_the_rest_and_recipe_paper_last():
    order = [(job.stage.experiment.recipe, job.stage.experiment.seed, job.tables) for job in jobs(cells()).values()]
    recipes = [recipe for recipe, _, _ in order]
    assert recipes == sorted(recipes, reverse=True)
    of_released = [entry[1:] for entry in order if entry[0] == "released"]
    assert [seed for seed, _ in of_released[:166]] == [0] * 166
    later = [bool(set(tables) & {"table2", "table3"}) for _, tables in of_released[166:]]
    assert later == sorted(later, reverse=True) and sum(later) == 4 * (24 + 28)
    assert [seed for seed, _ in of_released[166 : 166 + 208]] == [s for s in (1, 2, 3, 4) for _ in range(52)]


def test_the_order_is_the_same_each_time_and_whatever_the_order_of_the_cells_of_a_seed():
    assert list(jobs(cells("table5"))) == list(jobs(cells("table5")))
    assert list(stages(cells("table2"))) == list(jobs(cells("table2")))


def test_a_job_knows_the_cells_and_seeds_that_need_it():
    found = jobs(cells(recipes="released", seeds=[0, 2]))
    pretrain = cell("table2", "cifar10", "RelViT").stages(2)[0]
    assert [(*c.key[:3], seed) for c, seed in found[pretrain.id].needed_by] == [
        ("table2", "cifar10", "RelViT", 2),
        ("table4", "sprel+abspos", "abspos", 2),
        ("table4", "sprel+abspos", "sprel", 2),
        ("table4", "sprel+abspos", "Finetuning", 2),
    ]
    assert found[pretrain.id].tables == ("table2", "table4")


# -- choosing, and changing all cells


def test_choosing_tables_rows_and_columns():
    assert cells("all") == cells()
    assert {c.table for c in cells(["figure4", "table2"])} == {"table2", "figure4"}
    assert [c.column for c in cells("table4", "paper", rows=["sprel+ang"])] == ["ang", "sprel", "Finetuning"]
    assert {(c.table, c.row) for c in cells(rows=["Supervised"], recipes="paper")} == {
        ("table4", "Supervised"), ("table5", "Supervised"), ("figure4", "Supervised"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "given, says",
    [
        ({"tables": "table6"}, "unknown table 'table6'.*did you mean 'table"),
        ({"tables": ["figur4"]}, "did you mean 'figure4'"),
        ({"tables": "table1"}, "unknown table 'table1'"),
        ({"recipes": "papr"}, "did you mean 'paper'"),
        ({"rows": ["cifar1"]}, "unknown row 'cifar1'.*did you mean 'cifar10'"),
        ({"tables": "table4", "rows": ["sprel+abspo"]}, "did you mean 'sprel\\+abspos'"),
        ({"columns": ["Fintuning"]}, "did you mean 'Finetuning'"),
        ({"tables": "table2", "columns": ["Finetuning"]}, "unknown column 'Finetuning'"),
        ({"seeds": []}, "no seeds"),
        ({"epoch": 3}, "did you mean 'epochs'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"preset": "smok"}, "did you mean 'smoke'"),
        ({"backbone": "vit_nano"}, "'backbone' is what makes a cell"),
        ({"tasks": "ang"}, "'tasks' is what makes a cell"),
        ({"seed": 3}, "'seed' is what makes a cell"),
        ({"dataset": "digits"}, "for figure4 alone"),
        ({"tables": ["figure4", "table4"], "dataset": "digits"}, "for figure4 alone"),
    ],
)
def test_what_cannot_be_meant_is_said(given, says):
    with pytest.raises(RelvitError, match=says):
        cells(**given)


def test_overrides_reach_every_cell():
    given = {
        "preset": "smoke", "data_dir": "elsewhere", "run_dir": "here", "epochs": "3", "train_images": 64,
        "device": "cpu", "checkpoint_minutes": 1.0,
    }  # fmt: skip
    wanted = given | {"epochs": 3}
    changed = cells(seeds=[1], **given)
    assert len(changed) == 290
    for c in changed:
        for e in (c.experiment(1).resolved(), c.stages(1)[-1].experiment):
            assert {name: getattr(e, name) for name in given} == wanted
    assert {stage.folder.parent.name for stage in stages(changed).values()} == {"here"}


def test_places_change_no_stage_and_epochs_change_all():
    base = set(stages(cells(seeds=[0])))
    assert set(stages(cells(seeds=[0], run_dir="x", data_dir="y", device="cpu", knn=20))) == base
    assert not base & set(stages(cells(seeds=[0], epochs=7)))


def test_figure_4_on_another_data_set():
    found = cells("figure4", dataset="digits", seeds=[0])
    assert len(found) == 18
    e = found[0].experiment(0).resolved()
    assert (e.dataset, e.preset, e.backbone, e.patch_size) == ("digits", "demo", "vit_nano", 2)
    assert len(jobs(found)) == 18


# -- one stage as a run of its own


@pytest.mark.parametrize("overrides", [{}, {"preset": "smoke", "data_dir": "d", "run_dir": "r", "precision": "bf16"}])
def test_the_fields_of_a_job_make_its_stage_again(overrides):
    chosen = [c for table in plan.TABLES for c in cells(table, seeds=[2], **overrides)[::3]]
    for name, stage in list(stages(chosen).items())[::2]:
        fields = job_fields(stage)
        again = Experiment(**fields)
        assert again.stages()[-1].id == name
        assert again.stages()[-1].folder == stage.folder
        kept = {field: getattr(again, field) for field in ("data_dir", "precision", "device")}
        assert kept == {field: getattr(stage.experiment, field) for field in kept}


def test_the_fields_of_a_job_are_few():
    c = cell("table5", "10", "flower102 vit_s_16", "paper")
    first, last = c.stages(0)
    same = {"dataset": "flower102", "preset": "paper", "backbone": "vit_s_16", "mega_patches": 10}
    assert job_fields(first) == same | {"stop_after": "pretrain"}
    assert job_fields(last) == same | {"stop_after": "finetune"}
    again = cell("table2", "cifar10", "Supervised").stages(1)
    assert [job_fields(stage)["stop_after"] for stage in again] == ["supervised", "supervised2"]


def test_the_whole_plan_resolves_fast():
    plan._stages.cache_clear()
    plan._cell_stages.cache_clear()
    began = time.process_time()
    assert len(jobs(cells())) == 1660
    assert time.process_time() - began < 6  # 1 on an idle machine
