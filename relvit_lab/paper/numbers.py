"""Tables 1 to 5 as data: every number the paper prints, with its table, row and column.

Names are those of the registries ("cifar10", "vit_s_32"); label() gives what people read. The numbers are as printed,
slips included: slips.py finds those. Figure 4 prints curves and no numbers: only its rows and columns are here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.method import backbones
from relvit_lab.method.tasks import RELVIT


@dataclass(frozen=True)
class Number:
    """One printed number. Accuracies and improvements are in %, Dist and Ang MSE x 100, params in millions.

    spread: what stands after the number's plus-minus sign, None where nothing does. quoted: taken over from another
    paper (Liu et al., [21]) without being run again.
    """

    table: str
    row: str
    column: str
    value: float
    spread: float | None = None
    quoted: bool = False

    @property
    def improvement(self) -> bool:
        """Whether it is a difference of two others (printed with its sign)."""
        return "Improv." in (self.column, self.row.partition(": ")[2])

    @property
    def text(self) -> str:
        """As printed, with two decimals: "90.23 ± 0.09", "+4.14", "384", "21.3"."""
        if self.table == "table1":
            return f"{self.value:.1f}" if self.column == "params" else f"{self.value:.0f}"
        value = f"{self.value:{'+' if self.improvement else ''}.2f}"
        return value if self.spread is None else f"{value} ± {self.spread:.2f}"


TITLES = {
    "table1": "the ViTs",
    "table2": "accuracy after pre-training and fine-tuning",
    "table3": "accuracy of joint training, on three backbones",
    "table4": "every combination of the four tasks, CIFAR-10, ViT-S/4",
    "table5": "mega-patches: accuracy after fine-tuning, by M",
    "figure4": "positional embeddings and shuffling",
}

# In each block: the columns, then a line for each row. A pair is a value and its spread; None is a dash or a cross.
_TABLE1 = ("image size", "patch", "blocks", "heads", "dim", "tokens", "params"), {  # patch: from the model's name
    "vit_s_4": (32, 4, 12, 6, 384, 65, 21.3),
    "vit_s_8": (64, 8, 12, 6, 384, 65, 21.4),
    "vit_s_32": (224, 32, 12, 6, 384, 50, 22.5),
    "vit_s_16": (224, 16, 12, 6, 384, 197, 22.5),
    "vit_s_14": (224, 14, 12, 6, 384, 257, 22.5),
}  # fmt: skip
_TABLE2 = ("Supervised", "RelViT", "Improv."), {
    "cifar10": ((86.09, 0.46), (90.23, 0.09), 4.14),
    "svhn": ((96.01, 0.07), (97.14, 0.03), 1.13),
    "cifar100": ((59.19, 0.84), (64.99, 0.46), 5.85),
    "flower102": ((42.08, 0.29), (45.78, 0.75), 3.70),
    "tiny_imagenet": ((43.19, 0.78), (51.98, 0.20), 8.79),
    "imagenet100": ((58.04, 0.91), (66.46, 0.45), 8.42),
}  # fmt: skip
_TABLE3 = ("cifar10", "svhn", "cifar100", "flower102"), {
    "ViT: Supervised": ((85.86, 0.37), (95.94, 0.05), (59.51, 0.99), (41.74, 0.97)),
    "ViT: RelViT": ((89.27, 0.23), (96.41, 0.39), (61.92, 0.19), (45.78, 0.75)),
    "ViT: Improv.": (3.41, 0.47, 2.41, 4.04),
    "Swin: Supervised": (59.47, 71.6, 53.28, 34.51),
    "Swin: L_drloc": (83.89, 94.23, 66.23, 39.37),
    "Swin: RelSwin": ((92.33, 0.22), (96.64, 0.07), (68.69, 0.91), (58.47, 0.71)),
    "Swin: Improv.": (8.44, 2.41, 2.46, 19.10),
    "T2T: Supervised": (84.19, 95.36, 65.16, 31.73),
    "T2T: L_drloc": (87.56, 96.49, 68.03, 34.35),
    "T2T: RelT2T-ViT": ((90.82, 0.16), (96.52, 0.05), (66.27, 0.88), (50.53, 1.45)),
    "T2T: Improv.": (3.26, 0.03, -1.76, 16.18),
}  # fmt: skip
_TABLE4 = ("abspos", "ang", "dist", "sprel", "Finetuning"), {
    "Supervised": (None, None, None, None, 85.38),
    "sprel": (None, None, None, 48.53, 89.02),
    "dist": (None, None, 10.54, None, 89.27),
    "ang": (None, 13.08, None, None, 88.75),
    "abspos": (15.24, None, None, None, 89.39),
    "sprel+dist": (None, None, 10.29, 48.91, 89.24),
    "sprel+ang": (None, 12.55, None, 48.66, 90.12),
    "sprel+abspos": (15.73, None, None, 48.53, 90.13),
    "dist+ang": (None, 12.58, 10.32, None, 89.34),
    "dist+abspos": (16.03, None, 10.49, None, 89.75),
    "ang+abspos": (15.51, 12.82, None, None, 89.90),
    "sprel+dist+ang": (None, 12.49, 10.28, 48.98, 88.81),
    "sprel+dist+abspos": (15.90, None, 10.39, 48.67, 89.80),
    "sprel+ang+abspos": (16.03, 12.52, None, 48.80, 89.73),
    "dist+ang+abspos": (16.06, 12.65, 10.50, None, 89.67),
    "sprel+dist+ang+abspos": (16.07, 12.54, 10.39, 48.74, 90.06),
}  # fmt: skip
_TABLE5 = (
    "imagenet100 vit_s_32", "imagenet100 vit_s_16", "imagenet100 vit_s_14",
    "flower102 vit_s_32", "flower102 vit_s_16", "flower102 vit_s_14",
), {
    "Supervised": (58.04, 69.42, 71.14, 41.67, 46.37, 45.39),
    "No-Mega-Patches": (67.02, 74.74, 75.76, 45.49, 49.31, 50.98),
    "10": (None, 75.30, 76.10, None, 48.43, 49.61),
    "8": (None, 74.36, 76.42, None, 46.76, 52.25),
    "6": (67.26, 75.36, 76.60, 45.39, 49.61, 51.67),
    "5": (67.14, 75.26, 75.58, 44.22, 48.63, 51.37),
    "4": (66.02, 74.26, 74.24, 44.31, 49.31, 50.39),
    "3": (64.38, 73.16, 74.12, 43.43, 50.78, 50.10),
}  # fmt: skip
_FIGURE4 = (
    ("SpRel", "Finetuning"),
    {
        "PE off, no shuffle": (None, None),
        "PE off, shuffle": (None, None),
        "PE on, no shuffle": (None, None),
        "PE on, shuffle": (None, None),
        "Supervised": (None, None),
    },
)

_QUOTED = {f"{backbone}: {method}" for backbone in ("Swin", "T2T") for method in ("Supervised", "L_drloc")}


def _numbers(table: str, columns: tuple[str, ...], rows: dict[str, tuple]) -> Iterator[Number]:
    for row, cells in rows.items():
        for column, cell in zip(columns, cells, strict=True):
            if cell is not None:
                value, spread = cell if isinstance(cell, tuple) else (cell, None)
                yield Number(table, row, column, value, spread, quoted=table == "table3" and row in _QUOTED)


_TABLES = dict(zip(TITLES, (_TABLE1, _TABLE2, _TABLE3, _TABLE4, _TABLE5, _FIGURE4), strict=True))
NUMBERS: tuple[Number, ...] = tuple(number for name, block in _TABLES.items() for number in _numbers(name, *block))
_BY_NAME = {(number.table, number.row, number.column): number for number in NUMBERS}


def _block(table: str) -> tuple[tuple[str, ...], dict[str, tuple]]:
    if table not in _TABLES:
        raise RelvitError(f"unknown table '{table}': {nearest(table, _TABLES)}")
    return _TABLES[table]


def get(table: str, row: str, column: str) -> Number | None:
    """The printed number, or None where the paper prints a dash, a cross or nothing. RelvitError for no such table."""
    _block(table)
    return _BY_NAME.get((table, row, column))


def rows(table: str) -> tuple[str, ...]:
    """The names of its rows, in the paper's order. Raises RelvitError for no such table."""
    return tuple(_block(table)[1])


