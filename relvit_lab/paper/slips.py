"""Where the paper's numbers (numbers.py) do not agree with one another, with its text, or with the models it names.

Worked out from the printed numbers, or from models built for it; only the text's own words are quoted. A slip says
nothing against the paper's idea: it says which number not to lean on.
"""

import functools
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from relvit_lab.method import backbones
from relvit_lab.method.backbones.base import TokenBackbone
from relvit_lab.method.tasks import RELVIT
from relvit_lab.paper import ablation
from relvit_lab.paper import numbers as paper

EPS = 0.005  # half of the last printed decimal
BASELINES = {  # Table 3: what its improvements are over
    "ViT": ("ViT: RelViT", "ViT: Supervised"),
    "Swin": ("Swin: RelSwin", "Swin: L_drloc"),
    "T2T": ("T2T: RelT2T-ViT", "T2T: L_drloc"),
}


@dataclass(frozen=True)
class Slip:
    """place: "Table 2", "Table 4, §4.3". printed: what stands there. computed: what comes out. text: one sentence."""

    place: str
    printed: str
    computed: str
    text: str

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it is about, as in numbers.py: ("table2", "table4"); () for an equation or a section."""
        name = re.match(r"Tables? ([\d, and]+)", self.place)
        return tuple(f"table{number}" for number in re.findall(r"\d", name[1])) if name else ()


@functools.cache
def slips() -> tuple[Slip, ...]:
    """All slips, table by table. Builds the five ViTs of Table 1 (without memory for their weights)."""
    found = [_eq3(), *_sizes(), _tokens(), _heads()]
    found += [_improvement(*difference) for difference in differences() if abs(difference[3] - difference[2]) > EPS]
    found += [*_not_beaten(), _quoted(), _fluctuations(), *_twice(), *_same_thing(), _runs()]
    found += [_on_average(), _sprel(), _main_effects(), _caption(), _mega_mean(), *_patch_size()]
    return tuple(found)


def value(table: str, row: str, column: str) -> float:
    return paper.get(table, row, column).value


def differences() -> tuple[tuple[str, str, float, float], ...]:
    """All improvements of Tables 2 and 3: (table, where, printed, computed), the latter to two decimals."""
    found = []
    for row in paper.rows("table2"):
        own, other, said = (value("table2", row, column) for column in ("RelViT", "Supervised", "Improv."))
        found.append(("table2", paper.label(row), said, round(own - other, 2)))
    for backbone, (own, other) in BASELINES.items():
        for column in paper.columns("table3"):
            difference = round(value("table3", own, column) - value("table3", other, column), 2)
            said = value("table3", f"{backbone}: Improv.", column)
            found.append(("table3", f"{backbone}, {paper.label(column)}", said, difference))
    return tuple(found)


# -- The models ----------------------------------------------------------------------------------------------------


@functools.cache
def model(backbone: str) -> TokenBackbone:
    """A backbone of Table 1, its shapes alone: no memory for weights, no random numbers."""
    with torch.device("meta"):
        return backbones.create_backbone(backbone)


def parameters(backbone: str) -> int:
    """The number of parameters of a backbone without classifier, its embeddings and CLS token included."""
    return sum(p.numel() for p in model(backbone).parameters())


def _eq3() -> Slip:
    dim, blocks = (int(value("table1", "vit_s_4", column)) for column in ("dim", "blocks"))
    mlp, msa = 8 * dim**2 + 5 * dim, 4 * dim**2 + 4 * dim  # weights and biases: D to 4D and back; q, k, v, projection
    built = parameters("vit_s_4")
    printed = paper.get("table1", "vit_s_4", "params").text
    other = built - blocks * (mlp - msa)
    return Slip(
        "Eq. 3", "MSA twice in a block", f"{built / 1e6:.1f}M with an MLP, {other / 1e6:.1f}M with MSA twice",
        f"Eq. 3 prints MSA where the MLP belongs: with it a ViT-S/4 has {built / 1e6:.1f}M parameters, as in Table 1 "
        f"({printed}M), with MSA twice it would have {other / 1e6:.1f}M.",
    )  # fmt: skip


def _sizes() -> Iterator[Slip]:
    for row in paper.rows("table1"):
        printed, counted = paper.get("table1", row, "params").text, parameters(row)
        if f"{counted / 1e6:.1f}" != printed:
            yield Slip(
                "Table 1", f"{printed}M", f"{counted / 1e6:.1f}M",
                f"{paper.label(row)} has {counted / 1e6:.1f}M parameters ({counted:,} without a classifier), not "
                f"{printed}M.",
            )  # fmt: skip


def _tokens() -> Slip:
    side = {row: backbones.get(row).image_size // backbones.get(row).patch for row in paper.rows("table1")}
    (more,) = {int(value("table1", row, "tokens")) - side[row] ** 2 for row in side}  # the same in every row
    first = paper.rows("table1")[0]
    printed = paper.get("table1", first, "tokens").text
    return Slip(
        "Table 1, caption", f"#Tokens: {printed} patches ({paper.label(first)})", f"{side[first] ** 2} patches and CLS",
        f"#Tokens is not the number of patches, as the caption says, but {more} more in every row, for it counts the "
        f"CLS token: {printed} for {side[first]} x {side[first]} patches.",
    )  # fmt: skip


def _heads() -> Slip:
    dim, tokens = (int(value("table1", "vit_s_4", column)) for column in ("dim", "tokens"))
    grid, backbone = round((tokens - 1) ** 0.5), parameters("vit_s_4")
    share = {}
    for task in RELVIT:
        with torch.device("meta"):
            share[task.title] = 100 * sum(p.numel() for p in task.make_head(dim, grid).parameters()) / backbone
    said = ", ".join(f"{title} {percent:.1f} %" for title, percent in share.items())
    return Slip(
        "§4.1", "heads: +2 % (SpRel, Dist, Ang), +0.1 % (AbsPos)", said,
        f"With the full W of eq. 8 the heads on a ViT-S/4 add {said}: +2 % is right for none of the first three (the "
        f"released code's heads have another form), +0.1 % is right.",
    )  # fmt: skip


# -- Tables 2 and 3 ------------------------------------------------------------------------------------------------


def _improvement(table: str, where: str, printed: float, computed: float) -> Slip:
    others = sum(abs(said - right) <= EPS for _, _, said, right in differences())
    return Slip(
        paper.short_title(table), f"{printed:+.2f}", f"{computed:+.2f}",
        f"{where}: the improvement is {computed:+.2f}, not {printed:+.2f}; the other {others} differences printed in "
        "Tables 2 and 3 are right.",
    )  # fmt: skip


def _not_beaten() -> Iterator[Slip]:
    for backbone in ("Swin", "T2T"):
        own_row, other_row = BASELINES[backbone]
        for column in paper.columns("table3"):
            own, other = paper.get("table3", own_row, column), paper.get("table3", other_row, column)
            gap = own.value - other.value
            if gap > own.spread:
                continue
            where = f"{backbone} on {paper.label(column)}"
            why = "is below" if gap < 0 else f"lies within the spread of ±{own.spread:.2f} of"
            yield Slip(
                "Table 3, §4.2", "we outperform [21]", f"{gap:+.2f} ({where})",
                f'"We outperform [...] [21]" does not hold for {where}: {own.value:.2f} {why} L_drloc\'s '
                f"{other.value:.2f} ({gap:+.2f}).",
            )  # fmt: skip


def _quoted() -> Slip:
    over_quoted = [b for b, (_, other) in BASELINES.items() if paper.get("table3", other, "cifar10").quoted]
    count, of = len(over_quoted) * len(paper.columns("table3")), len(BASELINES) * len(paper.columns("table3"))
    base = {backbone: value("table3", f"{backbone}: Supervised", "cifar10") for backbone in BASELINES}
    said = ", ".join(f"{backbone} {accuracy:.2f}" for backbone, accuracy in base.items())
    return Slip(
        "Table 3", f"{count} improvements for {' and '.join(over_quoted)}", f"{count} of {of} over quoted numbers",
        f"{count} of the {of} improvements are over numbers quoted from [21], without spread and from another training "
        f"recipe; the supervised baselines on CIFAR-10 ({said}) differ by up to "
        f"{max(base.values()) - min(base.values()):.1f} points, so they do not compare backbones under one recipe.",
    )  # fmt: skip


def _fluctuations() -> Slip:
    spreads = [n for n in paper.NUMBERS if n.spread is not None and n.row != "Supervised" and n.column != "Supervised"]
    widest = max(spreads, key=lambda n: n.spread)
    where = f"{widest.row.partition(': ')[2]}, {paper.label(widest.column)}"
    return Slip(
        "Table 3, §4.2", "not affected by large fluctuations", f"±{widest.spread:.2f}",
        f'"Not affected by large fluctuations" stands beside spreads of up to ±{widest.spread:.2f} ({where}).',
    )  # fmt: skip


# -- Between tables ------------------------------------------------------------------------------------------------


def _twice() -> Iterator[Slip]:
    """The same value and spread, for what was trained in two ways."""
    for row in paper.rows("table2"):
        one, other = paper.get("table2", row, "RelViT"), paper.get("table3", "ViT: RelViT", row)
        if other and (one.value, one.spread) == (other.value, other.spread):
            yield Slip(
                "Tables 2 and 3", f"{one.text} in both", "two ways of training",
                f"{paper.label(row)} has {one.text} both pre-trained and fine-tuned (Table 2) and trained jointly "
                f"(Table 3), value and spread alike: one may be a copy of the other.",
            )  # fmt: skip


SAME = (  # what is the same thing in more than one table, by what to call it
    ("supervised, CIFAR-10", (("table2", "cifar10", "Supervised"), ("table3", "ViT: Supervised", "cifar10"),
                              ("table4", "Supervised", "Finetuning"))),
    ("supervised, Flower-102, ViT-S/32", (("table2", "flower102", "Supervised"),
                                          ("table3", "ViT: Supervised", "flower102"),
                                          ("table5", "Supervised", "flower102 vit_s_32"))),
    ("supervised, ImageNet-100, ViT-S/32", (("table2", "imagenet100", "Supervised"),
                                            ("table5", "Supervised", "imagenet100 vit_s_32"))),
    ("RelViT (SpRel + AbsPos), CIFAR-10", (("table2", "cifar10", "RelViT"), ("table4", "sprel+abspos", "Finetuning"))),
    ("RelViT, Flower-102, ViT-S/32", (("table2", "flower102", "RelViT"),
                                      ("table5", "No-Mega-Patches", "flower102 vit_s_32"))),
    ("RelViT, ImageNet-100, ViT-S/32", (("table2", "imagenet100", "RelViT"),
                                        ("table5", "No-Mega-Patches", "imagenet100 vit_s_32"))),
)  # fmt: skip


def _same_thing() -> Iterator[Slip]:
    for what, places in SAME:
        numbers = [paper.get(*place) for place in places]
        values = [n.value for n in numbers]
        if max(values) - min(values) <= EPS:
            continue
        said = ", ".join(f"{n.value:.2f} in Table {n.table[-1]}" for n in numbers)
        tables = " and ".join(", ".join(n.table[-1] for n in numbers).rsplit(", ", 1))
        once = any(n.table == "table3" for n in numbers)
        stages = " (Table 2's baseline is trained twice; Table 3's, as far as one can infer, once)" if once else ""
        yield Slip(
            f"Tables {tables}", " / ".join(f"{v:.2f}" for v in values),
            f"up to {max(values) - min(values):.2f} apart",
            f"{what[:1].upper() + what[1:]}: {said}{stages}: compare within a table, not across.",
        )  # fmt: skip


def _runs() -> Slip:
    bare = [
        t for t in ("table2", "table3", "table4", "table5") if not any(n.spread for n in paper.NUMBERS if n.table == t)
    ]
    names = " and ".join(t[-1] for t in bare)
    count = sum(n.table in bare for n in paper.NUMBERS)
    return Slip(
        f"Tables {names}, §4.2", "all the experiments over 5 different runs", f"{count} numbers without spread",
        f"All experiments are said to be over 5 runs, but none of the {count} numbers of Tables {names} has a spread.",
    )  # fmt: skip


# -- Table 4 -------------------------------------------------------------------------------------------------------


def _on_average() -> Slip:
    accuracy = ablation.printed()
    mean = statistics.mean(accuracy[task] for task in paper.TASK_NAMES)
    own, other = mean - value("table4", "Supervised", "Finetuning"), mean - value("table2", "cifar10", "Supervised")
    return Slip(
        "Table 4, §4.3", "+3.00 % on average", f"{own:+.2f}",
        f"Single tasks improve on Table 4's own baseline by {own:+.2f} points on average, not +3.00; against Table 2's "
        f"baseline it is {other:+.2f}.",
    )  # fmt: skip


def _sprel() -> Slip:
    accuracy = ablation.printed()
    alone = sorted(paper.TASK_NAMES, key=lambda task: -accuracy[task])
    rank = alone.index("sprel") + 1
    said = ", ".join(f"{paper.label(task)} {accuracy[task]:.2f}" for task in alone)
    best = ablation.ranked(accuracy)[:3]
    among = sum(ablation.has(row, "sprel") for row in best)
    apart, spread = accuracy[best[0]] - accuracy[best[2]], paper.get("table2", "cifar10", "RelViT").spread
    return Slip(
        "Table 4, §4.3", "SpRel is the most performing", f"{rank} of {len(alone)} alone",
        f"SpRel is in {among} of the {len(best)} best combinations, but those lie {apart:.2f} apart, within Table 2's "
        f"±{spread:.2f} for the same setting, and alone it is number {rank} of {len(alone)}: {said}.",
    )  # fmt: skip


def _main_effects() -> Slip:
    accuracy = ablation.printed()
    effects = {task: ablation.main_effect(accuracy, task) for task in paper.TASK_NAMES}
    first, *others = sorted(effects, key=lambda task: -effects[task])
    said = ", ".join(f"{paper.label(task)} {effects[task]:+.2f}" for task in (first, *others))
    return Slip(
        "Table 4, §4.3", "SpRel is the most performing", said,
        f"Over all {len(accuracy)} combinations (mean with a task minus mean without) the numbers favour "
        f"{paper.label(first)}: {said}.",
    )  # fmt: skip


def _caption() -> Slip:
    tasks = [column for column in paper.columns("table4") if column in paper.TASK_NAMES]
    return Slip(
        "Table 4, caption", "columns 2 to 6", f"columns 2 to {len(tasks) + 1}",
        f"The SSL tasks stand in columns 2 to {len(tasks) + 1} (the first names the method); column {len(tasks) + 2} "
        "is the accuracy after fine-tuning.",
    )  # fmt: skip


# -- Table 5 -------------------------------------------------------------------------------------------------------


def over_m(column: str) -> dict[int, float]:
    """Table 5's accuracies of a column, by M."""
    found = {row: paper.get("table5", row, column) for row in paper.rows("table5") if row.isdigit()}
    return {int(row): number.value for row, number in found.items() if number is not None}


