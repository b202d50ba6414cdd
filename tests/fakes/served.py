"""A desk served on a real socket, and a client that keeps what it receives. Both run in the test's event loop."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from frontdesk.agents import Desk
from frontdesk.broker.database import Database
from frontdesk.server.limits import Limits
from frontdesk.server.service import Service
from frontdesk.server.serving import Server, address_of, listen

SYNC = "resp_that_nobody_has"
PATIENCE = 20.0  # seconds; a bound for what never happens, not a measure
PATIENT = Limits(stall_seconds=3_600)  # nobody is cut off


@asynccontextmanager
async def served(service: Service, port: int = 0, *, plain: bool = False) -> AsyncGenerator[str]:
    """Serves on a port of loopback, by default a free one; its address.

    ``plain``: with uvicorn's own WebSocket protocol, as another server would that our application is mounted in.
    """
    socket = listen("127.0.0.1", port)
    server = Server(service, embedded=True)
    if plain:
        server.config.ws = "websockets-sansio"
    running = asyncio.create_task(server.serve([socket]))
    try:
        yield address_of(socket)
    finally:
        server.stop()
        await running


@asynccontextmanager
async def served_desk(desk: Desk[Any], folder: Path, limits: Limits = PATIENT) -> AsyncGenerator[tuple[str, Database]]:
    """A desk with a worker of its own, on a new database; the server's address and the database."""
    database = await asyncio.to_thread(Database.open, f"sqlite:///{folder}/desk.db", durable=False)
    worker = desk.worker(database, grace=0.2)
    service = Service(desk, database, worker=worker, limits=limits, drain_seconds=0.0, grace_seconds=0.2)
    try:
        async with served(service) as address:
            yield address, database
    finally:
        await asyncio.to_thread(database.close)


class Client:
    """Speaks the protocol and remembers every event."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self._seen = 0  # of the events, by `until`

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def create(self, text: str = "hello", **fields: Any) -> None:
        await self.send("response.create", input=text, **fields)

    async def taken(self) -> None:
        """Returns when the server has dealt with everything that was sent before."""
        await self.send("frontdesk:cancel", response_id=SYNC)
        while not _is_sync(event := await self._receive()):
            self.events.append(event)

    async def until(self, kind: str, test: Callable[[dict[str, Any]], bool] = lambda event: True) -> dict[str, Any]:
        """The next event of this type that passes the test; what came before it is in ``events``."""
        while True:
            while self._seen < len(self.events):
                self._seen += 1
                event = self.events[self._seen - 1]
                if event["type"] == kind and test(event):
                    return event
            self.events.append(await self._receive())

    async def _receive(self) -> dict[str, Any]:
        with anyio.fail_after(PATIENCE):
            event: dict[str, Any] = json.loads(await self.socket.recv())
        return event

    async def closed(self) -> tuple[int | None, str | None]:
        """Reads on until the server closes; code and reason."""
        with anyio.fail_after(PATIENCE), suppress(ConnectionClosed):
            while True:
                self.events.append(json.loads(await self.socket.recv()))
        return self.socket.close_code, self.socket.close_reason

    def of_lane(self, lane: str | None) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("stream_id") == lane]


def _is_sync(event: dict[str, Any]) -> bool:
    return event["type"] == "error" and SYNC in event["error"]["message"]


@asynccontextmanager
async def client(address: str, query: str = "", **options: Any) -> AsyncGenerator[Client]:
    """A WebSocket to a server."""
    url = address.replace("http://", "ws://") + "/v1/responses" + query
    async with connect(url, **options) as socket:
        yield Client(socket)


@asynccontextmanager
async def deaf(address: str, query: str = "") -> AsyncGenerator[Client]:
    """A client that stops reading when a frame waits for it; its socket takes little.

    What it calls for it reads, frame by frame. It takes frames of any size: one that is too big for it would end it.
    """
    host, _, port = address.removeprefix("http://").partition(":")
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    raw.connect((host, int(port)))
    options: dict[str, Any] = {"max_queue": 1, "max_size": None, "ping_interval": None, "close_timeout": 0.1}
    async with client(address, query, sock=raw, **options) as found:
        yield found
