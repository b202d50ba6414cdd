"""A network between a worker and its database that can stop carrying anything, without an end or an error for either
side."""

from __future__ import annotations

import contextlib
import socket
import threading


class Link:
    """Listens on a TCP port and carries everything to the server's socket and back, until it is ``cut``. ``url`` goes
    through it."""

    def __init__(self, folder: str, name: str) -> None:
        self._target = f"{folder}/.s.PGSQL.5432"
        self._carries = threading.Event()
        self._carries.set()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=disable&gssencmode=disable"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """From here on nothing arrives; connections stay open, and new ones are not answered."""
        self._carries.clear()

    def mend(self) -> None:
        """What was under way arrives, late."""
        self._carries.set()

    def stop(self) -> None:
        self.mend()
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                self._open += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._carries.wait()
                target.sendall(data)
        self._carries.wait()
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
