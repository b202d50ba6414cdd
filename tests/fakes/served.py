"""A desk served on a real socket, and a client that keeps what it receives. Both run in the test's event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect

from frontdesk.server.service import Service
from frontdesk.server.serving import Server, address_of, listen

PATIENCE = 20.0  # seconds; a bound for what never happens, not a measure


@asynccontextmanager
async def served(service: Service) -> AsyncGenerator[str]:
    """Serves on a free port of loopback; its address."""
    socket = listen("127.0.0.1", 0)
    server = Server(service, embedded=True)
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

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def create(self, text: str = "hello", **fields: Any) -> None:
        await self.send("response.create", input=text, **fields)

    async def receive(self) -> dict[str, Any]:
        """The next event."""
        with anyio.fail_after(PATIENCE):
            text = await self.socket.recv()
        assert isinstance(text, str)
        event: dict[str, Any] = json.loads(text)
        self.events.append(event)
        return event

    async def until(self, kind: str, test: Callable[[dict[str, Any]], bool] = lambda event: True) -> dict[str, Any]:
        """The next event of this type that passes the test; what came before it is in ``events``."""
        while True:
            event = await self.receive()
            if event["type"] == kind and test(event):
                return event

    async def closed(self) -> tuple[int | None, str | None]:
        """Reads on until the server closes; code and reason."""
        with anyio.fail_after(PATIENCE):
            async for text in self.socket:
                self.events.append(json.loads(text))
        return self.socket.close_code, self.socket.close_reason

    def of_lane(self, lane: str | None) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("stream_id") == lane]


@asynccontextmanager
async def client(address: str, query: str = "", **options: Any) -> AsyncGenerator[Client]:
    """A WebSocket to a server."""
    url = address.replace("http://", "ws://") + "/v1/responses" + query
    async with connect(url, **options) as socket:
        yield Client(socket)
