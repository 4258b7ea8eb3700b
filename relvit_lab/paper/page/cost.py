"""§4 (cost): two parts of the report's page: what the runs were made with, and the time that they took."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from relvit_lab.paper import numbers as paper
from relvit_lab.paper.page.html import paragraph, table
from relvit_lab.paper.plan import cells as plan
from relvit_lab.paper.tables.deviation_rules import Made
from relvit_lab.paper.tables.deviations import STAGES

ENVIRONMENT = {
    "commit": "Commit of relvit_lab (+: with changes)", "python": "Python", "torch": "torch", "timm": "timm",
    "platform": "Platform", "device": "Device", "precision": "Precision",
}  # fmt: skip
UNKNOWN = "not recorded"


def environment(made: Sequence[Made]) -> Iterator[str]:
    """What the runs were made with: distinct values, and how many stages have each."""
    if not made:
        yield paragraph("No runs.", "none")
        return
    counts = {
        title: Counter(str(one.result["environment"].get(name) or UNKNOWN) for one in made)
        for name, title in ENVIRONMENT.items()
    }
    yield table(
        ("What", "Value", "Stages"),
        [(title, value, f"{own[value]:,}") for title, own in counts.items() for value in sorted(own)],
        numbers=(2,),
    )


def cost(made: Sequence[Made]) -> Iterator[str]:
    """Hours by table and device, and training images a second."""
    timed = [one for one in made if one.result.get("timing", {}).get("seconds") is not None]
    if not timed:
        yield paragraph("No runs with times.", "none")
        return
    devices = sorted({_device(one) for one in timed})
    names = [name for name in plan.TABLES if any(name in one.tables for one in timed)]
    own = {paper.title(name).partition(":")[0]: [one for one in timed if name in one.tables] for name in names}
    rows = [_hours(name, stages, devices) for name, stages in own.items()]
    if len(rows) > 1:
        rows.append(_hours("Together", timed, devices))
    yield paragraph(
        "Hours of training with the evaluation after each epoch. A stage that several tables share counts in each of "
        "them, and once in their sum."
    )
    headers = ("Hours", "Stages", *devices, *(("all devices",) if len(devices) > 1 else ()))
    yield table(headers, rows, numbers=range(1, len(headers)))
    groups: dict[tuple[str, ...], list[float]] = {}
    for one in timed:
        rate = one.result["timing"].get("images_per_second")
        if rate is not None:
            e, precision = one.stage.experiment, one.result["environment"].get("precision") or UNKNOWN
            key = (paper.label(e.backbone), f"{e.image_size}", STAGES[one.stage.name], _device(one), precision)
            groups.setdefault(key, []).append(rate)
    if groups:
        yield "<h3>Training images a second</h3>"
        rates = [
            (*key, f"{len(own):,}", f"{statistics.median(own):,.0f}", f"{min(own):,.0f} to {max(own):,.0f}")
            for key, own in sorted(groups.items())
        ]
        headers = ("Backbone", "Image, px", "Stage", "Device", "Precision", "Stages", "Median", "Lowest to highest")
        yield table(headers, rates, numbers=(1, 5, 6, 7))


def _device(one: Made) -> str:
    return str(one.result["environment"].get("device") or UNKNOWN)


def _hours(name: str, stages: Sequence[Made], devices: Sequence[str]) -> tuple[str, ...]:
    def said(of: Callable[[Made], bool]) -> str:
        seconds = [one.result["timing"]["seconds"] for one in stages if of(one)]
        return f"{sum(seconds) / 3600:,.2f}" if seconds else ""

    by_device = [said(lambda one, device=device: _device(one) == device) for device in devices]
    return (name, f"{len(stages):,}", *by_device, *((said(lambda one: True),) if len(devices) > 1 else ()))
