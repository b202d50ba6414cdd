"""A desk served on a real socket, and a client that keeps what it receives. Both run in the test's event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from frontdesk.server.service import Service
from frontdesk.server.serving import Server, address_of, listen

SYNC = "resp_that_nobody_has"
PATIENCE = 20.0  # seconds; a bound for what never happens, not a measure


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
