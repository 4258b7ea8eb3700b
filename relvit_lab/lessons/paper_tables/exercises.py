"""Exercises and predictions of notebook 07_paper_tables."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from relvit_lab.common.stats import T_95
from relvit_lab.lessons.ask.base import EXERCISES, PREDICTIONS, Exercise, Mistake, Prediction, call

PREDICTIONS.add(
    Prediction(
        "07-paired",
        "A method has 90.4 ± 0.4 over five seeds, its baseline 90.0 ± 0.4 (sample standard deviations). Can the two be "
        "told apart?",
        "it depends on how they go together, seed by seed",
        "If both rise and fall with the seed, their differences may be 0.4 ± 0.05, far from 0; if they do not, the "
        "differences may be 0.4 ± 0.6. Two means and two spreads do not say which: the runs do.",
    )
)
PREDICTIONS.add(
    Prediction(
        "07-best",
        "The best epoch's accuracy on the test images, set beside the last epoch's of the same run, is ...",
        "never lower, often higher",
        "The best of a hundred numbers is at least the last of them. It was picked by looking at the answers, so it "
        "says too much; that is why it is never our headline. The paper's were taken so, and are compared so.",
    )
)
PREDICTIONS.add(
    Prediction(
        "07-many",
        "A hundred pairs of methods that do not differ at all are compared, five seeds each, and called different "
        "where p < 0.05. How many are called different?",
        "about five",
        "That is what 0.05 means: one in twenty where nothing is there. A table with forty comparisons has about two "
        "of them for nothing. A single ≠ in a large table is no finding.",
    )
)


def _numbers(value: Any, shown: str, count: int) -> list[float]:
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        raise Mistake(f"{shown} gives {count} numbers, not {str(value)[:60]}") from None
    if len(numbers) != count:
        raise Mistake(f"{shown} gives {count} numbers, not {len(numbers)}")
    return numbers


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=2e-3, abs_tol=1e-9)


# -- 07-spread: mean and sample standard deviation -----------------------------------------------------------------


def _judge_spread(answer: Callable) -> str:
    for values in ([88.0, 90.0, 95.0], [1.0, 2.0, 3.0, 4.0, 10.0], [50.0, 53.0]):
        shown = f"mean_and_spread({values})"
        mean, spread = _numbers(call(answer, values, shown=shown), shown, 2)
        n, sd = len(values), statistics.stdev(values)
        if not _close(mean, statistics.mean(values)):
            middle = statistics.median(values)
            also = ", that is the median" if n > 2 and _close(mean, middle) else ""
            raise Mistake(f"the mean of {values} is {statistics.mean(values):g}, not {mean:g}{also}")
        mistakes = {
            "divided by n: that is the spread of these very numbers. Seeds are a sample, so divide by n - 1":
                statistics.pstdev(values),
            "the variance: the square root is missing": sd**2,
            "the standard error, sd / sqrt(n), which says how well the mean is known, not how runs scatter":
                sd / math.sqrt(n),
            "the range: the largest less the smallest": max(values) - min(values),
        }  # fmt: skip
        for says, wrong in mistakes.items():
            if _close(spread, wrong) and not _close(spread, sd):
                raise Mistake(says)
        if not _close(spread, sd):
            raise Mistake(f"the spread of {values} is {sd:.4f}, not {spread:.4f}")
    return "What the tables print: mean ± sample standard deviation. A single seed has no spread at all."


EXERCISES.add(
    Exercise(
        "07-spread",
        "mean and spread",
        difficulty=1,
        minutes=5,
        judge=_judge_spread,
        reference=lambda values: (statistics.mean(values), statistics.stdev(values)),
        wrong={
            "divided by n": lambda values: (statistics.mean(values), statistics.pstdev(values)),
            "the variance": lambda values: (statistics.mean(values), statistics.variance(values)),
            "standard error": lambda v: (statistics.mean(v), statistics.stdev(v) / math.sqrt(len(v))),
            "the range": lambda values: (statistics.mean(values), max(values) - min(values)),
            "the median": lambda values: (statistics.median(values), statistics.stdev(values)),
            "gives 2 numbers": lambda values: (statistics.mean(values),),
        },
    )
)


# -- 07-gaps: differences seed by seed -----------------------------------------------------------------------------


def _gaps(ours: dict, base: dict) -> list[float]:
    return [ours[seed] - base[seed] for seed in ours if seed in base]


def _judge_gaps(answer: Callable) -> str:
    for ours, base in (
        ({0: 90.0, 1: 92.0, 2: 91.0}, {0: 88.0, 1: 89.0, 2: 90.5}),
        ({0: 90.0, 1: 92.0, 3: 97.0, 4: 95.0}, {4: 90.0, 0: 89.0, 1: 90.0, 2: 50.0}),
    ):
        shown, right = f"gaps({ours}, {base})", _gaps(ours, base)
        value = call(answer, ours, base, shown=shown)
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, (int, float)):
            raise Mistake(f"one number, {value:g}: a list is asked for, a difference for each seed")
        try:
            got = sorted(float(gap) for gap in value)
        except (TypeError, ValueError):
            raise Mistake(f"{shown} gives a list of numbers, not {str(value)[:60]}") from None
        by_place = [a - b for a, b in zip(ours.values(), base.values())]
        mistakes = {
            "the other way round: what ours is above the baseline is positive": [-gap for gap in right],
            "paired by place in the list, not by seed: the second set has its seeds in another order": by_place,
            "a seed that only one of the two has was counted: leave it out, nothing can be set against it": [
                ours.get(seed, 0) - base.get(seed, 0) for seed in {**ours, **base}
            ],
        }
        for says, wrong in mistakes.items():
            if _same(got, wrong) and not _same(got, right):
                raise Mistake(says)
        if not _same(got, right):
            raise Mistake(f"{shown} is {right}, not {got}")
    return "Seed by seed, and only where both have the seed."


def _same(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(_close(a, b) for a, b in zip(sorted(one), sorted(other)))


EXERCISES.add(
    Exercise(
        "07-gaps",
        "differences seed by seed",
        difficulty=1,
        minutes=6,
        judge=_judge_gaps,
        reference=_gaps,
        wrong={
            "other way round": lambda ours, base: _gaps(base, ours),
            "paired by place": lambda ours, base: [a - b for a, b in zip(ours.values(), base.values())],
            "only one of the two": lambda ours, base: [ours.get(s, 0) - base.get(s, 0) for s in {**ours, **base}],
            "one number": lambda ours, base: statistics.mean(ours.values()) - statistics.mean(base.values()),
        },
    )
)


# -- 07-apart: is a mean difference told apart from none -----------------------------------------------------------


def _half(gaps: Sequence[float]) -> float:
    return T_95[len(gaps)] * statistics.stdev(gaps) / math.sqrt(len(gaps))


def _judge_apart(answer: Callable) -> str:
    for gaps in ([1.0, 2.0, 3.0], [0.5, -0.2, 0.4, 0.1, 0.3], [2.0, 2.5]):
        shown, right = f"half_interval({gaps})", _half(gaps)
        (got,) = _numbers([call(answer, gaps, shown=shown)], shown, 1)
        n, sd = len(gaps), statistics.stdev(gaps)
        normal = 1.96 * sd / math.sqrt(n)
        mistakes = {
            "the root of n is missing: a mean of n scatters less than a single one": T_95[n] * sd,
            "1.96 is for many seeds: with few, the spread itself is badly known, and t is larger": normal,
            "the spread was divided by n: seeds are a sample, divide by n - 1": right * statistics.pstdev(gaps) / sd,
            "the whole interval: half of it is asked for": 2 * right,
        }
        for says, wrong in mistakes.items():
            if _close(got, wrong):
                raise Mistake(says)
        if not _close(got, right):
            raise Mistake(f"{shown} is {right:.3f}, not {got:.3f}")
    return "The same as asking the paired t-test for p < 0.05: |mean difference| larger than this is told apart."


EXERCISES.add(
    Exercise(
        "07-apart",
        "told apart or not",
        difficulty=2,
        minutes=8,
        judge=_judge_apart,
        reference=_half,
        wrong={
            "root of n is missing": lambda gaps: T_95[len(gaps)] * statistics.stdev(gaps),
            "1.96 is for many": lambda gaps: 1.96 * statistics.stdev(gaps) / math.sqrt(len(gaps)),
            "divided by n:": lambda gaps: T_95[len(gaps)] * statistics.pstdev(gaps) / math.sqrt(len(gaps)),
            "the whole interval": lambda gaps: 2 * _half(gaps),
        },
    )
)
