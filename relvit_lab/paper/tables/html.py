"""The tables as HTML: for a notebook, and as a page of their own. The paper's numbers are paler, ours bold."""

import html
from pathlib import Path

from relvit_lab.common.document import document
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.tables.entries import PaperTable
from relvit_lab.paper.tables.text import (
    LINKS,
    NONE,
    SOURCES,
    Pieces,
    legend,
    panels,
    pieces,
    printed,
    relative,
    row_label,
)

# Styles stand in the elements: a notebook that is not trusted drops style sheets. Colours are taken from the page.
PALE, SMALL = "opacity:.72", "font-size:.85em"
EDGE = "border-left:1px solid rgba(128,128,128,.55)"
CELL = "padding:.25em .55em;vertical-align:top;text-align:right;white-space:nowrap"
TITLES = {
    "≈": "within the noise",
    "≠": "outside the noise",
    "?": "nothing to judge by: one seed, or no spread",
    "†": "quoted by the paper from Liu et al. [21]",
}


class ShownTable(PaperTable):
    """A table that a notebook shows as HTML."""

    def _repr_html_(self) -> str:
        return to_html(self, Path.cwd())


def to_html(table: PaperTable, start: Path) -> str:
    """The table, its legend and footnotes. start: the folder of the page, from which run folders are linked."""
    parts = [_panel(table, columns, start, first=k == 0) for k, columns in enumerate(panels(table))]
    parts += [f'<p style="{SMALL};max-width:75em">{html.escape(line)}</p>' for line in legend(table)]
    parts += [f'<p style="max-width:75em"><strong>{html.escape(note)}</strong></p>' for note in table.notes]
    if table.footnotes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in table.footnotes)
        title = "What a careful reader notes in the paper's own numbers"
        parts.append(
            f'<details style="{SMALL};max-width:75em"><summary>{title} ({len(table.footnotes)})</summary>'
            f"<ul>{items}</ul></details>"
        )
    return f'<div style="overflow-x:auto">{"".join(parts)}</div>'


def to_page(table: PaperTable, start: Path) -> str:
    style = "body{font-family:system-ui,sans-serif;margin:1.5em;color:#222;background:#fff}"
    return document(table.title, to_html(table, start), style + "table{border-collapse:collapse}")


def _panel(table: PaperTable, columns: tuple[str, ...], start: Path, first: bool) -> str:
    above = "".join(
        f'<th scope="colgroup" colspan="{1 + len(table.shown(column))}" '
        f'style="padding:.25em .55em;text-align:center;{EDGE}">'
        f"{html.escape(paper.label(column))}</th>"
        for column in columns
    )
    sources = [
        source
        for column in columns
        for source in (("paper", f"{PALE};{EDGE};font-weight:normal"), *((SOURCES[s], "") for s in table.shown(column)))
    ]
    below = "".join(
        f'<th scope="col" style="{CELL};{SMALL};{style}">{html.escape(text)}</th>' for text, style in sources
    )
    rows = "".join(_row(table, row, columns, start) for row in table.rows)
    style = "text-align:left;font-weight:bold;padding:.3em 0" if first else "display:none"
    caption = f'<caption style="{style}">{html.escape(table.title)}</caption>'
    return (
        f'<table style="border-collapse:collapse;margin:0 0 1em">{caption}'
        f"<thead><tr><td></td>{above}</tr><tr><td></td>{below}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _row(table: PaperTable, row: str, columns: tuple[str, ...], start: Path) -> str:
    cells = [
        f'<th scope="row" style="{CELL};text-align:left;font-weight:normal">{html.escape(row_label(table, row))}</th>'
    ]
    for column in columns:
        place = (row, column)
        cells.append(f'<td style="{CELL};{PALE};{EDGE}">{_marked(printed(table, place))}</td>')
        for source in table.shown(column):
            cells.append(f'<td style="{CELL}">{_own(pieces(table, place, source), start)}</td>')
    return f'<tr style="border-top:1px solid rgba(128,128,128,.35)">{"".join(cells)}</tr>'


def _own(own: Pieces | None, start: Path) -> str:
    if own is None:
        return f'<span style="{PALE}">{NONE}</span>'
    lines = [f"<strong>{html.escape(own.mean)}</strong> {html.escape(own.seeds)}"] if own.mean else []
    small = filter(None, (own.difference, own.headline, own.gain, own.p))
    lines += [f'<span style="{SMALL}">{_marked(text)}</span>' for text in small]
    if own.links:
        links = " ".join(_link(text, folder, start) for text, folder in own.links)
        lines.append(f'<span style="{SMALL}" title="{LINKS}">seeds {links}</span>')
    return "<br>".join(lines)


def _link(text: str, folder: Path, start: Path) -> str:
    address, title = html.escape(relative(folder, start)), html.escape(folder.name)
    return f'<a href="{address}" title="{title}">{html.escape(text)}</a>'


def _marked(text: str) -> str:
    """With what its mark means where a pointer rests on it."""
    escaped = html.escape(text)
    for mark, title in TITLES.items():
        escaped = escaped.replace(mark, f'<span title="{title}">{mark}</span>')
    return escaped
