"""What the caller's tenant, or one of its conversations, has used, over HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.responses import Response

from ..broker import usage
from ..broker.connection import Connection
from ..broker.spending import HOUR, Spending, window_of
from . import checks
from .call import Call, Endpoint
from .checks import require
from .errors import InvalidRequest
from .replies import answer

MOST_DAYS: Final = 366


async def of_caller(call: Call) -> Response:
    """With ``conversation``: all that it has used. Else what was used on each of the last ``days`` (7), in UTC."""
    session, wanted = call.session, call.query("conversation")
    if wanted:
        about = await session.conversation(str(require(wanted, checks.identifier, "conversation")))
        spent = await session.database.read(usage.of_conversation, about.id)
        return answer({"object": "list", "data": [_shown(spent, conversation=about.id)]})
    found = await session.database.read(_by_day, session.tenant, _days(call.query("days", "7")))
    return answer({"object": "list", "data": [_shown(spent, day=day) for day, spent in found]})


def _days(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= MOST_DAYS:
        raise InvalidRequest(f"days must be an integer from 1 to {MOST_DAYS}, not {text[:20]!r}", "days")
    return int(text)


def _by_day(conn: Connection, tenant: str, days: int) -> Iterable[tuple[str, Spending]]:
    """The oldest day first; one on which nothing was used is left out."""
    first, until = window_of("day", conn.wall())
    found: dict[str, Spending] = {}
    for hour, spent in usage.by_hour(conn, tenant, first - 24 * (days - 1), until):
        day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=hour * HOUR)).date().isoformat()
        found[day] = found.get(day, Spending()) + spent
    return list(found.items())


def _shown(spent: Spending, **of: str) -> dict[str, Any]:
    return {"object": "frontdesk.usage", **of, **spent.amounts(), "total_tokens": spent.tokens}


ENDPOINTS: Final = (Endpoint("GET", "/v1/usage", of_caller),)
