"""Section 3.1, shown: how explorers and pictures see any task of the registry, your own too.

Everything that they need to know beyond the task's target follows from it here: what kind of answer it is, its classes
or its range, and the words for it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch

from relvit_lab.common.errors import RelvitError
from relvit_lab.method.relations import absolute_positions, angles, spatial_relations
from relvit_lab.method.tasks import DRLOC_FORMS, RELVIT, TASKS, Task

WORDS = (
    "LEFT TOP of", "ABOVE", "RIGHT TOP of", "LEFT of", "ON", "RIGHT of", "LEFT BOTTOM of", "BELOW", "RIGHT BOTTOM of",
)  # fmt: skip
"""The nine classes of eq. 5 in words: patch i lies WORDS[class] patch j."""
TOLERANCE = 1 / 8  # of a task's range (eq. 6, 7: 0.25 of -1 to 1): a value that is further off counts as a mistake
SHORT = 3  # letters: names of classes up to here are written on patches, for longer ones the class's number

ASKS = {"sprel": "on which side of j lies i?", "dist": "how far does i lie from j?",
        "ang": "at what angle does the origin see i and j?", "abspos": "which place is the patch's own?"}  # fmt: skip
OWN_ASKS = {True: "your question about i, seen from j", False: "your question about each patch"}
SENTENCES = {  # {i}, {j}: the patches in words; {much} of at most {most}: a value in its own unit
    "sprel": "{i} lies {word} {j}: class {value}{name}.",
    "dist": "{i} lies {much} patches from {j}, of at most {most}: distance {value}.",
    "ang": "The origin sees {i} and {j} {much}° apart, of at most {most}°: angle {value}.",
    "abspos": "Place {place} holds patch {own}: class {value} of 0 to {last} (row {row}, column {column}).",
}
OWN_SENTENCES = {  # by whether it is of pairs, and of classes
    (True, True): "{i} seen from {j}: class {value}{name}.",
    (True, False): "{i} seen from {j}: {value}, on a scale from {low} to {high}.",
    (False, True): "{j}: class {value}{name}.",
    (False, False): "{j}: {value}, on a scale from {low} to {high}.",
}


@dataclass(frozen=True)
class TaskView:
    """One task on one grid, as it is shown.

    target: (N, N) of pairs, [i, j] about i seen from j, or (N,) of patches; integers are classes, float32 are values.
    kind: "relations" (the nine of eq. 5, drawn as arrows), "places" (the class of patch i is i), "classes" or "values".
    names: one for each class, "" where it has none; () for values. low, high: the ends of the values' colour bar.
    asks: the question. sentence: a pair or a patch in words, with places to fill in (SENTENCES). most, digits: for
    values, what `high` means in the sentence's unit (`low` is 0 there), and its decimals.
    """

    name: str
    title: str
    target: np.ndarray
    kind: str
    names: tuple[str, ...]
    low: float
    high: float
    asks: str
    sentence: str
    most: float = 1.0
    digits: int = 2

    @property
    def of_pairs(self) -> bool:
        return self.target.ndim == 2

    @property
    def is_class(self) -> bool:
        return self.kind != "values"

    @property
    def tolerance(self) -> float:
        """How far an answer may be off before it counts as a mistake; classes are right or wrong."""
        return 0.0 if self.is_class else (self.high - self.low) * TOLERANCE

    @property
    def marks(self) -> tuple[str, ...]:
        """What is written on a patch for each class: its name where all have short ones, else its number."""
        short = all(0 < len(name) <= SHORT for name in self.names)
        return self.names if short else tuple(map(str, range(len(self.names))))

    def legend(self) -> str:
        """The classes in one line: "0 left top, 1 right top"; without names, or for values, ""."""
        return ", ".join(f"{k} {name}" for k, name in enumerate(self.names) if name)

    def mistakes(self, target: np.ndarray, said: np.ndarray) -> np.ndarray:
        """Where an answer is wrong: another class, or a value off by more than the tolerance. bool, as the target."""
        return said != target if self.is_class else np.abs(said - target) > self.tolerance

    def verdict(self, target: np.ndarray, said: np.ndarray) -> str:
        """The share that is right, in words; for values also the MSE x 100, as in Table 4."""
        right = f"{100 * (1 - self.mistakes(target, said).mean()):.1f} %"
        what = "pairs" if self.of_pairs else "patches"
        if self.is_class:
            return f"{right} of all {what} right"
        error = 100 * float(np.mean((said - target) ** 2))
        return f"MSE x 100: {error:.1f}; {right} of all {what} within {self.tolerance:.2g}"

    def for_scripts(self) -> dict:
        """How a page's scripts show it, ready for JSON; whoever sends it packs the target beside it."""
        return {
            "title": self.title, "kind": self.kind, "pairs": self.of_pairs, "asks": self.asks,
            "sentence": self.sentence, "names": list(self.names), "marks": list(self.marks), "low": self.low,
            "high": self.high, "tolerance": self.tolerance, "most": self.most, "digits": self.digits,
        }  # fmt: skip

    def covering(self, said: np.ndarray) -> "TaskView":
        """The same with a class for everything that a head says: it may know more classes than the target has."""
        more = int(said.max()) + 1 - len(self.names) if self.is_class else 0
        return replace(self, names=self.names + ("",) * more) if more > 0 else self


