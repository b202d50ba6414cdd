"""How an answer and an error look over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from .errors import WireError


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(to_json(value), status, headers, media_type="application/json")


def problem(error: WireError) -> Response:
    """An error in the API's form. The SDKs retry a 409 unless they are told that it would be refused again."""
    headers = dict(error.headers)
    if error.status == 409:
        headers["x-should-retry"] = "false"
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    body = {key: value for key, value in error.body().items() if key != "headers"}
    return answer({"error": body}, error.status, headers)


def listed(found: Sequence[dict[str, Any]], limit: int, *, none: str | None = None) -> Response:
    """A page of a list, in the API's form. One more than the limit was looked for: then there is more.

    ``none``: the ids of the first and last when there are none; the SDK wants a text for lists of items.
    """
    data = found[:limit]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (none, none)
    page = {"object": "list", "data": data, "has_more": len(found) > len(data), "first_id": first, "last_id": last}
    return answer(page)
