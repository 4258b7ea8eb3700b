"""Hostile inputs over the commands: each ends with one line and exit code 1, in little memory, and writes nothing."""

import asyncio
import hashlib
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from safetensors.torch import save

from relvit_lab.__main__ import main
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.shown_names import printable
from relvit_lab.paper.plan.gpus import one_device
from relvit_lab.publish.app import server

SECONDS = 60  # until a case counts as hanging
MEMORY = 3 * 2**29  # bytes beyond what is mapped

NAMES = {
    "a script": "<script>alert(1)</script>", "an attribute": "\"><img src=x onerror='alert(1)'>",
    "a cleared screen": "\x1b[2J\x1b]0;owned\x07", "a line of its own": "a\nerror: all is well",
    "right to left": "\u202egnp.exe", "a command": "$(touch owned); `touch owned`", "an option": "--rf",
    "long": "x" * 5000, "no text": "\udcff\udcfe", "upwards": "../" * 40 + "etc/passwd",
}  # fmt: skip
WITH_NAME = {
    "train": lambda name: ["train", "--dataset", name],
    "merge": lambda name: ["merge", name],
    "grade": lambda name: ["grade", name],
    "fetch": lambda name: ["fetch", name],
    "rerun": lambda name: ["rerun", name],
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, limits on time and memory, and a look at what was written beside the target."""
    resource = pytest.importorskip("resource")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("RELVIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(outside)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, hard))
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"no end after {SECONDS} s"))
    signal.alarm(SECONDS)
    try:
        yield tmp_path / "home"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert [path.name for path in outside.iterdir()] == ["kept"] and (outside / "kept").read_text() == "kept"


def one_line(words: list[str], capsys) -> str:
    """Run a command that must fail. Returns the one line that it says."""
    assert main(words) == 1
    said, wrong = capsys.readouterr()
    assert "Traceback" not in said + wrong
    lines = (wrong or said).strip().splitlines()
    assert all(line.isprintable() for line in lines)
    if wrong:
        assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[-1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", WITH_NAME)
def test_a_name(command, name, place, capsys):
    one_line(WITH_NAME[command](NAMES[name]), capsys)


# run folders


def a_run(folder: Path, stage: str = "digits-supervised-0123456789") -> Path:
    folder = folder / stage
    folder.mkdir(parents=True)
    line = {"epoch": 1, "train": {"loss": 2.0}, "test": {"accuracy": 50.0}}
    (folder / "experiment.json").write_text("{}")
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    (folder / "model.safetensors").write_bytes(save({"w": torch.zeros(2)}))
    (folder / "result.json").write_text(json.dumps({"stage": {"id": stage}, "metrics": {"accuracy": 50.0}}))
    return folder


def instead(name: str, put: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        put(folder / name)

    return change


def vast(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**41)  # takes no room on the disk


def renamed(folder: Path) -> None:
    folder.rename(folder.with_name("<img src=x onerror=alert(1)>"))


def linked(folder: Path) -> None:
    moved = folder.parent.parent / "elsewhere"
    folder.rename(moved)
    folder.symlink_to(moved)


DAMAGE = {
    "weights that link to the passwords": instead("model.safetensors", lambda p: p.symlink_to("/etc/passwd")),
    "a checkpoint that links to the passwords": lambda f: (f / "checkpoint.pt").symlink_to("/etc/passwd"),
    "a notebook without end": lambda f: (f / "notebook.ipynb").symlink_to("/dev/zero"),
    "a pipe for a result": instead("result.json", os.mkfifo),
    "a pipe for an experiment": instead("experiment.json", os.mkfifo),
    "a pipe for metrics": instead("metrics.jsonl", os.mkfifo),
    "a socket for metrics": instead("metrics.jsonl", lambda p: socket.socket(socket.AF_UNIX).bind(str(p)[-100:])),
    "a folder for weights": instead("model.safetensors", Path.mkdir),
    "vast weights": instead("model.safetensors", vast),
    "a vast result": instead("result.json", vast),
    "metrics of 200 MB": instead("metrics.jsonl", lambda p: p.write_bytes(b"[" * 200_000_000)),
    "weights that are none": instead("model.safetensors", lambda p: p.write_bytes(b"weights")),
    "a result that is a list": instead("result.json", lambda p: p.write_text("[]")),
    "a result of lists within lists": instead("result.json", lambda p: p.write_text("[" * 100_000)),
    "another name": renamed,
    "a folder that is a link": linked,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_run_from_elsewhere(damage, place, capsys, monkeypatch):
    source = place / "other"
    folder = a_run(source)
    if "socket" in damage:
        monkeypatch.chdir(folder)
        DAMAGE[damage] = instead("metrics.jsonl", lambda p: socket.socket(socket.AF_UNIX).bind(p.name))
    DAMAGE[damage](folder)
    assert one_line(["merge", str(source), "--run-dir", str(place / "runs")], capsys).startswith("damaged: ")
    assert not list((place / "runs").glob("*")), "nothing of it is taken"
    monkeypatch.chdir(place.parent / "outside")


@pytest.mark.parametrize("command", ["record"])
@pytest.mark.parametrize("damage", ["a pipe for a result", "a vast result", "a result of lists within lists"])
def test_a_run_of_ones_own(command, damage, place, capsys):
    DAMAGE[damage](a_run(place / "runs"))
    one_line([command, str(place / "runs")], capsys)


@pytest.mark.parametrize("damage", ["a pipe for a result", "a vast result"])
def test_tables_say_what_they_leave_out(damage, place, capsys):
    DAMAGE[damage](a_run(place / "runs"))
    assert main(["tables", "table2", "--run-dir", str(place / "runs"), "--out", str(place / "out")]) == 0
    assert "result.json cannot be read" in capsys.readouterr().out


# notebooks, data, places


def test_records_that_are_pipes(place, capsys):
    (place / "results").mkdir()
    os.mkfifo(place / "results" / "a.json")
    assert "no regular file" in one_line(["rerun", "a"], capsys)


BOOKS = {
    "no JSON": lambda p: p.write_bytes(b"\x00\xff"), "lists within lists": lambda p: p.write_text("[" * 1_000_000),
    "cells that are a number": lambda p: p.write_text('{"cells": 3, "nbformat": 4, "nbformat_minor": 5}'),
    "vast": vast, "a pipe": os.mkfifo, "without end": lambda p: p.symlink_to("/dev/zero"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOOKS)
@pytest.mark.parametrize("command", ["grade", "site"])
def test_a_notebook(command, kind, place, capsys):
    (place / "books").mkdir()
    BOOKS[kind](place / "books" / "01_\x1b[2J.ipynb")
    words = {"grade": [str(place / "books")], "site": [str(place / "site"), "--notebooks", str(place / "books")]}
    one_line([command, *words[command]], capsys)
    assert not (place / "site").exists()


def test_an_npz_that_is_a_pickle_and_one_that_claims_too_much(place, capsys):
    class Runs:
        def __reduce__(self):
            return os.mkdir, (str(place.parent / "outside" / "ran"),)

    np.savez(place / "a.npz", x_train=np.array([Runs()], object))
    one_line(["train", "--dataset", str(place / "a.npz")], capsys)


@pytest.mark.parametrize("kind", ["a file", "a pipe", "a link to nowhere"])
def test_a_place_for_a_class(kind, place, capsys):
    where = place / "course"
    {"a file": Path.touch, "a pipe": os.mkfifo, "a link to nowhere": lambda p: p.symlink_to("/proc/no")}[kind](where)
    assert "cannot be written" in one_line(["class", str(where), "--notebooks", "01"], capsys)


def test_a_folder_of_locks_that_somebody_else_made(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("RELVIT_DEVICES", "0")
    folder = tmp_path / f"relvit-devices-{os.getuid()}"
    for put in (Path.touch, lambda p: p.symlink_to(tmp_path)):
        put(folder)
        with pytest.raises(RelvitError, match="no folder of yours"), one_device():
            pass
        folder.unlink()
    with one_device() as device:
        assert device == "0" and folder.stat().st_mode & 0o777 == 0o700
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    folder.rename(tmp_path / f"relvit-devices-{uid + 1}")
    with pytest.raises(RelvitError, match="no folder of yours"), one_device():
        pass


# what is shown


def test_what_a_terminal_would_obey_is_spelt_out():
    assert printable("a\x1b[2J\nb\u202ec\udcff é ✓") == r"a\x1b[2J\nb\u202ec\udcff é ✓"


def test_a_page_of_a_notebook_with_a_hostile_id_and_name(tmp_path):
    from relvit_lab.publish.site.page import Link, notebook_body, notebook_page

    bad = '"><script>alert(1)</script>'
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1"), nbformat.v4.new_markdown_cell("a")])
    for cell in book.cells:
        cell["id"] = bad
    page = notebook_page(notebook_body(book), bad, Link(f"{bad}.html", bad), None)
    assert "<script>alert" not in page and "Content-Security-Policy" in page


def test_tables_of_runs_with_hostile_names(tmp_path):
    from run_fixtures import write_cell

    from relvit_lab.paper.plan import cells as plan
    from relvit_lab.paper.tables.files import make_tables
    from relvit_lab.paper.tables.finished import collect
    from relvit_lab.paper.tables.html import to_page
    from relvit_lab.paper.tables.text import to_markdown

    cell = next(iter(plan.cells("table2")))
    bad = "\"><script>alert(1)<b>'"
    write_cell(tmp_path, cell, {0: 90.0}, folder=bad)
    (table,) = make_tables(collect([tmp_path]), plan.cells("table2"), ["table2"])
    for text in (to_page(table, tmp_path), to_markdown(table, tmp_path)):
        assert "script" in text and "<script" not in text and "<b>'" not in text
    assert "Content-Security-Policy" in to_page(table, tmp_path)


# the app


@pytest.mark.parametrize("others", [False, True])
def test_the_app_answers_to_its_own_names(others):
    foreign = server.Foreign(others)
    assert all(map(foreign.is_own, ("localhost", "127.0.0.1", "[::1]", "::1", "LOCALHOST")))
    assert not any(map(foreign.is_own, ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "")))
    assert foreign.is_own("192.168.1.5") == others == foreign.is_own(socket.gethostname())


def test_the_app_starts_so_many_kernels():
    from tornado.web import HTTPError

    manager = server.FewKernels(most=0)
    with pytest.raises(HTTPError, match="503"):
        asyncio.run(manager.start_kernel())


# downloads


def test_a_file_of_the_right_md5_and_another_sha_is_refused(tmp_path, monkeypatch):
    from relvit_lab.data import download

    content = b"made to have this MD5"
    md5, right = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
    put = {"data": tmp_path / "data", "part": tmp_path / "part"}
    for folder in put.values():
        folder.mkdir()
    monkeypatch.setattr(
        "torchvision.datasets.utils.download_url", lambda url, folder, name: (folder / name).write_bytes(content)
    )
    address = "https://example.org/a.zip"
    monkeypatch.setitem(download.SHA256, md5, "0" * 64)
    with pytest.raises(RuntimeError, match="its SHA-256 is not 0000"):
        download.obtain(address, md5, put["part"], put["data"])
    (put["data"] / "a.zip").write_bytes(content)
    with pytest.raises(RuntimeError, match="is damaged, its SHA-256"):
        download.obtain(address, md5, put["part"], put["data"])
    monkeypatch.setitem(download.SHA256, md5, right)
    assert download.obtain(address, md5, put["part"], put["data"]) == put["data"] / "a.zip"
