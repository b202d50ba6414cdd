"""A receiver of webhooks on a real loopback port: it keeps what comes, checks the signature with the library that
receivers use, and answers what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import uvicorn
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

SECRET = "whsec_" + "c2VjcmV0IG9mIDMyIGJ5dGVzIGZvciBhbGwgb3VyIHRlc3Q="
PATIENCE = 60.0


@dataclass(frozen=True)
class Came:
    """A webhook that came, with a good signature."""

    id: str
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass
class Receiver:
    """``answer`` says what the next is answered, `None`: nothing, until the sender has gone."""

    answer: Callable[[int], Response | None] = lambda number: Response(status_code=204)
    secret: str = SECRET
    gate: asyncio.Event | None = None  # nothing is answered before it is set
    url: str = ""
    came: list[Came] = field(default_factory=list[Came])
    refused: list[str] = field(default_factory=list[str])
    open: int = 0  # requests that are being answered
    most: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, request: Request) -> Response:
        raw, headers = await request.body(), dict(request.headers)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            body = Webhook(self.secret).verify(raw, headers)
            self.came.append(Came(headers["webhook-id"], body, headers))
            self._news.set()
            answer = self.answer(len(self.came))
            if self.gate is not None:
                await self.gate.wait()
            if answer is None:
                while (await request.receive())["type"] != "http.disconnect":
                    pass
                return Response(status_code=500)
            return answer
        except Exception as error:
            self.refused.append(repr(error))
            self._news.set()
            return Response(status_code=400)
        finally:
            self.open -= 1

    async def has(self, count: int) -> None:
        """Waits until so many have come."""
        with anyio.fail_after(PATIENCE):
            while len(self.came) < count:
                assert self.refused == []
                self._news.clear()
                await self._news.wait()

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.came]


@asynccontextmanager
async def receiving(
    answer: Callable[[int], Response | None] | None = None, *, gate: asyncio.Event | None = None
) -> AsyncGenerator[Receiver]:
    """Serves a receiver at ``receiver.url`` until the block ends."""
    receiver = Receiver(gate=gate) if answer is None else Receiver(answer, gate=gate)
    app = Starlette(routes=[Route("/hook", receiver.receive, methods=["POST"])])
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: H11Protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
