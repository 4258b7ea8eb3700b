"""JSON files that show whether they are whole: each value has the shape that is expected, and holds the sha256 of its
own content. One without a sha256 is of an earlier version."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relvit_lab.common.errors import RelvitError, first_line
from relvit_lab.common.files import read_regular

SEAL = "sha256"
LATER = ("metrics", "units")  # what is added to a result later: probes
NUMBER = (int, float)
OPTIONAL = (int, float, type(None))
_KINDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number", float: "a number"}


class Damaged(RelvitError):
    """A file that does not hold what was written. why: what is wrong with it, without its path and what to do."""

    def __init__(self, file: Path, why: str, advice: str = "delete it, or bring a copy"):
        self.file, self.why = file, why
        super().__init__(f"{file} cannot be read ({why}): {advice}")


def sealed(value: dict, indent: int | None = None) -> bytes:
    """The value as JSON. From now on it holds the sha256 of its content: in `timing` where it has times, for it changes
    with them, and there at its top that of what may be added later; else at its top."""
    for place, digest in _seals(value):
        place[SEAL] = digest
    return json.dumps(value, indent=indent).encode() + b"\n"


def read(file: Path, shape: object = dict, advice: str = "delete it, or bring a copy") -> Any:
    """The JSON value in a file; None where there is no file. shape: as in `parse`. Raises Damaged; RelvitError where
    the file may not be read."""
    try:
        text = read_regular(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno is None:  # a pipe, a device, a file without end
            raise Damaged(file, str(error), advice) from None
        raise RelvitError(f"{file} cannot be read ({error.strerror}): make it readable") from None
    try:
        return parse(text, shape)
    except ValueError as error:
        raise Damaged(file, str(error), advice) from None


def parse(text: bytes, shape: object = dict) -> Any:
    """A JSON value from its text. shape: a type, a tuple of types, or a dict of shapes by key ("*": of all others; a
    key that ends in "?" may be absent). Raises ValueError, with the reason, where it is no such value, or not what was
    sealed."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or too deep
        raise ValueError(first_line(error)) from None
    if isinstance(value, dict) and is_sealed(value):
        if any(place.get(SEAL) != digest for place, digest in _seals(value)):
            raise ValueError("it has changed since it was written: its sha256 is another")
    wrong = misfit(value, shape)
    if wrong:
        raise ValueError(wrong)
    return value


def misfit(value: object, shape: object, name: str = "it") -> str | None:
    """Where a value departs from a shape, in words; None: nowhere."""
    if not isinstance(shape, Mapping):
        kinds = shape if isinstance(shape, tuple) else (shape,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            return f"{name} is not {' or '.join(_KINDS.get(kind, 'null') for kind in kinds)}"
        if isinstance(value, int) and abs(value) > 2**63:
            return f"{name} is too large a number"
        return None
    if not isinstance(value, dict):
        return f"{name} is not {_KINDS[dict]}"
    for key, kind in shape.items():
        plain = key.removesuffix("?")
        if key != "*" and plain in value:
            wrong = misfit(value[plain], kind, plain if name == "it" else f"{name}.{plain}")
            if wrong:
                return wrong
        elif key == plain and key != "*":
            return f"{name} has no {plain}"
    if "*" in shape:
        others = (key for key in value if key not in shape and f"{key}?" not in shape)
        found = (misfit(value[key], shape["*"], key if name == "it" else f"{name}.{key}") for key in others)
        return next(filter(None, found), None)
    return None


def is_sealed(value: dict) -> bool:
    """Whether a value holds a sha256 of its own, or a part of it does."""
    timing = value.get("timing")
    return SEAL in value or (isinstance(timing, dict) and SEAL in timing)


def _seals(value: dict) -> list[tuple[dict, str]]:
    """Where in a value a sha256 stands, and which it has to be (64 hexadecimal digits)."""
    rest = {name: own for name, own in value.items() if name != SEAL}
    timing = value.get("timing")
    if not isinstance(timing, dict):
        return [(value, _digest(rest))]
    later = {name: rest.pop(name) for name in LATER if name in rest}
    rest["timing"] = {name: own for name, own in timing.items() if name != SEAL}
    return [(timing, _digest(rest))] + ([(value, _digest(later))] if later else [])


def _digest(value: dict) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
