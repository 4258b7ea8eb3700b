"""Refuses every connection that leaves this machine, in this process and in the Python processes it starts.

conftest.py puts this folder on PYTHONPATH, and Python imports a module of this name at start-up. An audit hook sees
what any library does, however it does it, and cannot be taken out again.
"""

import sys

LOCAL_NAMES = {"", "localhost", "::1", "0.0.0.0", "::"}
attempts: list[str] = sys.__dict__.setdefault("_relvit_attempts", [])  # where this process tried to go


class Offline(ConnectionError):
    """What a machine without network would raise, as an OSError; says who forbids it."""


def is_local(host: object) -> bool:
    """Whether a host, as the socket module takes it (None, str, bytes), is this machine."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host is None or host in LOCAL_NAMES or str(host).startswith("127."):
        return True
    return host == sys.modules["_socket"].gethostname()  # only called from within that module


def _refuse(event: str, arguments: tuple) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # a path, or None: no network
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if not is_local(host):
        attempts.append(str(host))
        raise Offline(f"tests run offline, and this one asked for {host!r}")


sys.addaudithook(_refuse)
