"""uvicorn around the application: how a socket is bound, and in which order everything ends.

The order: clients are told, sockets are closed with 1012, the worker comes to a boundary; the database is closed last,
by whoever opened it.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from .app import application
from .auth import is_loopback
from .errors import AddressError
from .httpprotocol import AbortableHTTP
from .service import Service
from .tls import TLS
from .websocket import AbortableWebSocket

BACKLOG: Final = 2_048


class Server(uvicorn.Server):
    """Serves one service. ``run`` returns after SIGINT or SIGTERM (unless ``embedded``), or after `stop`."""

    def __init__(self, service: Service, *, embedded: bool = False, tls: TLS | None = None) -> None:
        self._service, self._embedded = service, embedded
        limits = service.limits
        super().__init__(
            uvicorn.Config(
                application(service),
                http=AbortableHTTP,
                ws=AbortableWebSocket,
                ws_max_size=limits.message_bytes,
                ws_ping_interval=limits.ping_seconds,
                ws_ping_timeout=limits.ping_timeout,
                ws_per_message_deflate=False,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=10,
                ssl_certfile=None if tls is None else tls.certificate,
                ssl_keyfile=None if tls is None else tls.key,
            )
        )

    def stop(self) -> None:
        """Begins to end; may be called from any thread."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """As uvicorn's, but the signal is not raised again at the end: the database is still to be closed then."""
        if self._embedded:
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains; the second ends the process at once, which loses nothing that was accepted."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()  # nobody new; who is connected is told first
        await self._service.drain()
        await super().shutdown(sockets)


def listen(host: str, port: int, *, guarded: bool = False) -> socket.socket:
    """A socket that listens; port 0 chooses a free one. Raises AddressError, also for more than loopback when no token
    is asked for (``guarded``)."""
    if not guarded and not is_loopback(host):
        raise AddressError(
            f"without a token this server listens on loopback only, not on {host}; set FRONTDESK_TOKEN (or --token), "
            "or make one with `frontdesk tokens create`"
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise AddressError(f"the address {host}:{port} is not known here: {error}") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} of {host} is in use, perhaps by another Frontdesk; choose another with --port"
            raise AddressError(message) from error
        raise AddressError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    listening.setblocking(False)
    return listening


def address_of(listening: socket.socket, *, tls: bool = False) -> str:
    """The HTTP address of a socket that listens."""
    scheme = "https" if tls else "http"
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
