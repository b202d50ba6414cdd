"""A server in a process of its own, made by forking one that has everything imported: ready in milliseconds, and
killable."""

from __future__ import annotations

import multiprocessing
import socket
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from frontdesk.agents import Desk

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "frontdesk.tests.playback.process",
        "frontdesk.tests.playback.desk",
        "frontdesk.examples.front_desk.desk",
        "frontdesk.server.serving",
        "frontdesk.tests.chaos.poison",
        "frontdesk.tests.store",
        "frontdesk.broker.postgresql",
    ]
)


def serve(kind: str, port: int, url: str, folder: str, failpoint: str | None, durable: bool) -> None:
    """The process's whole life: a server with an embedded worker, until it is stopped or killed."""
    from frontdesk.broker.database import Database
    from frontdesk.examples.front_desk.desk import build as build_demo
    from frontdesk.server.service import Service
    from frontdesk.server.serving import Server, listen
    from frontdesk.tests.playback.desk import build

    place = Path(folder)
    desk: Desk[Any] = build(place) if kind == "playback" else build_demo(place / "files", state=place / "state")
    store = Database.open(url, durable=durable, failpoint=failpoint)
    try:
        service = Service(desk, store, worker=desk.worker(store, lease=0.6), grace_seconds=1.0, drain_seconds=0.1)
        Server(service).run(sockets=[listen("127.0.0.1", port)])
    finally:
        store.close()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


class ServerProcess:
    """Starts a server, and starts it again when it was killed. ``url``: of its database, else it is a file in the
    folder."""

    def __init__(self, folder: Path, *, desk: str = "playback", durable: bool = False, url: str = "") -> None:
        self.folder, self.desk, self.durable = folder, desk, durable
        self.port = free_port()
        self.database = folder / "desk.db"
        self.store_url = url or f"sqlite:///{self.database}"
        self.kills = 0
        self._process: ForkServerProcess | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/responses"

    @property
    def pid(self) -> int:
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    def start(self, failpoint: str | None = None) -> None:
        self._process = CONTEXT.Process(
            target=serve,
            args=(self.desk, self.port, self.store_url, str(self.folder), failpoint, self.durable),
            daemon=True,
        )
        self._process.start()

    def revive(self) -> bool:
        """Starts it again, without a failpoint, when it has died; whether it had."""
        assert self._process is not None
        if self._process.is_alive():
            return False
        self.kills += 1
        assert self.kills < 5, "the server dies again and again"
        self.start()
        return True

    @property
    def started(self) -> bool:
        return self._process is not None

    def join(self) -> None:
        """Waits until it has died."""
        assert self._process is not None
        self._process.join(20)

    def kill(self) -> None:
        """What ``kill -9`` does."""
        assert self._process is not None
        self._process.kill()
        self._process.join(10)

    def stop(self) -> None:
        """SIGTERM, and the end."""
        if self._process is not None and self._process.is_alive():
            self._process.terminate()
            self._process.join(15)
            if self._process.is_alive():
                self.kill()
