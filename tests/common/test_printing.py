"""Whatever is behind standard output, what is printed ends no run and no command."""

import errno
import io
import os
import subprocess
import sys

import pytest

from relvit_lab.__main__ import COMMANDS, HELP, main
from relvit_lab.common import printing
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.process import processes
from relvit_lab.show.follow import follow
from relvit_lab.train.events import Note

SPOKEN = "★ ± caf\udce9 猫 \N{GRINNING FACE}"


def encoded(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def closed_pipe(encoding: str = "utf-8") -> io.TextIOWrapper:
    reads, writes = os.pipe()
    os.close(reads)
    return os.fdopen(writes, "w", encoding=encoding)


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8", "koi8-r", "utf-16"])
def test_what_an_encoding_lacks_is_spelled_out(encoding):
    stream = encoded(encoding)
    print(SPOKEN, file=printing.tolerant(stream), flush=True)
    said = stream.buffer.getvalue().decode(encoding)
    assert "caf\\xe9" in said and ("猫" in said or "\\u732b" in said)
    assert ("*" in said) == ("★" not in said)


@pytest.mark.parametrize("make", [closed_pipe, lambda: closed_pipe("ascii"), Full, lambda: None])
def test_a_run_goes_on_where_nobody_reads(make):
    seen, stream = [], make()

    def records():
        for number in range(2000):  # more than a pipe holds
            seen.append(number)
            yield Note(f"{SPOKEN} {number} " + "x" * 100)

    follow(records(), face="log", out=printing.tolerant(stream), units={})
    assert len(seen) == 2000
    if stream is not None and not isinstance(stream, Full):
        stream.close()  # does not raise either


def test_a_closed_stream_and_an_own_file_are_as_good():
    stream = io.StringIO()
    stream.close()
    follow([Note("one")], face="log", out=stream, units={})
    stream = io.StringIO()
    follow([Note("one")], face="log", out=stream, units={})
    assert "one" in stream.getvalue()


@pytest.mark.parametrize("face", ["log", "bar"])
def test_faces_write_through(face, monkeypatch):
    stream = encoded("ascii")
    follow([Note(SPOKEN)], face=face, out=stream, units={})
    assert b"caf\\xe9" in stream.buffer.getvalue()


@pytest.mark.parametrize("words", [["--help"], ["small"], ["train", "--help"], ["nonsense"]])
def test_commands_end_as_they_would(monkeypatch, words):
    code = main(words)
    for make in (closed_pipe, Full, lambda: encoded("ascii")):
        monkeypatch.setattr(sys, "stdout", out := make())
        monkeypatch.setattr(sys, "stderr", make())
        assert main(words) == code
        assert sys.stdout is out  # put back


def test_a_process_whose_output_is_cut_off(tmp_path):
    code = "import sys\nfrom relvit_lab.__main__ import main\nsys.exit(main(['tables', '--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"LC_ALL": "C"}
    )
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0
    shown = subprocess.run(
        [sys.executable, "-c", "import relvit_lab; print('★ caf\\udce9')"],
        capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert shown.stdout == b"* caf\\xe9\n" and shown.returncode == 0


def test_a_message_of_several_lines_stays_one(monkeypatch, capsys):
    """Lines that are meant; a name with a line break in it makes none."""

    def fails(words):
        raise RelvitError("two\x1b[31m things:", "the first, a\nb", "the second")

    monkeypatch.setitem(COMMANDS, "runs", fails)
    assert main(["runs"]) == 1
    assert capsys.readouterr().err == "error: two\\x1b[31m things:\nthe first, a\\nb\nthe second\n"


def test_ranks_that_are_none_are_not_torchruns(monkeypatch):
    for name, value in {"RANK": "x", "WORLD_SIZE": "4", "MASTER_ADDR": "a", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert processes() == (0, 1)
    monkeypatch.setenv("RANK", "3")
    assert processes() == (3, 4)


def test_every_command_has_help(capsys):
    assert set(HELP) == set(COMMANDS)
    for command in COMMANDS:
        for words in ([command, "--help"], [command, "x", "-h"], ["help", command]):
            assert main(words) == 0
            assert capsys.readouterr().out.startswith(f"python -m relvit_lab {command}: ")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("relvit_lab 0.")


@pytest.mark.parametrize(
    "number, words",
    [(errno.EACCES, "take a folder that is yours"), (errno.EROFS, "take a folder that is yours"),
     (errno.ENOSPC, "free some"), (errno.EDQUOT, "free some"), (errno.ENOENT, "check the path"),
     (errno.ENOTDIR, "check the path"), (errno.EIO, "Input/output error")],
)  # fmt: skip
def test_an_error_of_the_system_is_one_line_with_path_and_advice(monkeypatch, capsys, number, words):
    def fails(_):
        raise OSError(number, os.strerror(number), "/some/where")

    for command in COMMANDS:
        monkeypatch.setitem(COMMANDS, command, fails)
        assert main([command]) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ") and "/some/where" in said and words in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [["tables", "--out", "file/x"], ["report", "--out", "file/x.html"], ["class", "file/x"], ["site", "file/x"],
     ["fetch", "cifar10", "--data-dir", "file/x"], ["record", "runs"], ["figures"], ["readme"]],
)  # fmt: skip
def test_folders_that_cannot_be_made(tmp_path, monkeypatch, capsys, words):
    (tmp_path / "file").write_text("")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "a.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and "network" not in said
    assert str(tmp_path) in said


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_fetch_blames_the_disk_for_what_the_disk_does(tmp_path, number):
    from relvit_lab.data.download import download_once

    def get(folder, *_):
        try:
            raise OSError(number, os.strerror(number), str(folder / "part"))
        except OSError as error:
            raise RuntimeError(f"unpacking failed: {error}") from error

    with pytest.raises(RelvitError) as raised:
        download_once("flowers", tmp_path, lambda folder: "nothing there", get)
    assert "network" not in str(raised.value) and os.strerror(number) in str(raised.value)

    def refused(*_):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    with pytest.raises(RelvitError, match="Where there is network"):
        download_once("flowers", tmp_path, lambda folder: "nothing there", refused)
