"""Figures from run folders: what they draw is what the runs hold, and what is missing is said or left out."""

import numpy as np
import pytest
from run_fixtures import write_cell, write_run

from relvit_lab.common.errors import RelvitError
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.tables import pictures as viz_tables
from relvit_lab.paper.tables.files import make_tables, write_figures
from relvit_lab.paper.tables.finished import collect
from relvit_lab.paper.tables.numbers import paper_table
from relvit_lab.train.experiment import Experiment


def cell(table, row, column, recipe="released", **more):
    (found,) = plan.cells(table, recipe, rows=[row], columns=[column], **more)
    return found


def lines(ax):
    """The curves of a panel, by label: x and y."""
    return {bar.get_label(): (list(bar.lines[0].get_xdata()), list(bar.lines[0].get_ydata())) for bar in ax.containers}


# Table 5


def test_table_5_without_runs_is_the_papers_curves():
    drawing = viz_tables.over_m(paper_table("table5", collect([]), plan.cells("table5")))
    assert len(drawing.axes) == 6
    for ax, column in zip(drawing.axes, paper.columns("table5")):
        assert set(lines(ax)) == {"paper"}
        x, y = lines(ax)["paper"]
        assert dict(zip(x, y)) == {
            int(row): paper.get("table5", row, column).value
            for row in paper.rows("table5")
            if row.isdigit() and paper.get("table5", row, column)
        }
    assert len({round(np.ptp(ax.get_ylim()), 6) for ax in drawing.axes}) == 1, "slopes compare"
    assert "ours" not in drawing.alt and "M 6 67.26" in drawing.alt
    assert drawing.png()


def test_table_5_with_runs_has_ours_by_recipe(tmp_path):
    column = "imagenet100 vit_s_16"
    write_cell(tmp_path, cell("table5", "6", column), {0: 75.0, 1: 77.0}, best=0)
    write_cell(tmp_path, cell("table5", "3", column), {0: 70.0}, best=0)
    write_cell(tmp_path, cell("table5", "No-Mega-Patches", column, "paper"), {0: 71.0}, best=0)
    drawing = viz_tables.over_m(paper_table("table5", collect([tmp_path]), plan.cells("table5")))
    ax = drawing.axes[paper.columns("table5").index(column)]
    assert lines(ax)["ours, recipe released"] == ([3, 6], [70.0, 76.0])
    assert lines(ax)["ours, recipe paper"] == ([], [])
    assert f"{paper.label(column)}: ours, recipe released M 3 70.00, M 6 76.00." in drawing.alt
    assert "ours, recipe paper no M yet, none 71.00" in drawing.alt
    assert {"ours, recipe released", "ours, recipe paper"}.isdisjoint(lines(drawing.axes[0]))
    names = [text.get_text() for text in drawing.legends[0].get_texts()]
    assert names == ["paper", "ours, recipe released", "ours, recipe paper"]
    with pytest.raises(RelvitError, match="table5, not table4"):
        viz_tables.over_m(paper_table("table4", collect([])))


# Table 4


def test_table_4_takes_ours_of_one_recipe(tmp_path):
    write_cell(tmp_path, cell("table4", "sprel", "Finetuning"), {0: 88.0, 1: 89.0}, best=0)
    write_cell(tmp_path, cell("table4", "dist", "Finetuning", "paper"), {0: 80.0}, best=0)
    table = paper_table("table4", collect([tmp_path]), plan.cells("table4"))
    alt = viz_tables.combinations(table, "released").alt
    assert "SpRel 88.50" in alt and "80.00" not in alt
    assert "Dist 80.00" in viz_tables.combinations(table, "paper").alt
    with pytest.raises(RelvitError, match="no combinations"):
        viz_tables.combinations(table, "other")


# Share of labels


def labelled(scenario, share, seed, **more):
    return Experiment.create(
        {"dataset": "digits", "scenario": scenario, "label_fraction": share, "seed": seed, "preset": "smoke"} | more
    )


def test_accuracies_by_share_of_labels(tmp_path):
    values = {("supervised", 0.1): (30.0, 32.0), ("supervised", 1.0): (60.0,), ("pretrain_finetune", 0.1): (50.0,)}
    values |= {("pretrain_finetune", 1.0): (70.0, 72.0)}
    for (scenario, share), by_seed in values.items():
        for seed, value in enumerate(by_seed):
            write_run(tmp_path, labelled(scenario, share, seed).stages()[-1], {"accuracy": value})
    write_run(tmp_path, labelled("pretrain_finetune", 1.0, 0).stages()[0], {"sprel": 40.0})  # classifies nothing
    write_run(tmp_path, labelled("downstream_only", 1.0, 0).stages()[0], {"accuracy": 65.0})  # one share: no line
    write_run(tmp_path, labelled("supervised", 1.0, 0, epochs=7).stages()[0], {"accuracy": 99.0})  # another schedule
    write_run(tmp_path, labelled("supervised", 1.0, 3, supervised_stages=2).stages()[0], {"accuracy": 62.0})  # the same
    found = viz_tables.by_labels(run.result for run in collect([tmp_path]))
    ((title, series),) = found.items()
    assert title == "digits, ViT-nano, recipe paper, preset smoke"
    assert series == {
        "supervised, one stage": {0.1: [30.0, 32.0], 1.0: [60.0, 62.0]},
        "pre-trained, fine-tuned (SpRel + AbsPos)": {0.1: [50.0], 1.0: [70.0, 72.0]},
    }
    drawing = viz_tables.labels(series, title)
    assert lines(drawing.axes[0])["supervised, one stage"] == ([10.0, 100.0], [31.0, 61.0])
    assert [text.get_text() for text in drawing.axes[0].get_xticklabels()] == ["10", "100"]
    assert "10 % of labels 31.0, 100 % of labels 61.0" in drawing.alt


