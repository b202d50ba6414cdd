"""The routes: what is asked under which path. How it is done is in ``session``, how it looks in ``replies``.

More ways to read the event log (SSE, JSON) are more routes here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from ..broker import line, listing
from . import checks, records
from .checks import JSON, require
from .errors import InvalidRequest, MessageTooLarge, WireError, told
from .jsontext import decode
from .protocol import Answer, Cancel
from .replies import answer, problem
from .service import Service
from .session import Session
from .upgrade import Upgrade

STATUSES: Final = ("queued", "running", "waiting", "succeeded", "failed", "cancelled", "held", listing.LIVE)

Handler: TypeAlias = Callable[[Request, Session], Awaitable[Response]]


def routes(service: Service) -> list[BaseRoute]:
    """Every path of the server, for Starlette."""

    def route(path: str, handler: Handler, method: str = "GET") -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                session = service.session(service.identify(request.headers))
                return await handler(request, session)
            except Exception as error:
                return problem(told(error))

        return Route(path, endpoint, methods=[method])

    async def ready(request: Request) -> Response:
        why = await service.problem()
        return answer({"status": "ready"}) if why is None else answer({"status": "not ready", "why": why}, 503)

    return [
        Route("/healthz", alive),
        Route("/readyz", ready),
        WebSocketRoute("/v1/responses", Upgrade(service)),
        route("/v1/models", models),
        route("/v1/schedules", schedules),
        route("/v1/tasks", tasks),
        route("/v1/tasks/stats", stats),
        route("/v1/tasks/{task_id}", task),
        route("/v1/tasks/{task_id}/cancel", cancel, "POST"),
        route("/v1/tasks/{task_id}/retry", retry, "POST"),
        route("/v1/tasks/{task_id}/answer", answer_task, "POST"),
        route("/v1/queues", queues),
        route("/v1/queues/{name}/pause", pause, "POST"),
        route("/v1/queues/{name}/resume", resume, "POST"),
    ]


async def alive(request: Request) -> Response:
    return answer({"status": "alive"})


async def unknown(request: Request, error: Exception) -> Response:
    """What Starlette answers by itself: paths and methods that do not exist."""
    status = int(getattr(error, "status_code", 500))
    text = f"{request.method} {request.url.path} does not exist" if status in (404, 405) else str(error)
    return problem(WireError(status, "not_found" if status == 404 else "invalid_request", text))


async def models(request: Request, session: Session) -> Response:
    """The desk first, then its agents."""
    names = dict.fromkeys((session.desk.name, *session.desk.agents))
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "frontdesk"} for name in names]
    return answer({"object": "list", "data": data})


async def tasks(request: Request, session: Session) -> Response:
    """The caller's tasks, newest first; ``conversation``, ``status`` (a state, or ``live``), ``after`` (a task id),
    ``limit`` (1 to 100)."""
    query = request.query_params
    limit, status = query.get("limit", "20"), query.get("status", "")
    if not limit.isdecimal() or not 1 <= int(limit) <= records.PAGE:
        raise InvalidRequest(f"limit must be an integer from 1 to {records.PAGE}, not {limit[:20]!r}", "limit")
    if status:
        require(status, checks.one_of(*STATUSES), "status")
    found = await session.database.read(
        records.tasks,
        session.tenant,
        conversation_id=query.get("conversation", ""),
        status=status,
        after=query.get("after", ""),
        limit=int(limit) + 1,
    )
    page = found[: int(limit)]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return answer(
        {"object": "list", "data": page, "has_more": len(found) > len(page), "first_id": first, "last_id": last}
    )


async def task(request: Request, session: Session) -> Response:
    task_id = request.path_params["task_id"]
    return answer(await session.database.read(records.task_of, task_id, session.tenant))


async def cancel(request: Request, session: Session) -> Response:
    task_id = request.path_params["task_id"]
    await session.cancel(Cancel(task_id=task_id))
    return answer(await session.database.read(records.task_of, task_id, session.tenant))


async def retry(request: Request, session: Session) -> Response:
    """The new task; ``repeated``: it had been filed by an earlier retry of the same task."""
    return answer(await session.retry(request.path_params["task_id"]))


async def stats(request: Request, session: Session) -> Response:
    """The caller's tasks, counted."""
    return answer(await session.database.read(records.stats, session.tenant))


async def schedules(request: Request, session: Session) -> Response:
    """What the desk files by itself, and when."""
    return answer({"object": "list", "data": await session.database.read(records.scheduled)})


async def answer_task(request: Request, session: Session) -> Response:
    """Body: ``{"answer": any JSON value}``."""
    body = await _object(request, session.limits.message_bytes)
    if "answer" not in body:
        raise InvalidRequest("answer is missing: any JSON value", "answer")
    return answer(await session.answer(Answer(request.path_params["task_id"], body["answer"])))


async def queues(request: Request, session: Session) -> Response:
    """Every queue that has been used, and whether it is paused."""
    found = await session.database.read(line.all_queues)
    data = [{"object": "frontdesk.queue", "id": name, "paused": paused} for name, paused in found.items()]
    return answer({"object": "list", "data": data})


async def pause(request: Request, session: Session) -> Response:
    """Nothing is claimed from the queue any more; what runs goes on."""
    return await _set_paused(request, session, paused=True)


async def resume(request: Request, session: Session) -> Response:
    """What waits in the queue is claimed again."""
    return await _set_paused(request, session, paused=False)


async def _set_paused(request: Request, session: Session, *, paused: bool) -> Response:
    name = require(request.path_params["name"], checks.string(200), "name")
    await session.database.write(line.set_paused, name, paused=paused)
    return answer({"object": "frontdesk.queue", "id": name, "paused": paused})


async def _object(request: Request, limit: int) -> JSON:
    """The body's JSON object. Raises MessageTooLarge before more than the limit has been read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise MessageTooLarge(f"more than {limit:,} bytes in one body")
    return decode(bytes(body))
