"""What a person is told when something is wrong: one message that says what to do."""

import difflib
from collections.abc import Iterable

from relvit_lab.common.printable import printable


class RelvitError(Exception):
    """A mistake that the user can mend. Its text is the whole message; commands end with exit code 1."""

    def _render_traceback_(self) -> list[str]:
        """IPython and papermill show this in place of a traceback: the message is what helps here."""
        return [f"{type(self).__name__}: {printable(self)}"]


def nearest(name: object, options: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest valid one where there is one, then all of them."""
    options = [str(option) for option in options]
    close = difflib.get_close_matches(str(name).lower(), options, n=1, cutoff=0.5)
    known = "known: " + ", ".join(options) if options else "none is known"
    return f"did you mean '{close[0]}'? ({known})" if close else known
