"""What a student has tried: a line for each check and prediction in one small file, which a kernel's restart survives.

The file is RELVIT_PROGRESS ("off": nothing is written), else progress/progress.jsonl under the project root. It holds
no name and nothing of the answer itself but a digest, by which a second check of the same answer is known as such.
Whatever is wrong with the file, a check goes on: that is said once.
"""

import contextlib
import hashlib
import inspect
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relvit_lab.common.files import locked
from relvit_lab.common.paths import resolve

VARIABLE = "RELVIT_PROGRESS"
PATIENCE = 1.0  # seconds for the lock; a line is one write, so going on without it does no harm
_complained: set[str] = set()


def place() -> Path | None:
    """Where the lines are kept; None where RELVIT_PROGRESS says "off"."""
    chosen = os.environ.get(VARIABLE, "").strip()
    return None if chosen.lower() == "off" else resolve(chosen or "progress/progress.jsonl")


def add(**what: str | bool) -> None:
    """Note a verdict (exercise, status "right" or "mistake", text, answer: its fingerprint) or a choice (prediction,
    chosen, right). Never raises."""
    path = place()
    if path is None:
        return
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **what}, ensure_ascii=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f"{path.name}.lock"), PATIENCE), path.open("a+b") as file:  # held or not
            cut_short = file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
            file.write((b"\n" if cut_short else b"") + line.encode() + b"\n")
    except Exception as error:  # full, read-only, a folder in its place, a file system without locks: all the same
        if str(path) not in _complained:
            _complained.add(str(path))
            print(
                f"Your progress is not kept: {path} cannot be written ({error}). Checks work as before. To keep it, "
                f'set {VARIABLE} to a file of yours before the first check: import os; os.environ["{VARIABLE}"] = ...',
                file=sys.stderr,
            )


def read(path: Path | None = None) -> list[dict]:
    """All lines, oldest first; [] where there is no file. A line that was cut short is passed over."""
    path = path or place()
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path and path.is_file() else ""
    except OSError:
        return []
    lines = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            lines.append(entry(json.loads(line)))
    return [line for line in lines if line]


def entry(value: Any) -> dict | None:
    """The value as a line of a journal, with the types it must have; None where it is none. The file is theirs."""
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("exercise"), str) and value.get("status") in ("right", "mistake"):
        return value | {key: str(value.get(key, "")) for key in ("text", "answer", "time")}
    if isinstance(value.get("prediction"), str) and isinstance(value.get("right"), bool):
        return value | {key: str(value.get(key, "")) for key in ("chosen", "time")}
    return None


def fingerprint(answer: Any) -> str:
    """A digest of an answer: of a function's source, of a value's printed form. Never raises."""
    try:
        said = inspect.getsource(answer) if callable(answer) else repr(answer)
    except Exception:  # no source, or a __repr__ that fails
        code = getattr(answer, "__code__", None)
        said = repr((code.co_code, code.co_names)) if code else type(answer).__name__
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:12]
