"""Every exercise of every notebook: the stub does not pass, the solution does, each wrong answer is told what it is."""

import ast
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons import ask as exercises
from relvit_lab.lessons.ask import EXERCISES, PREDICTIONS, Exercise, Mistake, Prediction, call, check, predict
from relvit_lab.lessons.ask import checking as ask

for _module in ask.NOTEBOOKS:
    __import__(f"relvit_lab.lessons.{_module}.exercises")
BOOKS = {
    path.stem[:2]: nbformat.read(path, 4) for path in sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
}
NAMES = EXERCISES.names()


def cell(name: str, kind: str) -> nbformat.NotebookNode:
    (found,) = (cell for cell in BOOKS[name[:2]].cells if cell.id == f"{kind}-{name}")
    return found


def run(name: str, answer: str | None = None) -> ask.Verdict:
    """The exercise's cell after the notebook's imports; `answer` is run in place of the stub. What its check says."""
    namespace: dict = {}
    (imports,) = (cell for cell in BOOKS[name[:2]].cells if cell.id == "imports")
    exec("\n".join(line for line in imports.source.splitlines() if not line.startswith("%")), namespace)
    tree = ast.parse(cell(name, "exercise").source)
    *stub, last = tree.body
    assert isinstance(last, ast.Expr), "the cell ends with check(...)"
    exec(compile(ast.Module(stub, []), name, "exec"), namespace)
    if answer is not None:
        exec(answer, namespace)
    return eval(compile(ast.Expression(last.value), name, "eval"), namespace)


def solution(name: str) -> str:
    source = cell(name, "solution").source
    assert cell(name, "solution").cell_type == "markdown" and source.lstrip().startswith("<details>")
    (code,) = re.findall(r"```python\n(.*?)```", source, re.DOTALL)
    return code


@pytest.mark.parametrize("name", NAMES)
def test_the_stub_does_not_pass(name):
    assert run(name).status == "not yet"


@pytest.mark.parametrize("name", NAMES)
def test_the_folded_solution_passes(name):
    assert run(name, solution(name)).status == "right"


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_passes(name):
    assert check(name, EXERCISES.get(name).reference).status == "right"


@pytest.mark.parametrize("name", NAMES)
def test_wrong_answers_are_told_which_they_are(name):
    exercise = EXERCISES.get(name)
    assert len(exercise.wrong) >= 2
    said = {}
    for words, answer in exercise.wrong.items():
        verdict = check(name, answer)
        assert verdict.status == "mistake" and words.lower() in verdict.text.lower(), (words, verdict)
        said[verdict.text] = words
    assert len(said) == len(exercise.wrong), "two wrong answers are told the same"


@pytest.mark.parametrize("name", NAMES)
def test_its_heading_says_how_hard_it_is_how_long_it_takes_and_how_much_it_matters(name):
    exercise, heading = EXERCISES.get(name), cell(name, "task").source.partition("\n")[0]
    stars = "★" * exercise.difficulty + "☆" * (3 - exercise.difficulty)
    told = rf"### Exercise {name}: \S.*\S  {stars} · {exercise.minutes} minutes · (essential|useful|extra)"
    assert re.fullmatch(told, heading), heading


@pytest.mark.parametrize("name", NAMES)
def test_hints_are_graded_and_nothing_gives_the_solution_away(name):
    hints = cell(name, "hints")
    assert hints.cell_type == "markdown" and hints.source.count("<details>") >= 2
    code = [line.strip() for line in solution(name).splitlines() if len(line.strip()) > 20]
    for other in BOOKS[name[:2]].cells:
        if other.cell_type == "code":
            assert not any(line in other.source for line in code if not line.startswith(("def ", "import ", "from ")))


@pytest.mark.parametrize("number", [n for n in BOOKS if any(name.startswith(n) for name in NAMES)])
def test_a_notebook_has_three_exercises_and_its_predictions_hold(number):
    assert sum(name.startswith(number) for name in NAMES) >= 3
    asked = set()
    for source in (cell.source for cell in BOOKS[number].cells if cell.cell_type == "code"):
        for node in ast.walk(ast.parse(re.sub(r"(?m)^%.*$", "", source))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "predict":
                name, choices = map(ast.literal_eval, node.args)
                assert PREDICTIONS.get(name).answer in choices
                asked.add(name)
    assert asked == {name for name in PREDICTIONS.names() if name.startswith(number)} and len(asked) >= 2


# The machinery


@pytest.fixture
def sides(monkeypatch):
    """An exercise that is in no notebook."""

    def judge(answer):
        if call(answer, 2) != 4:
            raise Mistake(f"2 squared is 4, not {call(answer, 2)}")

    exercise = Exercise("99-square", "Squares", 1, 1, judge, lambda x: x * x, {})
    monkeypatch.setitem(EXERCISES._entries, exercise.name, exercise)
    return exercise


def test_check_tells_stub_mistake_crash_and_right_apart(sides):
    assert check("99-square", None).status == check("99-square", ...).status == "not yet"
    assert check("99-square", lambda x: None).status == "not yet"

    def stub(x):
        raise NotImplementedError

    assert check("99-square", stub).status == "not yet"
    assert "2 squared is 4, not 5" in check("99-square", lambda x: 5).text
    crash = check("99-square", lambda x: x.no)
    assert crash.status == "mistake" and "AttributeError" in crash.text
    assert "A function is asked for" in check("99-square", 4).text

    def no_return(x):
        x * x

    assert "is a `return` missing?" in check("99-square", no_return).text
    assert check("99-square", lambda x: x**2)
    assert "&lt;" in ask.Verdict("mistake", "<b>")._repr_html_()
    with pytest.raises(RelvitError, match="did you mean '99-square'"):
        check("99-sqare", 1)


class Odd:
    """Compares with nothing, is no number, has no length."""

    def __eq__(self, other):
        raise TypeError("do not compare me")

    __hash__ = None


ODD = [
    Odd(), np.array([None, 1], dtype=object), torch.ones(2, dtype=torch.complex64), torch.eye(2).to_sparse(),
    {1: Odd()}, float("nan"), "text", [], type, print,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_answer_makes_a_check_raise(name, monkeypatch, tmp_path):
    monkeypatch.setenv("RELVIT_HOME", str(tmp_path))  # for the journal
    for odd in ODD:
        for answer in (odd, lambda *given, odd=odd: odd):
            assert check(name, answer).status != "right" or not isinstance(odd, (Odd, str, float))
            ask.answer_or_reference(name, answer)
    assert check(name, lambda *given: sys.exit(3)).status != "right"


def test_later_cells_go_on_with_the_reference(sides):
    own = lambda x: x + x  # noqa: E731  right for 2
    assert exercises.answer_or_reference("99-square", own) is own
    assert exercises.answer_or_reference("99-square", ...) is sides.reference


def test_a_prediction_shows_its_answer_where_nobody_can_choose(monkeypatch):
    asked = Prediction("99-p", "What is 1 + 1?", "two", "Count.")
    monkeypatch.setitem(PREDICTIONS._entries, asked.name, asked)
    widget = predict("99-p", ["one", "two"])
    bundle = widget._repr_mimebundle_()[0]
    assert "two. Count. (no prediction)" in bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    widget.chosen = "one"
    assert "(predicted: one)" in widget._repr_mimebundle_()[0]["text/html"]
    with pytest.raises(RelvitError, match="not among its choices"):
        predict("99-p", ["one"])
