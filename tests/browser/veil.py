"""What of a notebook is to be seen in a browser, and what should be, given the predictions that were made."""

import nbformat
from executed import NOTEBOOKS
from nbformat import NotebookNode, v4
from playwright.sync_api import Page
from veiled import heading, idle, veiled

BOOKS = {stem: idle(nbformat.read(path, 4)) for stem, path in NOTEBOOKS.items()}
TOLD = '<details class="told"><summary>After your prediction</summary>\n\n{}\n\n</details>'
SMALL = idle(
    v4.new_notebook(
        cells=[
            v4.new_markdown_cell("# 01 · Small\n\nIt begins.", id="title"),
            v4.new_code_cell('predict("01-tokens", ["16", "64", "65", "1024"])', id="ask"),
            v4.new_code_cell("", id="one"),
            v4.new_markdown_cell(TOLD.format("TOLD one, $x_1$"), id="told"),
            v4.new_code_cell('predict("01-strips", ["0 1 2 3", "0 1 6 7"])', id="again"),
            v4.new_code_cell("", id="two"),
            v4.new_markdown_cell("```python\n# no heading\n```", id="code"),
            v4.new_markdown_cell(TOLD.format("TOLD two") + "\n\n#### Next\n\nThe end.", id="next"),
            v4.new_code_cell("", id="free"),
        ]
    )
)
# Of each place, its cells; and of a cell, whether what is in it can be seen, up to its heading and from there.
SEEN = """([cells, within]) => [...document.querySelectorAll(cells)].map(cell => {
    const parts = [...(within && cell.querySelector(within) || cell).children].filter(e => e.textContent.trim());
    const seen = e => e.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    const at = parts.findIndex(e => /^H[1-6]$/.test(e.tagName));
    const end = at < 0 ? parts.length : at;
    return { before: parts.slice(0, end).map(seen), from: parts.slice(end).map(seen) };
})"""


def seen(page: Page, place: list[str], book: NotebookNode) -> dict[str, str]:
    """Of each cell by id: "seen", "veiled", or "heading" where only what stands before a heading is veiled."""
    found = {}
    for cell, parts in zip(book.cells, page.evaluate(SEEN, place), strict=True):
        assert len(set(parts["before"])) < 2 and all(parts["from"]), (cell.id, parts)
        veiled = parts["before"] and not parts["before"][0]
        found[cell.id] = "seen" if not veiled else "heading" if parts["from"] else "veiled"
    return found


def expected(book: NotebookNode, made: set[str]) -> dict[str, str]:
    found = dict.fromkeys((cell.id for cell in book.cells), "seen")
    for name, after, end in veiled(book.cells):
        if name not in made:
            found.update(dict.fromkeys((cell.id for cell in after), "veiled"))
            if end and heading(end):
                found[end.id] = "heading"
    return found
