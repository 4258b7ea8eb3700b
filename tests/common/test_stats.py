"""Intervals and tests of a few seeds: against scipy's own tests, and by hand."""

import math

import pytest
from scipy import stats

from relvit_lab.common.stats import T_95, half_width, mean_sd, paired_p, told_apart


@pytest.mark.parametrize("one, other", [([90.1, 90.4, 89.9], [86.0, 86.9, 85.5]), ([1.0, 2.5], [1.2, 1.9])])
def test_the_paired_test_is_scipys(one, other):
    gaps = [a - b for a, b in zip(one, other)]
    assert paired_p(gaps) == pytest.approx(stats.ttest_rel(one, other).pvalue, rel=1e-9)
    assert paired_p([-gap for gap in gaps]) == pytest.approx(paired_p(gaps))


def test_the_paired_test_by_hand():
    # gaps 1, 2, 3: mean 2, sd 1, t = 2 sqrt(3) = 3.4641 with 2 degrees of freedom
    assert paired_p([1.0, 2.0, 3.0]) == pytest.approx(0.0742, abs=1e-4)


@pytest.mark.parametrize("gaps", [[], [1.5], [0.5, 0.5, 0.5], [0.0, 0.0], [0.1 + 0.2, 0.3]])
def test_nothing_to_judge_by(gaps):
    assert paired_p(gaps) is None


def test_two_spreads_give_welchs_interval():
    ours, theirs, spread = [89.0, 90.0, 91.5], 92.0, 0.6
    got = half_width(ours, spread)
    mean, sd = 90.0 + 1 / 6, stats.tstd(ours)
    p = stats.ttest_ind_from_stats(mean, sd, 3, mean + got, spread, 5, equal_var=False).pvalue
    assert p == pytest.approx(0.05, abs=1e-6)  # a number just that far away is told apart at the limit
    assert stats.ttest_ind_from_stats(mean, sd, 3, theirs, spread, 5, equal_var=False).pvalue > 0.05
    assert abs(mean - theirs) < got


def test_one_spread_is_taken_for_both():
    # t(0.975, 2) = 4.3027; one printed run beside three of ours with sd 1
    assert half_width([1.0, 2.0, 3.0], None) == pytest.approx(4.3027 * math.sqrt(1 / 3 + 1), rel=1e-4)
    # t(0.975, 4) = 2.7764; one run of ours beside the mean of five with sd 0.5
    assert half_width([90.0], 0.5) == pytest.approx(2.7764 * 0.5 * math.sqrt(1 + 1 / 5), rel=1e-4)


def test_without_any_spread_or_value_there_is_no_interval():
    assert half_width([90.0], None) is None
    assert half_width([], 0.5) is None
    assert half_width([90.0, 90.0], None) == 0
    assert half_width([90.0, 90.0], 0.0) == 0


def test_told_apart_is_the_95_percent_interval_of_students_t():
    gaps = [1.0, 2.0, 3.0]  # mean 2, sd 1: 2 ± 4.30 / sqrt(3) = 2 ± 2.48
    assert told_apart(gaps) is False
    assert told_apart([gap + 0.6 for gap in gaps]) is True
    assert told_apart([-gap - 0.6 for gap in gaps]) is True
    assert told_apart([5.0]) is None
    assert told_apart([1.0] * 6) is True and told_apart([0.0] * 6) is False
    for n, t in T_95.items():
        values = [0.0] * (n - 1) + [1.0]
        mean, sd = mean_sd(values)
        edge = t * sd / math.sqrt(n)  # half the interval
        assert told_apart([value - mean + 1.01 * edge for value in values]) is True
        assert told_apart([value - mean + 0.99 * edge for value in values]) is False


def test_the_quantiles_are_those_of_students_t():
    """By its distribution for 2 degrees of freedom, F(t) = 1/2 + t / (2 sqrt(2 + t^2))."""
    t = T_95[3]
    assert 0.5 + t / (2 * math.sqrt(2 + t * t)) == pytest.approx(0.975, abs=1e-4)
