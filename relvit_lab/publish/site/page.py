"""A notebook's page: its cells, a list of its headings, and the way to the pages before and after it."""

import html
import re
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from relvit_lab.common.errors import RelvitError
from relvit_lab.publish.site.markdown import Heading, PageMarkdown
from relvit_lab.publish.site.outputs import code_html, code_style, output_html
from relvit_lab.publish.site.widgets import live_models, widgets_html

STYLE = Path(__file__).with_name("style.css")
# Nothing is fetched, whatever stands in a page; the widgets' modules are made in the page itself (blob:).
POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline' blob:"

FOLD = 'if (matchMedia("(max-width: 68rem)").matches) document.querySelector(".contents details").open = false;'
"""On a phone the list of headings is folded at first."""


@dataclass(frozen=True)
class Link:
    """A page of the site: its file's name and its title."""

    file: str
    title: str


def title_of(book: NotebookNode, otherwise: str) -> str:
    """The first heading of the notebook, without marks."""
    for cell in book.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^# (.+)$", cell.source, re.MULTILINE)):
            return found[1].strip()
    return otherwise


def notebook_body(book: NotebookNode) -> str:
    """An executed notebook -> what stands between header and footer. Raises RelvitError, with the cell's id, for what
    can't be converted."""
    markdown, models = PageMarkdown(), live_models(book)
    cells = []
    for cell in book.cells:
        try:
            cells.append(_cell(cell, models, markdown))
        except RelvitError as error:
            raise RelvitError(f"cell '{cell.id}': {error}") from None
    inside = "\n".join(cells)
    return (
        f'<div class="page">\n{_contents(markdown.headings)}\n<main>\n{inside}\n</main>\n</div>\n{widgets_html(models)}'
    )


def notebook_page(body: str, title: str, before: Link | None, after: Link | None) -> str:
    """The whole page around notebook_body's answer. before, after: the pages beside it."""
    way = _way(before, after)
    return document(title, f"<header>{way}</header>\n{body}\n<footer>{way}</footer>")


def document(title: str, body: str, style: str | None = None) -> str:
    """A whole file around the body. style: None for that of the notebooks' pages."""
    if style is None:
        style = STYLE.read_text(encoding="utf-8") + code_style()
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<style>\n{style}\n</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _cell(cell: NotebookNode, models: dict[str, dict], markdown: PageMarkdown) -> str:
    if cell.cell_type == "markdown":
        inside = markdown.to_html(cell.source, cell.get("attachments"))
        return f'<section class="words" id="cell-{cell.id}">\n{inside}</section>'
    if cell.cell_type != "code" or not cell.source.strip():
        return ""
    outputs = "\n".join(output_html(output, models, markdown) for output in cell.outputs)
    shown = f'\n<div class="output">\n{outputs}\n</div>' if outputs else ""
    return f'<section class="code" id="cell-{cell.id}">\n{code_html(cell.source)}{shown}\n</section>'


def _contents(headings: list[Heading]) -> str:
    lines = "\n".join(
        f'<li class="level{h.level}"><a href="#{h.name}">{h.content}</a></li>' for h in headings if h.level in (2, 3)
    )
    return (
        '<nav class="contents" aria-label="On this page"><details open><summary>On this page</summary>\n'
        f"<ul>\n{lines}\n</ul></details></nav>\n<script>{FOLD}</script>"
    )


def _way(before: Link | None, after: Link | None) -> str:
    def link(to: Link | None, mark: str) -> str:
        return f'<a href="{to.file}" rel="{mark}">{html.escape(to.title)}</a>' if to else "<span></span>"

    return (
        '<nav class="way" aria-label="Pages">'
        f'{link(before, "prev")}<a class="up" href="index.html">All notebooks</a>{link(after, "next")}</nav>'
    )
