"""More exercises of notebook 08_your_own_task: reading a check-up, and what makes a comparison unfair."""

from collections.abc import Callable, Mapping
from typing import Any

from relvit_lab.lessons.ask.base import EXERCISES, Exercise, Mistake, NotYet, call
from relvit_lab.lessons.own_task import checkup

# -- 08-verdict: read a check-up -----------------------------------------------------------------------------------

_READINGS = (  # skills in %: on images, on noise, shuffled with the labels
    (27.5, 4.3, 27.5), (61.6, 69.6, 61.6), (100.0, 100.0, 3.0), (2.1, 0.4, 2.0), (36.0, -0.5, 36.0), (-3.0, -8.0, -3.0),
    (40.0, 20.0, 40.0), (40.0, 20.0, 19.0), (40.0, 19.0, 2.0), (5.0, 2.0, 5.0), (4.9, 4.9, 0.0), (80.0, 60.0, 40.0),
)  # fmt: skip


def _which_shortcut(shuffled: float, half: float) -> str:
    return "needs no place" if shuffled >= half else "reads the place"


def _swapped(images: float, noise: float, shuffled: float) -> str:
    said = checkup.verdict(images, noise, shuffled)
    return {"needs no place": "reads the place", "reads the place": "needs no place"}.get(said, said)


_WRONG_VERDICTS: dict[str, tuple[str, Callable]] = {
    "is asked first": (
        "whether anything was learnt is asked first: a model that knows nothing keeps all of its nothing on noise",
        lambda i, n, s: "looks" if n < i / 2 else _which_shortcut(s, i / 2),
    ),
    "wrong way round": (
        "the two shortcuts are the wrong way round: a model that is lost when patches move was told the place",
        _swapped,
    ),
    "half of its own": (
        "half of its own skill is meant, not half of 100: a model of skill 36 that keeps 20 on noise does not look",
        lambda i, n, s: "learnt nothing" if i < 5 else "looks" if n < 50 else _which_shortcut(s, 50),
    ),
    "noise is not asked": (
        "noise is not asked. A model that looks keeps its skill when patches and labels move together, too",
        lambda i, n, s: "learnt nothing" if i < 5 else _which_shortcut(s, i / 2),
    ),
}  # fmt: skip


def _judge_verdict(answer: Callable) -> str:
    got = [call(answer, *reading) for reading in _READINGS]
    right = [checkup.verdict(*reading) for reading in _READINGS]
    known = [name for name in checkup.KINDS if name != "nothing to learn"]
    for said in got:
        if said not in known:
            raise Mistake(f"{said!r} is none of the four: {', '.join(known)}")
    if got == right:
        return "Half of what it knows: a model that keeps that without an image does not look."
    for says, wrong in _WRONG_VERDICTS.values():
        if got == [wrong(*reading) for reading in _READINGS]:
            raise Mistake(says)
    k = next(k for k in range(len(got)) if got[k] != right[k])
    raise Mistake(f"verdict_of{_READINGS[k]} should be {right[k]!r}, got {got[k]!r}")


EXERCISES.add(
    Exercise(
        "08-verdict",
        "find the leaky task",
        difficulty=2,
        minutes=10,
        judge=_judge_verdict,
        reference=checkup.verdict,
        wrong={
            **{words: wrong for words, (_, wrong) in _WRONG_VERDICTS.items()},
            "none of the four": lambda images, noise, shuffled: "leaky" if noise > shuffled else "fine",
            "should be 'looks'": lambda images, noise, shuffled: "learnt nothing",
        },
    )
)


# -- 08-fair: what is unfair? --------------------------------------------------------------------------------------

