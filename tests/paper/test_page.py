"""The report's page: the same bytes for the same runs, whole in itself, and nothing in it that the runs do not have."""

import base64
import json
import os
import re
import shutil
import time
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from run_fixtures import write_cell, write_run

from relvit_lab.__main__ import main
from relvit_lab.common.errors import RelvitError
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.page.build import write_page
from relvit_lab.paper.page.html import POLICY
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.tables import numbers as tables
from relvit_lab.paper.tables.deviation_rules import RULES, SCOPES, Made
from relvit_lab.paper.tables.deviations import deviations, fewer_seeds
from relvit_lab.paper.tables.finished import Run, collect
from relvit_lab.paper.tables.numbers import aggregate
from relvit_lab.train.experiment import Experiment

VOID = {"meta", "br", "img", "link", "hr", "input"}
BLOCKS = {"p", "div", "ul", "dl", "table", "section", "figure", "h2", "h3", "details"}
LOADING = {"script", "link", "iframe", "object", "embed", "base", "video", "audio", "source", "svg"}


class Page(HTMLParser):
    """Reads a page, and fails where its elements are not nested. text: what a reader sees."""

    def __init__(self, page: str):
        super().__init__()
        self.open, self.elements, self.text = [], [], ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert "p" not in self.open or tag not in BLOCKS, f"{tag} in a paragraph"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data if "code" in self.open or "strong" in self.open else f"{data} "

    def all(self, name: str) -> list[dict]:
        return [attrs for tag, attrs in self.elements if tag == name]

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] for _, attrs in self.elements if name in attrs]


def cell(table, row, column, recipe="released", **more):
    (found,) = plan.cells(table, recipe, rows=[row], columns=[column], **more)
    return found


def rows(page: Page | str, section: str) -> list[list[str]]:
    """The rows of the tables of a section, as text."""
    part = page.split(f'<section id="{section}">')[1].split("</section>")[0]
    lines = re.findall(r"<tr>(.*?)</tr>", part)
    return [[unescape(re.sub("<.*?>", "", c)) for c in re.findall(r"<td.*?>(.*?)</td>", line)] for line in lines]


@pytest.fixture(scope="module")
def made_runs(tmp_path_factory):
    """Runs of Tables 2, 4 and 5 and of Figure 4, both recipes, a few seeds; all written at one time. Some are of other
    tables, too: SpRel + AbsPos of Table 4, a supervised stage of Table 3, Flower-102 of Table 5."""
    folder = tmp_path_factory.mktemp("report") / "some runs"
    for seed, (supervised, relvit) in enumerate([(86.0, 90.0), (86.5, 90.4), (85.8, 89.7)]):
        write_cell(folder, cell("table2", "cifar10", "Supervised"), {seed: supervised})
        write_cell(folder, cell("table2", "cifar10", "RelViT"), {seed: relvit})
    write_cell(folder, cell("table2", "cifar10", "RelViT", "paper"), {0: 80.25}, environment={"precision": "bf16"})
    write_cell(folder, cell("table2", "flower102", "RelViT"), {0: 45.0}, environment={"device": "NVIDIA H100"})
    write_cell(folder, cell("table5", "6", "imagenet100 vit_s_16"), {0: 67.5})
    write_cell(folder, cell("table4", "sprel", "Finetuning"), {0: 89.0}, curves={"accuracy": [70.0, 89.0]})
    (stage,) = cell("table4", "sprel", "sprel").stages(0)
    write_run(folder, stage, {"sprel": 40.0}, {"sprel": [30.0, 40.0]}, kept_epoch=1)
    write_cell(folder, cell("figure4", "Supervised", "Finetuning"), {0: 85.0})
    for file in folder.glob("*/result.json"):
        os.utime(file, (1.8e9, 1.8e9))
    return folder


@pytest.fixture(scope="module")
def report(made_runs):
    """The page of all tables."""
    return written(made_runs, made_runs.parent / "pages" / "report.html")


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    return written(folder / "nothing", folder / "report.html", preset="smoke", seeds="0,1")


@pytest.fixture
def runs_dir(made_runs, tmp_path):
    """A copy, to change."""
    return shutil.copytree(made_runs, tmp_path / "runs")


