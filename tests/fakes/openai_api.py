"""OpenAI's API on a real loopback port: POST /v1/responses and /v1/chat/completions, from a script.

It checks what it is sent as the real one does (``openai_rules``), answers what the test says (``openai_events``), and
misbehaves on demand: errors, pauses, broken streams, and raw bytes for the servers that only claim to be compatible.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import anyio
import uvicorn
from pydantic_core import from_json, to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from frontdesk.agents.models.scripted import Gate, Signal

from .openai_events import JSON, Answer, Call, Say, Think, completion, completion_chunks, response, response_events
from .openai_rules import refused_completion, refused_response

__all__ = ["Answer", "Call", "Failure", "FakeOpenAI", "Raw", "Say", "Streamed", "Think", "fake_openai"]


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer of ``status``, in the API's form; ``body`` replaces that form."""

    status: int
    message: str = "failed on purpose"
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Streamed:
    """``answer``, with a ``gate`` to wait at (0: before the status) or a broken connection after ``events``."""

    answer: Answer
    events: int
    gate: Gate | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """These very bytes. ``whole=False`` breaks the connection after them."""

    body: bytes
    content_type: str = "text/event-stream"
    whole: bool = True


FakeReply: TypeAlias = Answer | Failure | Streamed | Raw
ReplyFunction: TypeAlias = Callable[[JSON], FakeReply]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came, also one that was refused."""

    path: str
    headers: dict[str, str]
    body: JSON
    port: int  # the client's: one for each connection


class FakeOpenAI:
    """The server's side: what it was asked, and where it is. Made by `fake_openai`."""

    def __init__(self, replies: Iterable[FakeReply | ReplyFunction] | ReplyFunction, *, key: str = "sk-test") -> None:
        self._every = replies if callable(replies) else None
        self._replies = [] if callable(replies) else list(replies)
        self._key = key
        self.url = ""
        self.asked: list[Asked] = []
        self.left = Signal()  # set when a client has gone before its answer was complete

    @property
    def bodies(self) -> list[JSON]:
        return [asked.body for asked in self.asked]

    def app(self) -> Starlette:
        routes = [("/v1/responses", self._responses), ("/v1/chat/completions", self._chat)]
        return Starlette(routes=[Route(path, endpoint, methods=["POST"]) for path, endpoint in routes])

    async def _responses(self, request: Request) -> Response:
        return await self._answer(request, refused_response, response, response_events, b"")

    async def _chat(self, request: Request) -> Response:
        return await self._answer(request, refused_completion, completion, completion_chunks, b"data: [DONE]\n\n")

    async def _answer(
        self,
        request: Request,
        refused: Callable[[JSON], list[str]],
        whole: Callable[[Answer, JSON], JSON],
        events: Callable[[Answer, JSON], list[JSON]],
        end: bytes,
    ) -> Response:
        body: JSON = from_json(await request.body())
        port = request.client.port if request.client else 0
        self.asked.append(Asked(request.url.path, dict(request.headers), body, port))
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given != self._key:
            return _error(Failure(401, f"Incorrect API key provided: {given[:8]}***{given[-4:]}.", "invalid_api_key"))
        if problems := refused(body):
            return _error(Failure(400, problems[0]))
        match reply := self._next(body):
            case Failure():
                return _error(reply)
            case Raw():
                return Chunked(self, [reply.body], reply.content_type, broken_after=None if reply.whole else 1)
            case Streamed():
                chunks = [_sse(event) for event in events(reply.answer, body)]
                broken = None if reply.gate else reply.events
                return Chunked(self, [*chunks, end], broken_after=broken, gate=reply.gate, gate_after=reply.events)
            case Answer() if body.get("stream"):
                return Chunked(self, [*(_sse(event) for event in events(reply, body)), end])
            case Answer():
                return JSONResponse(whole(reply, body))

    def _next(self, body: JSON) -> FakeReply:
        if self._every is not None:
            return self._every(body)
        if not self._replies:
            return Failure(400, "the fake has no reply left for this request")
        reply = self._replies.pop(0)
        return reply(body) if callable(reply) else reply


class Chunked(Response):
    """A body in chunks, that can wait or break in the middle, and notices a client that leaves."""

    def __init__(
        self,
        server: FakeOpenAI,
        chunks: list[bytes],
        content_type: str = "text/event-stream",
        *,
        broken_after: int | None = None,
        gate: Gate | None = None,
        gate_after: int = 0,
    ) -> None:
        super().__init__(media_type=content_type)
        del self.headers["content-length"]
        self._server, self._chunks = server, chunks
        self._broken_after, self._gate, self._gate_after = broken_after, gate, gate_after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, receive, group.cancel_scope)
            if self._gate is not None and not self._gate_after:
                await self._gate.wait()
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for number, chunk in enumerate(self._chunks):
                if number == self._broken_after:
                    break
                if self._gate is not None and number == self._gate_after > 0:
                    await self._gate.wait()
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if self._broken_after is None:
                await send({"type": "http.response.body", "body": b""})
            group.cancel_scope.cancel()  # returning without the last chunk makes uvicorn close the connection

    async def _watch(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._server.left.set()
        scope.cancel()


def _sse(event: JSON) -> bytes:
    name = b"event: " + str(event["type"]).encode() + b"\n" if "type" in event else b""
    return name + b"data: " + to_json(event) + b"\n\n"


def _error(failure: Failure) -> Response:
    if failure.body is not None:
        return Response(failure.body, failure.status, failure.headers, media_type="text/html")
    kind = "invalid_request_error" if failure.status < 500 else "server_error"
    error: JSON = {"message": failure.message, "type": kind, "param": None, "code": failure.code}
    return JSONResponse({"error": error}, failure.status, failure.headers)


@asynccontextmanager
async def fake_openai(
    *replies: FakeReply | ReplyFunction, every: ReplyFunction | None = None, key: str = "sk-test"
) -> AsyncGenerator[FakeOpenAI, None]:
    """Serves ``replies`` in their order, or what ``every`` answers, at ``fake.url`` until the block ends.

    uvicorn's protocol on asyncio's server: uvicorn's own server takes over signals, and 0.2 s to stop.
    """
    fake = FakeOpenAI(every or replies, key=key)
    config = uvicorn.Config(fake.app(), log_config=None, lifespan="off", ws="none")
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: H11Protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield fake
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
