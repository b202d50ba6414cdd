"""Metrics over HTTP, for operators."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ..broker import counting
from .call import Call, Endpoint


async def metrics(call: Call) -> Response:
    """What this process has measured, and the live work of all, for Prometheus."""
    from .metrics import MEDIA_TYPE, page  # nobody else needs its library

    database = call.session.database
    live = await database.read(counting.live_by_queue)
    return Response(page(database.measures, call.service.connections, live), media_type=MEDIA_TYPE)


ENDPOINTS: Final = (Endpoint("GET", "/metrics", metrics),)
