"""Answers that wait for a response: what an event stream and a JSON answer have in common. A client that goes away ends
its answer and nothing else.

Each reads the log through a `ResponseLog`, at its client's speed, and is a connection like a WebSocket: it counts among
its tenant's, and ends when the server drains.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol, cast

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..broker.errors import DatabaseClosed, ResponseNotFound
from .call import Call
from .httpprotocol import EXTENSION
from .patience import LOOK_SECONDS, Outlet, wait_for_client
from .response_log import ResponseLog

log = logging.getLogger("frontdesk.server")


class Gone(Exception):
    """The client is not there any more, or has been cut off."""


class HTTPOutlet(Outlet, Protocol):
    """The socket of a request, where the server is uvicorn with our protocol."""

    def abort(self) -> None: ...


class Answering(Response, ABC):
    """Follows one response until it has ended. The log is stopped at the end.

    ``resumed``: the response may have ended long ago, so that the log does not hold its last event any more.
    """

    def __init__(self, call: Call, followed: ResponseLog, *, resumed: bool = False) -> None:
        super().__init__()
        self.session, self.followed = call.session, followed
        self._service, self._limits = call.service, call.session.limits
        self._resumed = resumed
        self._closing = False
        self._outlet: HTTPOutlet | None = None
        self._send: Send

    def drain(self, seconds: float) -> None:
        """The server drains: the answer ends after so many seconds."""
        asyncio.get_running_loop().call_later(seconds, self._close)

    def _close(self) -> None:
        self._closing = True
        self.followed.wake()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions = cast(Mapping[str, Any], scope.get("extensions") or {})
        self._outlet, self._send = cast("HTTPOutlet | None", extensions.get(EXTENSION)), send
        self._service.enter(self, self.session.tenant)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_watch, receive, group.cancel_scope)
                with suppress(Gone):
                    await self.answer()
                group.cancel_scope.cancel()
        finally:
            self.followed.stop()
            self._service.leave(self)

    @abstractmethod
    async def answer(self) -> None:
        """Sends the whole answer. Raises Gone."""

    async def follow(self) -> None:
        """Hands the response's events on until it has ended, or the server drains. Raises Gone, ResponseNotFound,
        DatabaseClosed."""
        look = self._resumed
        while not self.followed.ended:
            found = await self.followed.batch()
            if self._closing and not self.followed.ended:
                return
            if not found:
                if look and not await self._look_for_end():
                    look = False
                    continue
                if self.followed.ended or await self.followed.grown(self._limits.ping_seconds):
                    continue
                look = True
            await self.hand_on(found)

    async def _look_for_end(self) -> bool:
        """Hands on the end of a response that the log does not hold any more; whether it has ended."""
        last = await self.session.last_event(self.followed.response_id)
        if last is None:
            return False
        found = await self.followed.batch()
        if not self.followed.ended:
            self.followed.ended = True
            found.append(last)
        await self.hand_on(found)
        return True

    @abstractmethod
    async def hand_on(self, texts: list[str]) -> None:
        """The next events; none: nothing has happened for some time. Raises Gone."""

    async def write(self, message: dict[str, Any]) -> None:
        """Sends a part of the answer when the client reads. Raises Gone when it is cut off."""
        if self._outlet is None:  # another server, whose buffers are its own
            with anyio.move_on_after(self._limits.stall_seconds):
                await self._send(message)
                return
            raise Gone
        why = await wait_for_client(self._outlet, self._limits, self.followed.lag)
        if why is not None:
            log.info("a client is cut off: %s; it can go on after %d", why, self.followed.last_number)
            self._outlet.abort()
            raise Gone
        await self._send(message)

    async def write_last(self, message: dict[str, Any]) -> None:
        """The end of an answer; a client that does not take it is left."""
        with anyio.move_on_after(LOOK_SECONDS):
            await self._send(message)
            return
        if self._outlet is not None:
            self._outlet.abort()


async def _watch(receive: Receive, answering: anyio.CancelScope) -> None:
    """Ends the answer when its client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    answering.cancel()


ENDINGS = (ResponseNotFound, DatabaseClosed)  # what is followed was deleted; the server is stopping
