"""Tables of what came out of stages and runs: aligned text in a terminal, HTML in a notebook."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relvit_lab.common.printable import printable
from relvit_lab.show import wording
from relvit_lab.train.events import StageFinished

Column = tuple[str, str | Callable[[Any], Any]]


@dataclass(frozen=True, repr=False)
class Table:
    """Headers, and rows of text; columns of numbers stand to the right. `caption` lines come first."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [tuple(map(printable, line)) for line in (self.headers, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines)]
        right = [self._is_number(k) for k in range(len(self.headers))]
        text = [
            "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right)).rstrip()
            for line in lines
        ]
        return "\n".join([*map(printable, self.caption), text[0], "  ".join("-" * w for w in widths), *text[1:]])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        align = ["right" if self._is_number(k) else "left" for k in range(len(self.headers))]
        head = "".join(
            f'<th scope="col" style="text-align:{a}">{html.escape(h)}</th>' for h, a in zip(self.headers, align)
        )
        styles = [f"text-align:{a}" + ("; white-space:nowrap" if a == "right" else "") for a in align]
        body = "".join(
            "<tr>"
            + "".join(f'<td style="{style}">{html.escape(cell)}</td>' for cell, style in zip(row, styles))
            + "</tr>"
            for row in self.rows
        )
        caption = "<br>".join(map(html.escape, self.caption))
        caption = f'<caption style="text-align:left">{caption}</caption>' if caption else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _is_number(self, k: int) -> bool:
        """Whether the column holds numbers, times among them: every cell that says something starts with a digit."""
        said = [row[k] for row in self.rows if row[k] != "-"]
        return bool(said) and all(cell.lstrip("+-")[:1].isdigit() for cell in said)


def compare(rows: Sequence[Any], columns: Sequence[Column], caption: Sequence[str] = ()) -> Table:
    """A table of any rows: result dictionaries, StageFinished (their result is taken), or what the functions take.

    columns: (header, what) each: a key, with dots for a key within ("metrics.accuracy"), or a function of the row.
    A missing value is shown as "-", a float with one decimal, a list as its entries with commas.
    """
    return Table(
        tuple(header for header, _ in columns),
        tuple(tuple(_text(_cell(row, what)) for _, what in columns) for row in rows),
        tuple(caption),
    )


def summary(finished: Sequence[StageFinished]) -> Table:
    """The table at the end of a run: a row for each stage, what was trained and what came out.

    Accuracies and task metrics are on the test images, after the last epoch; the best epoch is named beside it.
    What all stages share (scenario, backbone, data set, tasks) stands in the caption, once.
    """
    results = [stage.result for stage in finished]
    units = wording.known_units()
    for result in results:
        units |= result.get("units", {})
    trained: list[Column] = [
        ("Scenario", "experiment.scenario"),
        ("Backbone", "experiment.backbone"),
        ("Data set", "experiment.dataset"),
        ("Tasks", _tasks),
    ]
    caption, columns = [], [("Stage", "stage.name")]
    for header, what in trained:
        values = {_text(_cell(result, what)) for result in results}
        if len(values) > 1:
            columns.append((header, what))
        elif values - {"-"}:
            caption.append(f"{header.lower()} {values.pop()}")
    if any(_cell(result, "metrics.accuracy") is not None for result in results):
        columns += [(_header("accuracy", units), "metrics.accuracy"), ("best (epoch)", _best)]
    tasks = dict.fromkeys(name for result in results for name in wording.task_metrics(result.get("metrics", {})))
    columns += [(_header(name, units), f"metrics.{name}") for name in tasks]
    columns += [
        ("Time", lambda r: wording.human_time(_cell(r, "timing.seconds"))),
        ("img/s", lambda r: _rate(_cell(r, "timing.images_per_second"))),
    ]
    folders = {id(stage.result): str(stage.folder) for stage in finished}
    columns.append(("Folder", lambda r: folders[id(r)]))
    return compare(results, columns, caption=("; ".join(caption),) if caption else ())


def _header(name: str, units: Mapping[str, str]) -> str:
    unit = units.get(name, "")
    return wording.title(name) + (f" ({unit})" if unit else "")


def _tasks(result: Mapping[str, Any]) -> Any:
    """The tasks of the run that the stage is part of; a supervised run has none, whatever its fields say."""
    return None if _cell(result, "experiment.scenario") == "supervised" else _cell(result, "experiment.tasks")


def _best(result: Mapping[str, Any]) -> str | None:
    best, epoch = _cell(result, "metrics.best_accuracy"), _cell(result, "metrics.best_epoch")
    return None if best is None else f"{best:.1f} ({'?' if epoch is None else epoch})"


def _rate(images_per_second: float | None) -> str | None:
    return None if images_per_second is None else wording.human_rate(images_per_second).removesuffix(" img/s")


def _cell(row: Any, what: str | Callable[[Any], Any]) -> Any:
    row = row.result if isinstance(row, StageFinished) else row
    if callable(what):
        return what(row)
    for key in what.split("."):
        row = row.get(key) if isinstance(row, Mapping) else None
    return row


def _text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value)
