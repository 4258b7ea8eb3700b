"""Exercises as tables of (what is said, wrong answer), and the two judges that read them.

compared(...)   a function: on given inputs it is compared with the reference, then with each wrong answer
assigned(...)   a dictionary: a choice for each letter
"""

import contextlib
import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from relvit_lab.lessons.ask.answers import tensor
from relvit_lab.lessons.ask.base import EXERCISES, Exercise, Mistake, NotYet, call
from relvit_lab.lessons.ask.difference import Difference


def compared(
    name: str,
    title: str,
    difficulty: int,
    minutes: int,
    *,
    asks: str,
    on: Iterable | Mapping[str, Any],
    reference: Callable,
    wrong: Mapping[str, Callable],
    praise: str,
    reads: Callable[[Any, str], Any] = tensor,
    gather: Callable[..., Any] | None = None,
    tell: Callable[[Difference], str] | None = None,
    shape: str = "the shape",
    hint: str = "",
    rtol: float = 1e-4,
    atol: float = 1e-4,
    together: bool = False,
) -> Exercise:
    """Add an exercise whose answer is a function, judged by its outputs.

    On the first input where the student's output is not the reference's, the first wrong answer with the student's
    output says what it is (`wrong`: words -> wrong answer); one of another shape than the right one is known by its
    shape, if none has the same values. The first entry that differs is named in any case.

    asks: the function as the notebook has it, "my_cell(image, cuts, row)", or its name alone. on: its inputs, each a
    tuple of arguments (or the only argument); a mapping names them in messages. reads(output, shown): the output as a
    number, a tensor, a list of numbers or a text; raises Mistake where it is no such thing. gather(answer, shown,
    *arguments): where more than one call makes an output. tell: what differs, in the words of the exercise, for outputs
    of the right shape. shape: what the right shape is called. hint: said where no wrong answer fits. together: an
    output is too small to tell a mistake, so a wrong answer must agree with the student's on all inputs.
    """
    gather = gather or (lambda answer, shown, *arguments: call(answer, *arguments, shown=shown))
    tell = tell or _first_entry
    inputs = [
        (each if isinstance(each, tuple) else (each,), f" for {label}" if label else "")
        for label, each in (on.items() if isinstance(on, Mapping) else (("", each) for each in on))
    ]

    def output(answer: Callable, shown: str, arguments: tuple) -> Any:
        return reads(gather(answer, shown, *copy.deepcopy(arguments)), shown)

    def mistaken(case: Difference, function: Callable) -> Any:
        """What a wrong answer gives, or None: one that fails on this input is not the student's."""
        with contextlib.suppress(Exception):
            return output(function, case.shown, case.arguments)

    def same(case: Difference, other: Any) -> bool:
        return other is not None and _place(other, case.got, rtol, atol) is None

    def same_wrong_shape(case: Difference, other: Any) -> bool:
        return other is not None and _shape(other) == _shape(case.got) != _shape(case.right)

    def judge(answer: Any) -> str:
        seen: list[Difference] = []
        for arguments, label in inputs:
            shown = _shown(asks, arguments) + label
            right, got = (output(function, shown, arguments) for function in (reference, answer))
            seen.append(Difference(shown, arguments, right, got, _place(got, right, rtol, atol)))
            if not together and seen[-1].place is not None:
                break
        first = next((k for k, case in enumerate(seen) if case.place is not None), None)
        if first is None:
            return praise
        case = seen[first]
        if _shape(case.got) != _shape(case.right) and not isinstance(case.right, list):
            said = f"{case.shown} should {_as_shape(_shape(case.right), shape)}, got {_as_shape(_shape(case.got))}"
        else:
            said = tell(case)
        if first:
            said += f". {seen[first - 1].shown} was right"
        for fits in (same, same_wrong_shape):
            for words, function in wrong.items():
                if all(fits(one, mistaken(one, function)) for one in (seen if together else [case])):
                    raise Mistake(f"{words}. {said}", case)
        raise Mistake(f"{said}. {hint}" if hint else said, case)

    return EXERCISES.add(Exercise(name, title, difficulty, minutes, judge, reference, wrong))


