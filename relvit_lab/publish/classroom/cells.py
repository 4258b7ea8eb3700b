"""The parts of a notebook that belong to an exercise, by cell id: exercise-NAME, hints-NAME, solution-NAME."""

import ast
import re

from nbformat import NotebookNode

from relvit_lab.common.errors import RelvitError

EXERCISE, HINTS, SOLUTION = "exercise-", "hints-", "solution-"
SOLUTION_TAG = "solution"  # on further cells that give an answer away: a student's copy has none of them
_CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def gives_away(cell: NotebookNode) -> bool:
    """Whether a cell is a solution, or is tagged as one."""
    return cell.get("id", "").startswith(SOLUTION) or SOLUTION_TAG in cell.metadata.get("tags", [])


def exercise_names(book: NotebookNode) -> list[str]:
    return [cell.id.removeprefix(EXERCISE) for cell in book.cells if cell.get("id", "").startswith(EXERCISE)]


def solution_code(cell: NotebookNode) -> str:
    """The fenced code of a solution cell. Raises RelvitError where there is not just one such block."""
    blocks = _CODE.findall(cell.source)
    if len(blocks) != 1:
        raise RelvitError(f"cell {cell.id} needs one ```python block, and has {len(blocks)}")
    return blocks[0].strip("\n")


def filled(exercise: str, solution: str) -> str:
    """The source of an exercise cell with the solution in the place of the stub; its last line, check(...), stays.

    A top-level statement of the stub goes where the solution defines one of its names; others (a constant, an import)
    stay before the solution.
    """
    *stub, last = ast.parse(exercise).body
    own = set().union(*map(_defined, ast.parse(solution).body))
    kept = [ast.get_source_segment(exercise, part) for part in stub if not _defined(part) & own]
    check = "\n".join(exercise.splitlines()[last.lineno - 1 :])
    function = isinstance(ast.parse(solution).body[-1], ast.FunctionDef | ast.ClassDef)
    return "\n\n".join([*kept, solution]) + ("\n\n\n" if function else "\n\n") + check


def _defined(part: ast.stmt) -> set[str]:
    """The names that a top-level statement gives a value."""
    if isinstance(part, ast.FunctionDef | ast.ClassDef):
        return {part.name}
    return {node.id for node in ast.walk(part) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
