"""The run folder: one for each stage, written so that a kill at any moment leaves it whole, and read back.

    experiment.json  metrics.jsonl  checkpoint.pt  model.safetensors  result.json

result.json comes last, and its presence is the only sign of success.
"""

import errno
import json
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.regular import read_regular

STAGE_FILES = (
    "result.json", "checkpoint.pt", "metrics.jsonl", "model.safetensors", "experiment.json", "profile.json",
    "trace.json.gz",
)  # fmt: skip


class RunFolder:
    """runs/<stage-id>/: atomic writes, a lock that dies with its holder, and reading back."""

    def __init__(self, path: Path):
        self.path = Path(path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Make the folder and hold it. Raises RelvitError where another process does, or it cannot be written."""
        from filelock import FileLock, Timeout

        with _explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / "lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise RelvitError(
                    f"another process is training in {self.path}: wait for it (the same command then returns its "
                    "result), or give this run another run_dir"
                ) from None
        try:
            for leftover in self.path.glob("*.partial"):  # of a process that was killed while it wrote
                leftover.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def clear(self) -> None:
        """Forget the stage (fresh=True); the result first, for it is the sign of success."""
        for name in STAGE_FILES:
            (self.path / name).unlink(missing_ok=True)

    def write(self, name: str, save: Callable[[Path], Any]) -> None:
        """Let `save` fill a file beside `name`, then put it in place at once. Raises RelvitError on a full disk."""
        partial = self.path / f"{name}.partial"
        with _explained(self.path / name):
            try:
                save(partial)
                with partial.open("rb+") as f:
                    os.fsync(f.fileno())
                os.replace(partial, self.path / name)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, lambda path: path.write_text(json.dumps(value, indent=1) + "\n"))

    def write_metrics(self, lines: list[dict]) -> None:
        self.write("metrics.jsonl", lambda path: path.write_text("".join(json.dumps(line) + "\n" for line in lines)))

    def read_json(self, name: str) -> dict | None:
        """The file's content, None where there is none. Raises RelvitError where it is broken."""
        file = self.path / name
        try:
            return json.loads(read_regular(file))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise RelvitError(f"{file} cannot be read ({error}): fresh=True starts this stage anew") from None

    def metrics(self) -> list[dict]:
        """The lines of metrics.jsonl."""
        file = self.path / "metrics.jsonl"
        try:
            return [json.loads(line) for line in read_regular(file).splitlines()] if file.exists() else []
        except (OSError, ValueError, RecursionError) as error:
            raise RelvitError(f"{file} cannot be read ({error}): fresh=True starts this stage anew") from None

    def result(self) -> dict | None:
        return self.read_json("result.json")

    def save_checkpoint(self, state: dict) -> None:
        def save(path: Path) -> None:
            with path.open("wb") as file:  # given a path, torch turns a full disk into another error
                torch.save(state, file)

        self.write("checkpoint.pt", save)

    def checkpoint(self, stage_id: str) -> dict | None:
        """The checkpoint, on the CPU, or None. Raises RelvitError where it is corrupt or another stage's."""
        file = self.path / "checkpoint.pt"
        if not file.exists():
            return None
        anew = "delete the file, or pass fresh=True, to start this stage anew"
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            found = state["stage"]
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise RelvitError(f"the checkpoint {file} is corrupt ({reason[:120]}): {anew}") from None
        if found != stage_id:
            raise RelvitError(f"the checkpoint {file} belongs to another experiment ({found}, not {stage_id}): {anew}")
        return state


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What the system says about a write, in words that say what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "there is no space left: free some, and the same command goes on from the last checkpoint"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            advice = "it cannot be written: give a run_dir that can"
        else:
            advice = "writing failed"
        raise RelvitError(f"{path}: {advice} ({error.strerror or error})") from None


def find_runs(run_dir: Path) -> list[dict]:
    """The stages under a run folder, oldest first: {"id", "folder", "experiment.json", "metrics", "result"}.

    "result" is None for one that has not ended; one that cannot be read is left out.
    """
    found = []
    for file in sorted(Path(run_dir).glob("*/experiment.json"), key=lambda f: f.stat().st_mtime):
        folder = RunFolder(file.parent)
        try:
            found.append(
                {
                    "id": file.parent.name,
                    "folder": str(file.parent),
                    "about": folder.read_json("experiment.json"),
                    "metrics": folder.metrics(),
                    "result": folder.result(),
                }
            )
        except RelvitError:
            continue
    return found
