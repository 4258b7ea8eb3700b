"""What the notebooks ask of a student: predictions before an answer is shown, and exercises that are checked.

    predict("01-shuffle", ["all pairs", "none"])   the answer opens once a choice is made
    check("01-relation", relation)                 right, not yet, or which mistake it is
    relation = answer_or_reference("01-relation", relation)   so that an unsolved notebook runs on
    progress()                                     what was tried, right and predicted, over all sessions

A notebook's exercises.py and predictions.toml hold what is right; the cells of the notebook hold the text.
"""

from relvit_lab.lessons.ask.base import EXERCISES, PREDICTIONS, Exercise, Mistake, NotYet, Prediction, call
from relvit_lab.lessons.ask.checking import answer_or_reference, check, predict
from relvit_lab.lessons.ask.progress_view import progress

__all__ = [
    "EXERCISES", "PREDICTIONS", "Exercise", "Mistake", "NotYet", "Prediction", "answer_or_reference", "call", "check",
    "predict", "progress",
]  # fmt: skip
