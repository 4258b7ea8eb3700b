"""Start the app: Voila on this machine alone, with a token, unless one says otherwise."""

import argparse
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from relvit_lab.common.errors import RelvitError

NOTEBOOK = Path(__file__).with_name("explorers.ipynb")
# The page loads nothing from elsewhere (Voila's template would take icons from a host that a class may not reach).
OWN = {"Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws: wss:"}
IDLE_MINUTES = 30  # after which a visitor's kernel ends


def main(words: Sequence[str]) -> None:
    """app [--port 8866] [--ip 127.0.0.1] [--no-browser]. Ctrl-C ends it. Raises RelvitError where Voila is missing."""
    parser = argparse.ArgumentParser(prog="python -m relvit_lab app", description=__doc__)
    parser.add_argument("--port", type=int, default=8866, help="the next free one where it is taken")
    parser.add_argument(
        "--ip", default="127.0.0.1", help="0.0.0.0 lets others on the network in who know the address with its token"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    given = parser.parse_args(words)
    if importlib.util.find_spec("voila") is None:
        raise RelvitError("the app needs Voila: pip install 'relvit-lab[app]', or make setup")
    from voila.app import Voila  # late: a second

    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for each kernel, or they slow one another down many times
    print("The explorers, a kernel for each visitor. Ctrl-C ends it.", flush=True)
    arguments = [
        str(NOTEBOOK), "--token", f"--Voila.ip={given.ip}", f"--port={given.port}",
        f"--MappingKernelManager.cull_idle_timeout={60 * IDLE_MINUTES}", "--MappingKernelManager.cull_interval=60",
    ]  # fmt: skip
    Voila.launch_instance(arguments + ["--no-browser"] * given.no_browser, tornado_settings={"headers": OWN})
