"""What a person is told when something is wrong: one message that says what to do."""

import difflib
import re
from collections.abc import Iterable, Mapping

from relvit_lab.common.shown_names import printable


class RelvitError(Exception):
    """A mistake that the user can mend. Its text is the whole message, each argument a line of it; commands end with
    exit code 1."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))

    @property
    def shown(self) -> str:
        """As a terminal may show it: a name in it makes no line of its own."""
        return "\n".join(map(printable, self.args))

    def _render_traceback_(self) -> list[str]:
        """IPython and papermill show this in place of a traceback: the message is what helps here."""
        return [f"{type(self).__name__}: {self.shown}"]


def first_line(error: BaseException, length: int = 120) -> str:
    """The first line of what an error says, or its kind where it says nothing, cut to so many characters."""
    return (str(error).splitlines() or [type(error).__name__])[0][:length]


def nearest(name: object, options: Iterable[str], meant: Mapping[str, str] | None = None) -> str:
    """The end of a message about an unknown name: the nearest valid one where there is one, then all of them.

    meant: other words, each with the option that people mean by it, or a sentence where there is none.
    """
    options = [str(option) for option in options]
    word = str(name).lower()
    known = "known: " + ", ".join(options) if options else "none is known"
    said = (meant or {}).get(re.sub(r"\W+", "_", word).strip("_"))
    if said and said not in options:
        return f"{said} ({known})"
    close = [said] if said else difflib.get_close_matches(word, options, n=1)
    return f"did you mean '{close[0]}'? ({known})" if close else known
