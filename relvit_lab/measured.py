"""Records put into words: what was measured, with its spread, and whether two settings can be told apart by it."""

import math
from collections.abc import Sequence

from relvit_lab.errors import RelvitError
from relvit_lab.report import WHAT, Report, plus_minus
from relvit_lab.results import mean_sd

T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}  # Student's t, two-sided 95 %, by the number of seeds


def told_apart(gaps: Sequence[float]) -> bool | None:
    """Whether the 95 % interval of the mean difference (Student's t over seeds) leaves 0 out. None for fewer than two.

    Raises RelvitError for more seeds than are known here (five).
    """
    mean, sd = mean_sd(gaps)
    if sd is None:
        return None
    if len(gaps) not in T_95:
        raise RelvitError(f"differences of 2 to {max(T_95)} seeds can be judged, not {len(gaps)}")
    return abs(mean) > T_95[len(gaps)] * sd / math.sqrt(len(gaps))


def gap_in_words(report: Report, one: str, other: str) -> str:
    """One sentence: by how many points of accuracy a setting is ahead of another, and what that is worth."""
    gaps = report.gaps(one, other)
    if not gaps:
        return f"{WHAT[one]} and {WHAT[other]} have no seed in common."
    verdict = {
        True: "told apart by the 95 % interval",
        False: "not told apart: the 95 % interval holds 0",
        None: "one seed: no spread, so this cannot be judged",
    }[told_apart(gaps)]
    seeds = f"{len(gaps)} seed{'s' if len(gaps) > 1 else ''}"
    return f"{WHAT[one]}, less {WHAT[other]}: {plus_minus(gaps, sign=True)} points over {seeds} ({verdict})."


def available(report: Report, names: Sequence[str]) -> list[str]:
    """The settings that have records, in the given order: what is not there yet is left out, not guessed."""
    there = []
    for name in names:
        try:
            report.find(name)
            report.find(name, "first")
        except RelvitError:
            continue
        there.append(name)
    return there
