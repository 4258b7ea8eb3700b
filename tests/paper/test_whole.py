"""The larger study: its page with none, some and all of its records, its commands and figure, the images held back."""

import itertools
import json
import re
import shlex
import statistics
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from relvit_lab import data
from relvit_lab.__main__ import main
from relvit_lab.common.options import only_options
from relvit_lab.data.hold_back import hold_back
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.figures.figure_4 import shortcut_figure
from relvit_lab.paper.figures.images_seen import images_seen_figure
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.records import small_study as small
from relvit_lab.paper.records import whole_study as whole
from relvit_lab.paper.records.store import read_records
from relvit_lab.paper.records.whole_report import NOT_YET, PAIRS, WholeReport
from relvit_lab.train.experiment import Experiment

ROOT = Path(__file__).parents[2]
SMALL = read_records(ROOT / "results")  # of both studies
LAPTOP = {  # without those of the larger study and of its search
    name: r for name, r in SMALL.items()
    if r["counts"]["test_images"] != 10_000 and not r["experiment"]["dataset"].endswith(".npz")
}  # fmt: skip


def made(name: str, seed: int, accuracy: float) -> dict:
    """Records of all stages of a run, as `record` would write them, with invented metrics."""
    records = {}
    for stage in whole.STUDY.stages(name, seed):
        classes = stage.classifies
        metrics = {"accuracy": accuracy if classes else None, "sprel": 40.0, "abspos": 9.0, "dist": 13.0, "ang": 15.0}
        epochs = stage.experiment.epochs
        curve = [accuracy * (k + 1) / epochs if classes else None for k in range(epochs)]
        records[stage.id] = {
            "id": stage.id, "fields": stage.fields, "metrics": metrics, "experiment": stage.experiment.as_dict(),
            "stage": {"name": stage.name, "parent": stage.parent.id if stage.parent else None},
            "curves": {"test": {"accuracy": curve, "sprel": [40.0] * len(curve)}},
            "cost": {"seconds": 3600.0, "images_per_second": 200.0},
        }  # fmt: skip
    return records


def all_made() -> dict:
    """Every planned run; a setting's accuracy is 60 and its place in the list, and falls by half a point a seed."""
    records, places = {}, list(whole.SETTINGS)
    for name, seed in reversed(list(whole.runs())):  # so that a shared first stage is the supervised run's own
        records |= made(name, seed, 60.0 + places.index(name) - seed / 2)
    return records


# -- the page --------------------------------------------------------------------------------------------------------


def test_the_readme_says_the_answer_of_the_records():
    said = WholeReport(SMALL).answer()
    assert len(re.findall(r"\.(?= |$)", said)) == 2  # two sentences
    flat = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert said in flat, "python -m relvit_lab readme writes it, then commit"
    assert said in (ROOT / "results" / "README.md").read_text(encoding="utf-8")


def test_with_no_record_every_run_is_named_with_its_command_and_the_small_runs_answer():
    report = WholeReport(LAPTOP)
    assert report.rows().count(NOT_YET) == len(whole.SETTINGS) - 2 and report.differences().count(NOT_YET) == len(PAIRS)
    named = [line for line in report.not_run().splitlines() if line.startswith("python")]
    assert named == [*whole.search_commands(), *whole.commands()]
    gaps = [a["metrics"]["accuracy"] - b["metrics"]["accuracy"]
            for a, b in zip(*(small.find(LAPTOP, name) for name in ("finetuned", "twice")))]  # fmt: skip
    told = f"{-statistics.mean(gaps):.1f} ± {statistics.stdev(gaps):.1f} points behind"
    assert told in report.answer() and f"4,000 images of CIFAR-10 (the whole set: {NOT_YET})" in report.answer()
    assert report.cost() == "No stage is on record yet."


def test_with_some_records_the_numbers_are_theirs_and_the_rest_is_named():
    records = LAPTOP | made("finetuned", 0, 70.0) | made("twice", 0, 68.5) | made("joint", 0, 61.0)
    report = WholeReport(records)
    one, other = report.answer().split(". ", 1)
    assert "stands 1.5 points ahead of" in one and "(one seed: cannot be judged)" in one and NOT_YET not in one
    assert "stands 7.5 points behind" in other  # `supervised` is the first stage of `twice`, and so on record
    images = f"{0.1 * whole.EPOCHS:g} million"
    assert f"| {images} | pre-trained (SpRel + AbsPos), fine-tuned | 70.0 | 70.0 | 40.0 | 9.0 |" in report.rows()
    assert "# PE on, no shuffle, seed 0" in report.not_run()


