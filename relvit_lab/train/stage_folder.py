"""The run folder: one for each stage, written so that a kill at any moment leaves it whole, and read back.

    experiment.json  metrics.jsonl  checkpoint.pt  model.safetensors  result.json

result.json comes last, and its presence is the only sign of success.
"""

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError, first_line
from relvit_lab.common.files import locked, read_regular, sha256, write_whole
from relvit_lab.common.sealed_json import NUMBER, OPTIONAL, Damaged, is_sealed, misfit, parse, read, sealed
from relvit_lab.common.shortages import write_explained
from relvit_lab.common.weights_file import read_weights

STAGE_FILES = (
    "result.json", "checkpoint.pt", "metrics.jsonl", "model.safetensors", "experiment.json", "profile.json",
    "trace.json.gz",
)  # fmt: skip
FRESH = "fresh"  # when the run that ends with this stage was last begun anew: the file's time

TEXT = (str, type(None))
COUNT = (int, type(None))
EXPERIMENT = {
    "dataset?": str, "scenario?": str, "backbone?": TEXT, "recipe?": str, "preset?": TEXT, "tasks?": list, "seed?": int,
    "epochs?": COUNT, "batch_size?": COUNT, "train_images?": COUNT, "test_images?": COUNT, "mega_patches?": COUNT,
    "image_size?": COUNT, "label_fraction?": NUMBER, "lr?": OPTIONAL,
}  # fmt: skip
STAGE = {"id?": str, "name?": str, "parent?": TEXT, "kept_epoch?": int}
DATA = {"name?": str, "digest?": str, "classes?": list, "mean?": list, "std?": list}
TIMING = {"seconds?": NUMBER, "images_per_second?": NUMBER}
ENVIRONMENT = {"commit?": TEXT, "device?": TEXT, "precision?": TEXT, "versions?": list}
ABOUT = {
    "experiment": EXPERIMENT, "stage": STAGE | {"name": str}, "fields": {"tasks?": list},
    "data": {"name": str, "digest": str, "classes": list, "mean": list, "std": list}, "environment?": ENVIRONMENT,
}  # fmt: skip
RESULT = {
    "metrics": {"*": OPTIONAL}, "experiment?": EXPERIMENT, "stage?": STAGE, "environment?": ENVIRONMENT,
    "timing?": TIMING, "counts?": {"*": int}, "units?": {"*": str}, "test_split?": str, "data?": DATA,
    "weights?": {"sha256": str},
}  # fmt: skip
WHOLE = {
    "experiment": dict, "stage": {"id": str, "name": str}, "metrics": dict, "units": dict, "test_split": str,
    "counts": dict.fromkeys(("steps_per_epoch", "train_images", "test_images", "parameters"), int),
    "environment": {"commit": TEXT, "device": str, "precision": str},
    "timing": {"seconds": NUMBER, "images_per_second": NUMBER},
}  # fmt: skip
"""What the result of a stage has that is whole; tables make do with less."""
LINE = {
    "epoch": int, "step?": int, "lr?": NUMBER, "train?": {"*": OPTIONAL}, "test?": {"*": OPTIONAL},
    "val?": {"*": OPTIONAL}, "timing?": TIMING,
}  # fmt: skip
AGAIN = "fresh=True starts this stage anew"
ANEW = "delete the file, or pass fresh=True, to start this stage anew"

_held: set[Path] = set()  # folders whose lock this process has


class DamagedCheckpoint(Damaged):
    def __init__(self, file: Path, why: str):
        super().__init__(file, why)
        self.args = (f"the checkpoint {file} is corrupt ({why}): {ANEW}",)


