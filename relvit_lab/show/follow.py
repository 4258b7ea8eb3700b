"""The faces of the training loop: it yields events, and `follow` shows them as suits the place.

"live": a bar and a plot in JupyterLab; "still": what "live" leaves, at once, for pages (follow_live.py); "bar": one
line that moves, in a terminal; "log": a line an epoch, for papermill, pipes and files (faces.py).
"""

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.common.printing import tolerant
from relvit_lab.common.process import processes
from relvit_lab.show import wording
from relvit_lab.show.faces import Bar, Face, Log
from relvit_lab.train.events import Event, StageFinished

FACES = ("live", "still", "log", "bar")


def follow(
    events: Iterable[Event],
    face: str = "auto",
    out: TextIO | None = None,
    units: Mapping[str, str] | None = None,
) -> list[StageFinished]:
    """Consume the events of a run, show them, and return those of its finished stages.

    face: one of FACES, or "auto" (see choose_face). out: where "log" and "bar" write; standard output when None. units:
    the unit of each metric; those of the registered tasks when None.
    However it ends (an interrupt, an error of a stage, one of the face), the iterator is closed, so that the loop
    writes its checkpoint; an interrupt then says how to go on. The exception is raised again.
    Raises RelvitError for an unknown face.
    """
    out = tolerant(sys.stdout if out is None else out)
    drawn = _make_face(choose_face(out) if face == "auto" else face, out, units)
    finished: list[StageFinished] = []
    close = getattr(events, "close", lambda: None)  # has a generator clean up now; a list of events has none
    try:
        for event in events:
            drawn.show(event)
            if isinstance(event, StageFinished):
                finished.append(event)
    except KeyboardInterrupt:
        close()  # before the words: they promise a checkpoint
        drawn.interrupted()
        raise
    finally:
        close()
        drawn.close()
    return finished


def choose_face(out: TextIO) -> str:
    """The face for this place.

    RELVIT_FACE where it is set; else "live" in a kernel that a person sits at (started by a Jupyter server, VS Code or
    Colab), "log" in any other kernel (papermill, nbclient), "bar" in a terminal, and "log" for pipes and files.
    Raises RelvitError where RELVIT_FACE names no face.
    """
    wanted = os.environ.get("RELVIT_FACE", "auto")
    if wanted not in ("", "auto"):
        return wanted
    shell = _kernel_shell()
    if shell is not None:
        # The server sets JPY_SESSION_NAME for the kernels it starts; papermill and nbclient do not. VS Code starts
        # kernels itself, and outside Linux desktops only the name in the namespace gives it away.
        seen = "JPY_SESSION_NAME" in os.environ or "VSCODE_PID" in os.environ or "google.colab" in sys.modules
        return "live" if seen or "__vsc_ipynb_file__" in shell.user_ns else "log"
    return "bar" if out.isatty() else "log"


def _kernel_shell():
    """IPython's shell where this process is a notebook's kernel, else None. Does not import IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if getattr(shell, "kernel", None) is not None else None


def _make_face(name: str, out: TextIO, units: Mapping[str, str] | None) -> Face:
    units = wording.known_units() if units is None else units
    if processes()[0]:  # of several processes the first shows what happens
        return Face(units)
    if name in ("live", "still"):
        from relvit_lab.show.follow_live import Live, Still  # late: needs IPython and matplotlib

        return (Live if name == "live" else Still)(units)
    if name not in FACES:
        raise RelvitError(f"unknown face '{name}' of the progress: {nearest(name, ('auto', *FACES))}")
    return (Log if name == "log" else Bar)(out, units)
