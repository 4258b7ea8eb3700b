"""The words of a command line: options by field name, flags, and the rest."""

from collections.abc import Sequence

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.values import nearest_field

FLAGS = ("fresh", "shuffle", "linear_probe", "compile", "profile")
"""Fields that may stand without a value, and are true then."""


def split(words: Sequence[str], names: Sequence[str], flags: Sequence[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Options by field name, and the other words. `--data-dir D`, `--data_dir D`, `--data-dir=D`, `--fresh`.

    names: options that take a value. flags: options that take none, "true" where they are given. Raises RelvitError for
    an unknown option, naming the nearest, and for one without its value.
    """
    options, others, words = {}, [], list(words)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            others.append(word)
            continue
        name, has_value, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if name not in names and name not in flags:
            raise RelvitError(f"unknown option '{word}': {nearest_field(name, [*names, *flags])}")
        if name in flags:
            if has_value:
                raise RelvitError(f"--{name.replace('_', '-')} takes no value")
            value = "true"
        elif not has_value:
            if words and not words[0].startswith("--"):
                value = words.pop(0)
            elif name in FLAGS:
                value = "true"
            else:
                raise RelvitError(f"--{name.replace('_', '-')} needs a value")
        options[name] = value
    return options, others


def only_options(words: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Options where nothing else may stand."""
    options, others = split(words, names)
    if others:
        raise RelvitError(
            f"'{others[0]}' was not expected here: fields are given as --field value, several values as a,b"
        )
    return options
