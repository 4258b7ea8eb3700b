"""numbers.py against the printed rows, transcribed a second time, as lines of text."""

from collections import Counter

import pytest

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.method import backbones
from relvit_lab.method.tasks import TASKS
from relvit_lab.paper import numbers as paper

PRINTED = {  # as the page reads, left to right: x a cross, - a dash, +- before a spread, [..] not a number
    "table1": """
        [ViT-S/4]  (32, 32)   12 6 384  65 21.3M
        [ViT-S/8]  (64, 64)   12 6 384  65 21.4M
        [ViT-S/32] (224, 224) 12 6 384  50 22.5M
        [ViT-S/16] (224, 224) 12 6 384 197 22.5M
        [ViT-S/14] (224, 224) 12 6 384 257 22.5M
    """,
    "table2": """
        [CIFAR-10 ViT-S/4]      86.09 +-0.46  90.23 +-0.09  +4.14
        [SVHN ViT-S/4]          96.01 +-0.07  97.14 +-0.03  +1.13
        [CIFAR-100 ViT-S/4]     59.19 +-0.84  64.99 +-0.46  +5.85
        [Flower-102 ViT-S/32]   42.08 +-0.29  45.78 +-0.75  +3.70
        [TinyImagenet ViT-S/8]  43.19 +-0.78  51.98 +-0.20  +8.79
        [Imagenet100 ViT-S/32]  58.04 +-0.91  66.46 +-0.45  +8.42
    """,
    "table3": """
        [Supervised]           85.86 +-0.37  95.94 +-0.05  59.51 +-0.99  41.74 +-0.97
        [RelViT (ours)]        89.27 +-0.23  96.41 +-0.39  61.92 +-0.19  45.78 +-0.75
        [(Improv.)]            +3.41 +0.47 +2.41 +4.04
        [Supervised]           59.47 71.6 53.28 34.51
        [Swin+L_drloc]         83.89 94.23 66.23 39.37
        [RelSwin (ours)]       92.33 +-0.22  96.64 +-0.07  68.69 +-0.91  58.47 +-0.71
        [(Improv.)]            +8.44 +2.41 +2.46 +19.10
        [Supervised]           84.19 95.36 65.16 31.73
        [T2T-ViT+L_drloc]      87.56 96.49 68.03 34.35
        [RelT2T-ViT (ours)]    90.82 +-0.16  96.52 +-0.05  66.27 +-0.88  50.53 +-1.45
        [(Improv.)]            +3.26 +0.03 -1.76 +16.18
    """,
    "table4": """
        [Supervised] x     x     x     x     85.38
        [RelViT]     x     x     x     48.53 89.02
        [RelViT]     x     x     10.54 x     89.27
        [RelViT]     x     13.08 x     x     88.75
        [RelViT]     15.24 x     x     x     89.39
        [RelViT]     x     x     10.29 48.91 89.24
        [RelViT]     x     12.55 x     48.66 90.12
        [RelViT]     15.73 x     x     48.53 90.13
        [RelViT]     x     12.58 10.32 x     89.34
        [RelViT]     16.03 x     10.49 x     89.75
        [RelViT]     15.51 12.82 x     x     89.90
        [RelViT]     x     12.49 10.28 48.98 88.81
        [RelViT]     15.90 x     10.39 48.67 89.80
        [RelViT]     16.03 12.52 x     48.80 89.73
        [RelViT]     16.06 12.65 10.50 x     89.67
        [RelViT]     16.07 12.54 10.39 48.74 90.06
    """,
    "table5": """
        [Supervised]      58.04 69.42 71.14 41.67 46.37 45.39
        [No-Mega-Patches] 67.02 74.74 75.76 45.49 49.31 50.98
        [10]              -     75.30 76.10 -     48.43 49.61
        [8]               -     74.36 76.42 -     46.76 52.25
        [6]               67.26 75.36 76.60 45.39 49.61 51.67
        [5]               67.14 75.26 75.58 44.22 48.63 51.37
        [4]               66.02 74.26 74.24 44.31 49.31 50.39
        [3]               64.38 73.16 74.12 43.43 50.78 50.10
    """,
}


def printed_rows(table):
    """[(the name in brackets, [(value or None, spread or None), ...]), ...]"""
    found = []
    for line in PRINTED[table].strip().splitlines():
        name, _, rest = line.strip().removeprefix("[").partition("]")
        cells = []
        for word in rest.replace(" +-", "+-").replace("(", "").replace(")", "").replace(",", "").split():
            value, _, spread = word.removesuffix("M").partition("+-")
            cells.append((None if value in "x-" else float(value), float(spread) if spread else None))
        found.append((name, cells))
    return found


