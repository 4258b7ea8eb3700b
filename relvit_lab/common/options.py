"""The words of a command line: options by field name, flags, and the rest."""

from collections.abc import Iterable, Mapping, Sequence

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.values import PLAIN, Setting, nearest_field

Names = Iterable[str] | Mapping[str, Setting]  # a mapping tells what else is known of them


def split(words: Sequence[str], names: Names, flags: Sequence[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Options by field name, and the other words. `--data-dir D`, `--data_dir D`, `--data-dir=D`, `--fresh`.

    names: options that take a value, or may stand without one (Setting.flag). flags: options that take none, "true"
    where they are given. Raises RelvitError for an unknown option, naming the nearest, and for one without its value.
    """
    known = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names, PLAIN)
    options, others, words = {}, [], list(words)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            others.append(word)
            continue
        name, has_value, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if name not in known and name not in flags:
            raise RelvitError(f"unknown option '{word}': {nearest_field(name, known | dict.fromkeys(flags, PLAIN))}")
        if name in flags:
            if has_value:
                raise RelvitError(f"--{name.replace('_', '-')} takes no value")
            value = "true"
        elif not has_value:
            if words and not words[0].startswith("--"):
                value = words.pop(0)
            elif known[name].flag:
                value = "true"
            else:
                raise RelvitError(f"--{name.replace('_', '-')} needs a value")
        options[name] = value
    return options, others


def only_options(words: Sequence[str], names: Names) -> dict[str, str]:
    """Options where nothing else may stand."""
    options, others = split(words, names)
    if others:
        raise RelvitError(
            f"'{others[0]}' was not expected here: fields are given as --field value, several values as a,b"
        )
    return options
