"""§4: a job of the sweep (workflow/Snakefile): one stage, by papermill on a notebook.

    python -m relvit_lab.paper.plan.job runs/<stage-id> --notebook notebooks/04_train.ipynb --fields '{"seed": 0, ...}'

It leaves runs/<stage-id>/result.json and the stage's other files (by the notebook), without the checkpoint, which has
served; notebook.ipynb (as executed); and, where the stage failed, failure.json. Exit code 0: there is a result. 75:
terminated, a checkpoint is written, the same command goes on from there. 1: failed. This process loads no torch: the
kernel does.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import locked, write_whole
from relvit_lab.common.sealed_json import read
from relvit_lab.common.shown_names import printable
from relvit_lab.paper.plan.gpus import one_device

TERMINATED = 75
TRIES = 3  # of a stage whose kernel died or that failed in a way that another try may mend
NOTEBOOK, FAILURE = "notebook.ipynb", "failure.json"
SHAPE = {"message": str, "notebook": str, "tries?": int, "again?": bool}  # of failure.json
CHECKPOINT = "checkpoint.pt"  # has served once there is a result; 256 MB of ViT-S, times the stages of a sweep


def run_job(folder: Path, fields: Mapping[str, object], notebook: Path, attempt: int = 1) -> int:
    """Train the stage of `folder` with the notebook's parameters `fields`. Returns the exit code.

    attempt: counts from 1 in each sweep. A stage whose failure no further try would mend is not tried again in the
    same sweep; the next sweep tries it again.
    """
    with Termination() as termination, contextlib.ExitStack() as held:
        folder.mkdir(parents=True, exist_ok=True)
        held.enter_context(locked(folder / "job.lock", waiting=lambda: _waits(folder, "another sweep")))
        if not (folder / "result.json").exists():
            # another process, or the kernel of a job that was killed a moment ago
            with locked(folder / "lock", waiting=lambda: _waits(folder, "another process")):
                pass
        if (folder / "result.json").exists():
            return _say(folder, "done already", 0)
        before = read_failure(folder) if attempt > 1 else None
        if before and not before.get("again", True):
            return _say(folder, f"not tried again: {before['message']}", 1)
        (folder / FAILURE).unlink(missing_ok=True)
        wants_gpu = fields.get("device", "auto") in ("auto", "cuda", None)
        device = held.enter_context(one_device(lambda text: _say(folder, text))) if wants_gpu else None
        if device is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = device
            _say(folder, f"on device {device}")
        error = _execute(notebook, folder / NOTEBOOK, fields, termination)
        return _judge(folder, error, termination.asked, before)


def _judge(folder: Path, error: BaseException | None, terminated: bool, before: dict | None) -> int:
    """What an execution that ended so means; failures are written down. Returns the exit code."""
    kind, message = describe(error)
    if (folder / "result.json").exists():  # the only sign of success
        for name in (FAILURE, CHECKPOINT):
            (folder / name).unlink(missing_ok=True)
        return _say(folder, f"finished, but the notebook did not: {message}", 0) if error else 0
    if terminated or kind == "Terminated":
        (folder / FAILURE).unlink(missing_ok=True)
        return _say(folder, "terminated: goes on from its checkpoint", TERMINATED)
    tries = before.get("tries", 1) + 1 if before else 1
    again = kind != "RelvitError" and tries < TRIES  # RelvitError: something that a person has to mend
    failure = {"kind": kind, "message": message, "notebook": NOTEBOOK, "tries": tries, "again": again}
    write_whole(folder / FAILURE, json.dumps(failure, indent=1) + "\n")
    return _say(folder, f"failed: {message} (see {folder / NOTEBOOK})", 1)


def describe(error: BaseException | None) -> tuple[str, str]:
    """The name of an error and its first line; of one in a cell of the notebook, that one's."""
    if error is None:
        return "NoResult", "the notebook ended without a result"
    kind = getattr(error, "ename", None) or type(error).__name__
    lines = str(getattr(error, "evalue", None) or error).strip().splitlines()
    message = lines[0] if lines else kind
    return kind, message if kind in ("RelvitError", message) else f"{kind}: {message}"


def read_failure(folder: Path) -> dict | None:
    """What failure.json says, None where there is none that can be read."""
    try:
        return read(folder / FAILURE, SHAPE)
    except RelvitError:
        return None


class Termination:
    """SIGTERM and SIGINT to the job become a SIGTERM to its kernel, which then writes a checkpoint and ends."""

    def __init__(self):
        self.asked = False
        self.kernel = None  # its manager, once it runs

    def __enter__(self) -> "Termination":
        self.before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: object) -> None:
        if self.asked:
            return  # a scheduler, a shell and a terminal may each send one
        self.asked = True
        if self.kernel is None:
            raise SystemExit(TERMINATED)
        process = self.kernel.provisioner
        if process is not None and process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)


def _execute(notebook: Path, out: Path, fields: Mapping[str, object], termination: Termination) -> BaseException | None:
    """Run the notebook in a kernel of its own. Returns the error that ended it, None where it came to its end."""
    import papermill
    from jupyter_client import AsyncKernelManager

    class Kernel(AsyncKernelManager):
        async def start_kernel(self, **options):
            await super().start_kernel(**options)
            termination.kernel = self

    try:
        papermill.execute_notebook(
            str(notebook), str(out), parameters=dict(fields), kernel_name="python3", progress_bar=False,
            kernel_manager_class=Kernel, extra_arguments=["--log-level=40"],  # errors only
        )  # fmt: skip
    except Exception as error:  # a cell's error, a kernel that died, a notebook that cannot be read or written
        return error
    return None


def _waits(folder: Path, who: str) -> None:
    _say(folder, f"{who} is at this stage: waiting for it")


def _say(folder: Path, text: str, code: int = 0) -> int:
    print(f"{time.strftime('%H:%M:%S')} {printable(folder.name)}: {printable(text)}", flush=True)
    return code


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m relvit_lab.paper.plan.job", description="One stage, as a job of the sweep."
    )
    parser.add_argument("folder", type=Path, help="runs/<stage-id>")
    parser.add_argument("--notebook", type=Path, required=True)
    parser.add_argument("--fields", type=json.loads, required=True, help="the notebook's parameters, as JSON")
    parser.add_argument("--attempt", type=int, default=1)
    given = parser.parse_args(words)
    try:
        return run_job(given.folder, given.fields, given.notebook, given.attempt)
    except RelvitError as error:
        return _say(given.folder, f"error: {error}", 1)


if __name__ == "__main__":
    sys.exit(main())
