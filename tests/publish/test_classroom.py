"""Copies for a class: the student's gives nothing away, the teacher's is solved, and nobody's work is written over."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from relvit_lab.__main__ import main
from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.ask import EXERCISES
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.publish.classroom import copies

ask.load_all()
PATHS = copies.choose(())
STEMS = [path.stem for path in PATHS]


def book(stem: str) -> nbformat.NotebookNode:
    return nbformat.read(copies.NOTEBOOKS / f"{stem}.ipynb", 4)


def plain(line: str) -> str:
    """A line of code without comment and spaces, as it would be recognised wherever it was hidden."""
    return re.sub(r"\s+", "", re.sub(r"#.*", "", line))


def telling_lines(source: nbformat.NotebookNode) -> set[str]:
    """The code lines of a notebook's solutions that are neither short nor part of a stub."""
    given = "".join(plain(line) for c in source.cells if c.id.startswith("exercise-") for line in c.source.splitlines())
    lines = {
        plain(line)
        for cell in source.cells
        if cell.id.startswith("solution-")
        for line in copies.solution_code(cell).splitlines()
    }
    return {line for line in lines if len(line) > 12 and line not in given}


def spaceless(raw: bytes) -> str:
    """A notebook's file as one string with neither spaces nor the escapes of JSON."""
    text = re.sub(r"\\[nt]", "", raw.decode())
    return re.sub(r"\s+", "", text.replace('\\"', '"').replace("\\\\", "\\"))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("class") / "course"
    copies.write_class(folder)
    return folder


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("hints", [True, False])
def test_the_students_file_holds_no_line_of_a_solution(stem, hints, made, tmp_path):
    """A hint may quote the beginning of one: where hints are left out, there is none at all."""
    if not hints:
        copies.write_class(tmp_path, [stem], hints=False)
    raw = spaceless(((made if hints else tmp_path) / "student" / f"{stem}.ipynb").read_bytes())
    telling = telling_lines(book(stem))
    quoted = plain("".join(cell.source for cell in book(stem).cells if hints and cell.id.startswith("hints-")))
    assert [line for line in telling if line in raw and line not in quoted] == []
    assert sum(line in quoted for line in telling) <= 1
    original = spaceless((copies.NOTEBOOKS / f"{stem}.ipynb").read_bytes())
    assert all(line in original for line in telling), "this search would find them"
    assert bool(telling) == any(name.startswith(stem[:2]) for name in EXERCISES.names())


@pytest.mark.parametrize("stem", STEMS)
def test_the_students_file_has_all_else(stem, made):
    original, student = book(stem), nbformat.read(made / "student" / f"{stem}.ipynb", 4)
    nbformat.validate(student)
    left_out = {cell.id for cell in original.cells} - {cell.id for cell in student.cells}
    tagged = {cell.id for cell in original.cells if copies.SOLUTION_TAG in cell.metadata.get("tags", [])}
    assert left_out == {cell.id for cell in original.cells if cell.id.startswith("solution-")} | tagged
    assert [c for c in original.cells if c.id not in left_out] == student.cells
    assert any(cell.id.startswith("hints-") for cell in student.cells) == bool(copies.exercise_names(original))


def test_the_gallery_of_failures_does_not_name_the_faults():
    text = "".join(cell.source for cell in copies.student_copy(book("05_pe_shortcut")).cells)
    assert "Answers ahead" not in text and "exercise-05-faults" not in text and 'check("05-faults"' in text


def test_hints_can_be_left_out(tmp_path):
    assert main(["class", str(tmp_path / "a"), "--notebooks", "1", "--no-hints"]) == 0
    student = nbformat.read(tmp_path / "a" / "student" / "01_patch_relations.ipynb", 4)
    assert not any("Hint" in cell.source for cell in student.cells)
    assert len(copies.exercise_names(student)) == len(copies.exercise_names(book("01_patch_relations")))
    assert sorted(path.name for path in (tmp_path / "a" / "student").iterdir()) == [
        "01_patch_relations.ipynb", "README.md",
    ]  # fmt: skip