def _against_none(pick) -> dict[str, float]:
    """By column: what `pick` makes of the accuracies over M, minus No-Mega-Patches."""
    return {
        column: pick(over_m(column).values()) - value("table5", "No-Mega-Patches", column)
        for column in paper.columns("table5")
    }


def _mega_mean() -> Slip:
    mean, best = _against_none(statistics.mean), _against_none(max)
    below, above = sum(gap < 0 for gap in mean.values()), sum(gap > 0 for gap in best.values())
    said = ", ".join(f"{gap:+.2f}" for gap in mean.values())
    return Slip(
        "Table 5, §4.3", "mega-patches improve the accuracy", f"mean over M: {said}",
        f"The best M is above No-Mega-Patches in {above} of {len(best)} columns, but it was picked on the images that "
        f"it is judged on; the mean over M is below No-Mega-Patches in {below} of {len(mean)} columns ({said}).",
    )  # fmt: skip


def _patch_size() -> Iterator[Slip]:
    """Whether the best M gains more the smaller the patch, for each data set."""
    best = _against_none(max)
    for dataset in dict.fromkeys(column.split()[0] for column in best):
        gains = [gap for column, gap in best.items() if column.startswith(dataset)]  # patches of 32, 16, 14
        if gains != sorted(gains):
            said = ", ".join(f"{gap:+.2f}" for gap in gains)
            yield Slip(
                "Table 5, §4.3", "improves as much as the patch size is reduced", said,
                f"On {paper.label(dataset)} the best M does not gain more with every smaller patch: {said} for "
                "ViT-S/32, 16 and 14.",
            )  # fmt: skip
