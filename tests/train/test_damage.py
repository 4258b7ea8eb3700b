"""A run folder whose files are damaged at random: each damage is noticed or harmless. None ends in a traceback, none
changes a number without a word."""

import errno
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from relvit_lab import __main__ as cli
from relvit_lab.common import sealed_json as sealed
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.sealed_json import Damaged, read
from relvit_lab.paper.plan.job import read_failure
from relvit_lab.paper.tables.finished import collect
from relvit_lab.train.events import EpochDone, StageFinished
from relvit_lab.train.experiment import Experiment
from relvit_lab.train.profile import read_profile
from relvit_lab.train.stage_folder import RunFolder
from relvit_lab.train.trained import Trained, load
from relvit_lab.train.training import run

TINY = {
    "preset": "smoke", "scenario": "supervised", "epochs": 2, "train_images": 24, "batch_size": 8, "test_images": 12,
    "backbone": "vit_nano", "profile": True,
}  # fmt: skip
OTHERS = [{}, [], None, True, 0, -1, 1.5, 10**400, "", "text", [[]], {"a": None}]
FILES = (
    "experiment.json", "metrics.jsonl", "result.json", "model.safetensors", "checkpoint.pt", "lock", "profile.json",
    "failure.json", "trace.json.gz",
)  # fmt: skip