@pytest.mark.parametrize("name", EXERCISES.names())
def test_the_teachers_cells_are_right_as_they_stand(name, made):
    """The imports and the one cell, as in a kernel."""
    (path,) = (made / "teacher").glob(f"{name[:2]}_*.ipynb")
    sources = {cell.id: cell.source for cell in nbformat.read(path, 4).cells}
    space: dict = {}
    exec("\n".join(line for line in sources["imports"].splitlines() if not line.startswith("%")), space)
    *body, last = ast.parse(sources[f"exercise-{name}"]).body
    exec(compile(ast.Module(body, []), name, "exec"), space)
    verdict = eval(compile(ast.Expression(last.value), name, "eval"), space)
    assert verdict.status == "right", verdict
    assert "your code" not in sources[f"exercise-{name}"] and "<details open>" in sources[f"solution-{name}"]


def test_a_stub_gives_way_and_what_it_does_not_define_stays():
    exercise = 'import math\n\nSIZE = 3\n\n\ndef f(x):\n    """What."""\n    return None\n\n\ncheck("a", f)  # now'
    solution = "def f(x):\n    return math.pi * x * SIZE"
    assert copies.filled(exercise, solution) == f'import math\n\nSIZE = 3\n\n{solution}\n\n\ncheck("a", f)  # now'
    assert copies.filled('a, b = ..., ...\ncheck("a", (a, b))', "a = 1\nb = 2") == 'a = 1\nb = 2\n\ncheck("a", (a, b))'


def test_an_exercise_without_a_solution_is_named():
    exercise = nbformat.v4.new_code_cell('f = ...\ncheck("a", f)', id="exercise-99-a")
    with pytest.raises(RelvitError, match="99-a has no cell solution-99-a"):
        copies.teacher_copy(nbformat.v4.new_notebook(cells=[exercise]))
    two = nbformat.v4.new_markdown_cell("```python\na\n```\n```python\nb\n```", id="solution-99-a")
    with pytest.raises(RelvitError, match="one ```python block, and has 2"):
        copies.teacher_copy(nbformat.v4.new_notebook(cells=[exercise, two]))


def test_what_a_student_changed_is_not_written_over(tmp_path, capsys):
    folder = tmp_path / "course"
    copies.write_class(folder, ["01", "03"])
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    copies.write_class(folder, ["01", "03"])  # untouched: written again
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    theirs = folder / "student" / "01_patch_relations.ipynb"
    theirs.write_text(theirs.read_text().replace("return None", "return 1", 1))
    (folder / "student" / "notes.txt").write_text("mine")
    (folder / "teacher" / "03_attention_scores.ipynb").unlink()
    changed = theirs.read_bytes()
    assert main(["class", str(folder), "--notebooks", "01,03"]) == 1
    said = capsys.readouterr().err
    assert "student/01_patch_relations.ipynb changed" in said and "--force" in said and "03_attention" not in said
    assert theirs.read_bytes() == changed
    assert not (folder / "teacher" / "03_attention_scores.ipynb").exists(), "all or nothing"
    assert main(["class", str(folder), "--notebooks", "03"]) == 0  # what was not touched may be renewed
    assert theirs.read_bytes() == changed
    assert main(["class", str(folder), "--notebooks=01", "--force"]) == 0
    assert theirs.read_bytes() == before[theirs] and (folder / "student" / "notes.txt").read_text() == "mine"
    assert [path.name for path in folder.iterdir() if path.name.startswith(".class-")] == []


def test_files_of_the_same_name_from_elsewhere_are_somebodys(tmp_path):
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "README.md").write_text("my own")
    with pytest.raises(RelvitError, match=r"student/README\.md changed since"):
        copies.write_class(tmp_path, ["01"])
    assert (tmp_path / "student" / "README.md").read_text() == "my own" and not (tmp_path / "teacher").exists()


def test_a_newer_version_of_a_notebook_replaces_an_untouched_copy(tmp_path, monkeypatch):
    copies.write_class(tmp_path, ["01"])
    monkeypatch.setattr(copies, "STUDENTS_NOTE", "another text\n")
    copies.write_class(tmp_path, ["01"])
    monkeypatch.undo()
    copies.write_class(tmp_path, ["01"])  # back again: all that was ever written here is known
    assert len(json.loads((tmp_path / copies.MANIFEST).read_text())) == 4


