"""Grading a class of made students: each is judged anew, and none of them stops the others."""

import ast
import copy
import csv
import functools
import json
import os
import shutil
import sys
import time
from pathlib import Path

import nbformat
import pytest

from relvit_lab.__main__ import main
from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.ask import EXERCISES, check, progress
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.publish.classroom import copies, grade, grade_table, remote, sandbox, submissions

pytestmark = pytest.mark.long

ask.load_all()
STUDENT, TEACHER = "student", "teacher"
SECONDS = 6


@functools.cache
def stored(stem: str) -> nbformat.NotebookNode:
    return nbformat.read(copies.NOTEBOOKS / f"{stem}.ipynb", 4)


def book(stem: str, kind: str = STUDENT) -> nbformat.NotebookNode:
    source = copy.deepcopy(stored(stem))
    return copies.student_copy(source) if kind == STUDENT else copies.teacher_copy(source)


def cell(of: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    return next(c for c in of.cells if c.id == f"exercise-{name}")


def answer(of: nbformat.NotebookNode, name: str, code: str) -> None:
    check_line = cell(of, name).source.splitlines()[-1]
    cell(of, name).source = f"{code}\n\n\n{check_line}"


def hand_in(of: nbformat.NotebookNode, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(of, path)
    return path


SCORES, ABOVE, COUNT, LOSS, SAID = (n for n in EXERCISES.names() if n.startswith("03"))


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> tuple[grade.Results, Path, float]:
    """ada: all right. bob: mistakes of every kind, and a cell deleted. cy: an endless loop, an exit, and two that are
    right beside them. Two are graded at a time."""
    folder = tmp_path_factory.mktemp("handed-in")
    hand_in(book("03_attention_scores", TEACHER), folder / "ada" / "03_attention_scores.ipynb")

    bob = book("03_attention_scores")
    answer(bob, SCORES, "def pair_scores(z, w):\n    return torch.einsum('bid,kde,bje->bkij', z, w, z)")
    answer(bob, ABOVE, "above = torch.zeros(3, 3")
    answer(bob, COUNT, "def parameters(dim, outputs, rank=None):\n    return helper(dim)")
    answer(bob, LOSS, "import sys\nsys.exit('enough')")
    for output in (c for c in bob.cells if c.cell_type == "code"):  # a verdict that was written in by hand
        output.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "✓ Right."})]
    bob.cells = [c for c in bob.cells if c.id != f"exercise-{SAID}"]
    hand_in(bob, folder / "bob_03_attention_scores.ipynb")

    cy = book("03_attention_scores", TEACHER)
    answer(cy, SCORES, "import time\ndef pair_scores(z, w):\n    while True:\n        time.sleep(1)")
    answer(cy, COUNT, "import os\nos._exit(3)")
    answer(cy, LOSS, "def sprel_loss(scores, relations):\n    x = bytearray(10**11)\n    return scores.mean()")
    hand_in(cy, folder / "cy" / "03_attention_scores.ipynb")

    start = time.monotonic()
    results = grade.grade([folder], seconds=SECONDS, jobs=2, progress=False)
    return results, folder, time.monotonic() - start


def of(results: grade.Results, student: str, exercise: str) -> tuple[str, str]:
    found = results.of(student, exercise)
    return found.status, found.text


def test_who_has_all_right_gets_all_points(graded):
    results, _, _ = graded
    assert results.students == ("ada", "bob", "cy") and not results.problems
    assert {r.status for r in results.results if r.student == "ada"} == {"right"}
    difficulties = [each.difficulty for each in EXERCISES if each.name.startswith("03")]
    assert results.points("ada") == results.most() == sum(difficulties)


def test_mistakes_are_named_and_stored_outputs_count_for_nothing(graded):
    results, _, _ = graded
    status, text = of(results, "bob", SCORES)
    assert status == "mistake" and "not divided by the square root of D" in text.replace("Not", "not")
    assert "SyntaxError" in of(results, "bob", ABOVE)[1]
    assert "NameError" in of(results, "bob", COUNT)[1] and "helper" in of(results, "bob", COUNT)[1]
    assert "SystemExit: enough" in of(results, "bob", LOSS)[1]
    assert results.points("bob") == 0


