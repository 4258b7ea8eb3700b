"""Run all benchmarks one after the other and write benchmarks/RESULTS.md: hardware, versions, medians, spread.

    python benchmarks/all.py [--only input_pipeline,bf16_step] [--quick]     (make bench)

About 25 minutes on two cores. A row that was measured earlier stays in RESULTS.md until it is measured again on the
same machine; rows of another machine are dropped. --quick: one turn each, to see that everything runs; writes nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import measure

from relvit_lab.train.environment import commit

HERE = Path(__file__).parent
RESULTS, ROWS = HERE / "RESULTS.md", HERE / "results.json"
SCRIPTS = (
    ("input_pipeline", "--variants"),
    ("input_pipeline", "--size", "224", "--patch", "16"),
    ("input_pipeline", "--usual", "pil"),
    ("training_step",),
    ("bf16_step",),
    ("engine",),
    ("epoch",),
    ("pair_memory",),
    ("packed_store",),
    ("growth",),
)


def page(rows: Iterable[Mapping], machine: str) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench` (`python benchmarks/all.py`); each row names its script, which says what is compared.",
        "A ratio is taken within one run, the two sides taking turns; its median and range over the turns are given.",
        "",
        *(f"    {line}" for line in machine.splitlines()),
        "",
        "| what | median | from | to | turns | asked for | measured | script | commit, date |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kept in rows:
        row = measure.Row(**kept["row"])
        asked = "" if row.mark is None else f"{'at most' if row.less else 'at least'} {row.mark:g}"
        asked += "" if row.holds else ": missed"
        low, high = (measure.shown(end(row.values)) for end in (min, max)) if len(row.values) > 1 else ("", "")
        cells = (row.what, f"{measure.shown(row.median)} {row.unit}", low, high, len(row.values), asked, row.detail,
                 f"`{kept['script']}`", f"{kept['commit']}, {kept['date']}")  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def run(script: tuple[str, ...], quick: bool) -> tuple[list[dict], int]:
    """The rows of a script, and its exit code. What it prints is shown."""
    name, *words = script
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows")
        command = [sys.executable, str(HERE / f"{name}.py"), *words, "--json", str(file)]
        code = subprocess.run(command + ["--alternations", "1"] * quick).returncode
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    shown = " ".join((f"{name}.py", *(word for word in words if "/" not in word)))  # no path of this machine
    about = {"script": shown, "commit": commit(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    return [{**about, "row": json.loads(line)} for line in lines], code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names of scripts, by commas")
    parser.add_argument("--data-dir", help="with CIFAR-10 in it: also what bf16 does to accuracy (half an hour)")
    parser.add_argument("--quick", action="store_true", help="one turn each, nothing is written")
    o = parser.parse_args()
    scripts = (*SCRIPTS, ("bf16_accuracy", "--data-dir", o.data_dir)) if o.data_dir else SCRIPTS
    only = o.only.split(",") if o.only else [script[0] for script in scripts]
    unknown = set(only) - {script[0] for script in scripts}
    if unknown:
        parser.error(
            f"no benchmark {', '.join(sorted(unknown))}: take {', '.join(dict.fromkeys(s[0] for s in scripts))}"
        )
    machine = measure.machine()
    kept = json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else {"machine": machine, "rows": []}
    rows = {row["row"]["what"]: row for row in kept["rows"]} if kept["machine"] == machine else {}
    chosen, failed, began = [script for script in scripts if script[0] in only], [], time.monotonic()
    for number, script in enumerate(chosen, 1):
        print(f"\n[{number}/{len(chosen)}, {(time.monotonic() - began) / 60:.0f} min] {' '.join(script)}", flush=True)
        new, code = run(script, o.quick)
        failed += [script] if code else []
        rows |= {row["row"]["what"]: row for row in new}
        if not o.quick:  # after each, so that nothing is lost
            order = {" ".join((f"{name}.py", *words)): k for k, (name, *words) in enumerate(SCRIPTS)}
            in_order = sorted(rows.values(), key=lambda row: order.get(row["script"], len(order)))
            ROWS.write_text(json.dumps({"machine": machine, "rows": in_order}, indent=1) + "\n", encoding="utf-8")
            RESULTS.write_text(page(in_order, machine), encoding="utf-8")
    for script in failed:
        print(f"failed: {' '.join(script)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
