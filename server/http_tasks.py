"""Tasks over HTTP: listed, shown, counted, cancelled, retried, answered; and the schedules that file some of them."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ..broker import listing
from . import checks, records
from .call import Call, Endpoint
from .checks import require
from .errors import InvalidRequest
from .protocol import Answer, Cancel
from .replies import answer, listed

STATUSES: Final = ("queued", "running", "waiting", "succeeded", "failed", "cancelled", "held", listing.LIVE)


async def tasks(call: Call) -> Response:
    """The caller's tasks, newest first; ``conversation``, ``status`` (a state, or ``live``), ``after`` (a task id),
    ``limit`` (1 to 100)."""
    page, status = call.page(), call.query("status")
    if status:
        require(status, checks.one_of(*STATUSES), "status")
    found = await call.session.database.read(
        records.tasks,
        call.session.tenant,
        conversation_id=call.query("conversation"),
        status=status,
        after=page.after,
        limit=page.limit + 1,
    )
    return listed(found, page.limit)


async def task(call: Call) -> Response:
    """One task, with what its webhook was told."""
    return answer(await call.session.database.read(records.task_of, call.path("task_id"), call.session.tenant))


async def cancel(call: Call) -> Response:
    """Asks for a task and its children to be cancelled; the task as it is then."""
    await call.session.cancel(Cancel(task_id=call.path("task_id")))
    return await task(call)


async def retry(call: Call) -> Response:
    """The new task; ``repeated``: it had been filed by an earlier retry of the same task."""
    return answer(await call.session.retry(call.path("task_id")))


async def answer_task(call: Call) -> Response:
    """Answers the question that a task waits with. Body: ``{"answer": any JSON value}``."""
    body = await call.body()
    if "answer" not in body:
        raise InvalidRequest("answer is missing: any JSON value", "answer")
    return answer(await call.session.answer(Answer(call.path("task_id"), body["answer"])))


async def stats(call: Call) -> Response:
    """The caller's tasks, counted."""
    return answer(await call.session.database.read(records.stats, call.session.tenant))


async def schedules(call: Call) -> Response:
    """What the desk files by itself, and when."""
    return answer({"object": "list", "data": await call.session.database.read(records.scheduled)})


ENDPOINTS: Final = (
    Endpoint("GET", "/v1/schedules", schedules),
    Endpoint("GET", "/v1/tasks", tasks),
    Endpoint("GET", "/v1/tasks/stats", stats),
    Endpoint("GET", "/v1/tasks/{task_id}", task),
    Endpoint("POST", "/v1/tasks/{task_id}/cancel", cancel),
    Endpoint("POST", "/v1/tasks/{task_id}/retry", retry),
    Endpoint("POST", "/v1/tasks/{task_id}/answer", answer_task),
)