def test_a_loop_without_end_and_a_dead_process_cost_their_exercise_only(graded):
    results, _, seconds = graded
    assert of(results, "cy", SCORES) == (
        "mistake", f"The cell, or a call of its answer, had no end after {SECONDS} seconds.",
    )  # fmt: skip
    assert "ended the whole process (exit code 3)" in of(results, "cy", COUNT)[1]
    assert of(results, "cy", LOSS)[0] == "mistake", "100 GB are not given"
    assert of(results, "cy", ABOVE)[0] == of(results, "cy", SAID)[0] == "right"
    assert seconds < 150 * max(1, os.getloadavg()[0] / 2)


def test_a_missing_cell_is_not_yet(graded):
    results, _, _ = graded
    assert of(results, "bob", SAID) == ("not yet", "the cell is missing")


def test_the_table_and_the_csv_say_it(graded, tmp_path):
    results, _, _ = graded
    said = grade_table.text(results)
    lines = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.split()[:1] in (["ada"], ["cy"])}
    most = results.most()
    assert lines["ada"] == ["✓"] * 5 + [str(most), "of", str(most)]
    assert lines["cy"] == ["✗", "✓", "✗", "✗", "✓", str(results.points("cy")), "of", str(most)]
    assert f"bob, {COUNT}: " in said and "NameError" in said
    with grade_table.write_csv(results, tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows["ada"]["points"] == rows["ada"]["of"] == str(most)
    assert rows["bob"][SCORES].startswith("mistake: ") and rows["bob"][SAID] == "not yet"
    assert rows["cy"][ABOVE] == "right"


def test_nothing_is_left_behind_and_nothing_recorded(graded, tmp_path):
    _, folder, _ = graded
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        *["03_attention_scores.ipynb"] * 2, "bob_03_attention_scores.ipynb",
    ]  # fmt: skip
    assert not (tmp_path / "progress").exists()


# one student, one process: what counts as an answer


@pytest.fixture(scope="module")
def process():
    """One for all students of these tests: starting it takes the time."""
    with remote.Process(grade._warm({name[:2] for name in EXERCISES.names()})) as started:
        yield started


@pytest.fixture(scope="module")
def verdict(process):
    expressions = submissions.answer_expressions()

    def said(of: nbformat.NotebookNode, name: str) -> ask.Verdict:
        return grade.verdict(process, of, EXERCISES[name], expressions[name])

    return said


def test_helpers_constants_and_imports_of_other_cells_count_and_what_they_compute_does_not(verdict):
    mine = book("03_attention_scores")
    place = mine.cells.index(cell(mine, COUNT))
    mine.cells.insert(
        place, nbformat.v4.new_code_cell("1 / 0\nFACTOR = 2\n\n\ndef both(d, r):\n    return FACTOR * d * r")
    )
    mine.cells.insert(place, nbformat.v4.new_code_cell("from operator import mul\nthis is no code"))
    mine.cells.insert(place, nbformat.v4.new_code_cell("%timeit 3\nfrom operator import mul"))
    code = "def parameters(D, K, rank=None):\n    return K * mul(D, D) if rank is None else K * both(D, rank)"
    answer(mine, COUNT, code)
    assert verdict(mine, COUNT).status == "right"


def test_a_cell_that_was_split_or_lost_its_id_is_found(verdict):
    mine = book("03_attention_scores", TEACHER)
    body, last = cell(mine, COUNT).source.rsplit("\n", 1)
    place = mine.cells.index(cell(mine, COUNT))
    mine.cells[place].source = body
    mine.cells.insert(place + 1, nbformat.v4.new_code_cell(last))
    assert verdict(mine, COUNT).status == "right"
    for each in mine.cells:
        each.pop("id", None)
    assert submissions.answered(mine, EXERCISES.names()) == [n for n in EXERCISES.names() if n.startswith("03")]
    assert verdict(mine, SAID).status == "right"


