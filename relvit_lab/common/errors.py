"""What a person is told when something is wrong: one message that says what to do."""

import difflib
import errno
import os
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


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)
"""What the system says of a disk, by kind: errors of the network have other numbers."""


def explain(error: OSError) -> str:
    """What the system says of a file, in one line: the path, the reason, what to do."""
    files = (error.filename, error.filename2)
    names = dict.fromkeys(os.fsdecode(name) for name in files if isinstance(name, str | bytes))
    path = " -> ".join(names)
    reason = error.strerror or str(error) or type(error).__name__
    said = f"{path}: {reason}" if path else reason
    if error.errno in FULL:
        return f"{said}: free some space, or name a folder on another disk, and give the same command again"
    if error.errno in CLOSED:
        return f"{said}: take a folder that is yours (or have its owner open it), and give the same command again"
    if error.errno in ABSENT:
        return f"{said}: it can be neither read nor made there; check the path, or name another"
    return said


def of_the_disk(error: BaseException | None) -> OSError | None:
    """The error of this machine's files among an exception and its causes; None where there is none, for example where
    the network failed (a socket may be refused permission, too, but has no file's name)."""
    while error is not None:
        if isinstance(error, OSError):
            if error.errno in FULL or (error.errno in (*CLOSED, *ABSENT) and error.filename):
                return error
        error = error.__cause__ or error.__context__
    return None


def nearest(name: object, options: Iterable[str], meant: Mapping[str, str] | None = None) -> str:
    """The end of a message about an unknown name: the nearest valid one where there is one, then all of them.

    meant: other words for an option, each with the option that people mean by it.
    """
    options = [str(option) for option in options]
    word = str(name).lower()
    if meant and meant.get(word) in options:
        return f"did you mean '{meant[word]}'? (known: {', '.join(options)})"
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    known = "known: " + ", ".join(options) if options else "none is known"
    return f"did you mean '{close[0]}'? ({known})" if close else known
