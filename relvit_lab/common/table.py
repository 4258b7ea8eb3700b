"""Tables of anything: aligned text in a terminal, HTML in a notebook."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relvit_lab.common.shown_names import printable

Column = tuple[str, str | Callable[[Any], Any]]


@dataclass(frozen=True, repr=False)
class Table:
    """Headers, and rows of text; columns of numbers stand to the right. `caption` lines come first."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [tuple(map(printable, line)) for line in (self.headers, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines)]
        right = [self._is_number(k) for k in range(len(self.headers))]
        text = [
            "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right)).rstrip()
            for line in lines
        ]
        return "\n".join([*map(printable, self.caption), text[0], "  ".join("-" * w for w in widths), *text[1:]])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        align = ["right" if self._is_number(k) else "left" for k in range(len(self.headers))]
        head = "".join(
            f'<th scope="col" style="text-align:{a}">{html.escape(h)}</th>' for h, a in zip(self.headers, align)
        )
        styles = [f"text-align:{a}" + ("; white-space:nowrap" if a == "right" else "") for a in align]
        body = "".join(
            "<tr>"
            + "".join(f'<td style="{style}">{html.escape(cell)}</td>' for cell, style in zip(row, styles))
            + "</tr>"
            for row in self.rows
        )
        caption = "<br>".join(map(html.escape, self.caption))
        caption = f'<caption style="text-align:left">{caption}</caption>' if caption else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _is_number(self, k: int) -> bool:
        """Whether the column holds numbers, times among them: every cell that says something starts with a digit."""
        said = [row[k] for row in self.rows if row[k] != "-"]
        return bool(said) and all(cell.lstrip("+-")[:1].isdigit() for cell in said)


def compare(rows: Sequence[Any], columns: Sequence[Column], caption: Sequence[str] = ()) -> Table:
    """A table of any rows: dictionaries, finished stages (their result is taken), or what the functions take.

    columns: (header, what) each: a key, with dots for a key within ("metrics.accuracy"), or a function of the row.
    A missing value is shown as "-", a float with one decimal, a list as its entries with commas.
    """
    return Table(
        tuple(header for header, _ in columns),
        tuple(tuple(text(cell(row, what)) for _, what in columns) for row in rows),
        tuple(caption),
    )


def cell(row: Any, what: str | Callable[[Any], Any]) -> Any:
    """What a column shows of a row, before it is put into words; None where there is nothing."""
    row = getattr(row, "result", row)
    if callable(what):
        return what(row)
    for key in what.split("."):
        row = row.get(key) if isinstance(row, Mapping) else None
    return row


def text(value: Any) -> str:
    """A cell in words."""
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value)
