"""Exercises of notebook 07_paper_tables."""

import math
import statistics
from collections.abc import Callable
from typing import Any

from relvit_lab.common.stats import T_95
from relvit_lab.lessons.ask.answers import name_mistake, number, numbers
from relvit_lab.lessons.ask.tables import compared

_PRECISION = {"rtol": 2e-3, "atol": 1e-9}


# -- 07-spread: mean and sample standard deviation -----------------------------------------------------------------


def _pair(value: Any, shown: str) -> list[float]:
    pair = numbers(value, shown)
    name_mistake({f"{shown} gives 2 numbers, not {len(pair)}": len(pair) != 2})
    return pair


def _mean_and(spread: Callable) -> Callable:
    return lambda values: (statistics.mean(values), spread(values))


compared(
    "07-spread", "mean and spread", 1, 5,
    asks="mean_and_spread(values)",
    on=[[88.0, 90.0, 95.0], [1.0, 2.0, 3.0, 4.0, 10.0], [50.0, 53.0]],
    reads=_pair, **_PRECISION,
    reference=_mean_and(statistics.stdev),
    wrong={
        "divided by n: that is the spread of these very numbers. Seeds are a sample, so divide by n - 1":
            _mean_and(statistics.pstdev),
        "the variance: the square root is missing": _mean_and(statistics.variance),
        "the standard error, sd / sqrt(n), which says how well the mean is known, not how runs scatter":
            _mean_and(lambda values: statistics.stdev(values) / math.sqrt(len(values))),
        "the range: the largest less the smallest": _mean_and(lambda values: max(values) - min(values)),
        "the first is the median, not the mean": lambda values: (statistics.median(values), statistics.stdev(values)),
    },
    hint="The mean comes first, then the sample standard deviation",
    praise="What the tables print: mean ± sample standard deviation. A single seed has no spread at all.",
)  # fmt: skip


# -- 07-gaps: differences seed by seed -----------------------------------------------------------------------------


def _gaps(ours: dict, base: dict) -> list[float]:
    return [ours[seed] - base[seed] for seed in ours if seed in base]


def _in_order(value: Any, shown: str) -> list[float]:
    """The gaps, whatever order they came in."""
    if isinstance(value, (int, float)):
        name_mistake({f"one number, {value:g}: a list is asked for, a difference for each seed": True})
    return sorted(numbers(value.values() if isinstance(value, dict) else value, shown))


compared(
    "07-gaps", "differences seed by seed", 1, 6,
    asks="gaps(ours, base)",
    on=[
        ({0: 90.0, 1: 92.0, 2: 91.0}, {0: 88.0, 1: 89.0, 2: 90.5}),
        ({0: 90.0, 1: 92.0, 3: 97.0, 4: 95.0}, {4: 90.0, 0: 89.0, 1: 90.0, 2: 50.0}),
        ({0: 90.0, 1: 92.0, 2: 91.0, 3: 95.0}, {0: 93.0, 1: 90.0, 2: 89.0, 3: 94.0}),  # one below 0, two alike
    ],
    reads=_in_order, **_PRECISION,
    reference=_gaps,
    wrong={
        "the other way round: what ours is above the baseline is positive": lambda ours, base: _gaps(base, ours),
        "paired by place in the list, not by seed: the second set has its seeds in another order":
            lambda ours, base: [a - b for a, b in zip(ours.values(), base.values())],
        "a seed that only one of the two has was counted: leave it out, nothing can be set against it":
            lambda ours, base: [ours.get(seed, 0) - base.get(seed, 0) for seed in {**ours, **base}],
        "no abs(): where ours is worse than the baseline, the gap is negative":
            lambda ours, base: [abs(gap) for gap in _gaps(ours, base)],
        "a set holds each number once: two seeds may have the same gap, and both count. Return a list":
            lambda ours, base: set(_gaps(ours, base)),
    },
    praise="Seed by seed, and only where both have the seed.",
)  # fmt: skip


# -- 07-apart: is a mean difference told apart from none -----------------------------------------------------------


def _standard_error(gaps: list[float]) -> float:
    return statistics.stdev(gaps) / math.sqrt(len(gaps))


compared(
    "07-apart", "told apart or not", 2, 8,
    asks="half_interval(gaps)",
    on=[[1.0, 2.0, 3.0], [0.5, -0.2, 0.4, 0.1, 0.3], [2.0, 2.5]],
    reads=number, **_PRECISION,
    reference=lambda gaps: T_95[len(gaps)] * _standard_error(gaps),
    wrong={
        "the root of n is missing: a mean of n scatters less than a single one":
            lambda gaps: T_95[len(gaps)] * statistics.stdev(gaps),
        "1.96 is for many seeds: with few, the spread itself is badly known, and t is larger":
            lambda gaps: 1.96 * _standard_error(gaps),
        "the spread was divided by n: seeds are a sample, divide by n - 1":
            lambda gaps: T_95[len(gaps)] * statistics.pstdev(gaps) / math.sqrt(len(gaps)),
        "the whole interval: half of it is asked for": lambda gaps: 2 * T_95[len(gaps)] * _standard_error(gaps),
    },
    praise="The same as asking the paired t-test for p < 0.05: |mean difference| larger than this is told apart.",
)  # fmt: skip
