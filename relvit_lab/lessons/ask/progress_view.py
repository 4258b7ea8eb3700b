"""progress(): what was tried, what is right and what was predicted, over all sessions; and its export for a teacher."""

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import write_whole
from relvit_lab.common.paths import expanded
from relvit_lab.common.words import plural
from relvit_lab.lessons.ask import journal
from relvit_lab.lessons.ask.base import EXERCISES, PREDICTIONS, Exercise
from relvit_lab.lessons.ask.checking import load_all

FORMAT = "relvit-progress 1"
STARS = {n: "★" * n + "☆" * (3 - n) for n in (1, 2, 3)}
MARKS = {"right": ("✓", "#009E73"), "mistake": ("✗", "#D55E00"), "not tried": ("…", "#8A8A8A")}


@dataclass(frozen=True)
class State:
    """Where one exercise stands. status: "not tried", "mistake" or "right"; once right it stays so. tries: how many
    different answers were checked up to the first right one. text: what the last of these checks said."""

    status: str = "not tried"
    tries: int = 0
    text: str = ""

    def __str__(self) -> str:
        times = "once" if self.tries == 1 else f"{self.tries} times"
        return {"not tried": "not tried", "mistake": f"tried {times}", "right": f"right, tried {times}"}[self.status]


def states(lines: Iterable[Mapping]) -> dict[str, State]:
    """The state of each exercise that the lines of a journal name. An answer checked twice in a row is one try."""
    found: dict[str, State] = {}
    last: dict[str, str] = {}
    for line in lines:
        name = line.get("exercise")
        before = found.get(name, State())
        if name is None or before.status == "right" or last.get(name) == line["answer"]:
            continue
        last[name] = line["answer"]
        found[name] = State(line["status"], before.tries + 1, line["text"])
    return found


def choices(lines: Iterable[Mapping]) -> dict[str, bool]:
    """Whether each prediction was right. The first choice counts: after it the answer is known."""
    found: dict[str, bool] = {}
    for line in lines:
        if "prediction" in line:
            found.setdefault(line["prediction"], line["right"])
    return found


