"""uvicorn's HTTP protocol, able to part from a client that does not read its event stream, or that never says what it
wants.

uvicorn waits for such a client for ever: what it has buffered is to be sent before the connection is closed, and the
head of a request may take as long as it likes.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

EXTENSION: Final = "frontdesk.http"


class AbortableHTTP(H11Protocol):
    """Passes itself to the application as ``scope["extensions"]["frontdesk.http"]``."""

    head_seconds: ClassVar[float] = 20.0

    def connection_made(  # type: ignore[override] # as uvicorn's own
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        self._head: asyncio.TimerHandle | None = None
        self._await_head()
        inner = cast(ASGIApp, self.app)

        async def with_outlet(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {**(scope.get("extensions") or {}), EXTENSION: self}
            await inner(scope, receive, send)

        self.app = with_outlet

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle = cast("Any", self.cycle)  # None before the first request
        idle = cycle is None or cycle.response_complete
        if idle and self.transport.get_protocol() is self and not self.transport.is_closing():
            self._await_head()
        else:  # it has said what it wants, or it is a WebSocket now
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        """The head of the next request is to be here in time; what has come of it gives no more time."""
        if self._head is None:
            self._head = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    @property
    def is_free(self) -> bool:
        return not self.flow.write_paused

    @property
    def backlog(self) -> int:
        return self.transport.get_write_buffer_size()

    async def wait_until_free(self) -> None:
        await self.flow.drain()

    def abort(self) -> None:
        """Is rid of the client at once; what was buffered for it is dropped."""
        self.transport.abort()
