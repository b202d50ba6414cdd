"""Access tokens over HTTP, for operators: listed, issued, revoked. `guard` has seen to it that only they come here."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from . import checks, tokens
from .call import Call, Endpoint
from .checks import optional
from .replies import answer

NAME: Final = checks.column(200)
LONGEST: Final = 100 * 366 * 86_400  # seconds


async def listed(call: Call) -> Response:
    """Every token that was issued, newest first; what it is, nobody can say any more."""
    return answer({"object": "list", "data": await call.session.database.read(tokens.listed)})


async def issue(call: Call) -> Response:
    """Body: ``name``, ``tenant``, ``operator``, ``expires_in`` (seconds), all optional. The answer's ``token`` is shown
    this once."""
    body = await call.body()
    new = tokens.new_token(
        name=optional(body, "name", NAME) or "",
        tenant=optional(body, "tenant", NAME) or "",
        operator=optional(body, "operator", checks.boolean) or False,
        seconds=optional(body, "expires_in", checks.number(1, LONGEST)),
    )
    found = await call.session.database.write(tokens.issue_token, new)
    return answer({**found, "token": new.secret})


async def revoke(call: Call) -> Response:
    """Open connections with this token end within ten seconds."""
    return answer(await call.session.database.write(tokens.revoke_token, call.path("token_id")))


ENDPOINTS: Final = (
    Endpoint("GET", "/v1/tokens", listed),
    Endpoint("POST", "/v1/tokens", issue),
    Endpoint("DELETE", "/v1/tokens/{token_id}", revoke),
)
