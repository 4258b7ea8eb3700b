"""A question whose answer opens in the browser once a choice is made: under Run All no message from it would arrive."""

import html
from collections.abc import Sequence
from pathlib import Path

import anywidget
import traitlets

from relvit_lab.lessons.ask import journal
from relvit_lab.lessons.ask.base import Prediction


class Predict(anywidget.AnyWidget):
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

    def _repr_mimebundle_(self, **kwargs: object) -> object:
        """Where no browser draws the widget, its text: the question, the answer, and what was predicted."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        said = f"predicted: {self.chosen}" if self.chosen else "no prediction"
        lines = (self.question, f"({' / '.join(self.choices)})", f"{self.answer}. {self.because} ({said})")
        if data is not None:
            data["text/plain"] = "\n".join(lines)
            data["text/html"] = "<br>".join(map(html.escape, lines))
        return bundle
