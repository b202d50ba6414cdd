"""Headers that every answer carries, so that a browser makes nothing of it that it is not, and a client does not stay
with a server that stops.

An answer that has one of them already keeps its own: the page says by itself where its scripts come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOTHING: Final = "default-src 'none'; frame-ancestors 'none'"
# Of a page whose scripts and styles are files of this server; nothing inline, nothing from elsewhere, no frames.
PAGE: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
EVERY: Final = {
    "content-security-policy": NOTHING,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Headers:
    """The ASGI application, with `EVERY` header on its answers.

    ``is_closing``: whether the server stops. Then an answer ends its connection: over the same one a client would send
    its request again to this server only, while others are there.
    """

    def __init__(self, app: ASGIApp, is_closing: Callable[[], bool]) -> None:
        self._app, self._is_closing = app, is_closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(raw=message["headers"])
                for name, value in EVERY.items():
                    headers.setdefault(name, value)
                if scope.get("http_version", "").startswith("1") and self._is_closing():  # HTTP/2 has no such header
                    headers.setdefault("connection", "close")
            await send(message)

        await self._app(scope, receive, with_headers)
