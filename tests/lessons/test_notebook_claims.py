"""Numbers and claims in the notebooks' prose, computed again from the paper's tables and from the records."""

import json
import re
import statistics
from pathlib import Path

from relvit_lab.common.stats import told_apart
from relvit_lab.method.tasks import TASKS
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.records import small_study as small
from relvit_lab.paper.records import whole_study as whole
from relvit_lab.paper.records.results import Results
from relvit_lab.paper.records.store import read_records
from relvit_lab.train.evaluate import chance

ROOT = Path(__file__).parents[2]
RECORDS = read_records(ROOT / "results")


def prose(notebook: str, cell: str) -> str:
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    (source,) = ("".join(each["source"]) for each in cells if each["id"] == cell)
    return " ".join(source.split())


def test_where_table_3_improves_on_drloc():
    text = prose("07_paper_tables", "table3-text")
    behind = []
    for label, (_, own) in plan.OTHERS.items():
        for column in plan.SMALL:
            ours, theirs = (paper.get("table3", f"{label}: {row}", column) for row in (own, "L_drloc"))
            if ours.value < theirs.value:
                behind.append(f"{label} on {column}: {ours.value} against {theirs.value}")
    assert behind == ["T2T on cifar100: 66.27 against 68.03"]
    assert "all columns but one (T2T on CIFAR-100: 66.27 against 68.03" in text
    ours, theirs = (paper.get("table3", row, "svhn") for row in ("T2T: RelT2T-ViT", "T2T: L_drloc"))
    assert f"{ours.value - theirs.value:+.2f} lies within its ±{ours.spread:.2f}" in text


def test_what_three_seeds_say_of_pairs():
    base, ours = (
        [record["metrics"]["accuracy"] for record in small.find(RECORDS, name)] for name in ("twice", "finetuned")
    )
    order = [sorted(range(3), key=values.__getitem__) for values in (base, ours)]
    gaps = [a - b for a, b in zip(ours, base)]
    assert order[0] == order[1] and statistics.mean(gaps) < 0
    assert statistics.stdev(gaps) < min(statistics.stdev(base), statistics.stdev(ours))
    text = prose("07_paper_tables", "seed-read")
    assert "one in six" in text and "scatter less than either does alone" in text


def test_what_the_larger_runs_say_of_figure_4():
    text = prose("05_pe_shortcut", "figure4-larger-read")
    report = Results(RECORDS, whole.STUDY)
    assert "below* a network" in text and statistics.mean(report.gaps("pe_on", "supervised")) < 0
    assert "well above both" in text and statistics.mean(report.gaps("pe_off", "supervised")) > 5
    assert statistics.mean(report.gaps("pe_off", "pe_on")) > 5
    assert "the seeds cannot tell it apart" in text and told_apart(report.gaps("pe_off", "twice")) is False
    assert "almost without a fault" in text and min(report.of("pe_on", "sprel")) > 99


def test_stages_of_one_seed_share_no_draws():
    """So a seed that is good for one is good for the other by chance only (notebook 07)."""
    from relvit_lab.common.randomness import epoch_order, key

    one, other = (epoch_order(0, name, 0, 100).tolist() for name in ("supervised2", "finetune"))
    assert one != other and key(0, "supervised2", "step", 0) != key(0, "finetune", "step", 0)


def test_what_t2t_and_swin_have_right_after_a_look():
    text = prose("05_pe_shortcut", "reads-read")
    said = re.search(r"T2T-ViT-14 then has ([\d.]+) % of SpRel and ([\d.]+) % of AbsPos right, Swin-T ([\d.]+) and "
                     r"([\d.]+) %, hardly more than one constant answer \(([\d.]+) and ([\d.]+) %\)", text)  # fmt: skip
    measured = [
        record["metrics"][task]
        for name in ("t2t_vit_14_joint", "swin_t_joint")
        for record in small.find(RECORDS, name)
        for task in ("sprel", "abspos")
    ]
    floor = [chance(TASKS[task], 7) for task in ("sprel", "abspos")]
    assert list(said.groups()) == [f"{value:.1f}" for value in measured + floor]


def test_where_the_heads_of_notebook_01_look():
    import torch

    import relvit_lab
    from relvit_lab.method.attention import attention_maps
    from relvit_lab.method.patches import patchify
    from relvit_lab.show.photographs import photograph
    from relvit_lab.train.trained import untrained

    trained = relvit_lab.load("cifar10_tasks")
    image = torch.tensor(photograph(224)).float().permute(2, 0, 1)
    seen = trained.transform((image * 255).round().byte())
    petals = patchify(image[None], 28)[0, :, 0].mean((1, 2)) > 0.4
    learned, fresh = (attention_maps(run.model.backbone, seen) for run in (trained, untrained(trained)))

    def from_petals(of_head):
        return [float(of_head[1 + patch, 1:][petals].sum()) for patch in (27, 9)]

    share = float(petals.float().mean())
    assert petals[27] and not petals[9] and all(abs(one - share) < 0.02 for one in from_petals(fresh[0][0, 2]))
    petal, dark = from_petals(learned[0][0, 2])
    assert petal > 0.8 and dark < 0.1
    assert all(one < 0.6 * share for one in from_petals(learned[1][0, 0]))
    text = prose("01_patch_relations", "attention-map-read")
    assert "block 1, head 3, like looks at like" in text and "block 2, head 1, both take most from where no" in text
