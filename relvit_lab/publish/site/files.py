"""Digests of what an executed notebook depends on."""

import hashlib
import json
import sys
from pathlib import Path

import nbformat

PACKAGE = Path(__file__).parents[2]
# Of this folder; the rest only draws what was executed.
RUNS_IN_KERNEL = ("publish/site/carry.py", "publish/site/execute.py")


def code_digest(results: Path) -> str:
    """Of all that a notebook's outputs depend on besides itself: the package, the records in `results`, Python."""
    digest = hashlib.sha256(f"{sys.version_info[:2]}".encode())
    for root in (PACKAGE, results):
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            drawn_only = root == PACKAGE and name.startswith("publish/site/") and name not in RUNS_IN_KERNEL
            if path.is_file() and "__pycache__" not in path.parts and not drawn_only:
                digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def book_digest(book: nbformat.NotebookNode, code: str) -> str:
    """Of a notebook's cells (not their outputs) and of code_digest, 16 hexadecimal digits."""
    cells = [[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in book.cells]
    return hashlib.sha256(json.dumps([cells, code]).encode()).hexdigest()[:16]
