"""§4.3: the tries of the shortcut lab as a figure: SpRel by step, and what was switched on the way."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.pe_shortcut.live_training import Try, floors, full_label, marks, recorded
from relvit_lab.show.style import BLACK, BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILLION, Drawing, new_drawing, styled

LOOKS = (
    (VERMILLION, "X", (7, 1.5, 1.5, 1.5)), (ORANGE, "s", (5, 2)), (BLUE, "o", ()), (GREEN, "^", (1.5, 1.5)),
    (PURPLE, "D", (9, 2)), (BLACK, "P", (3, 1.5, 1.5, 1.5, 1.5, 1.5)), (SKY, "v", (2.5, 1)),
)  # fmt: skip
"""Colour, marker and dashes (in line widths) of one try after the other; the first four as in Figure 4."""


def recorded_note(record: Mapping[str, Any]) -> str:
    """What the recorded tries are, in a sentence."""
    a = record["about"]
    return (
        f"Recorded: {a['dataset']}, {a['train_images']:,} training images, SpRel on {a['test_images']} others, "
        f"enlarged to {a['image_size']} x {a['image_size']} pixels, patches of {a['patch_size']}, {a['backbone']}, "
        f"{a['epochs']} epochs of batches of {a['batch_size']}, seed {a['seed']}."
    )


@styled
def tries_figure(tries: Sequence[Try] = ()) -> Drawing:
    """The lab's own tries (`lab.tries`), the recorded ones where there are none: a curve for each, with its name under
    the axes, and a thin upright line where it was switched.

    Raises RelvitError for a try whose steps and values are not equally many.
    """
    title, note, letter = "SpRel on images that the model has not seen, unshuffled", "", ""
    if tries:
        title = f"What you tried: {title}"
    else:
        record = recorded()
        tries, note, letter = record["tries"], recorded_note(record), "R"
    if not all(one["steps"] and len(one["steps"]) == len(one["sprel"]) for one in tries):
        raise RelvitError("at least one try is needed, each with a value for every step at which it was looked at")
    figure = new_drawing(11.2, 5.0 + 0.22 * len(tries))
    ax = figure.subplots()
    longest, said = max(one["of"] for one in tries), []
    switched: list[tuple[int, str, str]] = []  # step, words and colour
    for k, one in enumerate(tries):
        number = one.get("number", k + 1)
        colour, marker, dashes = LOOKS[(number - 1) % len(LOOKS)]
        key = f"{letter}{number}"
        name = f"{key}  {full_label(one)}: {one['sprel'][-1]:.1f} % after step {one['steps'][-1]}"
        ax.plot(one["steps"], one["sprel"], color=colour, marker=marker, linestyle=(0, dashes) if dashes else "-",
                markevery=(k % 3, 3), markersize=7, label=name, clip_on=False, zorder=3)  # fmt: skip
        switched += [(step, f"{key}: {words}", colour) for step, words in marks(one).items()]
        said.append(name)
    _name_switches(ax, switched, longest)
    _floors(ax, longest)
    ax.set(xlim=(0, longest), ylim=(0, 116), yticks=range(0, 101, 20), xlabel="step", ylabel="SpRel, %")
    ax.grid(axis="y", color="#E4E4E4", linewidth=0.8)
    ax.set_title(title, loc="left", pad=22 if note else 8)
    columns = 2 if len(tries) > 3 else 1
    figure.legend(loc="outside lower left", frameon=False, fontsize=11, handlelength=5, ncols=columns)
    if note:
        ax.annotate(note, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", fontsize=9.5)
    figure.alt = f"{title}. SpRel in % by step: {'; '.join(said)}. {note}".strip()
    return figure


def _name_switches(ax: Axes, switched: Sequence[tuple[int, str, str]], longest: int) -> None:
    """An upright line for each, and its words above the curves, in as many rows as keep them apart."""
    taken: dict[int, float] = {}  # up to which step each row is
    for step, words, colour in sorted(switched):
        ax.axvline(step, color=colour, linewidth=1.2, zorder=2)
        left = step + longest / 200
        row = next(k for k in itertools.count() if taken.get(k, 0) <= left)
        taken[row] = left + len(words) * longest / 130
        ax.text(left, 117 - 5.5 * row, words, fontsize=11, weight="bold", va="top", zorder=4)


def _floors(ax: Axes, longest: int) -> None:
    """What knowing nothing gives."""
    given = floors()
    for value, words, va, points in (
        (given["constant"], "one constant answer", "bottom", 2), (given["guessing"], "guessing", "top", -4),
    ):  # fmt: skip
        ax.axhline(value, color=INK, linestyle=(0, (1, 2)), linewidth=1.4, zorder=2)
        ax.annotate(f"{words}: {value:.1f} %", (longest, value), (-4, points), textcoords="offset points", ha="right",
                    va=va, fontsize=10.5)  # fmt: skip
