"""Two processes that train together on the CPU, as torchrun would start them, and do one job after another.

They are started once for many tests. A job is a function of this module and its arguments; both do it, and what the two
return is the answer.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

PATIENCE = 180  # seconds for a job


class Pair:
    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        self.said = [folder / f"said-{rank}.txt" for rank in range(2)]
        self.processes = [
            subprocess.Popen(
                [sys.executable, __file__], env=environment | {"RANK": str(rank)}, text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=self.said[rank].open("w"),
            )
            for rank in range(2)
        ]  # fmt: skip

    def __call__(self, job: str, **arguments) -> list:
        """The answers of rank 0 and rank 1."""
        for process in self.processes:
            process.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
            process.stdin.flush()
        watch = threading.Timer(PATIENCE, lambda: [process.kill() for process in self.processes])
        watch.start()
        lines = [process.stdout.readline() for process in self.processes]
        watch.cancel()
        assert all(lines), [file.read_text()[-2000:] for file in self.said]
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            process.wait(timeout=30)


def train(home: str, terminate: int | None = None, at: int = 0, **fields) -> list:
    """Train. terminate: the rank that gets SIGTERM while it does the step `at` (from 1).

    Returns what is yielded, by the names of the types, or the step after which it was terminated.
    """
    from relvit_lab.train.experiment import Experiment
    from relvit_lab.train.signals import Terminated
    from relvit_lab.train.state import Training
    from relvit_lab.train.training import run

    os.environ["RELVIT_HOME"] = home
    train_step, steps = Training.train_step, []

    def step(self, *batch):
        train_step(self, *batch)
        steps.append(self.step)
        if self.step == at and terminate == int(os.environ.get("RANK", 0)):
            os.kill(os.getpid(), signal.SIGTERM)

    Training.train_step = step
    try:
        return [type(record).__name__ for record in run(Experiment(**fields))]
    except Terminated:
        return [steps[-1]]
    finally:
        Training.train_step = train_step


def command(words: list[str], fails: int, at: int) -> int:
    """python -m relvit_lab, where a step of the rank `fails` goes wrong. Returns the exit code. The last job."""
    from relvit_lab.__main__ import main
    from relvit_lab.common.errors import RelvitError
    from relvit_lab.train.state import Training

    train_step = Training.train_step

    def step(self, *batch):
        train_step(self, *batch)
        if self.step == at and fails == int(os.environ["RANK"]):
            raise RelvitError("this device is unhappy")

    Training.train_step = step
    with contextlib.redirect_stdout(sys.stderr):
        try:
            return main(words)
        except SystemExit as end:
            return end.code


if __name__ == "__main__":
    for line in sys.stdin:
        words = json.loads(line)
        job = words.pop("job")
        print(json.dumps(globals()[job](**words)), flush=True)
        if job == "command":
            break  # as its process does: the other notices by that