@pytest.mark.parametrize(
    "code",
    [
        f"from relvit_lab.lessons.ask import EXERCISES\nparameters = EXERCISES.get('{COUNT}').reference",
        f"from relvit_lab.lessons import ask as e\nparameters = e.answer_or_reference('{COUNT}', None)",
        f"from relvit_lab.lessons.ask import answer_or_reference as a\nparameters = a('{COUNT}', None)",
        "from relvit_lab.lessons.attention_scores.exercises import parameters",
        "import relvit_lab.lessons.attention_scores.exercises as a\nparameters = a.parameters",
    ],
)
def test_the_packages_own_answer_is_no_answer(code, verdict):
    mine = book("03_attention_scores")
    answer(mine, COUNT, code)
    assert verdict(mine, COUNT) == ask.Verdict("mistake", grade.BORROWED)


def test_the_check_that_a_student_wrote_is_not_asked(verdict):
    mine = book("03_attention_scores")
    cell(mine, COUNT).source = (
        "def check(name, answer):\n    return 'right'\n\n\ndef parameters(D, K, rank=None):\n    return D\n\n\n"
        f'check("{COUNT}", lambda D, K, rank=None: K * D * D if rank is None else 2 * K * D * rank)'
    )
    assert verdict(mine, COUNT).status == "mistake"


@pytest.mark.parametrize("name", EXERCISES.names())
def test_every_exercise_can_be_graded(name, verdict):
    (path,) = copies.choose([name[:2]])
    assert verdict(book(path.stem), name).status == "not yet"
    assert verdict(book(path.stem, TEACHER), name).status == "right"


def test_what_is_judged_is_what_the_cell_checks():
    expressions = submissions.answer_expressions()
    assert set(expressions) == set(EXERCISES.names())
    for expression in expressions.values():
        ast.parse(expression, mode="eval")


# whose, and which files


def test_students_are_told_by_folder_or_by_name(tmp_path):
    for name in (
        "ada/01_patch_relations.ipynb", "bob/deeper/x.ipynb", "02_mega_patches_cy.ipynb",
        "dee-03_attention_scores.ipynb", "eve.json", ".ipynb_checkpoints/01_patch_relations.ipynb",
        "ada/.ipynb_checkpoints/a.ipynb", "notes.txt",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert sorted(s.student for s in submissions.find([tmp_path])) == ["ada", "bob", "cy", "dee", "eve"]
    assert submissions.find([tmp_path / "ada" / "01_patch_relations.ipynb"])[0].student == "ada"
    (tmp_path / "all.ZIP").write_text("")
    for place, said in (
        (tmp_path / "none", "neither a folder"), (tmp_path / "notes.txt", "neither a folder"),
        (tmp_path / "all.ZIP", "unpack it"),
    ):  # fmt: skip
        with pytest.raises(RelvitError, match=said):
            submissions.find([place])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RelvitError, match="nothing was handed in"):
        submissions.find([tmp_path / "empty"])


