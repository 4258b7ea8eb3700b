"""Names from outside (folders, files, tasks) as a person can read them and tell them apart, and as a terminal may show
them: what it would obey (a colour, a cleared screen) is spelt out."""

import unicodedata
from collections.abc import Sequence

JOINERS = "\u200c\u200d"  # part of how some scripts are written


def readable(text: str) -> str:
    """The text with all that cannot be seen or drawn spelled out: bytes that are no text (`caf\\xe9`), control
    characters but newline and tab, marks of direction and of no width, unusual spaces."""
    return "".join(map(_letter, text))


def readable_names(names: Sequence[str]) -> list[str]:
    """Names, each readable, and no two different ones alike: spaces at the ends are shown as ␣, and of names that
    differ only in how an accent is composed (or in marks of no width) the marks are spelled out."""
    shown = [_ends("".join(map(_letter_of_a_name, name))) for name in names]
    alike: dict[str, set[str]] = {}
    for name in names:
        alike.setdefault(_plain(name), set()).add(name)
    return [_spelled(name) if len(alike[_plain(name)]) > 1 else said for name, said in zip(names, shown)]


def printable(text: object) -> str:
    """The text on one line; every character that is no visible one as its escape: "\\x1b", "\\n", "\\u202e"."""
    said = str(text)
    return said if said.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in said)


def _letter(letter: str) -> str:
    code, kind = ord(letter), unicodedata.category(letter)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no text, as Python holds it (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    hidden = kind in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter not in JOINERS + "\n\t"
    return _escape(letter) if hidden or (kind == "Zs" and letter != " ") else letter


def _letter_of_a_name(letter: str) -> str:
    return _escape(letter) if letter in "\n\t" else _letter(letter)


def _ends(name: str) -> str:
    inner = name.strip(" ")
    left = len(name) - len(name.lstrip(" "))
    return "␣" * left + inner + "␣" * (len(name) - left - len(inner)) if inner else "␣" * len(name)


def _plain(name: str) -> str:
    """What is left of a name for the eye."""
    seen = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", seen).split())


def _spelled(name: str) -> str:
    """Combining marks, what has no width, and compatibility forms as escapes; other letters as they are."""

    def special(letter: str) -> bool:
        composed = unicodedata.normalize("NFKC", letter) != letter
        return composed or unicodedata.combining(letter) > 0 or letter in JOINERS

    return _ends("".join(_escape(c) if special(c) else _letter_of_a_name(c) for c in name))


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
