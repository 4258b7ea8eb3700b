"""§4.1: where finished runs depart from the paper's text or fill its silence, told from the runs themselves.

What no run does is not listed. deviation_rules.py says what is looked at.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from relvit_lab.common.stats import PAPER_RUNS
from relvit_lab.common.table import Table
from relvit_lab.common.words import plural
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.plan.cells import Cell
from relvit_lab.paper.tables.deviation_rules import RULES, SCOPES
from relvit_lab.paper.tables.finished import Made, Runs
from relvit_lab.paper.tables.numbers import aggregate

STAGES = {
    "pretrain": "pre-training", "finetune": "fine-tuning", "supervised": "supervised",
    "supervised2": "second supervised", "joint": "joint",
}  # fmt: skip


@dataclass(frozen=True)
class Deviation:
    """A rule that holds in these words for `count` of the `total` stages that it is about (scope, in words).

    which: what those have in common and the others lack, "" where that is nothing, or where they are all.
    """

    name: str
    paper: str
    ours: str
    source: str
    count: int
    total: int
    scope: str
    which: str = ""

    @property
    def everywhere(self) -> bool:
        return self.count == self.total

    @property
    def where(self) -> str:
        """ "all 12 stages on Flower-102", "284 of 629 stages: recipe released"."""
        count = f"all {self.total:,}" if self.everywhere else f"{self.count:,} of {self.total:,}"
        return f"{count} {self.scope}" + (f": {self.which}" if self.which else "")


def deviations(made: Sequence[Made]) -> tuple[Deviation, ...]:
    """What is in force in some runs, in the order of RULES; a rule that holds in several ways comes as often."""
    found = []
    for rule in RULES:
        about = [one for one in made if SCOPES[rule.scope](one)]
        said: dict[str, list[Made]] = {}
        for one in about:
            words = rule.says(one)
            if words is not None:
                said.setdefault(words, []).append(one)
        for words, own in sorted(said.items()):
            counts = len(own), len(about), rule.scope, _in_common(own, about)
            found.append(Deviation(rule.name, rule.paper, words, rule.source, *counts))
    return tuple(found)


def fewer_seeds(counts: Iterable[int]) -> tuple[Deviation, ...]:
    """The numbers from fewer seeds than the paper's five. counts: for every number that has a run, of how many."""
    by_count = Counter(counts)
    printed = f"{PAPER_RUNS} runs of each experiment; Tables 4 and 5 print no spread"
    return tuple(
        Deviation("Seeds", printed, plural(n, "seed"), "§4.2", by_count[n], by_count.total(), "numbers with runs")
        for n in sorted(by_count)
        if n < PAPER_RUNS
    )


def deviation_table(runs: Runs, made: Sequence[Made], cells: Sequence[Cell]) -> Table:
    """What the runs behind the cells' numbers do otherwise than the paper's text, what all do first. made:
    made_for(runs, cells)."""
    found = [*deviations(made), *fewer_seeds(n for n in (aggregate(cell, runs).n for cell in cells) if n)]
    found.sort(key=lambda one: not one.everywhere)
    rows = tuple((one.name, one.paper, one.ours, one.where, one.source) for one in found)
    headers = ("What", "The paper", "These runs", "How many", "Source")
    return Table(headers, rows) if rows else Table(("No runs, so no deviations.",), ())


def _in_common(own: Sequence[Made], made: Sequence[Made]) -> str:
    """What tells some runs from the others: each property that has fewer values among them than among all."""
    words = []
    for what, of in _PROPERTIES.items():
        here, everywhere = set(map(of, own)), set(map(of, made))
        if len(here) < len(everywhere):
            words.append(f"{what} {', '.join(sorted(here))}")
    return "; ".join(words)


_PROPERTIES: dict[str, Callable[[Made], str]] = {
    "recipe": lambda m: m.experiment.recipe,
    "data": lambda m: paper.label(m.experiment.dataset),
    "backbone": lambda m: paper.label(m.experiment.backbone),
    "stage": lambda m: STAGES[m.stage.name],
}
