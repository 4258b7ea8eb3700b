"""What students handed in: whose each file is, and which cells of a notebook belong to an exercise."""

import ast
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from relvit_lab.common.errors import RelvitError, first_line
from relvit_lab.common.files import read_regular
from relvit_lab.common.paths import expanded
from relvit_lab.lessons.ask import journal
from relvit_lab.lessons.ask.progress_view import FORMAT
from relvit_lab.publish.classroom.copies import EXERCISE, choose

LARGEST = 50_000_000  # bytes; a notebook takes ten times that when it is read
MOODLE = r"_\d+_assignsubmission_\w*?_*$"  # what Moodle puts after a student's name
ARCHIVES = (".zip", ".gz", ".tgz", ".tar", ".7z", ".rar")


@dataclass(frozen=True)
class Submission:
    """A file that was handed in: a notebook (.ipynb) or an exported progress file (.json)."""

    student: str
    path: Path


def find(places: Sequence[str | Path]) -> list[Submission]:
    """The files of folders, and files. Raises RelvitError for a place that is not there, or has none.

    In a folder the name of the first folder within it is the student's (class/ada/01_patch_relations.ipynb), or, of a
    file that lies directly in it, what its name has beside the notebook's (ada_01_patch_relations.ipynb). What
    Moodle puts after a name is left out.
    """
    found = []
    for place in map(Path, places):
        place = expanded(place).absolute()
        if place.is_dir():
            files = sorted(path for path in place.rglob("*") if _is_work(path.relative_to(place)) and path.is_file())
            found += [Submission(_student(path, place), path) for path in files]
        elif place.is_file() and place.suffix in (".ipynb", ".json"):
            found.append(Submission(_student(place, place.parent), place))
        elif place.is_file() and place.suffix.lower() in ARCHIVES:
            raise RelvitError(f"{place} is an archive: unpack it, and give the folder")
        else:
            raise RelvitError(f"{place} is neither a folder nor an .ipynb or .json that was handed in")
    if not found:
        raise RelvitError(f"nothing was handed in: no .ipynb and no .json in {', '.join(map(str, places))}")
    return found


def read_book(path: Path) -> NotebookNode:
    """A notebook that somebody handed in. Raises RelvitError, whatever is wrong with it."""
    try:
        book = nbformat.reads(read_regular(path, LARGEST).decode(), 4)
        for cell in book.cells:
            assert isinstance(cell.source, str) and isinstance(cell.cell_type, str)
        return book
    except Exception as error:  # any bytes may stand there
        raise RelvitError(f"{path.name} cannot be read as a notebook: {first_line(error, 200)}") from None


def read_export(path: Path) -> tuple[str, list[dict]]:
    """The name in an exported progress file ("" where none was given), and its lines. Raises RelvitError."""
    try:
        whole = json.loads(read_regular(path, LARGEST))
        if not isinstance(whole, dict) or whole.get("format") != FORMAT or not isinstance(whole.get("lines"), list):
            raise ValueError("it was not made by progress().export(...)")
    except (OSError, ValueError, RecursionError) as error:
        raise RelvitError(f"{path.name} cannot be read as a progress file: {first_line(error, 200)}") from None
    lines = [journal.entry(line) for line in whole["lines"]]
    return str(whole.get("name", ""))[:80], [line for line in lines if line]


def code_of(cell: NotebookNode) -> str:
    """A code cell without IPython's % and ! lines."""
    return "\n".join("" if re.match(r"\s*[%!]", line) else line for line in cell.source.splitlines())


def own_cells(book: NotebookNode, name: str) -> list[int]:
    """The places of the cells that answer an exercise: the one with its id, and those that call check("NAME", ...), so
    that a cell that was split, or an editor that drops ids, does no harm."""
    return [
        k
        for k, cell in enumerate(book.cells)
        if cell.cell_type == "code" and (cell.get("id") == EXERCISE + name or name in _calls(cell))
    ]


def answered(book: NotebookNode, names: Iterable[str]) -> list[str]:
    """Which of the exercises are in the notebook."""
    return [name for name in names if own_cells(book, name)]


def answer_expressions() -> dict[str, str]:
    """What check(...) is to be given, by exercise: "to_patches" for "01-patchify". From the project's notebooks."""
    found = {}
    for path in choose(()):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code" and cell.id.startswith(EXERCISE):
                found |= {name: ast.unparse(call.args[1]) for name, call in _calls(cell).items() if len(call.args) > 1}
    return found


def _calls(cell: NotebookNode) -> dict[str, ast.Call]:
    """The calls check("NAME", ...) in a code cell, by name."""
    source = code_of(cell)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {name: ast.Call() for name in re.findall(r"""(?m)^check\(["']([\w-]+)["']""", source)}
    return {
        node.args[0].value: node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check" and node.args
        and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    }  # fmt: skip


def _is_work(path: Path) -> bool:
    return path.suffix in (".ipynb", ".json") and not any(part.startswith(".") for part in path.parts)


def _student(path: Path, folder: Path) -> str:
    inside = path.relative_to(folder).parts
    if len(inside) > 1:
        return re.sub(MOODLE, "", inside[0])
    name = path.stem
    for stem in (path.stem for path in choose(())):
        name = name.replace(stem, "")
    return re.sub(MOODLE, "", name).strip(" _-.()") or re.sub(MOODLE, "", folder.name)
