"""Start the app: Voila on this machine alone, with a token, unless one says otherwise."""

import argparse
import importlib.util
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from relvit_lab.common.errors import RelvitError

NOTEBOOK = Path(__file__).with_name("explorers.ipynb")
# The page loads nothing from elsewhere (Voila's template would take icons from a host that a class may not reach).
# No page elsewhere may show it in a frame, where a click would be another one than it seems.
OWN = {
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws: wss:; "
    "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # an address holds the token
}
IDLE_MINUTES = 30  # after which a visitor's kernel ends


def main(words: Sequence[str]) -> None:
    """app [--port 8866] [--ip 127.0.0.1] [--kernels 12] [--no-browser]. Ctrl-C ends it.

    Raises RelvitError where Voila is missing, and for what app does not take.
    """
    parser = argparse.ArgumentParser(prog="python -m relvit_lab app", description=__doc__)
    parser.add_argument("--port", type=int, default=8866, help="the next free one where it is taken")
    parser.add_argument(
        "--ip", default="127.0.0.1", help="0.0.0.0 lets others on the network in who know the address with its token"
    )
    parser.add_argument("--kernels", type=int, default=12, help="visitors at once; each takes about half a GB")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    parser.error = _refuse
    given = parser.parse_args(words)
    if not 1 <= given.port <= 65535:
        _refuse(f"--port is from 1 to 65535, not {given.port}")
    if importlib.util.find_spec("voila") is None:
        raise RelvitError("the app needs Voila: pip install 'relvit-lab[app]', or make setup")
    from relvit_lab.publish.app.server import FewKernels, Server  # late: a second

    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for each kernel, or they slow one another down many times
    print("The explorers, a kernel for each visitor. Ctrl-C ends it.", flush=True)
    arguments = [
        str(NOTEBOOK), "--token", f"--Voila.ip={given.ip}", f"--port={given.port}",
        f"--VoilaConfiguration.multi_kernel_manager_class={FewKernels.__module__}.FewKernels",
        f"--FewKernels.most={given.kernels}", f"--MappingKernelManager.cull_idle_timeout={60 * IDLE_MINUTES}",
        "--MappingKernelManager.cull_interval=60",
    ]  # fmt: skip
    arguments += ["--no-browser"] * given.no_browser
    Server.launch_instance(arguments, tornado_settings={"headers": OWN}, others=not _is_loopback(given.ip))


def _refuse(why: str) -> NoReturn:
    raise RelvitError(f"app: {why}")


def _is_loopback(ip: str) -> bool:
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return ip == "localhost"
