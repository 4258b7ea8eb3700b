"""What an exercise and a prediction are, and how a student's answer is called and judged."""

import dis
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relvit_lab.common.registry import Registry
from relvit_lab.lessons.ask.difference import Difference


class Mistake(Exception):
    """Raised by a check: its text names the mistake, for the student ("transposed: [0, 1] is LEFT, not RIGHT").
    difference: both outputs, where they can be drawn side by side (difference.py)."""

    def __init__(self, words: str, difference: Difference | None = None):
        super().__init__(words)
        self.difference = difference


class NotYet(Exception):
    """Raised where there is no answer so far. Its text, if there is one, says what is still open."""


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook.

    name: its id, "01-relation": cells exercise-01-relation (stub, then check(...)), hints-01-relation and
        solution-01-relation (markdown) belong to it.
    difficulty: 1 to 3. minutes: for a student who sees it the first time.
    judge(answer): returns where it is right (a text is shown with the praise), raises Mistake or NotYet elsewhere.
    reference: a right answer, with which later cells go on.
    wrong: plausible wrong answers, by what the check says to each, or a part of it; at least two. Where answers are
        functions that can be compared, the check is made from this table (tables.py).
    """

    name: str
    title: str
    difficulty: int
    minutes: int
    judge: Callable[[Any], str | None]
    reference: Any
    wrong: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Prediction:
    """One question that is answered before the result is shown. answer: one of the choices that the notebook gives.
    because: why, in a sentence or two; shown with the answer."""

    name: str
    question: str
    answer: str
    because: str


NOTHING_DONE = {"RESUME", "NOP", "CACHE", "COPY_FREE_VARS", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
EXERCISES: Registry[Exercise] = Registry("exercise")
PREDICTIONS: Registry[Prediction] = Registry("prediction")


def call(answer: Callable, *arguments: Any, shown: str = "") -> Any:
    """What a student's function gives for the arguments; `shown` is how the call is named in messages.

    Raises NotYet where it is still the stub (it gives None or ..., or raises NotImplementedError), and Mistake where it
    fails otherwise, or gives nothing though something was written.
    """
    name = shown or f"{getattr(answer, '__name__', 'your function')}({', '.join(map(_short, arguments))})"
    if not callable(answer):
        raise Mistake(f"a function is asked for here, not {_short(answer)}")
    try:
        value = answer(*arguments)
    except NotImplementedError:
        raise NotYet from None
    except (Exception, SystemExit) as error:
        raise Mistake(f"{name} stopped with {type(error).__name__}: {error}") from None
    if value is None or value is ...:
        if _is_stub(answer):
            raise NotYet
        raise Mistake(f"{name} gives {'nothing' if value is None else '...'}: is a `return` missing?")
    return value


def _is_stub(answer: Callable) -> bool:
    """Whether nothing was written yet: the function does nothing but return a constant."""
    code = getattr(answer, "__code__", None)
    return code is None or {step.opname for step in dis.get_instructions(code)} <= NOTHING_DONE


def _short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"a tensor of shape {tuple(shape)}" if shape is not None and len(shape) else repr(value)[:60]