class RunFolder:
    """runs/<stage-id>/: atomic writes, a lock that dies with its holder, and reading back. What is read is whole: it
    has the shape that is written, and the sha256 that it was written with."""

    def __init__(self, path: Path):
        self.path = Path(path)

    @contextmanager
    def lock(self, wait: bool = False) -> Iterator[None]:
        """Make the folder and hold it. wait: until another process has let it go. Raises RelvitError where another
        holds it (wait: another thread of this process), or it cannot be written."""
        place = self.path.resolve()
        if place in _held:
            wait = False  # whoever holds it may be waiting for this thread
        with ExitStack() as stack:
            with write_explained(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                held = stack.enter_context(locked(self.path / "lock", -1 if wait else 0))
            if not held:
                raise RelvitError(
                    f"another process is training in {self.path}: wait for it (the same command then returns its "
                    "result), or give this run another run_dir"
                )
            _held.add(place)
            try:
                for leftover in self.path.glob("*.partial"):  # of a process that was killed while it wrote
                    leftover.unlink(missing_ok=True)
                yield
            finally:
                _held.discard(place)

    def is_busy(self) -> bool:
        """Whether another process holds the lock now."""
        if not (self.path / "lock").exists() or self.path.resolve() in _held:
            return False
        try:
            with locked(self.path / "lock", timeout=0) as held:
                return not held
        except OSError:  # lock() says what is wrong
            return False

    def clear(self) -> None:
        """Forget the stage (fresh=True); the result first, for it is the sign of success."""
        for name in STAGE_FILES:
            (self.path / name).unlink(missing_ok=True)

    # -- begun anew ------------------------------------------------------------------------------------------------

    def fresh_since(self) -> int | None:
        """When (in ns) the run that ends with this stage was begun anew, where it has not ended since; else None."""
        begun, ended = _time(self.path / FRESH), _time(self.path / "result.json")
        return None if begun is None or (ended is not None and ended > begun) else begun

    def begin_fresh(self, moment: int) -> None:
        """Keep that the run that ends with this stage is begun anew at a moment (in ns)."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.write(FRESH, lambda path: path.touch())
        os.utime(self.path / FRESH, ns=(moment, moment))

    def is_older(self, moment: int) -> bool:
        """Whether what is in the folder was begun before a moment (in ns), or cannot be read back."""
        begun = _time(self.path / "experiment.json")
        if begun is None or begun <= moment:
            return True
        try:
            self.result()
        except RelvitError:
            return True
        return False

    # -- writing ---------------------------------------------------------------------------------------------------

    def write(self, name: str, content: bytes | Callable[[Path], Any]) -> None:
        """Put a file in place at once (files.write_whole). Raises RelvitError on a full disk."""
        with write_explained(self.path / name):
            write_whole(self.path / name, content)

    def write_json(self, name: str, value: dict) -> None:
        """The value, which is sealed by this (sealed_json.py)."""
        self.write(name, sealed(value, indent=1))

    def write_metrics(self, lines: list[dict]) -> None:
        """metrics.jsonl; each line is sealed by this."""
        self.write("metrics.jsonl", b"".join(map(sealed, lines)))

    def save_checkpoint(self, state: dict) -> None:
        out = io.BytesIO()  # torch's own writer to a file would hide what the system says of a full disk
        torch.save(state, out)
        self.write("checkpoint.pt", lambda path: path.write_bytes(out.getbuffer()))

    # -- reading back ----------------------------------------------------------------------------------------------

    def about(self) -> dict | None:
        """experiment.json, None where there is none. Raises RelvitError where it is damaged."""
        return self._read("experiment.json", ABOUT, lambda value: "stamp" in value["data"])

    def result(self) -> dict | None:
        """result.json, None where there is none. Raises RelvitError where it is damaged."""
        return self._read("result.json", RESULT, lambda value: "weights" in value)

    def _read(self, name: str, shape: object, newer: Callable[[dict], bool]) -> dict | None:
        """newer: whether a value is of a version that sealed what it wrote, so that it needs a sha256."""
        value = read(self.path / name, shape, AGAIN)
        if value is not None and newer(value) and not is_sealed(value):
            raise Damaged(self.path / name, "it has lost its sha256", AGAIN)
        return value

    def ended(self) -> dict:
        """result.json of a stage that has ended. Raises RelvitError where it has not, or where it is damaged."""
        found = self.result()
        if found is None:
            raise RelvitError(f"{self.path} holds no finished stage: run its experiment to the end first")
        return found

    def metrics(self, epochs: int | None = None) -> list[dict]:
        """The lines of metrics.jsonl, [] where there is none. epochs: how many there have to be. Raises RelvitError
        where they are damaged."""
        file = self.path / "metrics.jsonl"
        try:
            lines = [parse(line, LINE) for line in read_regular(file).split(b"\n") if line]
        except (FileNotFoundError, NotADirectoryError):
            lines = []
        except ValueError as error:
            raise Damaged(file, str(error), AGAIN) from None
        except OSError as error:
            raise RelvitError(f"{file} cannot be read ({error.strerror or error}): make it readable") from None
        if len({is_sealed(line) for line in lines}) > 1:
            raise Damaged(file, "a line has lost its sha256", AGAIN)
        if epochs is not None and len(lines) != epochs:
            raise Damaged(file, f"it has {len(lines)} lines for {epochs} epochs", AGAIN)
        return lines

    def finished(self) -> tuple[dict, list[dict], dict]:
        """(about, metrics, result) of a stage that has ended. Raises RelvitError where it has not, or where anything
        that it left is damaged or missing."""
        ended, about = self.ended(), self.about()
        if about is None or not (self.path / "model.safetensors").exists():
            raise RelvitError(f"{self.path} has a result, but not all of its files: {AGAIN}")
        wrong = misfit(ended, WHOLE)
        if wrong:
            raise Damaged(self.path / "result.json", wrong, AGAIN)
        return about, self.metrics(about["experiment"].get("epochs")), ended

    def weights(self) -> dict[str, Tensor]:
        """model.safetensors, by name, on the CPU. Raises RelvitError where it is missing, damaged, or not what
        result.json says was written."""
        file, ended = self.path / "model.safetensors", self.result() or {}
        if "weights" in ended and file.is_file() and sha256(file) != ended["weights"]["sha256"]:
            raise Damaged(file, "it has changed since it was written: its sha256 is another", AGAIN)
        return read_weights(file)

    def checkpoint(self, stage_id: str) -> dict | None:
        """The checkpoint, on the CPU, or None. Raises RelvitError where it is corrupt or another stage's."""
        file = self.path / "checkpoint.pt"
        try:
            state = load_state(file)
        except ValueError as error:
            raise DamagedCheckpoint(file, str(error)) from None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            reason = error.strerror or error
            raise RelvitError(f"the checkpoint {file} cannot be read ({reason}): make it readable") from None
        found = state.get("stage")
        if not isinstance(found, str):
            raise DamagedCheckpoint(file, "it holds no stage")
        if found != stage_id:
            raise RelvitError(f"the checkpoint {file} belongs to another experiment ({found}, not {stage_id}): {ANEW}")
        return state


def load_state(file: Path) -> dict:
    """The state in a checkpoint, its tensors on the CPU; none of its code runs. Raises ValueError, with the reason,
    where it is damaged or no dict; OSError, MemoryError.

    The zip's checksums are compared first: torch reads damaged numbers without a word, and of damaged structure raises
    nearly anything.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"{broken} has another checksum")
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is None:  # zipfile's and torch's own, of a damaged file
            raise ValueError(first_line(error)) from None
        raise
    except Exception as error:  # zipfile, pickle and torch raise some ten kinds between them
        raise ValueError(first_line(error)) from None
    if not isinstance(state, dict):
        raise ValueError("it holds no dict")
    return state


def _time(file: Path) -> int | None:
    """When a file was last written, in ns; None where there is none."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None


def find_runs(run_dir: Path, unreadable: list[str] | None = None) -> list[dict]:
    """The stages under a run folder, oldest first: {"id", "folder", "about", "metrics", "result"}.

    "result" is None for one that has not ended. unreadable: gets a line for each that is left out, for it cannot be
    read.
    """
    problems = [] if unreadable is None else unreadable
    found = []
    for path in sorted(Path(run_dir).glob("*"), key=lambda path: (_time(path / "experiment.json") or 0, path.name)):
        folder = RunFolder(path)
        try:
            there = [name for name in STAGE_FILES if (path / name).exists()]
            about, ended = folder.about(), folder.result()
            if about is None:
                problems += [f"{path} has {there[0]}, but no experiment.json"] if there else []
                continue
            epochs = about["experiment"].get("epochs") if ended and "weights" in ended else None
            metrics = folder.metrics(epochs)
        except (RelvitError, OSError) as error:
            problems.append(str(error))
            continue
        found.append({"id": path.name, "folder": str(path), "about": about, "metrics": metrics, "result": ended})
    return found
