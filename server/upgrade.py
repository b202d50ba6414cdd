"""The upgrade of a request to a WebSocket: who may have one, what it resumes, and the Connection that serves it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, cast

from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from . import replies
from .connection import Connection
from .errors import InvalidRequest, WireError
from .protocol import Subscribe, subscribe
from .service import Service
from .websocket import EXTENSION, Transport


class Upgrade:
    """The ASGI application of ``GET /v1/responses`` with an Upgrade."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        service = self._service
        try:
            identity = service.identify(socket.headers, cast(list[str], scope["subprotocols"]))
            service.check_room(identity.tenant)
            subscriptions = resumed(socket.query_params)
        except WireError as error:
            await _deny(socket, error)
            return
        await socket.accept(identity.subprotocol)
        connection = Connection(service.session(identity), receive, send, _transport(scope))
        service.enter(connection, identity.tenant)
        try:
            await connection.run(subscriptions)
        finally:
            service.leave(connection)


def resumed(query: QueryParams) -> list[Subscribe]:
    """What ``?conversation=…&after=…`` subscribes to; both may be repeated, in one order. Raises InvalidRequest."""
    conversations, cursors = query.getlist("conversation"), query.getlist("after")
    if cursors and len(cursors) != len(conversations):
        raise InvalidRequest("after: give one for each conversation, or none", "after")
    pairs = zip_longest(conversations, cursors)
    return [subscribe({"conversation": conversation, "after": after}) for conversation, after in pairs]


async def _deny(socket: WebSocket, error: WireError) -> None:
    """Answers the upgrade with an HTTP error, where the server can."""
    if "websocket.http.response" in cast(Mapping[str, Any], socket.scope.get("extensions", {})):
        await socket.send_denial_response(replies.problem(error))
    else:
        await socket.close(1008, error.code)


def _transport(scope: Scope) -> Transport | None:
    return cast("Transport | None", cast(Mapping[str, Any], scope.get("extensions") or {}).get(EXTENSION))
