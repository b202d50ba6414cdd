"""Who is asking, and from where: principals, bearer tokens, and the origins of browsers' pages. Pure.

Without a token the server listens on loopback only and takes any bearer (the SDKs always send one). A page of another
origin must not use it all the same, and neither must a page whose name was bound to 127.0.0.1: so the Host of a request
is checked then, too. Who a token belongs to is decided in ``door``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from .errors import ForbiddenOrigin

SUBPROTOCOL_TOKEN: Final = "openai-insecure-api-key."
LOCALHOST: Final = "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who a request comes from.

    ``tenant`` owns what the request makes, and sees nothing of other tenants. An ``operator`` may also do what concerns
    all of them: queues, schedules, tokens, metrics. ``name`` is for the log. At ``expires_at`` (seconds since 1970) its
    open connections are closed.
    """

    tenant: str = ""
    name: str = ""
    operator: bool = False
    expires_at: float | None = None


def bearer(headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> str:
    """The token that a request shows, or an empty text. A browser's WebSocket has it in a subprotocol. Names of headers
    are in lower case."""
    for name in subprotocols:
        if name.startswith(SUBPROTOCOL_TOKEN):
            return name.removeprefix(SUBPROTOCOL_TOKEN)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def answering(subprotocols: Sequence[str]) -> str | None:
    """The subprotocol that answers an upgrade: one that holds no token, where one was offered."""
    return min(subprotocols, key=lambda name: name.startswith(SUBPROTOCOL_TOKEN), default=None)


def check_origin(headers: Mapping[str, str], origins: Collection[str] = (), *, guarded: bool) -> None:
    """Raises ForbiddenOrigin for a page of another origin than the server's own and ``origins``, and, where no token
    is wanted (not ``guarded``), for a Host that is not loopback."""
    origin, host = headers.get("origin"), headers.get("host", "")
    if not guarded and host and not is_loopback(_hostname(f"//{host}")):
        raise ForbiddenOrigin(host)
    if origin is None or origin in origins:
        return
    _, _, own = origin.partition("://")
    if not own or own.lower() != host.lower():
        raise ForbiddenOrigin(origin)


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether this name or address can only be reached from this machine."""
    if host == LOCALHOST or host.endswith(f".{LOCALHOST}"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
