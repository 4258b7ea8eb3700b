"""What a student's code tries against the grader: it finds no right answer, reaches no verdict, and leaves nothing."""

import inspect
import io
import os
import random
import time
from pathlib import Path

import nbformat
import pytest
import torch

from relvit_lab.lessons.ask import EXERCISES
from relvit_lab.lessons.ask import checking as ask
from relvit_lab.publish.classroom import grade, keeper, remote, sandbox, wire

pytestmark = pytest.mark.long

ask.load_all()
NAME = "03-parameters"
RIGHT = "def parameters(D, K, rank=None):\n    return K * D * D if rank is None else 2 * K * D * rank\n"


def both_kinds() -> list:
    """Plain limits, and bubblewrap where it works."""
    walled = pytest.mark.skipif(sandbox.bubblewrap() is None, reason="bubblewrap is not installed, or may not work")
    return ["plain", pytest.param("bubblewrap", marks=walled)]


@pytest.fixture(scope="module", params=both_kinds())
def process(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("A_TOKEN", "secret")
        if request.param == "plain":
            patch.setattr(sandbox, "bubblewrap", lambda: None)
        with remote.Process(["import torch"]) as started:
            yield started


def said(process: remote.Process, code: str, seconds: float = 20) -> ask.Verdict:
    cell = nbformat.v4.new_code_cell(f'{code}\n\ncheck("{NAME}", parameters)', id=f"exercise-{NAME}")
    book = nbformat.v4.new_notebook(cells=[cell])
    return grade.verdict(process, book, EXERCISES[NAME], "parameters", seconds)


CHEATS = {
    "the judge's function, replaced": """
import sys, __main__
for module in [__main__, *sys.modules.values()]:
    for name in ('judge', 'verdict', 'check'):
        try:
            setattr(module, name, lambda *a: True)
        except Exception:
            pass
def parameters(D, K, rank=None):
    return 1
""",
    "the exercise's own judge": """
import gc
for found in gc.get_objects():
    if type(found).__name__ == 'Exercise':
        object.__setattr__(found, 'judge', lambda answer: '')
def parameters(D, K, rank=None):
    return 1
""",
    "lines for a file among the arguments": """
import sys, json
for name in sys.argv:
    try:
        with open(name, 'a') as file:
            file.write(json.dumps({'name': 'NAME', 'status': 'right', 'text': ''}) + '\\n')
    except OSError:
        pass
def parameters(D, K, rank=None):
    return 1
""",
    "gc": """
import gc
right = [e.reference for e in gc.get_objects() if type(e).__name__ == 'Exercise' and e.name == 'NAME']
def parameters(D, K, rank=None):
    return right[0](D, K, rank)
""",
    "gc, any function": """
import gc, types
right = [
    f for f in gc.get_objects()
    if isinstance(f, types.FunctionType) and f.__name__ == 'parameters' and '.exercises' in str(f.__module__)
]
def parameters(D, K, rank=None):
    return right[0](D, K, rank)
""",
    "getattr on the package": """
import relvit_lab.lessons.ask as e
right = getattr(getattr(e, 'EXERC' + 'ISES').get('NAME'), 'refer' + 'ence')
def parameters(D, K, rank=None):
    return right(D, K, rank)
""",
    "importlib": """
import importlib
right = importlib.import_module('relvit_lab.exer' + 'cises.attention_scores')
def parameters(D, K, rank=None):
    return right.parameters(D, K, rank)
""",
    "frames": """
import sys
frame = sys._getframe()
while frame:
    for name in list(frame.f_locals):
        if name in ('judge', 'exercise', 'verdict'):
            raise SystemExit('found')
    frame = frame.f_back
def parameters(D, K, rank=None):
    return 1
""",
    "a verdict written into every pipe": """
import os, struct, json
text = json.dumps({'says': {'answer': True, 'status': 'right'}, 'lengths': []}).encode()
for fd in range(3, 64):
    try:
        os.write(fd, struct.pack('>QQ', len(text), 0) + text)
    except OSError:
        pass
def parameters(D, K, rank=None):
    return 1
""",
    "an answer that is equal to all": """
class Yes(int):
    def __eq__(self, other):
        return True
    __hash__ = None
def parameters(D, K, rank=None):
    return Yes(1)
""",
    "NaN": """
def parameters(D, K, rank=None):
    return float('nan')
""",
    "a number without end": """
def parameters(D, K, rank=None):
    return 10 ** 100_000
""",
    "lists without end": """
deep = []
for _ in range(10_000):
    deep = [deep]
def parameters(D, K, rank=None):
    return deep
""",
    "itself within itself": """
deep = []
deep.append(deep)
def parameters(D, K, rank=None):
    return deep
""",
    "an error whose text fails": """
class Bad(Exception):
    def __str__(self):
        raise Bad
def parameters(D, K, rank=None):
    raise Bad
""",
    "memory": """
def parameters(D, K, rank=None):
    return len(bytearray(2 * 10**9))
""",
    "an answer of 200 MB": """
def parameters(D, K, rank=None):
    return 'x' * 200_000_000
""",
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_no_answer(process, name):
    try:
        assert said(process, CHEATS[name].replace("NAME", NAME)).status == "mistake"
    except remote.Ended:  # it has spoilt its own pipe
        process.__exit__()
        process.__enter__()
    assert said(process, RIGHT).status == "right", "and the next answer is judged as if nothing had been"


def test_where_the_code_runs_there_is_no_right_answer_no_judge_and_no_secret(process):
    look = (
        "import gc, os, sys, relvit_lab.method.relations\n"
        "found = [sorted(sys.modules), sorted(os.environ), sorted({type(o).__name__ for o in gc.get_objects()}), "
        "[str(p) for p in __import__('pathlib').Path(relvit_lab.method.relations.__file__).parent.rglob('*')]]"
    )
    modules, variables, classes, files = process.run([], [look], "found", 20)
    theirs = {type(EXERCISES[NAME]).__name__, "Verdict", "Mistake", "Prediction"}
    assert not theirs & set(classes) and "A_TOKEN" not in variables
    judges = {EXERCISES[name].judge.__module__ for name in EXERCISES.names()}
    assert not judges & set(modules) and "relvit_lab.publish.classroom.grade" not in modules
    below = {file.partition("/package/relvit_lab/")[2] for file in map(str, files)}
    answers = {Path(inspect.getfile(EXERCISES[name].judge)) for name in EXERCISES.names()}
    answers |= {Path(grade.__file__), Path(ask.__file__)}
    hidden = {str(file.relative_to(sandbox.PACKAGE)) for file in answers}
    assert any(file.endswith("relations.py") for file in below) and not hidden & below
    assert not [file for file in below if "exercises" in file and "__init__.py" not in file and "." in file]


def test_a_daemon_ends_with_its_process(process):
    """Forked twice, in a session of its own: it belongs to nobody."""
    seconds = f"271.{os.getpid()}"
    code = (
        "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        f"        os.execvp('sleep', ['sleep', '{seconds}'])\n    os._exit(0)\n"
    )

    def alive() -> list[str]:
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found += [file.parent.name] * (seconds.encode() in file.read_bytes())
            except OSError:
                continue
        return found

    assert said(process, code + RIGHT).status == "right"
    until = time.monotonic() + 5
    while not alive() and time.monotonic() < until:
        time.sleep(0.05)
    assert alive(), "it did begin"
    process.__exit__()
    left = alive()
    process.__enter__()
    assert left == []


def test_no_byte_is_written_to_a_file(process, tmp_path):
    """Not where it runs, and, under plain limits, not elsewhere."""
    for folder in (".", str(tmp_path)):
        code = (
            f"import os\nsizes = []\nfor k in range(20):\n    name = os.path.join({folder!r}, f'f{{k}}')\n    try:\n"
            "        with open(name, 'wb') as file:\n            file.write(bytes(10**6))\n    except OSError:\n"
            "        pass\n    sizes.append(os.path.getsize(name) if os.path.exists(name) else 0)"
        )
        assert process.run([], [code], "sizes", 20) == [0] * 20
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) == 0


def test_time_is_kept_and_the_process_then_ends():
    with remote.Process() as process:
        began = time.monotonic()
        with pytest.raises(remote.Ended, match=r"had no end after 0\.5 seconds"):
            process.run([], ["while True:\n    pass"], "1", 0.5)
        assert time.monotonic() - began < 60
    assert process._process.returncode is not None and not keeper.descendants(process._process.pid)


def test_only_plain_values_come_through_and_any_bytes_are_refused_or_read():
    def no(value, blobs):
        raise wire.Unreadable("no")

    value = {"a": [1, 2.5, None, ..., (True, "x")], 3: torch.arange(6).view(2, 3), "e": torch.empty(0, 4)}
    blobs: list[bytes] = []
    stream = io.BytesIO()
    wire.write(stream, wire.pack(value, blobs, no), blobs)
    good = stream.getvalue()
    words, read = wire.read(io.BytesIO(good))
    again = wire.unpack(words, read, no)
    assert again["a"] == value["a"] and torch.equal(again[3], value[3]) and again["e"].shape == (0, 4)
    draw, noticed = random.Random(0), 0
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            bad[draw.randrange(len(bad))] = draw.randrange(256)
        try:
            frame = wire.read(io.BytesIO(bytes(bad[: draw.choice((len(bad), draw.randrange(len(bad))))])))
            if frame:
                wire.unpack(*frame, no)
        except wire.Unreadable:
            noticed += 1
    assert noticed > 50
