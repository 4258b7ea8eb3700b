"""What a page leaves out of an executed notebook, for those who read it: what only a running kernel can do."""

import ast
import re

from nbformat import NotebookNode

PRINT = "print"  # a cell's tag: it stands on paper for an explorer, and is seen in print alone
WAITS = re.compile(r"\bNot yet: ")  # a check of an exercise that nobody has tried


def for_readers(book: NotebookNode) -> None:
    """Take out: cells of mere imports, the table of one's own progress, and exercises' "Not yet"."""
    kept: list[NotebookNode] = []
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if not _waits(one)]
            if _only_imports(cell.source) and not cell.outputs:
                continue
            if cell.id == "progress":
                if kept and kept[-1].id == "progress-text":
                    kept.pop()
                continue
        kept.append(cell)
    book.cells = kept


def _waits(output: NotebookNode) -> bool:
    return bool(WAITS.search(output.get("data", {}).get("text/plain", "")))


def _only_imports(source: str) -> bool:
    try:
        lines = ast.parse(source).body
    except SyntaxError:  # a line of IPython's
        return False
    return bool(lines) and all(isinstance(line, (ast.Import, ast.ImportFrom)) for line in lines)
