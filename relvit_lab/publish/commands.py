"""The verbs of this folder: python -m relvit_lab site | report | class | grade. What they need is loaded late."""

import shlex
import sys
import time
from collections.abc import Sequence

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.options import PLAIN, split
from relvit_lab.common.shown_names import printable
from relvit_lab.common.words import human_time


def site(words: Sequence[str]) -> int:
    """site [DIR] [--notebooks FOLDER] [--cache FOLDER]. Returns 1 where a notebook failed."""
    from relvit_lab.publish.site.build import build_site

    options, folders = split(words, ("notebooks", "cache"))
    if len(folders) > 1:
        raise RelvitError(f"site takes one folder to write to, not {len(folders)}: site docs-site")
    begin = time.monotonic()
    written, failures = build_site(*folders, say=lambda text: print(text, flush=True), **options)
    size = sum(path.stat().st_size for path in written) / 1e6
    print(f"{len(written)} pages, {size:.1f} MB, {human_time(time.monotonic() - begin)}: open {written[0]}")
    for failure in failures:
        first, *more = failure.splitlines()
        print("\n".join([f"\nFAILED: {printable(first)}", *map(printable, more)]), file=sys.stderr)
    return 1 if failures else 0


def report(words: Sequence[str]) -> None:
    """report [table2 ...] [--out report.html] and the options of tables."""
    from relvit_lab.paper.plan.cells import OPEN
    from relvit_lab.publish.report import write_report

    options, names = split(words, OPEN | dict.fromkeys(("out", "recipes", "seeds"), PLAIN))
    print(write_report(names=names, command=f"python -m relvit_lab report {shlex.join(words)}".strip(), **options))


def class_copies(words: Sequence[str]) -> None:
    """class DIR [--notebooks 01,03] [--no-hints] [--force]"""
    from relvit_lab.publish.classroom.copies import write_class

    options, folders = split(words, ("notebooks",), ("no_hints", "force"))
    if len(folders) != 1:
        raise RelvitError("class takes one folder: python -m relvit_lab class DIR (or: make class DIR=path)")
    chosen = [name for name in options.get("notebooks", "").split(",") if name]
    student, teacher = write_class(folders[0], chosen, hints="no_hints" not in options, force="force" in options)
    for kind, files in (("for students, without solutions", student), ("for you, solved", teacher)):
        print(f"{files[0].parent}  {kind}:")
        print("".join(f"  {path.name}\n" for path in files), end="")


def grade(words: Sequence[str]) -> int:
    """grade FOLDER_OR_FILES ... [--csv out.csv] [--seconds 60] [--jobs 1]"""
    from relvit_lab.publish.classroom import grade, grade_table

    options, places = split(words, ("csv", "seconds", "jobs"))
    if not places:
        raise RelvitError("grade takes what was handed in: a folder, or notebooks and progress files")
    limits = {}
    for name in [name for name in ("seconds", "jobs") if name in options]:
        if not options[name].isdigit() or int(options[name]) < 1:
            raise RelvitError(f"--{name} takes a whole number, 1 or more, not '{options[name]}'")
        limits[name] = int(options[name])
    results = grade.grade(places, **limits)
    print(grade_table.text(results))
    if "csv" in options:
        print(f"\nwritten to {grade_table.write_csv(results, options['csv'])}")
    return 0 if results.results else 1  # nothing that was handed in could be read
