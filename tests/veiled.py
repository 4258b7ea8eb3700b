"""What is veiled after each prediction of a notebook, worked out apart from the style that does it, and notebooks with
their own words and predictions, but nothing to compute."""

import re
from collections.abc import Iterator

import nbformat
from nbformat import NotebookNode, v4

from relvit_lab.lessons.ask import predict
from relvit_lab.publish.site.execute import VIEW
from relvit_lab.publish.site.widgets import STATE

ASKS = re.compile(r"predict\(\s*\"([^\"]+)\"")
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^ {0,3}#{1,6} ", re.MULTILINE)


def asked(cell: NotebookNode) -> str:
    """The name of the prediction that a cell asks for, or ""."""
    found = ASKS.search(cell.source) if cell.cell_type == "code" else None
    return found[1] if found else ""


def heading(cell: NotebookNode) -> int:
    """Where the first heading of a markdown cell begins; -1 without one."""
    found = HEADING.search(FENCED.sub(lambda code: "x" * len(code[0]), cell.source))
    return found.start() if found and cell.cell_type == "markdown" else -1


def veiled(cells: list[NotebookNode]) -> Iterator[tuple[str, list[NotebookNode], NotebookNode | None]]:
    """Each prediction, the whole cells after it that are veiled, and the cell with the next heading."""
    for k, cell in enumerate(cells):
        if name := asked(cell):
            after = cells[k + 1 :]
            end = next((n for n, each in enumerate(after) if heading(each) >= 0), len(after))
            yield name, after[:end], after[end] if end < len(after) else None


def idle(book: NotebookNode) -> NotebookNode:
    """The notebook with its words and predictions; every other code cell prints its id."""
    cells = []
    for cell in book.cells:
        made = nbformat.from_dict(cell)
        if cell.cell_type == "code":
            source = f"print({'cell ' + cell.id!r})"
            if asked(cell):
                source = f"from relvit_lab.lessons.ask import predict\n{cell.source}"
            made = v4.new_code_cell(source, id=cell.id)
        cells.append(made)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def as_run(book: NotebookNode) -> NotebookNode:
    """An idle notebook with the outputs that a kernel would give."""
    models = {}
    for cell in book.cells:
        if asked(cell):
            widget = eval(cell.source.partition("\n")[2], {"predict": predict})
            models[widget.model_id] = {"state": widget.get_state()}
            data = {VIEW: {"model_id": widget.model_id}, "text/html": widget.still_html()}
            cell.outputs = [v4.new_output("display_data", data)]
        elif cell.cell_type == "code":
            cell.outputs = [v4.new_output("stream", text=f"cell {cell.id}\n")]
    book.metadata["widgets"] = {STATE: {"state": models}}
    return book
