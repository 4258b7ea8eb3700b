"""The three calls that notebooks make: predict, check, answer_or_reference."""

import html
import importlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relvit_lab.common.errors import RelvitError, first_line
from relvit_lab.lessons.ask import journal
from relvit_lab.lessons.ask.base import EXERCISES, PREDICTIONS, Exercise, Mistake, NotYet, Prediction
from relvit_lab.lessons.ask.difference import Difference

NOTEBOOKS = (
    "patch_relations", "mega_patches", "attention_scores", "train", "pe_shortcut", "task_ablation", "paper_tables",
    "own_task", "what_it_learned",
)  # fmt: skip
MARKS = {"right": ("✓", "#009E73"), "mistake": ("✗", "#D55E00"), "not yet": ("…", "#8A8A8A")}


@dataclass(frozen=True)
class Verdict:
    """What a check says: status is "right", "mistake" or "not yet". True where it is right."""

    status: str
    text: str
    difference: Difference | None = field(default=None, compare=False)

    def __bool__(self) -> bool:
        return self.status == "right"

    def __repr__(self) -> str:
        return f"{MARKS[self.status][0]} {self.text}"

    def _repr_html_(self) -> str:
        mark, colour = MARKS[self.status]
        if self.status == "not yet":  # no more than a line: an untouched notebook is full of them
            return f'<span style="color:#555">{mark} {html.escape(self.text)}</span>'
        style = f"border-left:4px solid {colour};padding:.35em .8em;max-width:60em"
        drawing = self.difference and self.difference.draw()
        picture = f"<br>{drawing.as_html()}" if drawing else ""
        return f'<div style="{style}"><b>{mark}</b> {html.escape(self.text)}{picture}</div>'


def check(name: str, answer: Any) -> Verdict:
    """Judge a student's answer: a function or a value, as the exercise asks. Never raises for a wrong one.

    A verdict on an answer is noted in the journal, which `progress()` shows; "not yet" is none.
    """
    verdict = _verdict(_load(EXERCISES, name), answer)
    if verdict.status != "not yet":
        journal.add(exercise=name, status=verdict.status, text=verdict.text, answer=journal.fingerprint(answer))
    return verdict


def judge(exercise: Exercise, answer: Any) -> Verdict:
    """The verdict on an answer, noted nowhere."""
    try:
        if answer is None or answer is ...:
            raise NotYet
        praise = exercise.judge(answer)
    except NotYet as so_far:
        waits = f"an exercise of about {exercise.minutes} minutes."
        return Verdict("not yet", f"Not yet: {_sentence(str(so_far)) if str(so_far) else waits}")
    except Mistake as mistake:
        return Verdict("mistake", f"Not quite. {_sentence(str(mistake))}", mistake.difference)
    return Verdict("right", " ".join(filter(None, ("Right.", praise))))


def answer_or_reference(name: str, answer: Any) -> Any:
    """The student's answer where it is right, else the reference, so that the cells below run on."""
    exercise = _load(EXERCISES, name)
    return answer if _verdict(exercise, answer) else exercise.reference


def _verdict(exercise: Exercise, answer: Any) -> Verdict:
    """`judge`, for an answer that gives what no check foresees (complex numbers, an object of its own), too."""
    try:
        return judge(exercise, answer)
    except Exception as error:
        found = f"{type(error).__name__}: {first_line(error)}"
        return Verdict("mistake", f"Not quite. What the answer gives cannot be compared ({found}).")


def predict(name: str, choices: Sequence[str]) -> Any:
    """Ask a question; the answer opens in the browser once a choice is made, with the choice beside it. Until then what
    follows in the notebook is veiled, up to the next heading.

    Without a browser (papermill, a printed page) the answer stands there with "no prediction". The widget's `chosen` is
    the choice made, or "". Raises RelvitError where the answer is not among the choices.
    """
    prediction: Prediction = _load(PREDICTIONS, name)
    if prediction.answer not in choices:
        raise RelvitError(f"the answer of prediction '{name}' is not among its choices: {', '.join(choices)}")
    from relvit_lab.lessons.ask.prediction import Predict  # late: needs anywidget

    return Predict(prediction, choices)


def _load(registry: Any, name: str) -> Exercise | Prediction:
    if name not in registry:
        load_all()
    return registry.get(name)


def load_all() -> None:
    """Register the exercises and predictions of all notebooks."""
    for module in NOTEBOOKS:
        exercises = importlib.import_module(f"relvit_lab.lessons.{module}.exercises")
        questions = Path(exercises.__file__).with_name("predictions.toml").read_text(encoding="utf-8")
        for name, about in tomllib.loads(questions).items():  # question, answer, because
            PREDICTIONS.add(Prediction(name, **about))


def _sentence(text: str) -> str:
    if not re.match(r"\w*[_(\[]", text):  # my_cell(...) stays as the student wrote it
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