def written(folder: Path | str, out: str | Path = "pages/report.html", **options) -> str:
    return write_page(out, run_dir=str(folder), **options).read_text(encoding="utf-8")


# The page as a whole


def test_the_same_runs_give_the_same_bytes(made_runs, report):
    again = made_runs.parent / "pages" / "again.html"
    assert written(made_runs, again) == report
    assert b"\r" not in again.read_bytes()


def test_its_date_is_that_of_the_newest_run(runs_dir, report):
    assert "2027-01-15 08:00 UTC" in report  # 1.8e9 seconds
    os.utime(next(runs_dir.glob("*/result.json")), (1.9e9, 1.9e9))
    assert "2030-03-17 17:46 UTC" in written(runs_dir, names=["table1", "table2", "table4", "table5"])


@pytest.mark.parametrize("which", ["report", "empty"])
def test_it_is_well_formed_and_whole_in_itself(which, request):
    text = request.getfixturevalue(which)
    page = Page(text)
    assert not LOADING & {tag for tag, _ in page.elements}
    assert {attrs.get("content") for attrs in page.all("meta")} >= {POLICY}
    assert all(src.startswith("data:image/svg+xml;base64,") for src in page.attributes("src"))
    for src in page.attributes("src"):
        svg = base64.b64decode(src.partition(",")[2]).decode()
        assert all(to.startswith("#") for to in re.findall(r'href="(.*?)"', svg)) and "url(http" not in svg
    styles = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in styles and "@import" not in styles
    assert not re.search(r"https?://", text)
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    (language,) = (attrs["lang"] for attrs in page.all("html"))
    assert language == "en"


def test_links_resolve(made_runs, report):
    page = Page(report)
    inside = [to[1:] for to in page.attributes("href") if to.startswith("#")]
    assert set(inside) <= set(page.attributes("id")) and len(inside) == 10
    folders = {unquote(to) for to in page.attributes("href") if not to.startswith("#")}
    assert all(not os.path.isabs(to) for to in folders)
    assert {(made_runs.parent / "pages" / to).resolve() for to in folders} == set(made_runs.iterdir())


def test_no_python_words_reach_the_reader(report, empty):
    for text in (report, empty):
        page = Page(text)
        said = page.text + " ".join(page.attributes("alt") + page.attributes("title"))
        assert not re.search(r"\bNone\b|\bnan\b|\bNaN\b|Counter\(|\[\]|\{\}", said)


def test_runs_that_say_little_of_themselves(tmp_path):
    (folder,) = write_cell(tmp_path / "runs", cell("table2", "svhn", "RelViT"), {0: 97.0}).values()
    result = json.loads((folder / "result.json").read_text())
    for name in ("timing", "counts", "test_split"):
        del result[name]
    result["environment"] = {}
    (folder / "result.json").write_text(json.dumps(result))
    text = written(tmp_path / "runs", names=["table2"])
    assert "No runs with times." in text and ["Device", "not recorded", "1"] in rows(text, "environment")
    assert "<strong>97.50</strong>" in text


# What it says


def test_numbers_are_those_of_the_aggregates(made_runs, report):
    runs = collect([made_runs])
    for table, row, column, recipe in (
        ("table2", "cifar10", "RelViT", "released"), ("table2", "cifar10", "Supervised", "released"),
        ("table2", "cifar10", "RelViT", "paper"), ("table5", "6", "imagenet100 vit_s_16", "released"),
        ("table4", "sprel", "sprel", "released"),
    ):  # fmt: skip
        own = aggregate(cell(table, row, column, recipe), runs)
        sd = "" if own.sd is None else f" ± {own.sd:.2f}"
        part = report.split(f'id="{table}"')[1].split("<h3")[0]
        assert f"<strong>{own.mean:.2f}{sd}</strong> ({own.n}/5)" in part
    assert "<strong>90.53 ± 0.35</strong> (3/5)" in report  # by hand: 90.5, 90.9, 90.2
    for number in paper.NUMBERS:
        assert number.text.lstrip("+-") in report


