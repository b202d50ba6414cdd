"""One request over HTTP, as its handler sees it: who asks, and what is read of its query and body, within bounds.

What is answered is decided by the handlers in the ``http_…`` files; which path leads to which is their ``ENDPOINTS``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from ..broker.errors import ItemNotFound
from . import checks
from .checks import JSON, require
from .errors import InvalidRequest, MessageTooLarge
from .jsontext import decode
from .service import Service
from .session import Session

PAGE: Final = 100  # entries of a list in one answer
USUAL_PAGE: Final = 20


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for; ``after`` is the id of the entry before it."""

    limit: int
    after: str = ""
    newest_first: bool = True

    def of(self, found: list[JSON]) -> list[JSON]:
        """This part of a whole list (the oldest first), and one more when there is more. Raises ItemNotFound."""
        ordered = found[::-1] if self.newest_first else found
        if self.after:
            places = [place for place, one in enumerate(ordered) if one["id"] == self.after]
            if not places:
                raise ItemNotFound(self.after)
            ordered = ordered[places[0] + 1 :]
        return ordered[: self.limit + 1]


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``session`` is its client's, made for it alone."""

    request: Request
    session: Session
    service: Service

    def path(self, name: str) -> str:
        """A part of the path. Raises InvalidRequest when it is no id."""
        return str(require(self.request.path_params[name], checks.identifier, name))

    def query(self, name: str, default: str = "") -> str:
        """A parameter of the query. Raises InvalidRequest when no database can look for it."""
        return str(require(self.request.query_params.get(name, default), checks.column(), name))

    def page(self) -> Page:
        """``limit`` (1 to 100), ``after`` and ``order`` of the query. Raises InvalidRequest."""
        limit, order = self.query("limit", str(USUAL_PAGE)), self.query("order", "desc")
        if not limit.isascii() or not limit.isdecimal() or len(limit) > 3 or not 1 <= int(limit) <= PAGE:
            raise InvalidRequest(f"limit must be an integer from 1 to {PAGE}, not {limit[:20]!r}", "limit")
        require(order, checks.one_of("asc", "desc"), "order")
        return Page(int(limit), self.query("after"), order == "desc")

    def flag(self, name: str) -> bool:
        """Whether a query parameter is ``true``. Raises InvalidRequest."""
        return bool(require(self.query(name, "false"), checks.one_of("true", "false"), name) == "true")

    async def body(self) -> JSON:
        """The body's JSON object. Raises MessageTooLarge before more than the limit has been read, and what `decode`
        raises."""
        limits, body = self.session.limits, bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > limits.message_bytes:
                raise MessageTooLarge(f"more than {limits.message_bytes:,} bytes in one body")
        return decode(bytes(body), limits)


Handler: TypeAlias = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method on a path, and what carries it out."""

    method: str
    path: str
    handler: Handler
