"""§4: runs that were done elsewhere, merged by copying their folders; the same experiment run twice is noticed.

What comes from elsewhere may be anything: only regular files of a sensible size are opened, never through a link, and a
stage is taken under the id that its own result tells, or not at all.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safetensors import SafetensorError, safe_open

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import open_regular
from relvit_lab.common.paths import resolve
from relvit_lab.common.shown_names import printable
from relvit_lab.train.stage_folder import RunFolder

MB, GB = 2**20, 2**30
FILES = {  # of a finished stage, and the most that each may hold; the last comes last
    "experiment.json": MB, "metrics.jsonl": 16 * MB, "model.safetensors": 8 * GB, "result.json": MB,
}  # fmt: skip
EXTRA = {"checkpoint.pt": 32 * GB, "notebook.ipynb": 100 * MB}  # copied where they are there
MOST = EXTRA | FILES
ID = re.compile(r"[\w.+-]{1,200}")


@dataclass(frozen=True)
class Merged:
    """What became of one stage. outcome: copied, equal (kept once), different (the first is kept; `note` says where
    they part), unfinished or damaged (left out)."""

    stage: str
    source: Path
    outcome: str
    note: str = ""

    @property
    def ok(self) -> bool:
        return self.outcome not in ("different", "damaged")


def merge(sources: Iterable[str | Path], run_dir: str | Path = "runs") -> Iterator[Merged]:
    """Copy the finished stages of other run folders (or single stages) into run_dir. Nothing in run_dir that has a
    result is changed. Raises RelvitError where a source is none, and where a stage is in training here."""
    target = resolve(run_dir)
    for source in map(resolve, sources):
        found = sorted(file.parent for file in (*source.glob("*/experiment.json"), *source.glob("experiment.json")))
        if not found:
            raise RelvitError(f"{source} holds no runs: give a run folder, or the folder of a stage")
        if target.resolve() in (source.resolve(), source.resolve().parent):
            raise RelvitError(f"{source} is in the run folder {target} itself: give one from elsewhere")
        for folder in found:
            yield _merge_stage(folder, RunFolder(target / folder.name))


def _merge_stage(folder: Path, target: RunFolder) -> Merged:
    merged = partial(Merged, folder.name, folder)
    if not folder.is_symlink() and not os.path.lexists(folder / "result.json"):
        return merged("unfinished")
    try:
        present, numbers = _looked_at(folder)
    except _UNREADABLE as error:
        return merged("damaged", str(error) or type(error).__name__)
    with target.lock():
        if (target.path / "result.json").exists():
            try:
                apart = _first_difference(_numbers(target), numbers)
            except _UNREADABLE as error:
                return merged("different", f"the one that was here cannot be read ({error})")
            return merged("different", apart) if apart else merged("equal")
        target.clear()  # of an unfinished one
        for name in present:
            target.write(name, lambda path, name=name: _copy(folder / name, path, MOST[name]))
    return merged("copied")


def _looked_at(folder: Path) -> tuple[list[str], dict[str, object]]:
    """The files of a finished stage, and its numbers. Raises one of _UNREADABLE where it is not what it should be."""
    if folder.is_symlink():
        raise OSError("it is a link")
    present = [name for name in MOST if os.path.lexists(folder / name)]
    if lacking := [name for name in FILES if name not in present]:
        raise OSError(f"it lacks {', '.join(lacking)}")
    for name in present:
        open_regular(folder / name, MOST[name], links=False).close()
    run = RunFolder(folder)
    try:
        numbers, own = _numbers(run), run.result()["stage"]["id"]
        with safe_open(folder / "model.safetensors", "pt") as weights:  # that its parts fit together
            weights.keys()
    except _UNREADABLE as error:
        raise OSError(f"it cannot be read ({error})") from None
    if own != folder.name or not ID.fullmatch(folder.name):
        raise OSError(f"its result is of {str(own)[:200]!r}, and a folder has the name of its stage")
    return present, numbers


# what a reader raises on any content; RecursionError: lists within lists
_UNREADABLE = (RelvitError, OSError, KeyError, TypeError, AttributeError, ValueError, RecursionError, SafetensorError)


def _copy(source: Path, path: Path, most: int) -> None:
    with open_regular(source, most, links=False) as file, path.open("wb") as copy:
        shutil.copyfileobj(file, copy, MB)


def _numbers(folder: RunFolder) -> dict[str, object]:
    """All that a run measured, times aside, by a name for each."""
    found = {f"result {name}": value for name, value in folder.result()["metrics"].items()}
    for line in folder.metrics():
        for part in ("train", "test", "val"):
            found |= {f"epoch {line['epoch']} {part} {name}": value for name, value in line.get(part, {}).items()}
    return found


def _first_difference(first: dict[str, object], second: dict[str, object]) -> str:
    for name in dict.fromkeys((*first, *second)):
        if first.get(name) != second.get(name):
            return f"{name}: {json.dumps(first.get(name))} here, {json.dumps(second.get(name))} there"
    return ""


def describe(outcomes: Iterable[Merged]) -> str:
    """What was done, for people: how many of each, and every one that a person should look at."""
    outcomes = list(outcomes)
    words = {
        "copied": "copied", "equal": "here already, with the same numbers", "unfinished": "not finished, left out",
        "different": "here already, with other numbers", "damaged": "damaged, left out",
    }  # fmt: skip
    counts = {name: [one for one in outcomes if one.outcome == name] for name in words}
    lines = [f"{len(found)} {words[name]}" for name, found in counts.items() if found]
    for one in counts["different"]:
        lines.append(f"run twice: {one.stage}: {one.note}; kept the one that was here, not {one.source}")
    for one in counts["damaged"]:
        lines.append(f"damaged: {one.source}: {one.note}")
    return "\n".join(map(printable, lines))
