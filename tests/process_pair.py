"""Two processes that train together on the CPU, as torchrun would start them, and do one job after another.

They are started once for many tests. A job is a function of this module and its arguments; both do it, and what the two
return is the answer.
"""

import os
import signal
import socket
from multiprocessing.connection import Connection
from pathlib import Path

import forked

PATIENCE = 180  # seconds for a job


class Pair:
    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        self.said = [folder / f"said-{rank}.txt" for rank in range(2)]
        self.parts = [
            forked.begin(serve, environment=shared | {"RANK": str(rank)}, said=self.said[rank]) for rank in range(2)
        ]

    def __call__(self, job: str, **arguments) -> list:
        """The answers of rank 0 and rank 1."""
        for _, connection in self.parts:
            connection.send((job, arguments))
        try:
            assert all(connection.poll(PATIENCE) for _, connection in self.parts)
            return [connection.recv() for _, connection in self.parts]
        except (AssertionError, EOFError):  # no answer in time, or a process that has ended
            for process, _ in self.parts:
                process.kill()
            raise AssertionError([file.read_text()[-2000:] for file in self.said]) from None

    def close(self) -> None:
        for _, connection in self.parts:
            connection.close()
        for process, _ in self.parts:
            process.join(30)
            assert process.exitcode is not None


def train(home: str, terminate: int | None = None, at: int = 0, **fields) -> list:
    """Train. terminate: the rank that gets SIGTERM while it does the step `at` (from 1).

    Returns what is yielded, by the names of the types, or the step after which it was terminated.
    """
    from relvit_lab.common.signals import Terminated
    from relvit_lab.train.experiment import Experiment
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
    try:
        return main(words)
    except SystemExit as end:
        return end.code


def serve(connection: Connection) -> None:
    """Do one job after another, until the tests hang up."""
    job = ""
    while job != "command":  # after which its process would end: the other notices by that
        try:
            job, arguments = connection.recv()
        except EOFError:
            return
        connection.send(globals()[job](**arguments))
