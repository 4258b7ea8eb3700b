"""How the package prints: what a terminal cannot show is spelled out, and a closed pipe never ends a run."""

import codecs
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

PLAIN = {
    "★": "*", "☆": "-", "✓": "+", "✗": "x", "…": "...", "±": "+/-", "×": "x", "→": "->", "−": "-", "–": "-",
    "§": "section ", "≈": "~", "≠": "!=", "†": "+", "′": "'", "“": '"', "”": '"', "’": "'",
    "µ": "u", "█": "#", "·": ".", "²": "^2",
}  # fmt: skip
"""What stands in for our own signs where an encoding lacks them; any other character becomes its escape."""


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    words = []
    for letter in error.object[error.start : error.end]:
        byte = ord(letter) - 0xDC00  # how Python holds a byte that no text has (PEP 383)
        escape = f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else letter.encode("ascii", "backslashreplace").decode()
        words.append(PLAIN.get(letter, escape))
    return "".join(words), error.end


codecs.register_error("relvit_lab", _spell)


def spell_out(stream: TextIO | None) -> None:
    """Let a stream spell out what its encoding lacks, where it would raise UnicodeEncodeError."""
    if stream is not None and getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
        with contextlib.suppress(OSError, ValueError):  # closed, or a pipe that nobody reads
            stream.reconfigure(errors="relvit_lab")


class Tolerant:
    """A stream (None: one that was closed from the start) to which printing never fails: once writing does (a closed
    pipe, a full disk, a terminal that is gone), the rest goes nowhere."""

    def __init__(self, stream: TextIO | None):
        self._stream = open(os.devnull, "w") if stream is None else stream
        spell_out(self._stream)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except UnicodeEncodeError:
            raise
        except (OSError, ValueError):  # ValueError: the stream was closed
            _to_nowhere(self._stream)


def tolerant(stream: TextIO | None) -> TextIO:
    return stream if isinstance(stream, Tolerant) else Tolerant(stream)  # type: ignore[return-value]  # has all of it


@contextlib.contextmanager
def tolerant_output() -> Iterator[None]:
    """Standard output and error as Tolerant, and flushed in the end."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = tolerant(before[0]), tolerant(before[1])
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _to_nowhere(stream: TextIO) -> None:
    """What is still in its buffer, and what comes, is dropped: also at the interpreter's end, which flushes again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        number, nowhere = stream.fileno(), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
        stream.flush()