def test_what_it_is_stands_first(runs_dir):
    text = written(runs_dir, names=["table2", "table4", "table5"], command="relvit page --run-dir 'some runs' <b>")
    head = Page(text.split("</header>")[0] + "</header></body></html>").text
    assert "relvit page --run-dir 'some runs' <b>" in head
    assert "12 finished stages behind the numbers here" in head
    assert "paper (1), released (11)" in head and "0 (8), 1 (2), 2 (2)" in head and "paper (12)" in head
    assert "scale" not in head


def test_runs_of_no_table_are_counted_apart(runs_dir):
    (stage,) = Experiment(dataset="digits", scenario="supervised", preset="smoke").stages()
    write_run(runs_dir, stage, {"accuracy": 50.0})
    text = written(runs_dir, names=["table2"], recipes="released")
    assert "8 finished stages behind the numbers here; 5 further in the same place" in text
    smoke = written(runs_dir, names=["table2"], preset="smoke")
    assert "None of the 13 finished stages here is one that these tables look for" in smoke
    assert "paper (12), smoke (1); --preset chooses one" in smoke


def test_without_runs_it_shows_the_paper(empty):
    page = Page(empty)
    assert "There are no runs yet: the tables show the paper's numbers alone." in page.text
    assert "preset smoke; recipe released, paper; seed 0, 1" in page.text
    assert {f"table{k}" for k in range(1, 6)} <= set(page.attributes("id")) and page.all("img") == []
    for line in (
        "Table 4: combinations of tasks, recipe released: no runs.", "Table 5: accuracy over M: no runs.",
        "Figure 4 (recipe paper) lacks", "share of labels: no runs", "No runs, so no deviations.",
        "Of 290 numbers, 290 have no runs",
    ):  # fmt: skip
        assert line in page.text
    assert all(number.text.lstrip("+-") in empty for number in paper.NUMBERS)


def test_figures_are_those_that_have_runs(report):
    page = Page(report)
    alts = dict(zip(re.findall("<figcaption>(.*?)</figcaption>", report), page.attributes("alt"), strict=True))
    assert list(alts) == [
        "Figure 4, recipe released", "Table 4: combinations of tasks, recipe paper",
        "Table 4: combinations of tasks, recipe released", "Table 5: accuracy over M",
    ]  # fmt: skip
    assert "no PE 40.0" in alts["Figure 4, recipe released"]
    assert "M 6 68.00" in alts["Table 5: accuracy over M"] and "SpRel 89.50" in list(alts.values())[2]
    assert "Figure 4 (recipe paper) lacks" in page.text


def test_a_figure_over_the_share_of_labels_comes_with_such_runs(runs_dir):
    for share in (0.1, 1.0):
        e = Experiment(dataset="digits", scenario="supervised", preset="smoke", label_fraction=share)
        write_run(runs_dir, e.stages()[0], {"accuracy": 40 + 20 * share})
    text = written(runs_dir, names=["table2"])
    (alt,) = Page(text).attributes("alt")
    assert "10 % of labels 42.0" in alt and "100 % of labels 60.0" in alt and "labels: no runs" not in text


def test_tables_can_be_chosen(runs_dir):
    text = written(runs_dir, names=["table2"], recipes="released", seeds="0,1")
    ids = Page(text).attributes("id")
    assert "table2" in ids and "table3" not in ids and "ours, paper" not in text
    assert "<strong>90.70 ± 0.28</strong> (2/2)" in text and "6 finished stages" in text


def test_what_is_missing_is_listed(runs_dir):
    text = written(runs_dir, names=["table2"], recipes="released")
    part = Page("<section>" + text.split('<section id="missing">')[1].split("</body>")[0]).text
    assert "Of 12 numbers, 9 have no runs, 3 lack some of their seeds" in part
    assert "CIFAR-10: Supervised (seed 3, 4); RelViT (seed 3, 4)" in part
    assert "SVHN: Supervised; RelViT" in part and "Flower-102: Supervised; RelViT (seed 1, 2, 3, 4)" in part
    text = written(runs_dir, names=["table2"], recipes="paper", seeds="0", epochs=100)
    assert "Of 12 numbers, 11 have no runs" in text


