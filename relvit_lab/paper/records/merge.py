"""§4: runs that were done elsewhere, merged by copying their folders; the same experiment run twice is noticed."""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.paths import resolve
from relvit_lab.train.stage_folder import RunFolder

FILES = (
    "experiment.json",
    "metrics.jsonl",
    "model.safetensors",
    "result.json",
)  # of a finished stage; the last comes last
EXTRA = ("checkpoint.pt", "notebook.ipynb")  # copied where they are there


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
    def merged(outcome: str, note: str = "") -> Merged:
        return Merged(folder.name, folder, outcome, note)

    if not (folder / "result.json").exists():
        return merged("unfinished")
    lacking = [name for name in FILES if not (folder / name).exists()]
    if lacking:
        return merged("damaged", f"it lacks {', '.join(lacking)}")
    with target.lock():
        try:
            numbers = _numbers(RunFolder(folder))
            if (target.path / "result.json").exists():
                apart = _first_difference(_numbers(target), numbers)
                return merged("different", apart) if apart else merged("equal")
        except (RelvitError, KeyError, TypeError, AttributeError) as error:
            return merged("damaged", f"it cannot be read ({error})")
        target.clear()  # of an unfinished one
        for name in (*EXTRA, *FILES):
            if (folder / name).exists():
                target.write(name, lambda path, name=name: shutil.copyfile(folder / name, path))
    return merged("copied")


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
    return "\n".join(lines)