def test_names_as_moodle_writes_them(tmp_path):
    for name in (
        "Ada Lovelace_1234_assignsubmission_file_/01_patch_relations.ipynb",
        "Bo_de_Vries_77_assignsubmission_file/x.ipynb", "Cy Ng_9_assignsubmission_file_01_patch_relations.ipynb",
        "Dee_5_assignsubmission_onlinetext_02_mega_patches.ipynb", "e_12/03_attention_scores.ipynb",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    expected = ["Ada Lovelace", "Bo_de_Vries", "Cy Ng", "Dee", "e_12"]
    assert sorted(s.student for s in submissions.find([tmp_path])) == expected
    alone = tmp_path / "Ada Lovelace_1234_assignsubmission_file_" / "01_patch_relations.ipynb"
    assert submissions.find([alone])[0].student == "Ada Lovelace"


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_graded(tmp_path, capsys):
    files = {
        "a.ipynb": "{",
        "b.ipynb": '{"cells": 3}',
        "c.ipynb": "\x00",
        "d.json": "[]",
        "e.json": "{}",
        "f.json": "[" * 9999,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    hand_in(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), tmp_path / "g.ipynb")
    shutil.copy(copies.NOTEBOOKS / "04_train.ipynb", tmp_path / "h_04_train.ipynb")  # has no exercise, and is no fault
    check(COUNT, EXERCISES[COUNT].reference)
    progress().export(tmp_path / "ok.json")
    assert main(["grade", str(tmp_path), "--csv", str(tmp_path / "o.csv")]) == 0
    said = capsys.readouterr().out
    for name in files:
        assert f"{name[0]}: {name} cannot be read" in said
    assert "g: g.ipynb has no cell of an exercise" in said and "h: " not in said
    assert "(✓)" in said and "not checked again, and gives no points" in said


def test_a_progress_file_is_a_claim_and_a_rerun_goes_before_it(tmp_path):
    check(COUNT, EXERCISES[COUNT].reference)
    check(SAID, EXERCISES[SAID].reference)
    check(ABOVE, EXERCISES[ABOVE].reference.T)
    progress().export(tmp_path / "x.json", name="ada")
    claimed = grade.grade([tmp_path], progress=False)
    assert [(r.student, r.exercise, r.status, r.checked) for r in claimed.results] == [
        ("ada", COUNT, "right", False), ("ada", SAID, "right", False), ("ada", ABOVE, "mistake", False),
    ]  # fmt: skip
    assert "upside down" in of(claimed, "ada", ABOVE)[1].lower()
    assert claimed.points("ada") == 0, "it is what they say of themselves"
    mine = book("03_attention_scores")
    answer(mine, COUNT, "def parameters(D, K, rank=None):\n    return D")
    hand_in(mine, tmp_path / "ada" / "03_attention_scores.ipynb")
    both = grade.grade([tmp_path], progress=False)
    assert of(both, "ada", COUNT)[0] == "mistake", "what they hand in counts, not what they say of it"
    assert all(r.checked for r in both.results)
    right = grade.Result("a", COUNT, "right", checked=False)
    wrong = grade.Result("a", COUNT, "mistake", checked=False)
    assert grade._best([wrong, right, wrong]) == (right,)


def test_what_a_spreadsheet_or_a_terminal_would_obey_is_written_as_text(tmp_path):
    results = grade.Results((grade.Result("=cmd()", COUNT, "mistake", "a\x1b[2Jb\nc"),), ())
    assert "'=cmd()" in grade_table.write_csv(results, tmp_path / "o.csv").read_text(encoding="utf-8-sig")
    said = grade_table.text(results)
    assert "\x1b" not in said and "=cmd(), 03-parameters: a\\x1b[2Jb\\nc" in said
    with pytest.raises(RelvitError, match="cannot be written"):
        grade_table.write_csv(results, tmp_path / "no" / "o.csv")


def test_a_process_that_does_not_start_is_no_students_fault(tmp_path, monkeypatch):
    hand_in(book("03_attention_scores"), tmp_path / "ada_03.ipynb")
    monkeypatch.setattr(sandbox, "command", lambda home: [sys.executable, "-c", "raise ImportError('no torch here')"])
    with pytest.raises(RelvitError, match="students' code did not start: ImportError: no torch here"):
        grade.grade([tmp_path], progress=False)


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "grade takes what was handed in"),
        (["x", "--seconds", "0"], "whole number"),
        (["x", "--sec", "1"], "seconds"),
    ],
)
def test_what_is_asked_wrongly_is_said(words, said, capsys):
    assert main(["grade", *words]) == 1
    assert said in capsys.readouterr().err


def test_a_progress_export_that_is_not_of_this_version_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"format": "relvit-progress 9", "lines": []}))
    with pytest.raises(RelvitError, match="not made by"):
        submissions.read_export(path)
