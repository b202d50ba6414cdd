"""A wire between a client and a PostgreSQL server that a test can cut, at a commit above all."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Literal

Cut = Literal["before", "after"]


class Wire:
    """Listens on a TCP port and passes everything on to the server's socket. ``url`` goes through it.

    ``cut_at_commit("before")``: the next COMMIT does not arrive; ``"after"``: it does, but its answer is lost.
    ``down`` and ``up`` cut everything and let it through again.
    """

    def __init__(self, folder: str, name: str) -> None:
        self._target = f"{folder}/.s.PGSQL.5432"
        self._cut: Cut | None = None
        self._down = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=disable&gssencmode=disable"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at_commit(self, when: Cut) -> None:
        self._cut = when

    def refuse(self) -> None:
        """Lets no new connection through."""
        self._down = True

    def down(self) -> None:
        self._down = True
        self._close_all()

    def up(self) -> None:
        self._down = False

    def stop(self) -> None:
        self._listener.close()
        self._close_all()

    def _close_all(self) -> None:
        with self._lock:
            found, self._open = self._open, set()
        for one in found:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._down:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._target)
            except OSError:  # the server has been stopped
                client.close()
                server.close()
                continue
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        answers = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
        answers.start()
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                if self._cut is not None and b"COMMIT" in data:
                    when, self._cut = self._cut, None
                    client.shutdown(socket.SHUT_WR)  # the answer finds nobody
                    if when == "after":
                        server.sendall(data)
                    break
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)
        answers.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Copies until one side has closed; what the target does not take any more is dropped."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            with contextlib.suppress(OSError):
                target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