def assigned(what: str, right: Mapping[str, str], choices: Sequence[str], clue: Callable[[str, str], str], praise: str):
    """A judge of a dictionary that gives each letter of `right` one of the choices. what: a letter stands for it.
    clue(letter, choice): what is said where that is wrong; the first wrong one is named, with the number of right
    ones."""

    def judge(answer: Any) -> str:
        if not isinstance(answer, Mapping):
            raise Mistake(f"a dictionary is asked for, one entry for each letter, not {type(answer).__name__}")
        strange = [letter for letter in answer if letter not in right]
        if strange and not all(letter in answer for letter in right):
            raise Mistake(f"the keys are {', '.join(right)}, not {strange[0]!r}")
        open_ones = [letter for letter in right if answer.get(letter, ...) in (..., None, "")]
        if open_ones:
            begun = len(open_ones) < len(right)
            raise NotYet(f"still open: {', '.join(open_ones)}" if begun else "")
        for letter in right:
            if answer[letter] not in choices:
                raise Mistake(f"{what} {letter}: '{answer[letter]}' is none of these: {'; '.join(choices)}")
        wrong = [letter for letter in right if answer[letter] != right[letter]]
        if wrong:
            said = answer[wrong[0]]
            count = f"{len(right) - len(wrong)} of {len(right)} right"
            raise Mistake(f"{count}. {what.capitalize()} {wrong[0]} is not '{said}'{clue(wrong[0], said)}")
        return praise

    return judge


def _shown(asks: str, arguments: tuple) -> str:
    """The call in words: tensors by name and shape, what is long by name, the rest as it is."""
    function, _, names = asks.rstrip(")").partition("(")
    return f"{function}({', '.join(map(_as_argument, names.split(', '), arguments))})" if names else function


def _as_argument(name: str, value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{name} {tuple(value.shape)}"
    return repr(value) if len(repr(value)) <= 60 else name


def _shape(value: Any) -> tuple[int, ...]:
    return () if isinstance(value, str) else tuple(torch.as_tensor(value).shape)


def _as_shape(shape: tuple[int, ...], called: str = "") -> str:
    if not called:
        return str(shape) if shape else "one number"
    return f"have {called} {shape}" if shape else "be one number"


def _place(one: Any, other: Any, rtol: float, atol: float) -> tuple[int, ...] | None:
    """Of the first entry that differs, None where none does. What is not finite is like all else that is not."""
    if _shape(one) != _shape(other):
        return ()
    if isinstance(one, str):
        return None if one == other else ()
    one, other = (v if isinstance(v, Tensor) else torch.as_tensor(v, dtype=torch.float64) for v in (one, other))
    off = one != other
    if one.is_floating_point() and other.is_floating_point():
        one, other = (value.double().where(value.isfinite(), torch.nan) for value in (one, other))
        off = ~torch.isclose(one, other, rtol, atol, equal_nan=True)
    return tuple(off.nonzero()[0].tolist()) if off.any() else None


def _first_entry(d: Difference) -> str:
    if isinstance(d.right, list):
        right, got = (", ".join(f"{value:g}" for value in values) for values in (d.right, d.got))
        return f"{d.shown} should be {right}, got {got}"
    entries = [value[d.place] if d.place else value for value in (d.right, d.got)]
    whole = not (isinstance(d.right, Tensor) and d.right.is_floating_point())
    right, got = (_as_entry(entry, whole) for entry in entries)
    if right == got:
        right, got = (f"{float(entry):.10g}" for entry in entries)
    place = f"{'' if d.shown.endswith(')') else ', '}{list(d.place)}" if d.place else ""
    return f"{d.shown}{place} should be {right}, got {got}"


def _as_entry(value: Any, whole: bool) -> str:
    """A number or a text as it is printed. whole: whole numbers are without decimals."""
    if isinstance(value, str):
        return repr(value)
    value = float(value)
    if value != value:
        return "nan (not a number)"
    return f"{value:,.0f}" if whole and value.is_integer() else f"{value:,.4f}"
