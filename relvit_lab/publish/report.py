"""`make report`: notebook 07 on runs of one's own, as one page that needs no network and runs no script."""

import html
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

from relvit_lab.common.document import NO_SCRIPT
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import write_whole
from relvit_lab.common.paths import project_root, resolve
from relvit_lab.publish.site.page import contents_and_cells, document

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "07_paper_tables.ipynb"
TITLE = "RelViT: the paper's tables, and runs of our own beside them"
LEAD = (
    "Every number that the paper (Camporese, Izzo, Ballan: Where are my Neighbors? Exploiting Patches Relations in "
    "Self-Supervised Vision Transformer) prints in its tables; beside it, where it was run again, ours, with links to "
    "the folders of the runs that it is from."
)
LESSON = "lesson"  # the tag of cells that are for students alone


def write_report(
    out: str | Path = "report.html",
    names: Sequence[str] = (),
    run_dir: str = "runs",
    command: str = "make report",
    **options: Any,
) -> Path:
    """Run the notebook's part on runs by papermill, write the page and return its path. Run folders are linked from it.

    names: of tables, none: all. run_dir: folders, with commas. command: what is said to have made the page. options:
    recipes, seeds and fields of Experiment, as in tables. Raises RelvitError for unknown names and values, and where
    `out` is a folder.
    """
    target = resolve(out)
    if target.is_dir():
        raise RelvitError(f"{target} is a folder: give --out the name of a file, such as report.html")
    if not NOTEBOOK.is_file():
        raise RelvitError(f"the report is made from {NOTEBOOK}, which is not there: start it in a checkout")
    target.parent.mkdir(parents=True, exist_ok=True)  # before it takes a minute: what cannot be written is told now
    chosen = {name: options.pop(name) for name in ("recipes", "seeds") if name in options}
    folders = ",".join(str(resolve(folder.strip())) for folder in run_dir.split(","))
    parameters = {"run_dir": folders, "names": list(names), "fields": options, **chosen}
    book = _execute(without_lesson(nbformat.read(NOTEBOOK, 4)), parameters, target.parent)
    contents, cells = contents_and_cells(book, exclude_input=True)
    head = f"<h1>{html.escape(TITLE)}</h1>\n<p>{html.escape(LEAD)}</p>\n"
    made = f"<p>Made by <code>{html.escape(command)}</code></p>"
    body = f'<div class="index">{head}{made}</div>\n<div class="page">\n{contents}\n{cells}\n</div>'
    write_whole(target, document(TITLE, body, NO_SCRIPT))
    return target


def without_lesson(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without cells tagged lesson; a heading (##) so tagged takes along what follows, up to the next.
    Headings lose their numbers."""
    kept, inside = [], False
    for cell in book.cells:
        tagged = LESSON in cell.metadata.get("tags", ())
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            inside = tagged
            cell.source = re.sub(r"^## \d+ · ", "## ", cell.source)
        if not (inside or tagged):
            kept.append(cell)
    return nbformat.v4.new_notebook(cells=kept, metadata=book.metadata)


def _execute(book: nbformat.NotebookNode, parameters: dict[str, Any], folder: Path) -> nbformat.NotebookNode:
    """The notebook, run by papermill as if it lay in the folder."""
    import papermill
    from jupyter_client import AsyncKernelManager

    home = {"RELVIT_HOME": str(project_root())}  # the kernel works elsewhere

    class Kernel(AsyncKernelManager):
        async def start_kernel(self, **options: Any) -> None:
            await super().start_kernel(env={**os.environ, **home}, **options)

    try:
        return papermill.execute_notebook(
            book, None, parameters, kernel_name="python3", progress_bar=False, cwd=str(folder),
            kernel_manager_class=Kernel, extra_arguments=["--log-level=40"],
        )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        if error.ename == "RelvitError":
            raise RelvitError(error.evalue) from None
        raise RelvitError(f"{NOTEBOOK.name} failed: {error.ename}: {error.evalue}") from None
