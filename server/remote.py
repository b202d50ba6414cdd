"""A running server, asked over plain HTTP: for commands that look and leave."""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from ..tasks.errors import FrontdeskError
from .errors import TOKEN_WANTED, AddressError

SECONDS = 10.0


class RemoteError(FrontdeskError):
    """The server refused, with this status; the text is its own."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Remote:
    """A server at ``address`` (``http://127.0.0.1:8765``)."""

    def __init__(self, address: str, token: str = "") -> None:
        self._address, self._token = address.rstrip("/").removesuffix("/v1"), token

    def get(self, *path: str, **query: str | int | None) -> Any:
        """The JSON answer. Raises RemoteError, and AddressError when nobody answers."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask(
            "GET", "/".join(quote(part, safe="") for part in path) + (f"?{urlencode(given)}" if given else "")
        )

    def post(self, *path: str, body: dict[str, Any] | None = None) -> Any:
        return self._ask("POST", _joined(path), None if body is None else json.dumps(body).encode())

    def delete(self, *path: str) -> Any:
        return self._ask("DELETE", _joined(path))

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        try:
            request = Request(f"{self._address}/v1/{path}", body, method=method)
            if body is not None:
                request.add_header("Content-Type", "application/json")
            if self._token:
                request.add_header("Authorization", f"Bearer {self._token}")
            with urlopen(request, timeout=SECONDS) as reply:
                return json.load(reply)
        except HTTPError as error:
            with error:
                raise RemoteError(_message(error), error.code) from error
        except (URLError, HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise AddressError(
                f"no Frontdesk answers at {self._address} ({reason}); "
                "start one with `frontdesk serve`, or name another with --server"
            ) from error


def _joined(path: tuple[str, ...]) -> str:
    return "/".join(quote(part, safe="") for part in path)


def _message(error: HTTPError) -> str:
    if error.code == 401:
        return TOKEN_WANTED
    try:
        return str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {error.code} {error.reason}; is it a Frontdesk?"
