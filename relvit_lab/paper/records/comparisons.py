"""Settings compared: by how much one is ahead of another, whether they are told apart, and what the paper says."""

from collections.abc import Sequence

from relvit_lab.common.stats import told_apart
from relvit_lab.common.table import Table
from relvit_lab.paper.plan.cells import FIGURE_4
from relvit_lab.paper.records.results import WHAT, Results, plus_minus

FOUR = tuple(FIGURE_4)
NOT_YET = "not run yet"
DIFFERENCE = ("accuracy of", "less that of", "points", "seeds", "verdict")
VERDICTS = {True: "told apart", False: "not told apart", None: "one seed: cannot be judged"}


def differences(report: Results, pairs: Sequence[tuple[str, str]]) -> Table:
    """By how many points of accuracy one setting is ahead of another, seed by seed, and what that is worth.

    pairs: of names of the report's settings. Those without records are left out.
    """
    return Table(DIFFERENCE, tuple(difference(report, *pair) for pair in pairs if report.both(*pair)))


def difference(report: Results, one: str, other: str) -> tuple[str, ...]:
    """A line of such a table."""
    gaps = report.gaps(one, other) if report.both(one, other) else []
    if not gaps:
        return WHAT[one], WHAT[other], NOT_YET, "-", "-"
    return WHAT[one], WHAT[other], plus_minus(gaps, sign=True), str(len(gaps)), VERDICTS[told_apart(gaps)]


def available(report: Results, names: Sequence[str]) -> list[str]:
    """The settings that have records, in the given order: what is not there yet is left out, not guessed."""
    return [name for name in names if report.there(name) and report.there(name, "first")]


def shortcut_series(report: Results) -> dict[str, dict[str, list[list[float]]]]:
    """What figure_4.shortcut_curves takes: by epoch, for those of the four settings that have records."""
    return {
        FIGURE_4[name].short: {
            "sprel": report.curves(name, "first", "sprel"),
            "accuracy": report.curves(name, "last", "accuracy"),
        }
        for name in available(report, FOUR)
    }


def against_the_paper(report: Results) -> Table:
    """What section 4.3 says about Figure 4, claim by claim, beside what the records say."""
    there = set(available(report, FOUR))
    rows = []
    if "pe_on" in there:
        reached = report.of("pe_on", "sprel")
        said = "as in the paper" if min(reached) > 99 else "close, not reached" if min(reached) > 90 else "differs"
        rows.append(("PE on, no shuffle: 100 % SpRel", f"{plus_minus(reached)} %", said))
        if report.there("supervised"):
            gaps = report.gaps("pe_on", "supervised")
            apart, alike = "differs", "not told apart: as in the paper"
            rows.append(("... fine-tuned: like a random start", *_judged(gaps, apart, apart, alike)))
    ahead = [
        ("shuffling improves on that", "pe_on_shuffled", "pe_on"),
        ("PE off is better than PE on, no shuffle", "pe_off", "pe_on"),
        ("PE off is better than PE on, shuffle", "pe_off", "pe_on_shuffled"),
    ]
    for claim, one, other in ahead:
        if {one, other} <= there:
            gaps = report.gaps(one, other)
            rows.append((claim, *_judged(gaps, "as in the paper", "the other way round", "not told apart")))
    return Table(("the paper's text", "measured here", "verdict"), tuple(rows))


def _judged(gaps: Sequence[float], ahead: str, behind: str, alike: str) -> tuple[str, str]:
    """The mean difference in points, and what is said of it."""
    if not gaps:
        return "-", "no seed in common"
    apart = told_apart(gaps)
    said = "one seed" if apart is None else alike if not apart else ahead if sum(gaps) > 0 else behind
    return f"{plus_minus(gaps, sign=True)} points", said