@pytest.mark.parametrize("gap", [0.04, -0.04, 0.0])
def test_a_difference_that_rounds_to_nothing_is_neither_ahead_nor_behind(gap):
    report = WholeReport(LAPTOP | made("finetuned", 0, 70.0 + gap) | made("twice", 0, 70.0))
    said = report.answer().split(". ", 1)[0]
    assert "stands level (0.0 points) with training" in said and "ahead" not in said and "behind" not in said
    assert "-0.0" not in report.differences()
    assert "# pre-trained (SpRel + AbsPos), fine-tuned, seed 0" not in report.not_run()
    assert "# pre-trained (SpRel + AbsPos), fine-tuned, seed 1" in report.not_run()


def test_what_joint_training_gains_or_loses_is_split_once_its_control_is_there():
    records = LAPTOP | made("twice", 0, 70.0) | made("joint", 0, 61.0)
    assert "by the tasks" not in WholeReport(records).answer()
    said = WholeReport(records | made("control", 0, 55.5)).answer()
    assert said.endswith(": -14.5 by the patch augmentation, +5.5 by the tasks.") and "9.0 points" in said
    second = made("twice", 1, 70.0) | made("joint", 1, 61.1) | made("control", 1, 51.0)
    said = WholeReport(records | made("control", 0, 55.5) | second).answer()
    assert "(2 seeds: told apart): -16.8 ± 3.2 by the patch augmentation (not told apart)" in said


def test_with_all_records_each_row_is_the_mean_and_spread_of_its_seeds():
    found = {"lr": whole.RATE, "batch_size": whole.BATCH, "dataset": f"data/{whole.SEARCH_DATA['dataset']}"}
    searched = {"s": {"id": "s", "fields": {"dataset": "?"}, "experiment": found, "metrics": {"accuracy": 40.0}}}
    report = WholeReport(LAPTOP | all_made() | searched)
    assert f"batches of {whole.BATCH}" in report.settings() and "| 40.0 | taken |" in report.searched()
    everything = report.rows() + report.differences() + report.four_tasks() + report.answer()
    assert NOT_YET not in everything and "Nothing" in report.not_run() and "`" not in report.not_run()
    places = list(whole.SETTINGS)
    for (one, other), line in zip(PAIRS, report.differences().splitlines()[2:], strict=True):
        points = places.index(one) - places.index(other)
        assert f"| {points:+.1f} ± 0.0 | 3 | told apart |" in line, line
    spread = statistics.stdev([0, 0.5, 1.0])
    for name in set(whole.SETTINGS) - set(whole.ARMS["four tasks"]):
        top = 60.0 + places.index(name)
        cells = f"| {top:.1f}, {top - 0.5:.1f}, {top - 1:.1f} | {top - 0.5:.1f} ± {spread:.1f} |"
        assert cells in report.rows(), name


def test_every_number_on_the_page_is_recomputed_from_the_files():
    """Rows of the committed page, by the fields that the files have, not by the study that wrote them."""
    page = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    files = [json.loads(path.read_text()) for path in (ROOT / "results").glob("*.json")]
    large = [r for r in files if r["counts"]["test_images"] == 10_000]
    plain = {"label_fraction": 1.0, "epochs": whole.EPOCHS}
    few, long = ({"label_fraction": 0.1, "epochs": times * whole.EPOCHS} for times in (1, 11))

    def seen(stages: float) -> str:
        return f"| {0.05 * whole.EPOCHS * stages:g} million |"

    rows = {
        f"{seen(1)} supervised, one stage |": ("supervised", plain),
        f"{seen(2)} supervised, two stages |": ("supervised2", plain),
        f"{seen(2)} pre-trained (SpRel + AbsPos), fine-tuned |": (
            "finetune", plain | {"tasks": ["sprel", "abspos"], "mega_patches": None}),
        f"{seen(1)} downstream-only (joint SpRel + AbsPos) |": ("joint", plain | {"task_weights": [1.0, 1.0]}),
        f"{seen(1)} supervised on patch-augmented images (joint with task weights 0) |": (
            "joint", plain | {"task_weights": [0.0, 0.0]}),
        f"{seen(2)} PE on, no shuffle |": ("finetune", plain | {"tasks": ["sprel"], "pos_embed": True}),
        f"{seen(2)} PE off, no shuffle |": ("finetune", plain | {"tasks": ["sprel"], "pos_embed": False}),
        f"{seen(0.1)} supervised, 10 % of the labels |": ("supervised", few),
        f"{seen(1.1)} supervised, 10 % of the labels, longer |": ("supervised", long),
        f"{seen(1.1)} pre-trained, fine-tuned on 10 % of the labels |": ("finetune", few),
        f"{seen(2)} M = 4 |": ("finetune", plain | {"mega_patches": 4}),
    }  # fmt: skip
    assert len(rows) == len(whole.SETTINGS) - len(whole.ARMS["four tasks"])
    for start, (stage, fields) in rows.items():
        found = [r for r in large if r["stage"]["name"] == stage
                 and all(r["experiment"][name] == value for name, value in fields.items())]  # fmt: skip
        values = [r["metrics"]["accuracy"] for r in sorted(found, key=lambda r: r["experiment"]["seed"])]
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        mean = f"{statistics.mean(values):.1f}{spread}" if values else NOT_YET
        cells = f"{start} {', '.join(f'{value:.1f}' for value in values) or '-'} | {mean} |"
        assert cells in page, cells
    for r in files:
        if r in large:
            assert r["experiment"]["train_images"] == 50_000 and r["environment"]["precision"] == "float32"