class Case:
    """A finished stage and one that was stopped after its first epoch, as files by name; what is read from the first,
    and what the second comes to."""

    def __init__(self, home: Path):
        self.home = home
        self.experiment = Experiment(**TINY)
        (self.stage,) = self.experiment.stages()
        records = run(self.experiment)
        for record in records:
            if isinstance(record, EpochDone):
                records.close()
        self.stopped = self._files()
        list(run(self.experiment))
        (self.stage.folder / "failure.json").write_text('{"message": "m", "notebook": "n", "tries": 1, "again": true}')
        self.finished = self._files()
        self.expected = self.seen()

    def _files(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in self.stage.folder.iterdir()}

    def put(self, files: dict[str, bytes]) -> None:
        shutil.rmtree(self.stage.folder)
        self.stage.folder.mkdir()
        for name, content in files.items():
            (self.stage.folder / name).write_bytes(content)

    def seen(self) -> dict[str, object]:
        """What every reader of a run folder gives: numbers, or the line that says why not."""
        folder = self.stage.folder
        readers: dict[str, Callable[[], object]] = {
            "replay": lambda: [self.numbers(record) for record in run(self.experiment)],
            "load": lambda: self.loaded(load(folder)),
            "tables": self.tables,
            "profile": lambda: read_profile(folder),
            "failure": lambda: read_failure(folder),
        }
        found = {}
        for name, reader in readers.items():
            try:
                found[name] = reader()
            except RelvitError as error:
                assert "\n" not in str(error), error
                found[name] = error
        return found

    def loaded(self, trained: Trained) -> object:
        weights = {name: value.numpy().tobytes() for name, value in trained.model.state_dict().items()}
        return weights, trained.metrics

    def tables(self) -> object:
        runs = collect([self.stage.folder.parent])
        return runs.unreadable or [run.result for run in runs]

    def numbers(self, record: object) -> object:
        if isinstance(record, StageFinished):
            return record.result["metrics"]
        return record.metrics if isinstance(record, EpochDone) else type(record).__name__


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    shared = Path("/dev/shm")  # in memory where there is such a place: a case writes and reads a megabyte
    home = tmp_path_factory.mktemp("damage")
    if shared.is_dir():
        home = Path(tempfile.mkdtemp(prefix="damage", dir=shared))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELVIT_HOME", str(home))
        torch.set_num_threads(1)
        yield Case(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def at_home(case, monkeypatch):
    monkeypatch.setenv("RELVIT_HOME", str(case.home))
    return case


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Bytes flipped, cut off, overwritten; a file or a part of one replaced by other JSON."""
    kind = dice.choice(["flip", "flip", "flip", "cut", "zeros", "garbage", "json", "part"])
    if kind == "flip" and content:
        changed = bytearray(content)
        for _ in range(dice.choice([1, 2, 5, 100])):
            changed[dice.randrange(len(changed))] ^= dice.randrange(1, 256)
        return bytes(changed)
    if kind == "cut":
        return content[: dice.randrange(len(content) + 1)]
    if kind == "zeros":
        start = dice.randrange(len(content) + 1)
        return content[:start] + bytes(min(512, len(content) - start)) + content[start + 512 :]
    if kind == "garbage":
        return dice.randbytes(dice.randrange(1000))
    if kind == "json":
        return dice.choice([json.dumps(other).encode() for other in OTHERS] + [b"[" * 100_000, b"\xff{", b"NaN"])
    try:
        lines = [json.loads(line) for line in (content.splitlines() if content.count(b"}\n{") else [content])]
    except ValueError:
        return content[::-1]
    return b"\n".join(json.dumps(replaced(line, dice)).encode() for line in lines)


def replaced(value: object, dice: random.Random) -> object:
    """The value with one part of it, at any depth, replaced by JSON of any type."""
    if not isinstance(value, dict) or not value or dice.random() < 0.2:
        return dice.choice(OTHERS)
    name = dice.choice(sorted(value))
    return value | {name: replaced(value[name], dice)}


def check(case: Case, seed: int) -> bool:
    """One damage. Returns whether it was noticed."""
    dice = random.Random(seed)
    name = dice.choice(FILES)
    before = case.finished.get(name, b"")
    case.put(case.finished | {name: damaged(before, dice)})
    found = case.seen()
    noticed = False
    for reader, value in found.items():
        words = isinstance(value, RelvitError) or (reader == "tables" and value and isinstance(value[0], str))
        noticed |= words
        left_out = reader == "failure" and value is None  # as a stage that did not fail, which is tried again
        assert words or left_out or name == "failure.json" or value == case.expected[reader], (seed, name, reader)
    return noticed


def check_resumed(case: Case, seed: int) -> None:
    """One damage to a stage that goes on: it says so, or ends with the numbers that it would have had."""
    dice = random.Random(seed)
    name = dice.choice(["checkpoint.pt", "checkpoint.pt", "experiment.json", "metrics.jsonl"])
    case.put(case.stopped | {name: damaged(case.stopped[name], dice)})
    try:
        ended = list(run(case.experiment))[-1]
    except RelvitError as error:
        assert "\n" not in str(error), error
        return
    lines = [{k: v for k, v in line.items() if k != "timing"} for line in RunFolder(ended.folder).metrics()]
    whole = [json.loads(line) for line in case.finished["metrics.jsonl"].splitlines()]
    assert lines == [{k: v for k, v in line.items() if k != "timing"} for line in whole], (seed, name)
    assert (case.stage.folder / "model.safetensors").read_bytes() == case.finished["model.safetensors"], (seed, name)


def test_what_is_whole_is_read(at_home):
    """Or the checks below would pass on anything."""
    assert not [value for value in at_home.expected.values() if isinstance(value, RelvitError)]
    at_home.put(at_home.finished)
    assert at_home.seen() == at_home.expected


def test_random_damage_is_noticed_or_harmless(at_home):
    """Some of the kind of the 500 cases below."""
    noticed = [check(at_home, seed) for seed in range(30)]
    for seed in range(10):
        check_resumed(at_home, seed)
    assert sum(noticed) > 10


@pytest.mark.slow
def test_500_damages_are_noticed_or_harmless(at_home):
    for seed in range(400):
        check(at_home, 1000 + seed)
    for seed in range(100):
        check_resumed(at_home, 1000 + seed)


# JSON of every kind

WRONG = {
    "an object": b"{}", "a list": b"[]", "null": b"null", "true": b"true", "a number": b"1", "a text": b'"x"',
    "nothing": b"", "half": b'{"a": 1', "deep": b"[" * 100_000, "deep objects": b'{"a":' * 50_000, "bytes": b"\xff\xfe",
    "zeros": bytes(100), "list of objects": b"[{}]", "NaN": b"NaN",
}  # fmt: skip


@pytest.mark.parametrize("name", ["experiment.json", "result.json", "metrics.jsonl"])
def test_every_kind_of_damaged_json_is_a_line_and_the_others_are_still_listed(at_home, name, capsys):
    home, other = at_home.home / "runs", at_home.home / "runs" / "a-whole-one"
    for kind, text in WRONG.items():
        if name == "metrics.jsonl" and kind == "nothing":
            text = at_home.finished[name].splitlines()[0]  # an epoch is missing
        at_home.put(at_home.finished)
        shutil.rmtree(other, ignore_errors=True)
        shutil.copytree(at_home.stage.folder, other)
        (at_home.stage.folder / name).write_bytes(text)
        assert cli.main(["runs"]) == 0
        said = capsys.readouterr().out
        left_out = [line for line in said.splitlines() if line.startswith("left out: ")]
        assert len(left_out) == 1 and name in left_out[0] and str(at_home.stage.folder) in left_out[0], (kind, said)
        assert sum(line.startswith("a-whole-one") for line in said.splitlines()) == 1, kind
        with pytest.raises(RelvitError, match=name):
            load(at_home.stage.folder)
        with pytest.raises(RelvitError, match=name):
            list(run(at_home.experiment))
        if name == "result.json":
            runs = collect([home])
            assert len(runs) == 1 and len(runs.unreadable) == 1, kind
    shutil.rmtree(other)


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("command", [["readme"], ["rerun", "x"]])
def test_damaged_records_end_in_a_line(tmp_path, capsys, kind, command):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "README.template.md").write_text("{{seeds}}")
    (tmp_path / "results" / "x.json").write_bytes(WRONG[kind])
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert "x.json is no record of a stage" in said and said.count("\n") == 1


def test_a_folder_of_an_earlier_version_is_read(at_home):
    """Without sha256 anywhere, without the stamp of the data, and without versions in the checkpoint."""

    def older(value: dict) -> bytes:
        value.get("timing", {}).pop("sha256", None)
        kept = {name: own for name, own in value.items() if name not in ("weights", "data", "sha256")}
        return json.dumps(kept).encode()

    files = dict(at_home.finished)
    about = json.loads(files["experiment.json"])
    about.pop("sha256"), about["data"].pop("stamp")
    files["experiment.json"] = json.dumps(about).encode()
    files["result.json"] = older(json.loads(files["result.json"]))
    files["metrics.jsonl"] = b"\n".join(older(json.loads(line)) for line in files["metrics.jsonl"].splitlines()) + b"\n"
    at_home.put(files)
    found = at_home.seen()
    assert not [value for value in found.values() if isinstance(value, RelvitError)]
    assert found["load"] == at_home.expected["load"]


def test_what_may_not_be_read_is_no_damage(tmp_path, monkeypatch):
    """fresh=True would not help."""
    (tmp_path / "result.json").write_text("{}")

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(sealed, "read_regular", refuse)
    with pytest.raises(RelvitError, match=r"Permission denied.*make it readable") as caught:
        RunFolder(tmp_path).result()
    assert "fresh" not in str(caught.value)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "result.json")
    with pytest.raises(Damaged, match="no regular file"):
        read(tmp_path / "result.json")
