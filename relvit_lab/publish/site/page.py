"""A notebook's page: its cells, a list of its headings, and the way to the pages before and after it."""

import ast
import html
import os
import re
from collections.abc import Container, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from relvit_lab.common.document import document as html_document
from relvit_lab.publish.site.exporter import CellsExporter
from relvit_lab.publish.site.markdown import Heading
from relvit_lab.publish.site.widgets import live_models, widgets_html

WAITS = re.compile(r"\bNot yet: ")  # what the check of such an exercise says
STYLE = Path(__file__).with_name("style.css")
# Of code, by Pygments' names: each is read on the paper of style.css, 4.5:1 at least.
CODE_COLOURS = {
    "print, (prefers-color-scheme: light)": "xcode",
    "screen and (prefers-color-scheme: dark)": "github-dark",
}
# Nothing is fetched, whatever stands in a page; made in the page itself are the widgets' modules (blob:) and the
# function that multiplies a model's matrices (wasm).
POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:"
)

SCRIPT = Path(__file__).with_name("page.js")
ALIVE = 'document.documentElement.classList.add("alive");'
"""Scripts run: what follows a prediction may be veiled until it is made (lessons/ask/veil.py)."""

FOLD = 'if (matchMedia("(max-width: 68rem)").matches) document.querySelector(".contents details").open = false;'
"""On a phone the list of headings is folded at first."""


@dataclass(frozen=True)
class Link:
    """A page of the site: its file's name and its title."""

    file: str
    title: str


def address(file: str) -> str:
    """A file beside the page, as an attribute."""
    return html.escape(quote(os.fsencode(file)))


def title_of(book: NotebookNode, otherwise: str) -> str:
    """The first heading of the notebook, without marks."""
    for cell in book.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^# (.+)$", cell.source, re.MULTILINE)):
            return found[1].strip()
    return otherwise


def notebook_body(book: NotebookNode, meanings: Mapping[str, str] | None = None) -> str:
    """An executed notebook -> what stands between header and footer. meanings: of the terms that explain themselves
    (terms.py). Raises RelvitError, with the cell's id, for what can't be converted."""
    book = deepcopy(book)
    for_readers(book)
    models = live_models(book)
    contents, cells = contents_and_cells(book, models, meanings=meanings)
    head, script = f"<script>{ALIVE} {FOLD}</script>", f"<script>\n{SCRIPT.read_text(encoding='utf-8')}</script>"
    return f'<div class="page">\n{contents}\n{head}\n{cells}\n</div>\n{script}\n{widgets_html(models)}'


def for_readers(book: NotebookNode) -> None:
    """Take out what only a running kernel can do: cells of mere imports, the table of one's own progress, and what
    exercises say that nobody has tried."""
    kept: list[NotebookNode] = []
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if not WAITS.search(one.get("data", {}).get("text/plain", ""))]
            if _only_imports(cell.source) and not cell.outputs:
                continue
            if cell.id == "progress":
                if kept and kept[-1].id == "progress-text":
                    kept.pop()
                continue
        kept.append(cell)
    book.cells = kept


def _only_imports(source: str) -> bool:
    try:
        lines = ast.parse(source).body
    except SyntaxError:  # a line of IPython's
        return False
    return bool(lines) and all(isinstance(line, ast.Import | ast.ImportFrom) for line in lines)


def contents_and_cells(book: NotebookNode, models: Container[str] = (), **options: object) -> tuple[str, str]:
    """The list of the headings, and the cells. models, options: of the exporter."""
    exporter = CellsExporter(models, **options)
    book = deepcopy(book)
    for cell in book.cells:  # an id that is none would stop the exporter
        cell["id"] = re.sub(r"[^a-zA-Z0-9_-]", "_", str(cell.get("id", "")))[:64] or "cell"
    cells, _ = exporter.from_notebook_node(book)
    return _contents(exporter.page.headings), f"<main>{cells}\n</main>"


def notebook_page(body: str, title: str, before: Link | None, after: Link | None) -> str:
    """The whole page around notebook_body's answer. before, after: the pages beside it."""
    way = _way(before, after)
    return document(title, f"<header>{way}</header>\n{body}\n<footer>{way}</footer>")


def document(title: str, body: str, policy: str = POLICY) -> str:
    """A whole file around the body, in the site's style."""
    colours = (
        f"@media {where} {{\n{HtmlFormatter(style=name, nobackground=True).get_style_defs('.highlight')}\n}}"
        for where, name in CODE_COLOURS.items()
    )
    style = "\n".join([STYLE.read_text(encoding="utf-8"), *colours])
    return html_document(title, body, style, policy)


def _contents(headings: list[Heading]) -> str:
    lines = "\n".join(
        f'<li class="level{h.level}"><a href="#{h.name}"{_spoken(h.content)}>{h.content}</a></li>'
        for h in headings
        if h.level in (2, 3)
    )
    return (
        '<nav class="contents" aria-label="On this page"><details open><summary>On this page</summary>\n'
        f"<ul>\n{lines}\n</ul></details></nav>"
    )


def _spoken(content: str) -> str:
    """A name for a link with an equation in it, which else has none, or half of one."""
    if "<math" not in content:
        return ""
    words = re.sub(r'<math data-tex="([^"]*)".*?</math>', lambda tex: re.sub(r"[\\{}]", " ", tex[1]), content)
    return f' aria-label="{" ".join(re.sub("<[^>]*>", "", words).split())}"'


def _way(before: Link | None, after: Link | None) -> str:
    def link(to: Link | None, mark: str) -> str:
        return f'<a href="{address(to.file)}" rel="{mark}">{html.escape(to.title)}</a>' if to else "<span></span>"

    return (
        '<nav class="way" aria-label="Pages">'
        f'{link(before, "prev")}<a class="up" href="index.html">All notebooks</a>{link(after, "next")}</nav>'
    )
