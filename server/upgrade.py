"""The upgrade of a request to a WebSocket: who may have one, what it resumes, and the Connection that serves it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, cast

from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from .auth import answering
from .connection import Connection
from .errors import InvalidRequest, WireError
from .guard import principal_of, refuse
from .protocol import Subscribe, subscribe
from .service import Service
from .websocket import EXTENSION, Transport


class Upgrade:
    """The ASGI application of ``GET /v1/responses`` with an Upgrade."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        service, principal = self._service, principal_of(scope)
        try:
            service.check_room(principal.tenant)
            subscriptions = resumed(socket.query_params)
        except WireError as error:
            await refuse(error, scope, receive, send)
            return
        await socket.accept(answering(cast(list[str], scope["subprotocols"])))
        connection = Connection(service.session(principal), receive, send, _transport(scope))
        with service.visit(socket, principal, connection.end):
            service.enter(connection, principal.tenant)
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


def _transport(scope: Scope) -> Transport | None:
    return cast("Transport | None", cast(Mapping[str, Any], scope.get("extensions") or {}).get(EXTENSION))