class Progress:
    """A table of exercises, notebook by notebook: HTML in a notebook, text elsewhere. `export` writes it for a teacher.

    A notebook in which nothing was tried takes one line.

    lines: of a journal. only: notebooks by number, ("01", "03"); () shows all.
    """

    def __init__(self, lines: Sequence[Mapping], only: Sequence[str] = ()):
        self.lines = list(lines)
        self.states, self.choices = states(self.lines), choices(self.lines)
        self.notebooks = [number for number in _numbers() if not only or number in only]

    def exercises(self, *notebooks: str) -> list[tuple[Exercise, State]]:
        return [(each, self.states.get(each.name, State())) for each in EXERCISES if each.name[:2] in notebooks]

    def predictions(self, *notebooks: str) -> tuple[int, int, int]:
        """How many there are, how many were made, and how many of those were right."""
        there = [name for name in PREDICTIONS.names() if name[:2] in notebooks]
        made = [self.choices[name] for name in there if name in self.choices]
        return len(there), len(made), sum(made)

    def touched(self, *notebooks: str) -> bool:
        """Whether any exercise was tried there, or any prediction made."""
        return self.predictions(*notebooks)[1] > 0 or any(state.tries for _, state in self.exercises(*notebooks))

    def __repr__(self) -> str:
        lines = [self._headline()]
        for said, exercises in self._parts():
            lines += ["", said]
            for exercise, state in exercises:
                mark, stars = MARKS[state.status][0], STARS[exercise.difficulty]
                lines.append(f"  {mark} {exercise.title}  {stars}  {exercise.minutes} min  {state}")
                if state.status == "mistake":
                    lines.append(f"      {state.text}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = []
        for said, exercises in self._parts():
            style = "text-align:left;padding-top:.8em"
            rows.append(f'<tr><th scope="rowgroup" colspan="5" style="{style}">{said}</th></tr>')
            rows += [self._row(exercise, state) for exercise, state in exercises]
        if not rows:
            return f"<p>{html.escape(self._headline())}</p>"
        heads = ("", "exercise", "difficulty", "minutes", "state")
        head = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in heads)
        return (
            f'<table><caption style="text-align:left">{html.escape(self._headline())}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        )

    def _row(self, exercise: Exercise, state: State) -> str:
        mark, colour = MARKS[state.status]
        more = f'<br><span style="color:#555">{html.escape(state.text)}</span>' if state.status == "mistake" else ""
        cells = (
            f'<b style="color:{colour}" aria-label="{state.status}">{mark}</b>', html.escape(exercise.title),
            f'<span aria-label="difficulty {exercise.difficulty} of 3">{STARS[exercise.difficulty]}</span>',
            str(exercise.minutes), f"{state}{more}",
        )  # fmt: skip
        return "<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>"

    def _parts(self) -> Iterator[tuple[str, list[tuple[Exercise, State]]]]:
        """Below the headline, unless it says all: of each notebook a line, and its exercises where any was tried."""
        for notebook in self.notebooks if self.touched(*self.notebooks) else ():
            said, exercises = self._nothing_tried(notebook), []
            if self.touched(notebook):
                there, made, right = self.predictions(notebook)
                said = f"{made} of {plural(there, 'prediction')} made, {right} right" if there else "no predictions"
                exercises = self.exercises(notebook)
            yield f"Notebook {notebook}: {said}", exercises

    def _headline(self) -> str:
        if not self.touched(*self.notebooks):
            return self._nothing_tried(*self.notebooks).capitalize()
        all_ = self.exercises(*self.notebooks)
        right = sum(state.status == "right" for _, state in all_)
        left = sum(exercise.minutes for exercise, state in all_ if state.status != "right")
        there, made, hit = self.predictions(*self.notebooks)
        said = [
            f"{right} of {plural(len(all_), 'exercise')} right (about {plural(left, 'minute')} left)" if all_ else "",
            f"{made} of {plural(there, 'prediction')} made, {hit} of them right" if there else "",
        ]
        return ", ".join(filter(None, said))

    def _nothing_tried(self, *notebooks: str) -> str:
        there, (asked, *_) = self.exercises(*notebooks), self.predictions(*notebooks)
        minutes = plural(sum(exercise.minutes for exercise, _ in there), "minute")
        said = [
            f"{plural(len(there), 'exercise')} (about {minutes})" if there else "",
            plural(asked, "prediction") if asked else "",
        ]
        return f"nothing tried yet of {' and '.join(filter(None, said))}"

    def export(self, path: str | Path, name: str = "") -> Path:
        """Write what stands here to a file for the teacher (`python -m relvit_lab grade FILE` reads it).

        path: relative to the working directory, which is where the notebook lies. name: yours, if you want it in the
        file; otherwise the file's name has to tell whose it is. Raises RelvitError where it cannot be written.
        """
        path = expanded(path).absolute()
        whole = {"format": FORMAT, "name": name, "lines": self.lines}
        try:
            write_whole(path, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            raise RelvitError(f"{path} cannot be written ({error.strerror or error}): name another place") from None
        return path


def progress(*notebooks: str | int) -> Progress:
    """All exercises and where they stand: progress(). Of some notebooks only: progress("01"), progress(1, 3).

    Raises RelvitError where a notebook has neither exercises nor predictions.
    """
    load_all()
    known = _numbers()
    only = [str(notebook)[:2].zfill(2) for notebook in notebooks]
    for name, asked in zip(only, notebooks, strict=True):
        if name not in known:
            raise RelvitError(f"no notebook {asked!r} has exercises: known are {', '.join(known)}")
    return Progress(journal.read(), only)


def _numbers() -> list[str]:
    """Of the notebooks that ask anything, in order."""
    return sorted({name[:2] for name in (*EXERCISES.names(), *PREDICTIONS.names())})