def columns(table: str) -> tuple[str, ...]:
    """The names of its columns, in the paper's order. Raises RelvitError for no such table."""
    return _block(table)[0]


def title(table: str) -> str:
    """For a heading: "Table 2: accuracy after pre-training and fine-tuning". Raises RelvitError for no such table."""
    _block(table)
    return f"{table[:-1].capitalize()} {table[-1]}: {TITLES[table]}"


TASK_NAMES = tuple(task.name for task in RELVIT)  # the registry's order; Table 4's columns stand in another
_LABELS = {task.name: task.title for task in RELVIT} | {
    "cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "svhn": "SVHN", "flower102": "Flower-102",
    "tiny_imagenet": "Tiny-ImageNet", "imagenet100": "ImageNet-100",
    "Finetuning": "Fine-tuning", "No-Mega-Patches": "No mega-patches",
}  # fmt: skip


def label(name: str) -> str:
    """A row's or column's name for people: "CIFAR-10", "SpRel + AbsPos", "ImageNet-100, ViT-S/32"; else as it is."""
    if "+" in name:
        return " + ".join(label(part) for part in name.split("+"))
    data, _, vit = name.partition(" ")
    if vit and data in _LABELS and vit in backbones.BACKBONES:
        return f"{label(data)}, {label(vit)}"
    return backbones.BACKBONES[name].label if name in backbones.BACKBONES else _LABELS.get(name, name)


def combination(tasks: Iterable[str]) -> str:
    """Table 4's row of these tasks, whatever their order: ("abspos", "sprel") -> "sprel+abspos"."""
    given = set(tasks)
    return "+".join(name for name in TASK_NAMES if name in given)