@pytest.mark.parametrize("table", PRINTED)
def test_every_number_is_the_printed_one(table):
    lines = printed_rows(table)
    assert len(lines) == len(paper.rows(table))
    for row, (name, cells) in zip(paper.rows(table), lines, strict=True):
        if table == "table1":  # height and width are one column here, and the patch stands in the name
            assert cells[0] == cells[1]
            cells = [cells[0], (float(name.partition("/")[2]), None), *cells[2:]]
        ours = [paper.get(table, row, column) for column in paper.columns(table)]
        assert [(n.value, n.spread) if n else (None, None) for n in ours] == cells, row


def test_how_many_there_are():
    counts = Counter(number.table for number in paper.NUMBERS)
    assert counts == {"table1": 35, "table2": 18, "table3": 44, "table4": 16 + 32, "table5": 48 - 4}
    assert Counter(n.table for n in paper.NUMBERS if n.spread is not None) == {"table2": 12, "table3": 16}
    assert len({(n.table, n.row, n.column) for n in paper.NUMBERS}) == len(paper.NUMBERS)
    assert len(paper.rows("figure4")) == 5 and "figure4" not in counts


def test_rows_carry_their_names():
    """The second transcription says which row each line is."""
    assert [paper.label(row) for row in paper.rows("table1")] == [name for name, _ in printed_rows("table1")]
    plain = {"TinyImagenet": "Tiny-ImageNet", "Imagenet100": "ImageNet-100"}
    datasets = [name.split()[0] for name, _ in printed_rows("table2")]
    assert [paper.label(row) for row in paper.rows("table2")] == [plain.get(name, name) for name in datasets]
    methods = [name.removesuffix(" (ours)").strip("()") for name, _ in printed_rows("table3")]
    assert [row.split(": ")[1] for row in paper.rows("table3")] == [m.split("+")[-1] for m in methods]
    assert [row.split(": ")[0] for row in paper.rows("table3")] == ["ViT"] * 3 + ["Swin"] * 4 + ["T2T"] * 4
    assert list(paper.rows("table5")) == [name for name, _ in printed_rows("table5")]


def test_table4s_columns_follow_from_its_rows():
    """A task has a printed metric exactly where it is trained, and each of the 15 combinations is there once."""
    names = ("sprel", "dist", "ang", "abspos")
    rows = paper.rows("table4")
    assert rows[0] == "Supervised" and len(set(rows)) == 16
    for row in rows[1:]:
        tasks = row.split("+")
        assert row == paper.combination(reversed(tasks))  # registry order
        assert {name for name in names if paper.get("table4", row, name)} == set(tasks)


def test_names_are_the_registries():
    for row in paper.rows("table1"):
        assert row in backbones.BACKBONES
    for name in (*paper.rows("table2"), *paper.columns("table3")):
        assert name in data.DATASETS
    assert set(paper.columns("table4")) - {"Finetuning"} <= set(TASKS.names())
    for column in paper.columns("table5"):
        dataset, backbone = column.split()
        assert dataset in data.DATASETS and backbone in backbones.BACKBONES


def test_table1s_sizes_are_the_backbones():
    for row in paper.rows("table1"):
        entry = backbones.get(row)
        said = [paper.get("table1", row, column).value for column in ("image size", "patch", "tokens")]
        assert said == [entry.image_size, entry.patch, (entry.image_size // entry.patch) ** 2 + 1]  # CLS counts


def test_quoted_are_the_four_rows_from_liu_et_al():
    quoted = {n.row for n in paper.NUMBERS if n.quoted}
    assert quoted == {"Swin: Supervised", "Swin: L_drloc", "T2T: Supervised", "T2T: L_drloc"}
    assert all(n.spread is None and n.table == "table3" for n in paper.NUMBERS if n.quoted)


def test_text_is_as_printed():
    def text(*where):
        return paper.get(*where).text

    assert text("table2", "cifar10", "RelViT") == "90.23 ± 0.09"
    assert text("table2", "cifar10", "Improv.") == "+4.14"
    assert text("table3", "T2T: Improv.", "cifar100") == "-1.76"
    assert text("table3", "Swin: Improv.", "flower102") == "+19.10"
    assert text("table1", "vit_s_16", "params") == "22.5" and text("table1", "vit_s_16", "dim") == "384"
    assert text("table5", "6", "imagenet100 vit_s_14") == "76.60"


def test_labels_and_titles():
    assert paper.label("sprel+abspos") == "SpRel + AbsPos"
    assert paper.label("flower102 vit_s_14") == "Flower-102, ViT-S/14"
    assert paper.label("tiny_imagenet") == "Tiny-ImageNet" and paper.label("vit_s_32") == "ViT-S/32"
    assert paper.label("PE off, no shuffle") == "PE off, no shuffle"
    assert paper.title("table4").startswith("Table 4: ") and paper.title("figure4").startswith("Figure 4: ")


def test_what_is_not_there():
    assert paper.get("table5", "10", "flower102 vit_s_32") is None  # a dash
    assert paper.get("table4", "sprel", "ang") is None  # a cross
    with pytest.raises(RelvitError, match="table2"):
        paper.get("tabel2", "cifar10", "RelViT")
    with pytest.raises(RelvitError, match="unknown table"):
        paper.rows("table6")