def test_the_search_is_on_record_and_its_best_is_what_all_arms_have():
    found = whole.searched(SMALL)
    assert len(found) in (0, len(whole.SEARCH))  # all of it, or not run yet
    page = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    for rate, batch, accuracy in found:
        assert f"| {rate:g} | {batch} | {accuracy:.1f} |" in page
    if found:
        assert found[0][:2] == (whole.RATE, whole.BATCH)
    for record in SMALL.values():
        if record["experiment"]["dataset"].endswith(".npz"):
            assert record["counts"]["test_images"] == whole.HELD_BACK and record["stage"]["name"] == "supervised"


def test_labels_become_fewer_and_the_gain_of_pre_training_does_not_grow():
    """What the page says in words of the small runs."""
    gains = []
    for share in small.LABELS:
        one, other = (small.find(LAPTOP, f"{name}_{share}") for name in ("finetuned", "supervised"))
        gains.append(statistics.mean(a["metrics"]["accuracy"] - b["metrics"]["accuracy"] for a, b in zip(one, other)))
    assert not all(few >= many for few, many in pairwise(gains)) and max(gains) == gains[-1]


def test_what_the_readme_says_of_the_papers_gains():
    gains = {name: paper.get("table2", name, "RelViT").value - paper.get("table2", name, "Supervised").value
             for name in plan.DATASETS}  # fmt: skip
    largest = sorted(gains, key=gains.get)[-2:]
    assert min(gains.values()) > 0 and set(largest) == {"tiny_imagenet", "imagenet100"}  # 100,000 and 130,000 images


# -- budgets and commands --------------------------------------------------------------------------------------------


def test_equal_budgets_are_equal_in_images_and_named():
    report = WholeReport(LAPTOP)
    assert report.images_seen("twice") == report.images_seen("finetuned") == 2 * whole.EPOCHS * 50_000
    assert report.images_seen("few_supervised_long") == report.images_seen("few_finetuned") == whole.EPOCHS * 55_000
    assert report.images_seen("few_supervised") == whole.EPOCHS * 5_000  # as many as the fine-tuning alone
    budgets = [line.split(" | ")[0][2:] for line in report.differences().splitlines()[2:]]
    unequal = [pair for pair, said in zip(PAIRS, budgets) if said != "equal"]
    assert unequal == [("finetuned", "supervised"), ("few_finetuned", "few_supervised")]


