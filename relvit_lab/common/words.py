"""Times, rates, counts and lists as a person says them."""

import math
from collections.abc import Sequence


def human_time(seconds: float | None) -> str:
    """A time as a person says it: "0.4 s", "12 s", "2 min 10 s", "3 h 5 min", "3.4 days"; "?" where it is unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{seconds / 86400:.1f} days"


def human_rate(images_per_second: float | None) -> str:
    """Images a second: "1,234 img/s"; below 10 with a decimal, because a slow run is the one that is watched."""
    if images_per_second is None or not math.isfinite(images_per_second):
        return "? img/s"
    return f"{images_per_second:,.{1 if images_per_second < 9.95 else 0}f} img/s"


def human_count(n: int) -> str:
    """A number of parameters: "21.3 M", "461 k", "912"."""
    return f"{n / 1e6:.1f} M" if n >= 999_500 else f"{n / 1e3:.0f} k" if n >= 1000 else str(n)


def plural(n: int, noun: str) -> str:
    """ "1 epoch", "30 epochs"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def some(things: Sequence[str], most: int = 5) -> str:
    """The first few, joined by commas."""
    return ", ".join(things[:most]) + (", ..." if len(things) > most else "")
