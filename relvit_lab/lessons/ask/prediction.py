"""A question whose answer opens in the browser once a choice is made: under Run All no message from it would arrive.
With the answer opens what follows the question, up to the next heading (veil.py)."""

import html
from collections.abc import Sequence

import traitlets

from relvit_lab.lessons.ask import journal
from relvit_lab.lessons.ask.base import Prediction
from relvit_lab.lessons.ask.veil import ANSWER, asked, veil
from relvit_lab.show.still import LIFE, Widget, script


class Predict(Widget):
    """chosen: the choice made first, "" before; it is never overwritten, so that nobody predicts after the fact, and
    of an earlier session, where the journal has it. shown: the veil was lifted without a choice."""

    _esm = script(__file__, "prediction.js")

    question = traitlets.Unicode().tag(sync=True)
    choices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    answer = traitlets.Unicode().tag(sync=True)
    because = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Unicode("").tag(sync=True)
    shown = traitlets.Bool(False).tag(sync=True)
    asks = traitlets.Unicode().tag(sync=True)
    veil = traitlets.Unicode().tag(sync=True)

    def __init__(self, prediction: Prediction, choices: Sequence[str]):
        name = prediction.name
        before = next((line["chosen"] for line in journal.read() if line.get("prediction") == name), "")
        super().__init__(
            question=prediction.question, choices=list(choices), answer=prediction.answer, because=prediction.because,
            asks=asked(name), veil=veil(name), chosen=before if before in choices else "",
        )  # fmt: skip
        self._name = name
        self.observe(self._note, "chosen")

    def _note(self, change: dict) -> None:
        journal.add(prediction=self._name, chosen=change["new"], right=change["new"] == self.answer)

    def in_words(self) -> str:
        """The question, the answer, and what was predicted."""
        return "\n".join((self.question, f"({' / '.join(self.choices)})", self._said()))

    def still_html(self) -> str:
        """The question; the answer folded, for it may stand under a question that is still open. And the veil, which a
        notebook that is not trusted loses."""
        choices = "".join(f"<li>{html.escape(choice)}</li>" for choice in self.choices)
        said = html.escape(self._said())
        return (
            f'<div class="relvit-still" data-asks="{self.asks}"><style>{self.veil}</style>'
            f"<p><b>Predict.</b> {html.escape(self.question)}</p><ul>{choices}</ul>"
            f'<details class="{ANSWER}"><summary>Answer, and what follows</summary>{said}</details>'
            f"<p><em>{LIFE}</em></p></div>"
        )

    def _said(self) -> str:
        said = f"predicted: {self.chosen}" if self.chosen else "no prediction"
        return f"{self.answer}. {self.because} ({said})"
