"""The steps of a run over HTTP."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ..agents import steps
from .call import Call, Endpoint
from .replies import answer


async def of_response(call: Call) -> Response:
    """The states and steps of the run that a response belongs to, oldest first."""
    session = call.session
    return answer(await session.database.read(steps.of_run, call.path("response_id"), session.tenant))


ENDPOINTS: Final = (Endpoint("GET", "/v1/responses/{response_id}/steps", of_response),)
