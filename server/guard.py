"""Stands before every route that is not public: who is asking, whether they may, and how much they may send.

A new route is guarded without having to ask for it; what is public, and what is for operators, is listed here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, cast

import anyio
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from . import replies
from .auth import Principal
from .errors import InvalidRequest, MessageTooLarge, OperatorWanted, TooSlow, UnsupportedEncoding, WireError, told
from .limits import Limits
from .service import Service

PUBLIC: Final = frozenset({"/", "/healthz", "/readyz"})  # they say nothing of anybody's
OPERATORS: Final = (
    "/metrics",
    "/v1/queues",
    "/v1/quotas",
    "/v1/schedules",
    "/v1/tokens",
)  # all tenants' business
PRINCIPAL: Final = "frontdesk.principal"  # in the scope


def guarded(service: Service, routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """The routes, each behind a guard unless it is public."""
    for route in routes:
        if not isinstance(route, Route | WebSocketRoute):
            raise TypeError(f"{route!r} is no single route: nothing would stand before it")
        if route.path not in PUBLIC:
            route.app = Guard(route.app, service, route.path, operators=is_for_operators(route.path))
    return list(routes)


def is_for_operators(path: str) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in OPERATORS)


def principal_of(scope: Scope) -> Principal:
    """Who a guarded request comes from."""
    return cast(Principal, scope[PRINCIPAL])


class Guard:
    """The ASGI application of a route, for those who may use it."""

    def __init__(self, app: ASGIApp, service: Service, path: str, *, operators: bool = False) -> None:
        self.app, self._service, self._path, self._operators = app, service, path, operators

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HTTPConnection(scope)
        try:
            principal = await self._service.door.identify(request, self._service.keyring)
            if self._operators and not principal.operator:
                raise OperatorWanted
            self._service.admit(principal.tenant)
            if scope["type"] == "http":
                receive = _Body(request, receive, self._service.limits)
        except Exception as error:
            problem = told(error)
            self._service.database.measures.count("error", problem.code)
            await refuse(problem, scope, receive, send)
            return
        scope[PRINCIPAL] = principal
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        begun, measures = time.monotonic(), self._service.database.measures
        route = f"{scope['method']} {self._path}"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                measures.took("request", time.monotonic() - begun, route)
                measures.count("request", f"{route} {message['status']}")
            await send(message)

        with anyio.CancelScope() as until, self._service.visit(request, principal, until.cancel):
            await self.app(scope, receive, counted)


class _Body:
    """A request's body, up to a limit. What is declared too long, or compressed, is refused before it is read."""

    def __init__(self, request: HTTPConnection, receive: Receive, limits: Limits) -> None:
        self._receive, self._limits, self._read, self._whole = receive, limits, 0, False
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise UnsupportedEncoding(encoding)
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal():
            raise InvalidRequest("the content-length is not a number")
        if int(declared) > limits.message_bytes:
            raise self._too_large()

    def _too_large(self) -> MessageTooLarge:
        return MessageTooLarge(f"more than {self._limits.message_bytes:,} bytes in one body")

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()  # it waits for the client to go
        try:
            with anyio.fail_after(self._limits.body_seconds):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow(self._limits.body_seconds) from None
        self._whole = not message.get("more_body", False)
        self._read += len(message.get("body", b""))
        if self._read > self._limits.message_bytes:
            raise self._too_large()
        return message


async def refuse(error: WireError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with an error; an upgrade too, where the server can."""
    if scope["type"] == "http":
        await replies.problem(error)(scope, receive, send)
        return
    socket = WebSocket(scope, receive, send)
    if "websocket.http.response" in cast(dict[str, Any], scope.get("extensions") or {}):
        await socket.send_denial_response(replies.problem(error))
    else:
        await socket.close(1008, error.code)
