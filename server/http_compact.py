"""``POST /v1/responses/compact``: what a client has of a dialog, made shorter by the model, for a client that keeps the
history itself.

Nothing is stored, and no turn is run: the answer is the whole outcome. What it takes is counted among what the tenant
has used, and bounded by the same quota.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from ..agents.compacting import Compacted, compact
from ..agents.errors import ModelError
from ..agents.events import usage_body
from ..agents.model import Model
from ..broker import quotas, usage
from ..broker.spending import Spending
from ..tasks.request import new_id
from . import checks, items
from .call import Call, Endpoint
from .checks import JSON, optional
from .errors import InvalidRequest, WireError
from .http_responses import arriving
from .item_views import parts
from .replies import answer


async def compacted(call: Call) -> Response:
    """The messages of the user, then one ``compaction`` item that stands for everything else. Give ``input``,
    ``previous_response_id`` or both."""
    body = await call.body()
    with arriving(call):
        found = await _made(call, body)
    return answer(
        {
            "id": new_id("cmp"), "object": "response.compaction", "created_at": int(time.time()),
            "output": [_shown(one) for one in found.items], "usage": usage_body(found.usage),
        }
    )  # fmt: skip


async def _made(call: Call, body: JSON) -> Compacted:
    """What the model makes of it. Raises what the client is told."""
    model = call.session.model_for(optional(body, "model", checks.string(256)))
    instructions = str(optional(body, "instructions", checks.string()) or "")
    given = await _given(call, body)
    try:
        return await _compact(call, model, given, instructions)
    except ValueError as error:
        raise InvalidRequest(str(error), "input") from None
    except ModelError as error:
        raise WireError(500, "server_error", str(error), headers={"x-should-retry": "false"}) from error


async def _compact(call: Call, model: Model, given: list[JSON], instructions: str) -> Compacted:
    """Has it done within the tenant's quota, and counts what it took. Raises QuotaExceeded, ValueError, ModelError."""
    session, beside = call.session, call.service.compacting
    tenant, team = session.tenant, session.desk.team()
    beside[tenant] += 1  # before it is asked: others come while the quota is read
    try:
        await session.database.read(quotas.check_turn, tenant, beside=beside[tenant] - 1)
        async with team.slots.one(tenant):
            begun = time.monotonic()
            found = await compact(model, given, instructions=instructions)
            seconds = time.monotonic() - begun
    finally:
        beside[tenant] -= 1
        if not beside[tenant]:
            del beside[tenant]
    used = team.priced(found.usage, model)
    spent = Spending(
        model_calls=found.model_calls, input_tokens=used.input_tokens, cached_tokens=used.cached_tokens,
        output_tokens=used.output_tokens, reasoning_tokens=used.reasoning_tokens, seconds=seconds, cost=used.cost,
    )  # fmt: skip
    await session.database.write(usage.count_beside, tenant, spent, new_id("cmp"))
    return replace(found, usage=used)


def _shown(item: JSON) -> JSON:
    """One item of the answer, with what its type demands and the client may have left out."""
    if item["type"] != "message":
        return item
    return {**item, "status": "completed", "content": parts(item.get("content"), "user")}


async def _given(call: Call, body: JSON) -> list[JSON]:
    """What is to be compacted: the history up to a response, then the input."""
    previous: Any = optional(body, "previous_response_id", checks.identifier)
    if previous is None and body.get("input") is None:
        raise InvalidRequest("give input, previous_response_id or both", "input")
    before = [] if previous is None else await call.session.history(previous)
    given = await call.session.named(items.normal(body["input"])) if body.get("input") is not None else ()
    return [{key: value for key, value in one.items() if key != "id"} for one in (*before, *given)]  # they are copies


ENDPOINTS: Final = (Endpoint("POST", "/v1/responses/compact", compacted),)