def test_a_full_disk_changes_nothing(tmp_path, monkeypatch):
    copies.write_class(tmp_path, ["01"])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    written = Path.write_bytes

    def full(path, data):
        if path.name.endswith(".ipynb") and "teacher" in str(path):
            raise OSError(28, "No space left on device")
        return written(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RelvitError, match="No space left"):
        copies.write_class(tmp_path, ["01"], hints=False)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_what_is_asked_wrongly_is_said(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for words, said in (
        ([], "class takes one folder"),
        ([str(tmp_path / "file")], "cannot be written"),
        ([str(tmp_path / "a"), "--notebooks", "01_patch_relation"], "did you mean '01_patch_relations'"),
        ([str(tmp_path / "a"), "--no-hint"], "did you mean 'no_hints'"),
        ([str(tmp_path / "a"), "--force=yes"], "--force takes no value"),
        ([str(tmp_path / "a"), "--notebooks"], "--notebooks needs a value"),
    ):
        assert main(["class", *words]) == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_make_class_writes_both(tmp_path):
    root = copies.NOTEBOOKS.parent
    if not (root / ".venv" / ".installed").exists():
        pytest.skip("needs make setup")
    command = ["make", "--no-print-directory", "class", f"DIR={tmp_path / 'course of mine'}"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "course of mine").glob("*/*.ipynb"))) == 2 * len(PATHS)
    assert f"{tmp_path}" in done.stdout and "teacher" in done.stdout
    done = subprocess.run([*command[:-1]], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and "make class DIR=" in done.stderr


def run(path: Path) -> str:
    """Run a copy where it lies, as JupyterLab does. All that its cells say."""
    ran = nbformat.read(path, 4)
    there = {"metadata": {"path": str(path.parent)}}
    NotebookClient(ran, timeout=600, kernel_name="python3", resources=there).execute()
    outputs = [output for cell in ran.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("data", {}).get("text/plain", "") for output in outputs)


def test_a_copy_finds_the_records_of_the_project_from_anywhere(made):
    """Notebooks 05 to 07 read results/: relative paths are taken from the project, not from the copy's folder."""
    code = "from relvit_lab.paper.records.store import read_records; print(len(read_records()))"
    home = {name: value for name, value in os.environ.items() if name != "RELVIT_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=made / "student", env=home, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and int(done.stdout) > 50, done.stderr


def names(cell: nbformat.NotebookNode, context: type) -> set[str]:
    """The names that a cell of code loads (ast.Load), or makes (ast.Store)."""
    found = set()
    for node in ast.walk(ast.parse(re.sub(r"(?m)^%.*$", "", cell.source))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, context):
            found.add(node.id)
        elif context is ast.Store and isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif context is ast.Store and isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
    return found


@pytest.mark.parametrize("stem", STEMS)
def test_no_cell_of_a_students_needs_one_that_was_left_out(stem, made):
    """So it runs as the whole notebook does (test_teaching_notebooks.py): its code is the same, but for those cells."""
    kept = {cell.id for cell in nbformat.read(made / "student" / f"{stem}.ipynb", 4).cells}
    missing: set[str] = set()
    for cell in (cell for cell in book(stem).cells if cell.cell_type == "code"):
        if cell.id in kept:
            made_here = names(cell, ast.Store)
            assert not (names(cell, ast.Load) - made_here) & missing, cell.id
            missing -= made_here
        else:
            missing |= names(cell, ast.Store)
    assert bool(missing) == (stem == "05_pe_shortcut")


RUNS = [(stem, "teacher") for stem in STEMS if stem != "04_train"] + [("01_patch_relations", "student")]


@pytest.mark.slow
@pytest.mark.parametrize("stem, kind", RUNS)  # 04 has no exercise: see test_notebooks.py
def test_the_copies_run_through_from_where_they_lie(stem, kind, made, tmp_path):
    (tmp_path / "results").symlink_to(copies.NOTEBOOKS.parent / "results")
    said = run(made / kind / f"{stem}.ipynb")
    exercises = [name for name in EXERCISES.names() if name.startswith(stem[:2])]
    assert said.count({"teacher": "✓ Right.", "student": "… Not yet:"}[kind]) == len(exercises)
    assert "✗" not in said
    assert (tmp_path / "progress").exists() == (kind == "teacher"), "a stub is no try"
