"""Quotas of tenants over HTTP, for operators."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ..broker import quotas
from . import checks
from .call import Call, Endpoint
from .checks import optional
from .replies import answer

NUMBER: Final = checks.integer(0, 2**53)


async def listed(call: Call) -> Response:
    """Every quota; that of ``*`` is everybody's who has none."""
    return answer({"object": "list", "data": await call.session.database.read(quotas.listed)})


async def put(call: Call) -> Response:
    """Body: ``tenant`` (``*``: everybody who has none), ``turns`` at once, queued ``tasks``, ``tokens`` a day; what is
    left out has no bound."""
    body = await call.body()
    tenant = optional(body, "tenant", checks.column(200)) or ""
    wanted = quotas.Quota(*(optional(body, name, NUMBER) for name in ("turns", "tasks", "tokens")))
    return answer(await call.session.database.write(quotas.set_quota, tenant, wanted))


ENDPOINTS: Final = (
    Endpoint("GET", "/v1/quotas", listed),
    Endpoint("POST", "/v1/quotas", put),
)
