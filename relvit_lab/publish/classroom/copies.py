"""make class: a student's copy of the notebooks, without solutions, and a teacher's, solved. Nobody's work is lost."""

import ast
import copy
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.paths import expanded

NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"
# The parts of a notebook that belong to an exercise, by cell id: exercise-NAME, hints-NAME, solution-NAME.
EXERCISE, HINTS, SOLUTION = "exercise-", "hints-", "solution-"
SOLUTION_TAG = "solution"  # on further cells that give an answer away: a student's copy has none of them
MANIFEST = ".relvit-class.json"  # digests of all that was ever written here: what has another one is somebody's work
TEACHERS_NOTE = (
    "**The teacher's copy.** Every exercise is solved here, and each check says *Right*. "
    "Students get the folder `student/`."
)
STUDENTS_NOTE = """\
# Notebooks

Open this folder in JupyterLab, in the environment in which `relvit_lab` is installed, and begin with 01. A check says
"right", "not yet", or which mistake it is. To see where you stand, in any notebook:

    from relvit_lab.lessons.ask import progress
    progress()

To hand in: the notebooks themselves (File, Save first), or, where your teacher asks for it, the file that this makes
beside the notebook:

    progress().export("your-name.json", name="Your Name")
"""


def student_copy(book: NotebookNode, hints: bool = True) -> NotebookNode:
    """The notebook without its solutions. Outputs that are kept stay: they are numbers to compare with, and no code.

    What later cells use comes from the package (`answer_or_reference`), which does hold right answers: this takes
    temptation away, it locks nothing.
    """
    made = copy.deepcopy(book)
    made.cells = [
        cell
        for cell in made.cells
        if not cell.get("id", "").startswith((SOLUTION,) if hints else (SOLUTION, HINTS))
        and SOLUTION_TAG not in cell.metadata.get("tags", [])
    ]
    return made


def teacher_copy(book: NotebookNode) -> NotebookNode:
    """The notebook with every solution filled into its exercise cell, and opened below it.

    Raises RelvitError where an exercise has no solution.
    """
    made = copy.deepcopy(book)
    by_id = {cell.get("id"): cell for cell in made.cells}
    for name in exercise_names(made):
        solution = by_id.get(SOLUTION + name)
        if solution is None:
            raise RelvitError(f"exercise {name} has no cell {SOLUTION}{name}")
        exercise = by_id[EXERCISE + name]
        exercise.source = filled(exercise.source, solution_code(solution))
        solution.source = solution.source.replace("<details>", "<details open>")
    made.cells.insert(0, nbformat.v4.new_markdown_cell(TEACHERS_NOTE, id="teachers-copy"))
    return made


def exercise_names(book: NotebookNode) -> list[str]:
    return [cell.id.removeprefix(EXERCISE) for cell in book.cells if cell.get("id", "").startswith(EXERCISE)]


def solution_code(cell: NotebookNode) -> str:
    """The fenced code of a solution cell. Raises RelvitError where there is not just one such block."""
    blocks = re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL)
    if len(blocks) != 1:
        raise RelvitError(f"cell {cell.id} needs one ```python block, and has {len(blocks)}")
    return blocks[0].strip("\n")


def filled(exercise: str, solution: str) -> str:
    """The source of an exercise cell with the solution in the place of the stub; its last line, check(...), stays.

    A top-level statement of the stub goes where the solution defines one of its names; others (a constant, an import)
    stay before the solution.
    """
    *stub, last = ast.parse(exercise).body
    parts = ast.parse(solution).body
    own = set().union(*map(_defined, parts))
    kept = [ast.get_source_segment(exercise, part) for part in stub if not _defined(part) & own]
    check = "\n".join(exercise.splitlines()[last.lineno - 1 :])
    lines = "\n\n\n" if isinstance(parts[-1], ast.FunctionDef | ast.ClassDef) else "\n\n"
    return "\n\n".join([*kept, solution]) + lines + check


def _defined(part: ast.stmt) -> set[str]:
    """The names that a top-level statement gives a value."""
    if isinstance(part, ast.FunctionDef | ast.ClassDef):
        return {part.name}
    return {node.id for node in ast.walk(part) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def write_class(
    folder: str | Path, notebooks: Sequence[str] = (), hints: bool = True, force: bool = False
) -> tuple[list[Path], list[Path]]:
    """Write folder/student/ and folder/teacher/. Returns the files of each.

    notebooks: by number or name, all where there is none. A file that is there and was changed since it was written is
    left, and nothing at all is written, unless `force`. Each file is put in place at once. Raises RelvitError, with the
    names of such files, or where the folder cannot be written.
    """
    folder = expanded(folder).absolute()
    sources = choose(notebooks)
    kinds: dict[str, Callable[[NotebookNode], NotebookNode]] = {
        "student": lambda book: student_copy(book, hints), "teacher": teacher_copy,
    }  # fmt: skip
    texts = {Path("student/README.md"): STUDENTS_NOTE}
    for path in sources:
        book = nbformat.read(path, 4)
        texts |= {Path(kind, path.name): nbformat.writes(make(book)) + "\n" for kind, make in kinds.items()}
    try:
        known = _known(folder)
        changed = [name for name in texts if _is_somebodys(folder / name, known)]
        if changed and not force:
            raise RelvitError(
                f"{folder} holds work that would be lost: {', '.join(map(str, changed))} changed since they were "
                "written (or came from elsewhere). Take another folder, or --force to write over them"
            )
        _put(folder, texts, known)
    except OSError as error:
        raise RelvitError(f"{folder} cannot be written: {error.strerror or error}") from None
    return tuple([folder / name for name in texts if name.parts[0] == kind] for kind in kinds)


def choose(names: Sequence[str]) -> list[Path]:
    """The project's notebooks, by number ("01", "1") or name. Raises RelvitError where one is unknown."""
    there = {path.stem: path for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))}
    if not there:
        raise RelvitError(f"no notebooks in {NOTEBOOKS}: copies are made from the project's folder, installed with -e")
    found = []
    for name in names:
        name = name.removesuffix(".ipynb")
        hits = [stem for stem in there if name == stem or (name.isdigit() and name.zfill(2) == stem[:2])]
        if not hits:
            raise RelvitError(f"unknown notebook '{name}': {nearest(name, there)}")
        found += hits
    return [there[stem] for stem in sorted(set(found or there))]


def _known(folder: Path) -> set[str]:
    try:
        return set(json.loads((folder / MANIFEST).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return set()


def _is_somebodys(path: Path, known: set[str]) -> bool:
    if not path.exists() and not path.is_symlink():
        return False
    return not path.is_file() or _digest(path.read_bytes()) not in known


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _put(folder: Path, texts: dict[Path, str], known: set[str]) -> None:
    """All files beside their places first, so that a full disk changes none; then each into its place."""
    folder.mkdir(parents=True, exist_ok=True)
    waiting = Path(tempfile.mkdtemp(prefix=".class-", dir=folder))
    try:
        known = known | {_digest(text.encode()) for text in texts.values()}
        (waiting / MANIFEST).write_text(json.dumps(sorted(known), indent=1) + "\n")
        for name, text in texts.items():
            (waiting / name.parent).mkdir(exist_ok=True)
            (waiting / name).write_bytes(text.encode())
        os.replace(waiting / MANIFEST, folder / MANIFEST)  # first: a kill between these must not make ours look changed
        for name in texts:
            (folder / name.parent).mkdir(exist_ok=True)
            os.replace(waiting / name, folder / name)
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
