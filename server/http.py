"""The routes: which path leads to which handler. The handlers are in the ``http_…`` files, one noun each; what they do
is in ``session``, how it looks in ``replies``.

A new endpoint is an `Endpoint` in one of those files; a new file of them is one more entry of `ENDPOINTS`.
"""

from __future__ import annotations

from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute

from .. import __version__
from . import (
    http_chat,
    http_compact,
    http_conversations,
    http_metrics,
    http_queues,
    http_quotas,
    http_responses,
    http_steps,
    http_tasks,
    http_tokens,
    http_usage,
)
from .call import Call, Endpoint
from .checks import JSON
from .errors import WireError, told
from .guard import principal_of
from .openapi import document
from .page import page
from .replies import answer, problem
from .service import Service
from .upgrade import Upgrade


async def models(call: Call) -> Response:
    """The desk first, then its agents."""
    desk = call.session.desk
    names = dict.fromkeys((desk.name, *desk.agents))
    return answer({"object": "list", "data": [_model(name) for name in names]})


async def model(call: Call) -> Response:
    """The desk, or one of its agents."""
    name = str(call.request.path_params["model"])
    call.session.agent_for(name)
    return answer(_model(name))


def _model(name: str) -> JSON:
    return {"id": name, "object": "model", "created": 0, "owned_by": "frontdesk"}


async def described(call: Call) -> Response:
    """The OpenAPI document."""
    found = await to_thread.run_sync(document, ENDPOINTS, __version__)
    return Response(found, media_type="application/json")


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("GET", "/v1/models", models),
    Endpoint("GET", "/v1/models/{model}", model),
    Endpoint("GET", "/v1/openapi.json", described),
    *http_compact.ENDPOINTS,
    *http_responses.ENDPOINTS,
    *http_conversations.ENDPOINTS,
    *http_chat.ENDPOINTS,
    *http_tasks.ENDPOINTS,
    *http_steps.ENDPOINTS,
    *http_queues.ENDPOINTS,
    *http_quotas.ENDPOINTS,
    *http_metrics.ENDPOINTS,
    *http_tokens.ENDPOINTS,
    *http_usage.ENDPOINTS,
)


def routes(service: Service) -> list[BaseRoute]:
    """Every path of the server, for Starlette."""

    async def ready(request: Request) -> Response:
        why = await service.problem()
        return answer({"status": "ready"}) if why is None else answer({"status": "not ready", "why": why}, 503)

    return [
        Route("/", page),
        Route("/healthz", alive),
        Route("/readyz", ready),
        WebSocketRoute("/v1/responses", Upgrade(service)),
        *(_route(service, endpoint) for endpoint in ENDPOINTS),
    ]


def _route(service: Service, endpoint: Endpoint) -> Route:
    """Everything that a request goes through before and after its handler."""

    async def answered(request: Request) -> Response:
        try:
            session = service.session(principal_of(request.scope))
            return await endpoint.handler(Call(request, session, service))
        except Exception as error:
            found = told(error)
            service.database.measures.count("error", found.code)
            return problem(found)

    return Route(endpoint.path, answered, methods=[endpoint.method])


async def alive(request: Request) -> Response:
    return answer({"status": "alive"})


async def unknown(request: Request, error: Exception) -> Response:
    """What Starlette answers by itself: paths that do not exist, and methods that a path does not have."""
    status, path = int(getattr(error, "status_code", 500)), request.url.path
    if status == 404:
        return problem(WireError(404, "not_found", f"{request.method} {path} does not exist"))
    if status != 405:
        return problem(WireError(status, "invalid_request", str(error)))
    allowed = ", ".join(_methods(request))
    text = f"{path} takes {allowed}, and no {request.method}"
    return problem(WireError(405, "invalid_request", text, headers={"allow": allowed}))


def _methods(request: Request) -> list[str]:
    """What all routes of this path take, together."""
    found = [one for one in request.app.routes if one.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for one in found if isinstance(one, Route) for method in one.methods or ()})
