"""More exercises of notebook 08_your_own_task: reading a check-up, and what makes a comparison unfair."""

from relvit_lab.lessons.ask.base import EXERCISES, Exercise, Mistake
from relvit_lab.lessons.ask.tables import assigned, compared
from relvit_lab.lessons.own_task import checkup

# -- 08-verdict: read a check-up -----------------------------------------------------------------------------------


def _one_of_four(said: object, shown: str) -> str:
    known = [name for name in checkup.KINDS if name != "nothing to learn"]
    if said not in known:
        raise Mistake(f"{said!r} is none of the four: {', '.join(known)}")
    return said


def _which_shortcut(shuffled: float, half: float) -> str:
    return "needs no place" if shuffled >= half else "reads the place"


def _swapped(*skills: float) -> str:
    said = checkup.verdict(*skills)
    return {"needs no place": "reads the place", "reads the place": "needs no place"}.get(said, said)


compared(
    "08-verdict", "find the leaky task", 2, 10,
    asks="verdict_of(images, noise, shuffled)",
    on=[  # skills in %: on images, on noise, shuffled with the labels
        (27.5, 4.3, 27.5), (61.6, 69.6, 61.6), (100.0, 100.0, 3.0), (2.1, 0.4, 2.0), (36.0, -0.5, 36.0),
        (-3.0, -8.0, -3.0), (40.0, 20.0, 40.0), (40.0, 20.0, 19.0), (40.0, 19.0, 2.0), (5.0, 2.0, 5.0), (4.9, 4.9, 0.0),
        (80.0, 60.0, 40.0),
    ],
    reads=_one_of_four, together=True,
    reference=checkup.verdict,
    wrong={
        "whether anything was learnt is asked first: a model that knows nothing keeps all of its nothing on noise":
            lambda i, n, s: "looks" if n < i / 2 else _which_shortcut(s, i / 2),
        "the two shortcuts are the wrong way round: a model that is lost when patches move was told the place":
            _swapped,
        "half of its own skill is meant, not half of 100: a model of skill 36 that keeps 20 on noise does not look":
            lambda i, n, s: "learnt nothing" if i < 5 else "looks" if n < 50 else _which_shortcut(s, 50),
        "noise is not asked. A model that looks keeps its skill when patches and labels move together, too":
            lambda i, n, s: "learnt nothing" if i < 5 else _which_shortcut(s, i / 2),
    },
    praise="Half of what it knows: a model that keeps that without an image does not look.",
)  # fmt: skip


# -- 08-fair: what is unfair? --------------------------------------------------------------------------------------

_BOTH = {"epochs": "40 + 40", "lr": "0.002", "seeds": "0, 1, 2: mean", "measured": "class accuracy, last epoch"}
_MINE, _ALONE = {**_BOTH, "trained": "my task, fine-tuned"}, {**_BOTH, "trained": "supervised, twice"}
_SCORE = {**_BOTH, "epochs": "40", "measured": "its own score"}
CLAIMS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "A": (_MINE, {**_ALONE, "epochs": "40", "trained": "supervised"}),
    "B": ({**_MINE, "lr": "best of 0.0005 to 0.004"}, _ALONE),
    "C": ({**_MINE, "seeds": "best of 0 to 4"}, {**_ALONE, "seeds": "0"}),
    "D": ({**_SCORE, "trained": "my task"}, {**_SCORE, "trained": "SpRel"}),
    "E": (_MINE, _ALONE),
    "F": ({**_MINE, "measured": "class accuracy, best epoch"}, _ALONE),
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
}
REASONS = (*_LOOK, "fair")


def claim_rows() -> list[dict[str, str]]:
    """CLAIMS as rows of a table, two for each letter."""
    return [{"claim": name, **side} for name, sides in CLAIMS.items() for side in sides]


def _clue(claim: str, said: str) -> str:
    if said != "fair":
        return f". Look at {_LOOK[said]}"
    if claim == "D":
        return ". Look at what is measured: is it one quantity, on one scale, and the one that matters?"
    return ". Compare the two rows line by line: they differ in more than the task"


EXERCISES.add(Exercise(
    "08-fair", "what is unfair", 2, 10,
    assigned("claim", _RIGHT, REASONS, _clue, praise="All six."),
    reference=_RIGHT,
    wrong={
        "Claim A is not 'fair'. Compare the two rows line by line: they differ": dict.fromkeys(_RIGHT, "fair"),
        "Claim B is not 'trained longer'": {**_RIGHT, "B": "trained longer"},
        "Claim D is not 'fair'. Look at what is measured": {**_RIGHT, "D": "fair"},
        "Claim C is not 'rate tuned": {**_RIGHT, "C": "rate tuned for one only"},
        "Claim E is not 'trained longer'": {**_RIGHT, "E": "trained longer"},
        "Claim F is not 'best of several": {**_RIGHT, "F": "best of several seeds"},
        "none of these": {**_RIGHT, "A": "unlucky"},
        "dictionary": list(_RIGHT.values()),
    },
))  # fmt: skip
