"""Values as papermill and a shell hand them over, brought to the type of their field and checked."""

import ast
import json
import math
import numbers
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from relvit_lab.common.errors import RelvitError, nearest


@dataclass(frozen=True)
class Setting:
    """What is known of a value beside its type.

    help: its unit and meaning. choices: the words that it may be. range: the least and the largest number. none:
    another word for None. flag: on a command line it may stand without a value, and is true then. words: what people
    type for its name, other programs' names among it. values: the same for its choices, each word with its choice.
    asides: names of other programs for what nothing has to be set here, each with a sentence.
    """

    help: str = ""
    choices: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    none: str | None = None
    flag: bool = False
    words: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    asides: Mapping[str, str] = field(default_factory=dict)


def is_whole(value: object) -> bool:
    """Whether it is a whole number, NumPy's among them; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


PLAIN = Setting()
NUMBER = r"[+-]?\d*\.?\d+e[+-]?\d+"


def synonyms(text: str) -> dict[str, dict[str, typing.Any]]:
    """What people type, by field, as replace(setting, ...) takes it, from lines of three kinds:

    field: words of its name; field=choice: words of a choice; field!words: a sentence on what needs no field.
    """
    found: dict[str, dict[str, typing.Any]] = {}
    for line in text.splitlines():
        left, _, right = line.partition(": ")
        name, kind, rest = re.fullmatch(r"(\w+)([=!]?)(.*)", left).groups()  # type: ignore[union-attr]
        own = found.setdefault(name, {"words": "", "values": {}, "asides": {}})
        if kind == "=":
            own["values"] |= dict.fromkeys(right.split(), rest)
        elif kind == "!":
            own["asides"] |= dict.fromkeys(rest.split(), right)
        else:
            own["words"] = right
    return found


def nearest_field(name: str, fields: Mapping[str, Setting]) -> str:
    """`nearest`, for the name of a field: it knows what other programs call it."""
    meant = {word: field for field, setting in fields.items() for word in setting.words.split()}
    for setting in fields.values():
        meant |= setting.asides
    return nearest(name.strip("-").replace("-", "_").lower(), fields, meant)


def coerce(name: str, value: typing.Any, hint: typing.Any, setting: Setting = PLAIN) -> object:
    """The value in the field's type. Raises RelvitError where it cannot be meant."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):  # with None
        hint = typing.get_args(hint)[0]
        if value is None or str(value) == setting.none:
            return None
        if isinstance(value, str) and value.strip().lower() in ("", "none", "null") and value not in setting.choices:
            return None
    try:
        if hint is bool:
            return _boolean(value)
        if typing.get_origin(hint) is tuple:
            return tuple(coerce(name, item, typing.get_args(hint)[0]) for item in _items(value))
        if "true" in setting.choices:  # a choice beside yes and no
            return value if value in setting.choices else _said(value)
        if isinstance(value, bool):
            raise ValueError
        if hint is int:
            number = float(value)
            if number != int(number):
                raise ValueError
            return int(value) if isinstance(value, int) else int(number)
        if hint is float:
            number = float(value)
            if not math.isfinite(number):
                raise ValueError
            return number
        if isinstance(value, int) and setting.choices:  # precision 32: check names the nearest
            return str(value)
        if isinstance(value, (str, Path)) and (text := str(value).strip()):
            return text
        raise ValueError
    except (ValueError, TypeError, OverflowError):
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        raise RelvitError(f"{name} is {value!r}, but must be {kinds.get(hint, 'a list')}") from None


def _boolean(value: object) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    text = str(value).strip().lower()
    if not isinstance(value, (bool, int, str)) or text not in words:
        raise ValueError
    return words[text]


def _said(value: object) -> str:
    """ "true" or "false", where a value can be meant so; else as it is, for check to name the nearest."""
    try:
        return str(_boolean(value)).lower()
    except ValueError:
        if isinstance(value, str):
            return value.strip()
        raise


def _items(value: object) -> list:
    """A list from a list, a list as JSON or Python writes it, or names joined by commas, plus signs or spaces."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        raise ValueError
    text = value.strip()
    if re.fullmatch(NUMBER, text):  # 1e+1 is no list of 1e and 1
        return [text]
    if text.startswith("["):
        try:
            return list(json.loads(text))
        except ValueError:
            pass
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if isinstance(found, list | tuple):
        return list(found)
    bare = text[1:-1] if text[:1] + text[-1:] in ("[]", "()") else text  # [sprel, dist]
    return [item.strip("\"'") for item in re.split(r"[,+;\s]+", bare) if item.strip("\"'")]


def check(name: str, value: typing.Any, setting: Setting) -> None:
    """Raises RelvitError for a value that is none of the choices, or out of range."""
    if setting.choices and value is not None and value not in setting.choices:
        raise RelvitError(f"unknown {name} '{value}': {nearest(value, setting.choices, setting.values)}")
    if setting.range and value is not None and not setting.range[0] <= value <= setting.range[1]:
        low, high = (f"{end:,}" if isinstance(end, int) else f"{end:g}" for end in setting.range)
        raise RelvitError(f"{name} is {value}, but must be from {low} to {high}")
