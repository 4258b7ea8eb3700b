"""The curves of a run, epoch by epoch (what its model predicts is in relations.py)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from relvit_lab.common.words import plural
from relvit_lab.show import wording
from relvit_lab.show.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Drawing,
    name_ends,
    new_drawing,
    styled,
)

COLOURS = {
    "loss": INK,
    "accuracy": BLUE,
    "classification": BLUE,
    "sprel": VERMILLION,
    "abspos": GREEN,
    "dist": PURPLE,
    "ang": SKY,
}
ROW = 2.9  # inches

Line = tuple[str, np.ndarray, str, str]  # label, values by epoch, colour, line style


@styled
def curves(
    stages: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], units: Mapping[str, str] | None = None
) -> Drawing:
    """Losses and metrics by epoch: a row of panels for each stage, training losses left, metrics right.

    stages: (name, lines of metrics.jsonl) for each. Metrics of one unit share a panel: accuracies in %, then errors
    (Dist and Ang). Each line is labelled at its end, with its last value. units: those of the tasks when None.
    """
    units = wording.known_units() if units is None else units
    rows = [(name, *_lines(lines, units)) for name, lines in stages]
    kinds = list(dict.fromkeys(unit for _, _, _, metrics in rows for unit in metrics))
    kinds.sort(key=lambda unit: unit != "%")  # accuracies first, the rest in order
    columns = 1 + len(kinds)
    figure = new_drawing(4.8 * columns + 0.4, ROW * max(len(rows), 1) + 0.1)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
    axes = figure.subplots(max(len(rows), 1), columns, squeeze=False)
    for panels, (name, epochs, losses, metrics) in zip(axes, rows):
        _panel(panels[0], f"{name}: training loss", epochs, losses, "{:.3f}")
        for ax, unit in zip(panels[1:], kinds):
            if unit in metrics:
                what = "accuracy on test images, %" if unit == "%" else f"error on test images, {unit}"
                _panel(ax, f"{name}: {what}", epochs, metrics[unit], "{:.1f}", highest=100 if unit == "%" else math.inf)
            else:
                ax.set_axis_off()
    figure.alt = " ".join(_in_words(*row) for row in rows) or "No epochs yet."
    return figure


def _lines(lines: Sequence[Mapping[str, Any]], units: Mapping[str, str]) -> tuple[list, list[Line], dict]:
    """The epochs, the lines of the losses, and those of the metrics by unit."""
    epochs = [line["epoch"] for line in lines]
    train, test = [line.get("train", {}) for line in lines], [line.get("test", {}) for line in lines]
    parts = [name for name in _names(train) if name not in ("loss", "accuracy")]
    losses = [("Total" if len(parts) > 1 else wording.title("loss"), _values(train, "loss"), INK, "-")]
    if len(parts) > 1:  # a single part is the total
        losses += [(wording.title(name), _values(train, name), _colour(name, parts), "-") for name in parts]
    metrics: dict[str, list[Line]] = {}
    names = [name for name in _names(test) if name != "loss"]
    for name in names:
        line = (wording.title(name), _values(test, name), _colour(name, names), "-")
        metrics.setdefault(units.get(name, ""), []).append(line)
    if "accuracy" in names and "accuracy" in _names(train):
        metrics[units.get("accuracy", "")].append(("in training", _values(train, "accuracy"), BLUE, ":"))
    return epochs, losses, metrics


def _names(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for entry in entries for name in entry))


def _values(entries: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([math.nan if entry.get(name) is None else entry[name] for entry in entries], dtype=float)


def _colour(name: str, names: Sequence[str]) -> str:
    others = [other for other in names if other not in COLOURS]
    return COLOURS[name] if name in COLOURS else (ORANGE, "#7A5195", "#5C5C5C")[others.index(name) % 3]


def _panel(
    ax: Axes, title: str, epochs: Sequence[int], lines: Sequence[Line], form: str, highest: float = math.inf
) -> None:
    """One panel of lines, from 0 up, each labelled at its right end."""
    ax.set_title(title, loc="left")
    ax.set_xlabel("epoch", loc="right", labelpad=1)
    ax.grid(axis="y", color="#E4E4E4", linewidth=0.8)
    ax.set_axisbelow(True)
    for _, values, colour, style in lines:
        ax.plot(epochs, values, style, color=colour, marker="o" if len(epochs) < 4 else None, markersize=5)
    finite = np.concatenate([values[np.isfinite(values)] for _, values, _, _ in lines] or [np.empty(0)])
    top = float(finite.max(initial=0.0)) * 1.05 or 1.0
    ax.set_ylim(float(finite.min(initial=0.0)), min(top, highest * 1.02))
    if len(epochs) > 1:
        ax.set_xlim(epochs[0] - 0.02 * (epochs[-1] - epochs[0]), epochs[-1])
        ax.xaxis.get_major_locator().set_params(integer=True)
    else:
        only = epochs[0] if epochs else 1
        ax.set(xlim=(only - 1, only + 0.15), xticks=[only])
    ends = [
        (values[-1], f"{label} {form.format(values[-1])}", colour) for label, values, colour, _ in lines if len(values)
    ]
    a_line = 0.165 / (ROW - 0.85)  # of text, as a share of the panel's height
    name_ends(ax, [end for end in ends if math.isfinite(end[0])], a_line)


def _in_words(name: str, epochs: Sequence[int], losses: Sequence[Line], metrics: Mapping[str, Sequence[Line]]) -> str:
    """The alt text of a row: how each line begins and ends."""
    if not epochs:
        return f"Stage {name}: no epochs yet."
    said = [f"{label} from {values[0]:.3f} to {values[-1]:.3f}" for label, values, _, _ in losses]
    for unit, lines in metrics.items():
        said += [f"{label} from {values[0]:.1f} to {values[-1]:.1f} {unit}".rstrip() for label, values, _, _ in lines]
    return f"Stage {name}, {plural(len(epochs), 'epoch')}: {'; '.join(said)}."
