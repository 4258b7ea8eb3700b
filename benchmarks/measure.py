"""What the benchmarks share: taking turns, ratios, the machine, and a file of results that all.py puts together."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch

from relvit_lab.common.compute.processor import cpu_flags, multiplies_bf16


@dataclass
class Row:
    """A line of RESULTS.md. values: one for each turn. mark: what is asked for, at least (or at most, where less is
    better); None: nothing. unit: "times" for a ratio within a turn. detail: what the two sides measured, in words."""

    what: str
    values: list[float]
    unit: str = "times"
    mark: float | None = None
    less: bool = False
    detail: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def holds(self) -> bool:
        return self.mark is None or (self.median <= self.mark if self.less else self.median >= self.mark)

    def __str__(self) -> str:
        spread = f" ({shown(min(self.values))} to {shown(max(self.values))})" if len(self.values) > 1 else ""
        count = f", the median of {len(self.values)}" if len(self.values) > 1 else ""
        return f"{self.what}: {shown(self.median)} {self.unit}{count}{spread}"


@dataclass
class Report:
    """The rows of a script: printed as they come, kept in a file of JSON lines where --json asks for it."""

    arguments: argparse.Namespace
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> Row:
        self.rows.append(row)
        print(row, flush=True)
        if self.arguments.json:
            with Path(self.arguments.json).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row)) + "\n")
        return row

    def exit_code(self) -> int:
        """1 where --check is given and a row misses its mark."""
        missed = [row for row in self.rows if not row.holds]
        for row in missed:
            print(
                f"{row.what}: {shown(row.median)}, and {'at most' if row.less else 'at least'} {row.mark} is asked for"
            )
        return int(self.arguments.check and bool(missed))


def parser(description: str, turns: int = 5) -> argparse.ArgumentParser:
    """With the arguments that all scripts take."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--alternations", type=int, default=turns, help=f"how often the two take turns ({turns})")
    made.add_argument("--check", action="store_true", help="exit code 1 where a mark is missed")
    made.add_argument("--json", help="append the results to this file, a line each")
    return made


def shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def seconds(do: Callable[..., object], *arguments: object) -> float:
    start = time.perf_counter()
    do(*arguments)
    return time.perf_counter() - start


def alternate(turns: int, ours: Callable[[], float], usual: Callable[[], float], tell: Callable[..., str]) -> list:
    """[(ours, usual), ...], measured in turns, so that whatever else the machine does meets both."""
    pairs = []
    for turn in range(1, turns + 1):
        pairs.append((ours(), usual()))
        print(f"  {turn}: {tell(*pairs[-1])}", flush=True)
    return pairs


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 by itself."""
    return multiplies_bf16(cpu_flags())


def machine() -> str:
    """Hardware and versions, a line each."""
    threads = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "timm", "pillow"))
    return (
        f"{processor()}, {threads}{', bf16' if has_bf16() else ''}\n"
        f"{platform.system()}, Python {platform.python_version()}, {versions}"
    )
