"""§4: what the runs behind the tables are, what they were made with, and the time that they took, as tables."""

import statistics
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from relvit_lab.common.table import Table
from relvit_lab.common.words import plural
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.tables.deviations import STAGES
from relvit_lab.paper.tables.finished import UNKNOWN, Made, Runs
from relvit_lab.train.environment import commit

ENVIRONMENT = {
    "commit": "Commit of relvit_lab (+: with changes)", "python": "Python", "torch": "torch", "timm": "timm",
    "platform": "Platform", "device": "Device", "precision": "Precision",
}  # fmt: skip


def about(runs: Runs, made: Sequence[Made], cells: Sequence[plan.Cell]) -> Table:
    """Which runs the numbers are from. made: made_for(runs, cells)."""
    found = f"{plural(len(made), 'finished stage')} behind the numbers here"
    others = len(runs) - len(made)
    if runs.recorded:
        found = f"none of yours that the tables look for. Shown are the recorded ones (results/): {found}"
    elif made:
        found += f"; {others:,} further in the same place, in no table here" if others else ""
    elif len(runs):
        presets = _counted(str(run.result["experiment"].get("preset") or UNKNOWN) for run in runs)
        found = (
            f"none of the {plural(len(runs), 'finished stage')} here is one that the tables look for: they show the "
            f"paper's numbers alone. The presets of those: {presets}"
        )
    else:
        found = "none yet: the tables show the paper's numbers alone"
    rows = [("Runs", found), ("This code", f"commit {commit() or UNKNOWN}")]
    if made:
        rows += [
            ("Newest result", _newest(made)),
            ("Presets", _counted(one.preset for one in made)),
            ("Recipes", _counted(one.experiment.recipe for one in made)),
            ("Seeds", _counted(str(one.experiment.seed) for one in made)),
        ]
        small = sum(one.preset != "paper" or bool(one.experiment.train_images) for one in made)
        if small:
            which = f"{'all' if small == len(made) else small} of these {len(made):,} runs"
            said = f"not the paper's, in {which}: differences to its numbers say nothing about it"
            rows.append(("Scale", said))
    else:
        looked = {
            "preset": [cell.fields.get("preset") or "paper" for cell in cells],
            "recipe": [cell.recipe for cell in cells],
            "seed": [str(seed) for cell in cells for seed in cell.seeds],
        }
        said = "; ".join(f"{name} {', '.join(dict.fromkeys(values))}" for name, values in looked.items())
        rows.append(("Looked for", said))
    return Table(("What", "Value"), tuple(rows))


def environment(made: Sequence[Made]) -> Table:
    """What the runs were made with: distinct values, and how many stages have each."""
    counts = {title: Counter(one.environment(name) for one in made) for name, title in ENVIRONMENT.items()}
    rows = ((title, value, f"{own[value]:,}") for title, own in counts.items() for value in sorted(own))
    return _table(("What", "Value", "Stages"), rows, "No runs.")


def hours(made: Sequence[Made]) -> Table:
    """Hours of training by table and device, the evaluation after each epoch counted."""
    timed = _timed(made)
    devices = sorted({one.environment("device") for one in timed})
    own = {paper.short_title(name): [one for one in timed if name in one.tables] for name in plan.TABLES}
    rows = [_hours(name, stages, devices) for name, stages in own.items() if stages]
    if len(rows) > 1:
        rows.append(_hours("Together (a stage that tables share: once)", timed, devices))
    headers = ("Hours", "Stages", *devices, *(("all devices",) if len(devices) > 1 else ()))
    return _table(headers, rows, "No runs with times.")


def rates(made: Sequence[Made]) -> Table:
    """Training images a second by backbone, stage and device: the median over the stages, and how far they scatter."""
    groups: dict[tuple[str, ...], list[float]] = {}
    for one in _timed(made):
        rate = one.result["timing"].get("images_per_second")
        if rate is not None:
            e = one.experiment
            key = (paper.label(e.backbone), f"{e.image_size}", STAGES[one.stage.name])
            key += (one.environment("device"), one.environment("precision"))
            groups.setdefault(key, []).append(rate)
    rows = [
        (*key, f"{len(own):,}", f"{statistics.median(own):,.0f}", f"{min(own):,.0f} to {max(own):,.0f}")
        for key, own in sorted(groups.items())
    ]
    headers = ("Backbone", "Image, px", "Stage", "Device", "Precision", "Stages", "Images/s", "Lowest to highest")
    return _table(headers, rows, "No runs with times.")


def _table(headers, rows, none: str) -> Table:
    rows = tuple(rows)
    return Table(headers, rows) if rows else Table((none,), ())


def _timed(made: Sequence[Made]) -> list[Made]:
    return [one for one in made if one.result.get("timing", {}).get("seconds") is not None]


def _hours(name: str, stages: Sequence[Made], devices: Sequence[str]) -> tuple[str, ...]:
    def said(*those: str) -> str:
        seconds = [one.result["timing"]["seconds"] for one in stages if one.environment("device") in those]
        return f"{sum(seconds) / 3600:,.2f}" if seconds else "-"

    return (name, f"{len(stages):,}", *map(said, devices), *((said(*devices),) if len(devices) > 1 else ()))


def _newest(made: Sequence[Made]) -> str:
    """When the newest result was written. Results have no date within: that of the file tells."""
    times = []
    for one in made:
        try:
            times.append((one.run.folder / "result.json").stat().st_mtime)
        except (OSError, TypeError):  # begun anew since it was read; or there is no folder, but a record
            continue
    return f"{datetime.fromtimestamp(max(times), UTC):%Y-%m-%d %H:%M} UTC" if times else UNKNOWN


def _counted(values) -> str:
    """ "smoke (12), demo (3)", in the order of the names."""
    return ", ".join(f"{name} ({count:,})" for name, count in sorted(Counter(values).items()))