def task_view(task: Task, side: int) -> TaskView:
    """How a task is shown on a grid of that side. Raises RelvitError for a target that cannot be shown, with why."""
    target = task.target(side)
    n = side * side
    if tuple(target.shape) not in ((n,), (n, n)):
        raise RelvitError(
            f"task '{task.name}' cannot be shown: its target has the shape {tuple(target.shape)} for {n} patches, not "
            f"({n},) or ({n}, {n})"
        )
    if target.is_floating_point():
        if not target.isfinite().all():
            raise RelvitError(f"task '{task.name}' cannot be shown: its target holds values that are not finite")
        target = target.float()
        low, high = float(target.min()), float(target.max())
        names, kind = (), "values"
    else:
        target = target.long()
        if target.min() < 0:
            raise RelvitError(f"task '{task.name}' cannot be shown: a class is a number from 0 up, not {target.min()}")
        count = max(int(target.max()) + 1, len(task.classes))
        names = tuple(task.classes) + ("",) * (count - len(task.classes))
        low, high = 0.0, float(count - 1)
        same = {"relations": spatial_relations(side), "places": absolute_positions(side)}
        kind = next((kind for kind, known in same.items() if torch.equal(target, known)), "classes")
    pairs = target.dim() == 2
    known = {"relations": "sprel", "places": "abspos"}.get(kind, task.name if task in RELVIT else "")
    most = furthest(side) if known == "dist" else widest(side) if known == "ang" else 1.0
    return TaskView(
        task.name, task.title, target.numpy(), kind, names, low, high if high > low else low + 1,
        ASKS.get(known, OWN_ASKS[pairs]), SENTENCES.get(known, OWN_SENTENCES[pairs, kind != "values"]),
        most, digits=0 if known == "ang" else 2,
    )  # fmt: skip


def views(side: int, names: Iterable[str] | None = None) -> tuple[dict[str, TaskView], str]:
    """The views of tasks by name, in the registry's order, and a note on those that were left out ("" where none was).

    names: None for all that can be shown; the peer's vectors (drloc) cannot. Raises RelvitError for a name that is
    unknown or cannot be shown.
    """
    if names is not None:
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            TASKS.get(name)
        return {name: task_view(TASKS.get(name), side) for name in TASKS.names() if name in names}, ""
    found, left_out = {}, []
    for task in TASKS:
        if task in DRLOC_FORMS.values():
            continue
        try:
            found[task.name] = task_view(task, side)
        except Exception as error:  # a task that somebody is still writing must not take the others away
            left_out.append(str(error) if isinstance(error, RelvitError) else f"task '{task.name}': {error}")
    return found, f"Left out: {'; '.join(left_out)}." if left_out else ""


def furthest(side: int) -> float:
    """The distance from corner to corner, in patches: what eq. 6 divides by."""
    return math.hypot(side - 1, side - 1)


def widest(side: int) -> float:
    """The largest angle, in degrees: what eq. 7 is divided by."""
    i, j = divmod(int(angles(side).argmax()), side * side)
    # The direction of patch (y, x) from the origin, which lies half a grid up and left.
    a, b = (math.atan2(k // side + side / 2, k % side + side / 2) for k in (i, j))
    return math.degrees(abs(a - b))
