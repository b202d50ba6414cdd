"""A server inside this process, in a thread of its own: `frontdesk chat` talks to it over a real socket."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

from .service import Service
from .serving import Server, address_of

log = logging.getLogger("frontdesk.server")


@contextmanager
def embedded(service: Service, listening: socket.socket) -> Generator[str]:
    """Serves while the block runs; the server's address. Its database is the caller's, and is still open at the end."""
    server = Server(service, embedded=True)

    def run() -> None:
        try:
            server.run([listening])
        except SystemExit:  # uvicorn's way of saying that the application did not start; it has logged why
            log.error("the embedded server did not start")
        finally:
            listening.close()

    thread = threading.Thread(target=run, name="frontdesk-server", daemon=True)
    thread.start()
    try:
        yield address_of(listening)
    finally:
        server.stop()
        thread.join()
