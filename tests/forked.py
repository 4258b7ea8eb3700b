"""Processes forked from one that has the imports behind it: each would otherwise spend most of its time on those."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
SERVER.set_forkserver_preload(
    ["relvit_lab.train.training", "relvit_lab.paper.plan.sweep", "sklearn.datasets", "timm", "torchvision"]
    + ["snakemake.cli"]
)


def begin(function: Callable, *arguments, environment: Mapping[str, str] | None = None, said: Path | None = None,
          cwd: Path | None = None) -> tuple[BaseProcess, Connection]:  # fmt: skip
    """A process that calls function(connection, *arguments), a function of a module beside the tests. said: takes its
    output. Returns the process and our end of the connection, where a read fails once the process has ended."""
    ours, theirs = SERVER.Pipe()
    given = dict(os.environ) | dict(environment or {})
    process = SERVER.Process(target=_call, args=(function, theirs, arguments, given, said, cwd or os.getcwd()))
    process.start()
    theirs.close()
    return process, ours


def _call(function, connection, arguments, environment, said, cwd) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    if said is not None:
        with open(said, "a") as file:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(file.fileno(), stream.fileno())
    function(connection, *arguments)


def train(told: Connection, fields: dict) -> None:
    """Tell the number of each epoch that is done."""
    from relvit_lab.train.events import EpochDone
    from relvit_lab.train.experiment import Experiment
    from relvit_lab.train.training import run

    for record in run(Experiment(**fields)):
        if isinstance(record, EpochDone):
            told.send(record.epoch)


def pack_slowly(_: Connection, tree: Path, data_dir: Path) -> None:
    """In chunks of three images, each image in a twentieth of a second."""
    from relvit_lab.data import folder, packed, packing

    decode, packing.CHUNK = packing.decode_image, 3

    def slow(path, size):
        time.sleep(0.05)
        return decode(path, size)

    packing.decode_image = slow
    packed.load(folder.files(tree, "set"), data_dir, 8, progress=None, workers=2)


def snakemake(_: Connection, words: list[str]) -> None:
    """The command."""
    from snakemake.cli import main

    main(words)