def test_each_command_makes_the_stages_of_its_setting_in_float32(capsys):
    assert main(["whole"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(set(lines)) == len(list(whole.runs())) == sum(map(len, whole.STUDY.seeds.values()))
    for line, (name, seed) in zip(lines, whole.runs()):
        e = Experiment.create(only_options(shlex.split(line)[4:], Experiment.settings()))
        assert [s.id for s in e.stages()] == [s.id for s in whole.STUDY.stages(name, seed)]
        assert (e.precision, e.compile) == ("float32", "false")
    first = list(whole.runs())[:12]
    assert {seed for _, seed in first} == {0} and first[0][0] == "supervised"


def test_the_same_study_at_another_length(capsys):
    assert main(["whole", "--epochs", "30"]) == 0
    longer = capsys.readouterr().out.splitlines()
    assert main(["whole"]) == 0
    shorter = capsys.readouterr().out.splitlines()
    assert len(longer) == len(shorter) and {line.replace("--epochs 30 ", f"--epochs {whole.EPOCHS} ").replace(
        "--epochs 330 ", f"--epochs {11 * whole.EPOCHS} ") for line in longer} == set(shorter)  # fmt: skip
    for wrong in ("0", "-3", "many", "1.5"):
        assert main(["whole", "--epochs", wrong]) == 1
        assert "a whole number" in capsys.readouterr().err
    assert main(["whole", "--epochs", "30", "--search"]) == 1


def test_no_setting_sees_the_search_and_the_search_no_test_image(capsys):
    assert main(["whole", "--search"]) == 0
    hold, *lines = capsys.readouterr().out.splitlines()
    assert hold.split()[3:] == ["hold_back", "cifar10", "--images", str(whole.HELD_BACK)]
    assert len(lines) == len(whole.SEARCH) and all("--scenario supervised" in line for line in lines)
    assert all("cifar10_held_back.npz" in line for line in lines)


def test_images_held_back_are_training_images_and_no_test_images(tmp_path):
    path = hold_back("digits", 97, tmp_path / "new")  # a folder that is not there yet
    whole_set, cut = data.load("digits"), data.load(str(path))
    assert len(cut.train) == 1200 and len(cut.test) == 97
    both = np.concatenate([cut.train.images.numpy(), cut.test.images.numpy()])
    assert (both == whole_set.train.images.numpy()).all()
    assert (cut.test.labels == whole_set.train.labels[-97:]).all()


@pytest.mark.parametrize(
    "words, says",
    [
        (["digits", "--images", "1297"], "hold back 1 to 1,296"),
        (["digits", "--images", "0"], "a whole number from 1 on"),
        (["digits", "--images", "²"], "a whole number"),
        (["digits", "--images", "many"], "a whole number"),
        (["digits"], "hold_back takes a data set and a number"),
        (["flower102", "--images", "5"], "stored as arrays"),
    ],
)
def test_mistakes_in_holding_back_are_said(words, says, capsys):
    assert main(["hold_back", *words]) == 1
    assert says in capsys.readouterr().err


# -- figures ---------------------------------------------------------------------------------------------------------


def lines_of(drawing) -> dict[str, np.ndarray]:
    (ax,) = drawing.axes
    return {line.get_label(): line.get_xydata() for line in ax.lines if len(line.get_xydata()) > 2}


def test_the_figure_with_none_some_and_all_records():
    none = images_seen_figure(LAPTOP)
    assert none.alt.count(NOT_YET) == 2 and not lines_of(none)
    assert any("python -m relvit_lab whole" in text.get_text() for text in none.axes[0].texts)

    half = images_seen_figure(LAPTOP | made("supervised", 0, 60.0))
    ((points),) = lines_of(half).values()
    assert points[-1].tolist() == pytest.approx([0.05 * whole.EPOCHS, 60.0]) and half.alt.count(NOT_YET) == 1

    full = images_seen_figure(all_made())
    ends = sorted(tuple(points[-1]) for points in lines_of(full).values())
    places = list(whole.SETTINGS)
    mean = {name: 59.5 + places.index(name) for name in ("supervised", "twice", "finetuned")}
    one = 0.05 * whole.EPOCHS
    assert ends == [pytest.approx(end) for end in (
        (one, mean["supervised"]), (2 * one, mean["twice"]), (2 * one, mean["finetuned"]))]  # fmt: skip
    assert NOT_YET not in full.alt


@pytest.mark.parametrize("gap", [0.0, 0.3, -1.0, 20.0])
def test_numbers_at_the_ends_of_lines_do_not_touch(gap):
    both = made("twice", 0, 60.0) | made("finetuned", 0, 60.0 + gap)
    drawing = images_seen_figure(LAPTOP | both)
    drawing.draw_without_rendering()
    texts = [text for text in drawing.axes[0].texts if re.fullmatch(r"\d+\.\d", text.get_text())]
    assert sorted(text.get_text() for text in texts) == sorted(["60.0", "60.0", f"{60 + gap:.1f}"])
    for one, other in itertools.combinations([text.get_window_extent() for text in texts], 2):
        assert not one.overlaps(other)


def test_figure_4_takes_the_larger_runs_as_soon_as_it_has_them():
    assert "4,000 training" in shortcut_figure(LAPTOP).alt
    some = LAPTOP | made("pe_on", 0, 70.0) | made("supervised", 0, 60.0)
    assert "4,000 training" in shortcut_figure(some).alt
    assert "50,000 training and 10,000 test images" in shortcut_figure(some | made("pe_off", 0, 71.0)).alt


def test_figure_4_compares_with_a_baseline_of_its_own_seeds():
    both = made("pe_on", 0, 70.0) | made("pe_off", 0, 71.0) | made("supervised", 1, 20.0)
    assert "from scratch  60.0" in words_of(shortcut_figure(LAPTOP | both | made("supervised", 0, 60.0)))
    assert "from scratch  20.0" in words_of(shortcut_figure(LAPTOP | both))  # there is no other


def words_of(drawing) -> list[str]:
    return [text.get_text() for ax in drawing.axes for text in ax.texts]


def test_without_any_record_nothing_is_claimed():
    assert WholeReport({}).answer().count(NOT_YET) == 2 and not re.search(r"\d", WholeReport({}).answer())
