"""Voila as the app runs it: it answers to its own names alone, and starts so many kernels and no more."""

import ipaddress
import socket
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, Rule
from tornado.web import HTTPError, RequestHandler
from traitlets import Bool, Int
from voila.app import Voila


class FewKernels(AsyncMappingKernelManager):
    """A visit more than `most` at once is told to come again, whatever it costs the visitor to load the page."""

    most = Int(12, config=True, help="kernels at once")
    starting = 0

    async def start_kernel(self, **options: Any) -> str:
        if len(self) + self.starting >= self.most:
            raise HTTPError(503, reason=f"All {self.most} places are taken: close a page, or come again later")
        self.starting += 1
        try:
            return await super().start_kernel(**options)
        finally:
            self.starting -= 1


class Server(Voila):
    """others: whether others on the network may come, who address it by a number or this machine's name."""

    others = Bool(False)

    def init_handlers(self) -> list:
        return [Rule(Foreign(self.others), Refused), *super().init_handlers()]


class Foreign(Matcher):
    """A request for a host that is not this machine: a page elsewhere whose name leads here (DNS rebinding)."""

    def __init__(self, others: bool):
        self.others = others
        self.names = {"localhost"}
        if others:
            own = {socket.gethostname().lower(), socket.getfqdn().lower()}
            self.names |= own | {f"{name}.local" for name in own}

    def match(self, request: HTTPServerRequest) -> dict | None:
        return None if self.is_own(request.host_name) else {}

    def is_own(self, name: str) -> bool:
        name = name.lower().rstrip(".")
        try:
            return ipaddress.ip_address(name.strip("[]")).is_loopback or self.others
        except ValueError:
            return name in self.names


class Refused(RequestHandler):
    """403 to whatever is asked."""

    def prepare(self) -> None:
        self.set_status(403)
        self.finish("This is not the name of this machine.")
