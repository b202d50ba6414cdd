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
        self._carriers: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=disable&gssencmode=disable"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def cut(self) -> None:
        """From here on nothing arrives; connections stay open, and new ones are not answered."""
        self._carries.clear()

    def mend(self) -> None:
        """What was under way arrives, late."""
        self._carries.set()

    def stop(self) -> None:
        self.mend()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for the next connection
        self._acceptor.join(10)
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._carriers:
            thread.join(10)
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self._open += [client, server]
                server.connect(self._target)
                for source, target in ((client, server), (server, client)):
                    thread = threading.Thread(target=self._carry, args=(source, target), daemon=True)
                    self._carriers.append(thread)
                    thread.start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._carries.wait()
                target.sendall(data)
        self._carries.wait()
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