REASONS = (
    "trained longer", "rate tuned for one only", "best of several seeds", "other pretext scores compared",
    "best epoch on the test images", "fair",
)  # fmt: skip
_BOTH = {"epochs": "40 + 40", "lr": "0.002", "seeds": "0, 1, 2: mean", "measured": "class accuracy, last epoch"}
_ALONE = {**_BOTH, "trained": "supervised, twice"}
CLAIMS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "A": ({**_BOTH, "trained": "my task, fine-tuned"}, {**_ALONE, "epochs": "40", "trained": "supervised"}),
    "B": ({**_BOTH, "trained": "my task, fine-tuned", "lr": "best of 0.0005 to 0.004"}, _ALONE),
    "C": ({**_BOTH, "trained": "my task, fine-tuned", "seeds": "best of 0 to 4"}, {**_ALONE, "seeds": "0"}),
    "D": (
        {**_BOTH, "trained": "my task", "epochs": "40", "measured": "its own score"},
        {**_BOTH, "trained": "SpRel", "epochs": "40", "measured": "its own score"},
    ),
    "E": ({**_BOTH, "trained": "my task, fine-tuned"}, _ALONE),
    "F": ({**_BOTH, "trained": "my task, fine-tuned", "measured": "class accuracy, best epoch"}, _ALONE),
}
"""Six claims "my task is better": how the one and the other were trained and measured."""
_RIGHT = dict(zip("ABCDEF", ("trained longer", "rate tuned for one only", "best of several seeds",
                             "other pretext scores compared", "fair", "best epoch on the test images")))  # fmt: skip
_LOOK = {
    "trained longer": "its epochs: are there as many on both sides, all stages counted?",
    "rate tuned for one only": "its learning rates: was either of them chosen by trying several?",
    "best of several seeds": "its seeds: as many on both sides, and a mean of them?",
    "other pretext scores compared": "what is measured: the same on both sides, and the one that matters?",
    "best epoch on the test images": "which epoch counts: a fixed one, or the one that looks best on the test images?",
    "fair": "line by line: one of them differs in more than the task",
}  # fmt: skip
_NOT_FAIR = {"D": "what is measured: is it one quantity, on one scale, and the one that matters?"}


def claim_rows() -> list[dict[str, str]]:
    """CLAIMS as rows of a table, two for each letter."""
    return [{"claim": name, **side} for name, sides in CLAIMS.items() for side in sides]


def _judge_fair(answer: Any) -> str:
    if not isinstance(answer, Mapping):
        raise Mistake(f"a dictionary is asked for, a reason for each letter, not {type(answer).__name__}")
    if any(answer.get(name, ...) in (..., None, "") for name in _RIGHT):
        raise NotYet
    for name in _RIGHT:
        if answer[name] not in REASONS:
            raise Mistake(f"claim {name}: '{answer[name]}' is none of these: {'; '.join(REASONS)}")
    wrong = [name for name in _RIGHT if answer[name] != _RIGHT[name]]
    if wrong:
        name = wrong[0]
        look = _NOT_FAIR.get(name, _LOOK["fair"]) if answer[name] == "fair" else _LOOK[answer[name]]
        raise Mistake(
            f"{len(_RIGHT) - len(wrong)} of {len(_RIGHT)} right. Claim {name} is not '{answer[name]}'. Look at {look}"
        )
    return "All six."


EXERCISES.add(
    Exercise(
        "08-fair",
        "what is unfair",
        difficulty=2,
        minutes=10,
        judge=_judge_fair,
        reference=_RIGHT,
        wrong={
            "Claim A is not 'fair'": dict.fromkeys(_RIGHT, "fair"),
            "Claim B is not 'trained longer'": {**_RIGHT, "B": "trained longer"},
            "Claim D is not 'fair'. Look at what is measured": {**_RIGHT, "D": "fair"},
            "Claim C is not 'rate tuned": {**_RIGHT, "C": "rate tuned for one only"},
            "Claim E is not 'trained longer'": {**_RIGHT, "E": "trained longer"},
            "Claim F is not 'best of several": {**_RIGHT, "F": "best of several seeds"},
            "none of these": {**_RIGHT, "A": "unlucky"},
            "dictionary": list(_RIGHT.values()),
        },
    )
)
