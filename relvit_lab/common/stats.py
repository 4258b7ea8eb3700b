"""Means of a few seeds, and how far a difference of theirs can be trusted: intervals and tests by Student's t.

With five seeds an exact sign or permutation test cannot reach p < 0.05 (its smallest two-sided p is 2 / 2^5 = 0.0625),
so the paired t-test is taken. It supposes that differences scatter normally; five seeds cannot check that.
"""

import math
import statistics
from collections.abc import Sequence

LEVEL = 0.05  # two-sided
PAPER_RUNS = 5  # what the paper says of its spreads, and what a printed spread is taken for


T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
"""Student's t, two-sided 95 %, by the number of seeds, as a book prints it: for sums by hand."""


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the sample standard deviation (n - 1), None for a single value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def told_apart(differences: Sequence[float]) -> bool | None:
    """Whether the 95 % interval of the mean difference leaves 0 out: p of the paired t-test below LEVEL.

    Differences that are all equal have an interval of no width. None for fewer than two.
    """
    if len(differences) < 2:
        return None
    p = paired_p(differences)
    return abs(mean_sd(differences)[0]) > 0 if p is None else p < LEVEL


def paired_p(differences: Sequence[float]) -> float | None:
    """Two-sided p of the paired t-test, from one difference for each seed that both have.

    None where there is nothing to judge by: fewer than two differences, or all of them equal.
    """
    from scipy.special import stdtr  # late: scipy takes a while to import

    if len(differences) < 2:
        return None
    mean, sd = statistics.mean(differences), statistics.stdev(differences)
    if sd <= 1e-12 * abs(mean):  # equal, up to rounding
        return None
    return float(2 * stdtr(len(differences) - 1, -abs(mean) * math.sqrt(len(differences)) / sd))


def half_width(values: Sequence[float], spread: float | None) -> float | None:
    """Half the 95 % interval of the difference between the mean of our seeds and a printed number.

    values: one for each seed. spread: what is printed after the number's ±, the sample standard deviation of PAPER_RUNS
    runs; None: the number counts as a single run that scatters as ours do. With both spreads it is Welch's interval;
    one seed of ours scatters as the paper's do. None where neither has a spread, or there are no values.
    """
    from scipy.special import stdtrit

    n = len(values)
    sd = statistics.stdev(values) if n > 1 else None
    if sd is None:
        if n == 0 or spread is None:
            return None
        variance, freedom = spread**2 * (1 + 1 / PAPER_RUNS), float(PAPER_RUNS - 1)
    elif spread is None:
        variance, freedom = sd**2 * (1 / n + 1), n - 1
    else:
        ours, theirs = sd**2 / n, spread**2 / PAPER_RUNS
        variance = ours + theirs
        freedom = variance**2 / (ours**2 / (n - 1) + theirs**2 / (PAPER_RUNS - 1)) if variance else 1
    return float(stdtrit(freedom, 1 - LEVEL / 2)) * math.sqrt(variance)
