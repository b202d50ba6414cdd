"""uvicorn's HTTP protocol, able to part from a client that does not read its event stream.

uvicorn waits for such a client for ever: what it has buffered is to be sent before the connection is closed.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

EXTENSION: Final = "frontdesk.http"


class AbortableHTTP(H11Protocol):
    """Passes itself to the application as ``scope["extensions"]["frontdesk.http"]``."""

    def connection_made(  # type: ignore[override] # as uvicorn's own
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        inner = cast(ASGIApp, self.app)

        async def with_outlet(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {**(scope.get("extensions") or {}), EXTENSION: self}
            await inner(scope, receive, send)

        self.app = with_outlet

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
