"""Tables 1 to 5 as data: every number the paper prints (numbers.txt), with its table, row and column.

Names are those of the registries ("cifar10", "vit_s_32"); label() gives what people read. The numbers are as printed,
slips included: slips.py finds those.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.data import DATASETS
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

Block = tuple[tuple[str, ...], tuple[str, ...]]
"""The names of a table's columns and of its rows."""
_QUOTED = " †"


def _read(text: str) -> tuple[dict[str, Block], tuple[Number, ...]]:
    """The blocks of numbers.txt, and the numbers in them."""
    blocks, numbers = {}, []
    for block in text.split("\n\n")[1:]:
        (table, *columns), *lines = ([word.strip() for word in line.split("|")] for line in block.splitlines())
        blocks[table] = tuple(columns), tuple(row.removesuffix(_QUOTED) for row, *_ in lines)
        for row, *cells in lines:
            for column, cell in zip(columns, cells, strict=True):
                if cell != "-":
                    value, _, spread = cell.partition(" ± ")
                    printed = (float if "." in value else int)(value), float(spread) if spread else None
                    numbers.append(Number(table, row.removesuffix(_QUOTED), column, *printed, row.endswith(_QUOTED)))
    return blocks, tuple(numbers)


_TABLES, NUMBERS = _read(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8"))
_BY_NAME = {(number.table, number.row, number.column): number for number in NUMBERS}


def _block(table: str) -> Block:
    if table not in _TABLES:
        raise RelvitError(f"unknown table '{table}': {nearest(table, _TABLES)}")
    return _TABLES[table]


def get(table: str, row: str, column: str) -> Number | None:
    """The printed number, or None where the paper prints a dash, a cross or nothing. RelvitError for no such table."""
    _block(table)
    return _BY_NAME.get((table, row, column))


def rows(table: str) -> tuple[str, ...]:
    """The names of its rows, in the paper's order. Raises RelvitError for no such table."""
    return _block(table)[1]


def columns(table: str) -> tuple[str, ...]:
    """The names of its columns, in the paper's order. Raises RelvitError for no such table."""
    return _block(table)[0]


def short_title(table: str) -> str:
    """ "Table 2", "Figure 4"."""
    return f"{table[:-1].capitalize()} {table[-1]}"


def title(table: str) -> str:
    """For a heading: "Table 2: accuracy after pre-training and fine-tuning". Raises RelvitError for no such table."""
    _block(table)
    return f"{short_title(table)}: {TITLES[table]}"


TASK_NAMES = tuple(task.name for task in RELVIT)  # the registry's order; Table 4's columns stand in another
_LABELS = {
    **{task.name: task.title for task in RELVIT},
    **{source.name: source.info.title for source in DATASETS if source.info.title},
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
