"""A question whose answer opens in the browser once a choice is made: under Run All no message from it would arrive."""

import html
from collections.abc import Sequence
from pathlib import Path

import traitlets

from relvit_lab.lessons.ask import journal
from relvit_lab.lessons.ask.base import Prediction
from relvit_lab.show.still import LIFE, Widget


class Predict(Widget):
    """chosen: the choice made first, "" before; it is never overwritten, so that nobody predicts after the fact."""

    _esm = Path(__file__).with_name("prediction.js")

    question = traitlets.Unicode().tag(sync=True)
    choices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    answer = traitlets.Unicode().tag(sync=True)
    because = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Unicode("").tag(sync=True)

    def __init__(self, prediction: Prediction, choices: Sequence[str]):
        super().__init__(
            question=prediction.question, choices=list(choices), answer=prediction.answer, because=prediction.because
        )
        self._name = prediction.name
        self.observe(self._note, "chosen")

    def _note(self, change: dict) -> None:
        journal.add_prediction(self._name, change["new"], change["new"] == self.answer)

    def in_words(self) -> str:
        """The question, the answer, and what was predicted."""
        return "\n".join((self.question, f"({' / '.join(self.choices)})", self._said()))

    def still_html(self) -> str:
        """The question; the answer folded, for it may stand under a question that is still open."""
        choices = "".join(f"<li>{html.escape(choice)}</li>" for choice in self.choices)
        return (
            f'<div class="relvit-still"><p><b>Predict.</b> {html.escape(self.question)}</p><ul>{choices}</ul>'
            f"<details><summary>Answer</summary>{html.escape(self._said())}</details><p><em>{LIFE}</em></p></div>"
        )

    def _said(self) -> str:
        said = f"predicted: {self.chosen}" if self.chosen else "no prediction"
        return f"{self.answer}. {self.because} ({said})"
