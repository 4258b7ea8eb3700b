"""results/README.md: each number of it comes from the records beside it."""

import json
import re
import statistics
from pathlib import Path

import pytest

from relvit_lab.common.errors import RelvitError
from relvit_lab.paper.records import small_study as small
from relvit_lab.paper.records.report import Report
from relvit_lab.paper.records.results import plus_minus
from relvit_lab.paper.records.store import parse_command, read_records

RESULTS = Path(__file__).parents[2] / "results"
README = (RESULTS / "README.md").read_text(encoding="utf-8")
TEMPLATE = (RESULTS / "README.template.md").read_text(encoding="utf-8")
RECORDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")}


def test_the_readme_is_what_the_records_give():
    assert Report(read_records(RESULTS)).render(TEMPLATE) == README, "python -m relvit_lab readme, then commit"


def test_the_template_states_no_number_of_its_own():
    """But the names of things (CIFAR-10, figures, tables, M = 3 ...), a weight of 0 and "all"; and code."""
    text = re.sub(r"(?m)\{\{.*?\}\}|```(?s:.*?)```|`[^`]*`|^    .*$", "", TEMPLATE)
    text = re.sub(r"CIFAR-10|ImageNet-100|Flower-102|ViT-S/4|T2T-ViT(-14)?", "", text)
    text = re.sub(r"(Figure|Tables?) \d(\s+and\s+\d)?|notebook \d\d", "", text)
    text = re.sub(r"§\d(\.\d)*|M = \d|\bweights 0\b|\bwith 0\b|\b100 %", "", text)
    assert re.findall(r"[^\n]*\d[^\n]*", text) == []


# The tables again, from the files alone: which records a row means is said here in their own fields.

PLAIN = {"label_fraction": 1.0, "epochs": 12, "recipe": "paper"}
PRETRAINED = {"mega_patches": None, "tasks": ["sprel", "abspos"], "pos_embed": False, "shuffle": False}
SPREL = {"mega_patches": None, "tasks": ["sprel"]}
ROWS = {
    "| supervised, one stage |": ("supervised", PLAIN, None),
    "| supervised, two stages | 12": ("supervised2", PLAIN, None),
    "| pre-trained (SpRel + AbsPos), fine-tuned |": ("finetune", PLAIN, PRETRAINED),
    "| downstream-only (joint SpRel + AbsPos) |": ("joint", PLAIN | {"task_weights": [1.0, 1.0]}, None),
    "| supervised on patch-augmented images (joint with task weights 0) |": (
        "joint", PLAIN | {"task_weights": [0.0, 0.0]}, None),
    "| PE off, no shuffle |": ("finetune", PLAIN, SPREL | {"pos_embed": False, "shuffle": False}),
    "| PE off, shuffle |": ("finetune", PLAIN, SPREL | {"pos_embed": False, "shuffle": True}),
    "| PE on, no shuffle |": ("finetune", PLAIN, SPREL | {"pos_embed": True, "shuffle": False}),
    "| PE on, shuffle |": ("finetune", PLAIN, SPREL | {"pos_embed": True, "shuffle": True}),
    "| no mega-patches |": ("finetune", PLAIN, PRETRAINED),
    **{f"| M = {m} |": ("finetune", PLAIN, PRETRAINED | {"mega_patches": m}) for m in (3, 4, 5, 6)},
    "| recipe released |": ("finetune", PLAIN | {"recipe": "released"}, PRETRAINED),
    "| supervised, two stages | 60": ("supervised2", PLAIN | {"epochs": 60}, None),
    "| pre-trained, fine-tuned | 60": ("finetune", PLAIN | {"epochs": 60}, PRETRAINED),
}  # fmt: skip


def chosen(stage: str, wanted: dict, parent: dict | None) -> list[dict]:
    """The records by seed."""
    found = [
        record for record in RECORDS.values()
        if record["stage"]["name"] == stage
        and all(record["experiment"][name] == value for name, value in wanted.items())
        and (parent is None or all(RECORDS[record["stage"]["parent"]]["experiment"][k] == v for k, v in parent.items()))
    ]  # fmt: skip
    return sorted(found, key=lambda record: record["experiment"]["seed"])


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_the_mean_and_spread_of_its_seeds(row):
    records = chosen(*ROWS[row])
    seeds = [record["experiment"]["seed"] for record in records]
    assert seeds and seeds == [0, 1, 2][: len(seeds)] and (len(seeds) == 1 or "60" not in row)
    values = [record["metrics"]["accuracy"] for record in records]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    by_seed = ", ".join(f"{value:.1f}" for value in values)
    lines = [line for line in README.splitlines() if line.startswith(row)]
    assert lines and all(f"| {by_seed} | {statistics.mean(values):.1f}{spread} |" in line for line in lines)
    for record in records:
        sprel = RECORDS.get(record["stage"]["parent"], record)["metrics"].get("sprel")
        assert record["counts"]["test_images"] == 2000 and (sprel is None or 0 < sprel <= 100)


@pytest.mark.parametrize("share", [5, 10, 25, 100])
def test_a_row_of_shares_of_labels(share):
    wanted = PLAIN | {"label_fraction": share / 100}
    one, other = ([r["metrics"]["accuracy"] for r in chosen(stage, wanted, parent)]
                  for stage, parent in (("supervised", None), ("finetune", PRETRAINED)))  # fmt: skip
    gaps = [b - a for a, b in zip(one, other)]
    (line,) = (line for line in README.splitlines() if line.startswith(f"| {share} % |"))
    cells = [f"{statistics.mean(v):.1f} ± {statistics.stdev(v):.1f}" for v in (one, other)]
    assert line.endswith(f"| {cells[0]} | {cells[1]} | {statistics.mean(gaps):+.1f} ± {statistics.stdev(gaps):.1f} |")


def test_every_run_is_on_record_or_said_to_be_missing():
    (said,) = (line for line in README.splitlines() if line.startswith("Planned, but not run"))
    for name in small.SETTINGS:
        last, first = (small.find(RECORDS, name, stage) for stage in ("last", "first"))
        assert len(first) >= len(last), name
        assert (len(last) < len(small.STUDY.seeds[name])) == (f"`{name}` (seed" in said), name
    assert ("none" in said) == ("`" not in said)


def test_every_command_makes_its_stage():
    for record in RECORDS.values():
        assert record["id"] in [stage.id for stage in parse_command(record["command"]).stages()]
        assert not {"run_dir", "data_dir"} & set(record["experiment"])


def test_all_settings_share_budget_data_and_rate():
    short = [r for r in RECORDS.values() if r["experiment"]["dataset"] == "cifar10" and r["experiment"]["epochs"] == 12]
    for field in ("epochs", "batch_size", "lr", "train_images", "test_images", "backbone", "patch_size"):
        assert len({record["experiment"][field] for record in short}) == 1, field
    assert {record["data"]["digest"] for record in short} == {short[0]["data"]["digest"]}


def test_what_cannot_be_computed_is_an_error():
    report = Report(RECORDS)
    for expression, says in {
        "{{sprle finetuned}}": "did you mean 'sprel'",
        "{{table mian}}": "did you mean 'main'",
        "{{shared seed}}": "seed is not the same in all records",
    }.items():
        with pytest.raises(RelvitError, match=says):
            report.render(expression)
    with pytest.raises(RelvitError, match="no record of 'finetuned'"):
        Report({}).render("{{sprel finetuned}}")
    assert plus_minus([1.0, 2.0, 3.0], sign=True) == "+2.0 ± 1.0" and plus_minus([41.26]) == "41.3"
