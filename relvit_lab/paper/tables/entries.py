"""What a table holds: the paper's number and ours in each place, ours by seed, and what each is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from relvit_lab.common.stats import mean_sd, paired_p, told_apart
from relvit_lab.paper import numbers as paper
from relvit_lab.paper.slips import BASELINES

BUILT = "built"  # the source beside Table 1's numbers: models built here


@dataclass(frozen=True)
class Aggregate:
    """One number by seed. folders: of each seed, the run that it is from (of a difference, both). missing: the planned
    seeds without one. data: the digest of what the runs were trained on, None where it is not known."""

    by_seed: Mapping[int, float] = field(default_factory=dict)
    folders: Mapping[int, tuple[Path, ...]] = field(default_factory=dict)
    missing: tuple[int, ...] = ()
    data: str | None = None

    @property
    def n(self) -> int:
        return len(self.by_seed)

    @property
    def mean(self) -> float | None:
        return mean_sd(list(self.by_seed.values()))[0] if self.by_seed else None

    @property
    def sd(self) -> float | None:
        """The sample standard deviation (n - 1), None for fewer than two seeds."""
        return mean_sd(list(self.by_seed.values()))[1] if self.by_seed else None


def paired(own: Aggregate, other: Aggregate) -> Aggregate:
    """Differences seed by seed, for the seeds that both have: seed s of both began alike. None across two data sets."""
    same = len({own.data, other.data} - {None}) <= 1
    common = [seed for seed in own.by_seed if seed in other.by_seed] if same else []
    planned = dict.fromkeys((*own.by_seed, *own.missing))
    return Aggregate(
        {seed: own.by_seed[seed] - other.by_seed[seed] for seed in common},
        {seed: own.folders[seed] + other.folders[seed] for seed in common},
        tuple(sorted(seed for seed in planned if seed not in common)),
    )


@dataclass(frozen=True)
class Ours:
    """What stands beside one of the paper's numbers, under one recipe.

    like: set against the paper's. headline: last epoch, test images. Of an improvement both are paired differences.
    noise: half the 95 % interval of `difference` (stats.half_width), None where nothing can be judged. gain: of the
    headline over the row that it is compared with, paired.
    """

    like: Aggregate
    headline: Aggregate
    difference: float | None = None
    noise: float | None = None
    gain: Aggregate | None = None

    @property
    def is_improvement(self) -> bool:
        return self.gain is not None and self.gain is self.headline

    @property
    def within(self) -> bool | None:
        """Whether the difference to the paper lies within the noise; None: no difference, or nothing to judge by."""
        if self.difference is None or self.noise is None:
            return None
        return abs(self.difference) <= self.noise

    @property
    def p(self) -> float | None:
        """Of the paired t-test of the gain."""
        return paired_p(list(self.gain.by_seed.values())) if self.gain else None

    @property
    def told_apart(self) -> bool | None:
        """Whether the gain is told apart from none by the paired t-test; None: nothing to judge by."""
        return told_apart(list(self.gain.by_seed.values())) if self.gain else None


@dataclass(frozen=True)
class Counted:
    """A number of Table 1, of a model built here. exact: the number of parameters."""

    value: float
    exact: int | None = None


@dataclass(frozen=True)
class Entry:
    """One place of a table. number: the paper's, None where it prints a dash or a cross. ours: by source (a recipe);
    a source that the table does not have there is absent, one whose runs are missing has no seeds."""

    number: paper.Number | None
    ours: Mapping[str, Ours | Counted]


@dataclass(frozen=True, repr=False)
class PaperTable:
    """A table of the paper with ours beside it. sources: recipes, or BUILT. notes: on our runs; footnotes: slips.

    filled: where it is shown, the places of a source that has no number in a column are left out of that column.
    """

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    sources: tuple[str, ...]
    entries: Mapping[tuple[str, str], Entry]
    notes: tuple[str, ...]
    footnotes: tuple[str, ...]
    filled: bool = False

    def shown(self, column: str) -> tuple[str, ...]:
        """The sources that stand beside the paper's numbers of a column."""
        if not self.filled:
            return self.sources
        found = {source: [self.entries[row, column].ours.get(source) for row in self.rows] for source in self.sources}
        return tuple(source for source, own in found.items() if any(o and (o.like.n or o.headline.n) for o in own))

    @property
    def title(self) -> str:
        return paper.title(self.name)

    def own(self, source: str) -> dict[tuple[str, str], Ours]:
        """Our numbers of a recipe by place, without improvements."""
        found = {place: entry.ours[source] for place, entry in self.entries.items() if source in entry.ours}
        return {place: ours for place, ours in found.items() if comparison(self.name, *place)[0] is None}

    def seeds(self, source: str) -> tuple[int, int]:
        """How many numbers of seeds are there, and how many are planned; improvements are not counted."""
        own = [ours.like for ours in self.own(source).values()]
        there = sum(like.n for like in own)
        return there, there + sum(len(like.missing) for like in own)

    def __repr__(self) -> str:
        there = (f"{source} {'{}/{}'.format(*self.seeds(source))}" for source in self.sources if source != BUILT)
        return f"{self.title}. Seeds there: {', '.join(there) or 'no runs needed'}."


Place = tuple[str, str]  # row and column


def comparison(table: str, row: str, column: str) -> tuple[Place | None, Place | None]:
    """Whose improvement a place shows (None: it is a number of its own), and what its own number is compared with.

    Table 2: with Supervised. Table 3: ViT's with Supervised, Swin's and T2T's with L_drloc. Table 4: accuracies with
    Supervised. Table 5: M with No-Mega-Patches, that with Supervised.
    """
    if table == "table2":
        own, base = (row, "RelViT"), (row, "Supervised")
        return (own, base) if column == "Improv." else (None, base if column == "RelViT" else None)
    if table == "table3":
        own_row, base_row = BASELINES[row.partition(":")[0]]
        if row.endswith("Improv."):
            return (own_row, column), (base_row, column)
        return None, (base_row, column) if row == own_row else None
    if row != "Supervised" and (table == "table5" or (table == "table4" and column == "Finetuning")):
        base = "No-Mega-Patches" if row.isdigit() else "Supervised"
        return None, (base, column)
    return None, None