def test_lines_over_labels_have_limits():
    with pytest.raises(RelvitError, match="1 to 5 lines"):
        viz_tables.labels({})
    assert viz_tables.by_labels([]) == {}


def test_many_lines_over_labels_are_cut_into_parts(tmp_path):
    for epochs in range(2, 8):
        for share in (0.1, 1.0):
            (stage,) = labelled("supervised", share, 0, epochs=epochs).stages()
            write_run(tmp_path, stage, {"accuracy": float(epochs)})
    found = viz_tables.by_labels(run.result for run in collect([tmp_path]))
    assert [(title[-6:], len(series)) for title, series in found.items()] == [("part 1", 5), ("part 2", 1)]
    means = sorted(line[1.0][0] for series in found.values() for line in series.values())
    assert means == [2, 3, 4, 5, 6, 7]
    names = [name for series in found.values() for name in series]
    assert len(set(names)) == 6 and names[1].startswith(names[0])
    assert all(viz_tables.labels(series, title).alt for title, series in found.items())


# Figure 4

FIGURE = plan.cells("figure4", "released", seeds=(0, 1), preset="smoke")


def write_figure4(run_dir, rows, seeds=(0, 1)):
    for c in FIGURE:
        for seed in seeds if c.row in rows else ():
            curve = [10.0 * (seed + 1), 20.0 * (seed + 1)]
            write_run(run_dir, c.stages(seed)[-1], {c.metric: curve[-1]}, {c.metric: curve})


def test_figure_4_draws_the_settings_that_are_there(tmp_path):
    write_figure4(tmp_path, ["PE on, no shuffle", "PE off, shuffle", "Supervised"])
    drawing = viz_tables.figure4(collect([tmp_path]), FIGURE)
    means = [line.get_ydata() for line in drawing.axes[0].lines if len(line.get_xdata()) == 2]
    assert any(list(y) == [15.0, 30.0] for y in means)
    assert "PE 30.0" in drawing.alt and "no PE + shuffle 30.0" in drawing.alt and ", PE + shuffle" not in drawing.alt
    assert "from scratch: 30.0" in drawing.alt and "Seeds: no PE + shuffle 0, 1; PE 0, 1; scratch 0, 1" in drawing.alt
    assert "preset" not in drawing.alt and "96 training images" in drawing.alt


@pytest.mark.parametrize(
    "rows, lacks", [([], "a setting with both"), (["PE on, shuffle"], "supervised run"), (["Supervised"], "a setting")]
)
def test_figure_4_says_what_it_lacks(tmp_path, rows, lacks):
    write_figure4(tmp_path, rows, seeds=(0,))
    with pytest.raises(RelvitError, match=lacks):
        viz_tables.figure4(collect([tmp_path]), FIGURE)


def test_a_setting_with_one_of_its_stages_is_left_out(tmp_path):
    write_figure4(tmp_path, ["PE on, no shuffle", "Supervised"], seeds=(0,))
    c = next(c for c in FIGURE if (c.row, c.column) == ("PE off, no shuffle", "SpRel"))
    write_run(tmp_path, c.stages(0)[-1], {"sprel": 50.0})
    assert "no PE" not in viz_tables.figure4(collect([tmp_path]), FIGURE).alt


# Seeds


def test_seed_by_seed():
    drawing = viz_tables.seed_by_seed({0: 80.0, 1: 84.0, 5: 1.0}, {0: 81.0, 1: 87.0, 4: 2.0}, ("one", "other"))
    assert drawing.alt.endswith("seed 0: 80.00 and 81.00; seed 1: 84.00 and 87.00. Differences: +2.00 ± 1.41 points.")
    with pytest.raises(RelvitError, match="no seed in common"):
        viz_tables.seed_by_seed({0: 1.0}, {1: 1.0}, ("one", "other"))


# Files


def test_figures_are_written_and_what_is_missing_is_said(tmp_path):
    made = make_tables(collect([]), plan.cells(recipes="released"), ["table4", "table5"])
    written, problems = write_figures(collect([]), made, FIGURE, tmp_path)
    assert {path.name for path in written} == {
        f"{n}.{k}" for n in ("table4_released", "table5") for k in ("svg", "png")
    }
    assert len(problems) == 1 and "Figure 4 (recipe released) lacks" in problems[0]
    write_figure4(tmp_path / "runs", ["PE off, no shuffle", "Supervised"])
    written, problems = write_figures(collect([tmp_path / "runs"]), [], FIGURE, tmp_path)
    assert {path.name for path in written} == {"figure4_released.svg", "figure4_released.png"} and not problems
    assert (tmp_path / "figure4_released.png").read_bytes().startswith(b"\x89PNG")
