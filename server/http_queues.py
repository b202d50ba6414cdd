"""Queues over HTTP: listed, paused, resumed."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ..broker import line
from . import checks
from .call import Call, Endpoint
from .checks import require
from .replies import answer


async def queues(call: Call) -> Response:
    """Every queue that has been used, and whether it is paused."""
    found = await call.session.database.read(line.all_queues)
    data = [{"object": "frontdesk.queue", "id": name, "paused": paused} for name, paused in found.items()]
    return answer({"object": "list", "data": data})


async def pause(call: Call) -> Response:
    """Nothing is claimed from the queue any more; what runs goes on."""
    return await _set_paused(call, paused=True)


async def resume(call: Call) -> Response:
    """What waits in the queue is claimed again."""
    return await _set_paused(call, paused=False)


async def _set_paused(call: Call, *, paused: bool) -> Response:
    name = require(call.request.path_params["name"], checks.column(200), "name")
    await call.session.database.write(line.set_paused, name, paused=paused)
    return answer({"object": "frontdesk.queue", "id": name, "paused": paused})


ENDPOINTS: Final = (
    Endpoint("GET", "/v1/queues", queues),
    Endpoint("POST", "/v1/queues/{name}/pause", pause),
    Endpoint("POST", "/v1/queues/{name}/resume", resume),
)