def test_cost_and_environment_are_summed_from_the_results(runs_dir):
    for k, file in enumerate(sorted(runs_dir.glob("*/result.json"))):
        result = json.loads(file.read_text())
        result["timing"] = {"seconds": 3600.0, "images_per_second": 100.0 + k}
        file.write_text(json.dumps(result))
    text = written(runs_dir, names=["table2", "table4", "table5", "figure4"])
    hours = {row[0]: row[1:] for row in rows(text, "cost") if len(row) == 5}
    assert hours["Table 2"] == ["9", "8.00", "1.00", "9.00"]  # CPU, H100, all; one is a first supervised stage
    assert hours["Figure 4"] == ["3", "3.00", "", "3.00"]  # two of them Table 4's
    assert hours["Together"] == ["12", "11.00", "1.00", "12.00"]
    rates = [row for row in rows(text, "cost") if len(row) == 8]
    assert sum(int(row[5]) for row in rates) == 12
    (flowers,) = [row for row in rates if row[3] == "NVIDIA H100"]
    assert flowers[:3] == ["ViT-S/32", "224", "fine-tuning"] and flowers[6] == flowers[7].split(" to ")[0]
    environment = rows(text, "environment")
    assert ["Precision", "bf16", "1"] in environment and ["Precision", "float32", "11"] in environment
    assert ["Device", "CPU", "11"] in environment


# Deviations


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


def test_the_page_lists_the_deviations_of_its_runs(report):
    listed = {(row[0], row[2]): row[3] for row in rows(report, "deviations") if row}
    assert listed["Weight decay", "0.1, on every parameter"] == "11 of 12 stages: recipe released"
    assert listed["Precision", "bfloat16 in forward passes (autocast)"].startswith("1 of 12 stages: recipe paper")
    assert listed["Figure 4: data set", "CIFAR-10"] == "all 3 stages of Figure 4"
    assert listed["Seeds", "1 seed"] == "11 of 15 numbers with runs"
    assert not {"Epochs a stage", "Batch size", "L_drloc", "Dropout"} & {name for name, _ in listed}


def test_small_runs_are_said_to_be_small(tmp_path):
    small = plan.cells("table2", "released", preset="smoke")
    write_cell(tmp_path / "runs", small[0], {0: 20.0})
    text = written(tmp_path / "runs", names=["table2"], preset="smoke")
    assert "These runs are not at the paper&#x27;s scale" in text
    assert ("Training images", "a fixed subset of at most 96") in {(row[0], row[2]) for row in rows(text, "deviations")
                                                                   if row}  # fmt: skip


# The command


def test_the_command_writes_it_and_says_how_it_was_made(runs_dir, tmp_path, capsys):
    words = ["page", "table2", "--run-dir", str(runs_dir), "--out", "here.html", "--seeds", "0,1"]
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "here.html")
    text = (tmp_path / "here.html").read_text(encoding="utf-8")
    assert f"python -m relvit_lab page table2 --run-dir {runs_dir} --out here.html --seeds 0,1" in text
    assert main(["page", "--sedes", "0"]) == 1 and "seeds" in capsys.readouterr().err


def test_a_folder_is_no_page(tmp_path):
    with pytest.raises(RelvitError, match="is a folder"):
        write_page(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RelvitError, match="cannot be written"):
        write_page(tmp_path / "file" / "report.html", names=["table2"])


def test_a_thousand_folders_make_a_page_of_5_mb_in_15_seconds(tmp_path):
    for job in list(plan.jobs(plan.cells()).values())[:1000]:
        stage = job.stage
        names = stage.tasks if stage.name == "pretrain" else ("accuracy", "best_accuracy", "best_val_accuracy")
        values = dict.fromkeys(names, 50.0)
        kept = 90 if stage.keeps_best else None
        write_run(tmp_path / "runs", stage, values, {name: [50.0] * 100 for name in names}, kept_epoch=kept)
    plan._stages.cache_clear()
    tables._ids.cache_clear()
    start = time.process_time()  # of this process: others on the machine do not count
    text = written(tmp_path / "runs")
    seconds = time.process_time() - start
    print(f"{seconds:.1f} s, {len(text.encode()) / 1e6:.1f} MB")
    assert "1,000 finished stages" in text and len(text.encode()) < 5e6 and seconds < 15
