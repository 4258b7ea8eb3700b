"""One exercise of one notebook, judged: the student's code runs elsewhere (remote.py), only its outputs come here."""

import ast

from nbformat import NotebookNode

from relvit_lab.lessons.ask import Exercise
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.publish.classroom import submissions, wire
from relvit_lab.publish.classroom.remote import Function, Process, Quit, Stopped

BORROWED = "The package's own answer was handed in, not one of the student's."
SECONDS = 60  # for one exercise


def verdict(
    process: Process, book: NotebookNode, exercise: Exercise, answer: str, seconds: float = SECONDS
) -> ask.Verdict:
    """Run what the exercise's cells need, then these cells, then judge `answer`, an expression.

    Of the cells above, imports, functions, classes and plain constants count; what else they compute does not, so that
    a notebook is judged in seconds. Raises Ended where the process ends, or has had `seconds`; nothing else.
    """
    places = submissions.own_cells(book, exercise.name)
    above = [submissions.code_of(cell) for cell in book.cells[: max(places)] if cell.cell_type == "code"]
    own = [submissions.code_of(book.cells[k]) for k in places]
    try:
        if any(_borrows(ast.parse(source)) for source in own):
            return ask.Verdict("mistake", BORROWED)
        value = process.run(above, own, answer, seconds)
        if isinstance(value, Function) and value.module.split(".")[0] == "relvit_lab":
            return ask.Verdict("mistake", BORROWED)
        return ask.judge(exercise, value)
    except (Stopped, Quit, SyntaxError, NotImplementedError) as error:
        said = (str(error).splitlines() or [""])[0][:200]
        return ask.Verdict("mistake", f"The cell stopped with {type(error).__name__}{': ' + said if said else ''}.")
    except wire.Unreadable as error:
        return ask.Verdict("mistake", f"What the cell or its answer gave cannot be read: {error}.")
    except Exception as error:  # ast.parse on any text, a check on any value
        return ask.Verdict("mistake", f"What the cell or its answer gave cannot be checked ({type(error).__name__}).")


def is_answer_module(name: str) -> bool:
    """Whether a module of the package holds right answers: a notebook's exercises, or what asks for them."""
    own = name.startswith(f"{ask.__package__}.")
    return own or (name.startswith("relvit_lab.lessons.") and name.endswith("exercises"))


def _borrows(tree: ast.AST) -> bool:
    """Whether the code reads a right answer out of the package. (Where it runs there is none; so it is told why.)"""
    for node in ast.walk(tree):
        names = [getattr(node, key, None) for key in ("id", "name", "attr")]
        if any(str(name).split(".")[-1] in ("EXERCISES", "answer_or_reference") for name in names):
            return True
        if isinstance(node, ast.Attribute) and node.attr == "reference":
            return True
        modules = [node.module] if isinstance(node, ast.ImportFrom) else []
        modules += [name.name for name in node.names] if isinstance(node, ast.Import) else []
        if any(is_answer_module(str(module)) for module in modules):
            return True
    return False
