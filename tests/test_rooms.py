"""The rooms of the package: imports run one way, and no two files need one another."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import relvit_lab

ROOMS = ("common", "method", "data", "train", "show", "paper", "lessons", "publish", "__main__")  # low to high
ROOT = Path(relvit_lab.__file__).parent
PARTS = {file: ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in ROOT.rglob("*.py")}
FILES = {name.removesuffix(".__init__"): file for file, name in PARTS.items()}
del FILES["__init__"]


def imported(file: Path) -> set[str]:
    """The package's modules that a file imports, at its top or within a function."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("relvit_lab"):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    found = {name.removeprefix("relvit_lab.") for name in names} & FILES.keys()
    packages = {name for name in found if FILES[name].name == "__init__.py"}
    return found - {name for name in packages if any(other.startswith(f"{name}.") for other in found)}


def test_the_root_holds_rooms_and_no_modules():
    assert {path.name for path in ROOT.iterdir() if path.suffix == ".py"} == {"__init__.py", "__main__.py"}
    assert {name.partition(".")[0] for name in FILES} == set(ROOMS)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_imports_from_its_own_room_and_those_below(name):
    allowed = ROOMS[: ROOMS.index(name.partition(".")[0]) + 1]
    assert not {other for other in imported(FILES[name]) if other.partition(".")[0] not in allowed}


def test_no_two_files_need_one_another():
    graph = {name: imported(file) - {name} for name, file in FILES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")
