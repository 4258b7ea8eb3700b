"""The verbs for teachers: python -m relvit_lab class | grade."""

from collections.abc import Sequence

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.options import split


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
    limits = {name: _whole(name, options[name]) for name in ("seconds", "jobs") if name in options}
    results = grade.grade(places, **limits)
    print(grade_table.text(results))
    if "csv" in options:
        print(f"\nwritten to {grade_table.write_csv(results, options['csv'])}")
    return 0 if results.results else 1  # nothing that was handed in could be read


def _whole(name: str, text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise RelvitError(f"--{name} takes a whole number, 1 or more, not '{text}'")
    return int(text)
