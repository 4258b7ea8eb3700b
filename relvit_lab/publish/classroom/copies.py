"""make class: a student's copy of the notebooks, without solutions, and a teacher's, solved. Nobody's work is lost."""

import copy
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.paths import expanded
from relvit_lab.publish.classroom import cells

NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"
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
        if not cells.gives_away(cell) and (hints or not cell.get("id", "").startswith(cells.HINTS))
    ]
    return made


def teacher_copy(book: NotebookNode) -> NotebookNode:
    """The notebook with every solution filled into its exercise cell, and opened below it.

    Raises RelvitError where an exercise has no solution.
    """
    made = copy.deepcopy(book)
    by_id = {cell.get("id"): cell for cell in made.cells}
    for name in cells.exercise_names(made):
        solution = by_id.get(cells.SOLUTION + name)
        if solution is None:
            raise RelvitError(f"exercise {name} has no cell {cells.SOLUTION}{name}")
        exercise = by_id[cells.EXERCISE + name]
        exercise.source = cells.filled(exercise.source, cells.solution_code(solution))
        solution.source = solution.source.replace("<details>", "<details open>")
    made.cells.insert(0, nbformat.v4.new_markdown_cell(TEACHERS_NOTE, id="teachers-copy"))
    return made


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
