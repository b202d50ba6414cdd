"""Who is asking, and from where: tokens, and the origins of browsers' pages. Pure.

Without a token the server listens on loopback only and takes any bearer (the SDKs always send one). A page of another
origin must not use it all the same, and neither must a page whose name was bound to 127.0.0.1: so the Host of a request
is checked then, too.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from .errors import ForbiddenOrigin, InvalidKey

SUBPROTOCOL_TOKEN = "openai-insecure-api-key."
LOCALHOST = "localhost"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from, and the subprotocol that answers a browser's upgrade."""

    tenant: str = ""
    subprotocol: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Who may come in: ``token`` (empty: anyone who reaches loopback) and listed ``origins`` (``https://desk.example``)."""

    token: str = ""
    origins: tuple[str, ...] = ()

    def identify(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> Identity:
        """Who this request comes from; header names in lower case. Raises InvalidKey, ForbiddenOrigin."""
        self._check_origin(headers.get("origin"), headers.get("host", ""))
        offered = [name for name in subprotocols if name.startswith(SUBPROTOCOL_TOKEN)]
        others = [name for name in subprotocols if not name.startswith(SUBPROTOCOL_TOKEN)]
        given = offered[0].removeprefix(SUBPROTOCOL_TOKEN) if offered else _bearer(headers.get("authorization", ""))
        if self.token and not hmac.compare_digest(given.encode(), self.token.encode()):
            raise InvalidKey
        return Identity(subprotocol=next(iter((*others, *offered)), None))

    def _check_origin(self, origin: str | None, host: str) -> None:
        if not self.token and host and not is_loopback(_hostname(f"//{host}")):
            raise ForbiddenOrigin(host)
        if origin is None or origin in self.origins:
            return
        _, _, own = origin.partition("://")
        if not own or own.lower() != host.lower():
            raise ForbiddenOrigin(origin)


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


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
