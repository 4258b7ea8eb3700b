"""Trainings in processes of their own that can be killed, forked from one that has torch already."""

import multiprocessing
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["relvit_lab.train.training"])


def begin(fields: dict) -> tuple[BaseProcess, Connection]:
    """A process that trains. The other end of its pipe says the number of each epoch that is done."""
    ours, theirs = SERVER.Pipe()
    process = SERVER.Process(target=train, args=(fields, theirs))
    process.start()
    theirs.close()  # so that a read ends when the process has
    return process, ours


def train(fields: dict, said: Connection) -> None:
    from relvit_lab.train.events import EpochDone
    from relvit_lab.train.experiment import Experiment
    from relvit_lab.train.training import run

    for record in run(Experiment(**fields)):
        if isinstance(record, EpochDone):
            said.send(record.epoch)
