"""Retrying a task that did not succeed: a new task with the same work, which points to the one that has ended."""

from __future__ import annotations

from pydantic_core import from_json

from ..broker import conversations, queue, quotas, rows, tenants
from ..broker.connection import Connection
from ..broker.errors import ConversationNotFound, TaskNotFound, TaskNotRetryable
from ..broker.failpoints import operation
from ..broker.rows import TaskRow
from ..tasks.request import TaskRequest
from ..tasks.states import LIVE, Status
from .task_storage import delegate


@operation
def retry_task(conn: Connection, task_id: str, tenant: str) -> tuple[TaskRow, bool]:
    """Files a failed, cancelled or held task anew, in the same conversation; the new task, and whether an earlier retry
    had filed it. A task is retried once; what comes of it can be retried in its turn.

    The new one has no parent: whoever filed the first has been told of its end. Raises TaskNotFound, TaskNotRetryable,
    ConversationNotFound (it was deleted, and its last tasks are just stopping).
    """
    locked = rows.lock_one(conn, task_id)  # who retries it at the same time waits here, and then finds the new one
    row = tenants.owned(locked, tenant)
    if row is None or row["kind"] == "turn":
        raise TaskNotFound(task_id)
    status = Status(row["status"])
    if status in LIVE or status is Status.SUCCEEDED:
        raise TaskNotRetryable(row["label"] or task_id, status, live=status in LIVE)
    if row["conversation_id"] and conn.one(conversations.IS_GIVEN_UP, {"id": row["conversation_id"]}):
        raise ConversationNotFound(row["conversation_id"])
    created_by = f"retry/{task_id}"
    found = rows.by_creator(conn, created_by)
    if found is not None:
        return found, True
    quotas.check_task(conn, tenant)
    request = again(row)
    origin = queue.Origin(
        tenant=tenant, conversation_id=row["conversation_id"], agent=row["agent"], depth=row["depth"],
        created_by=created_by, retry_of=task_id,
    )  # fmt: skip
    if request.unique_key is not None:
        conn.run(rows.FREE_KEY, {"id": task_id})  # else it would be found instead of the new one
    new = queue.enqueue(conn, request, origin)
    if request.kind == "agent":
        delegate(conn, new, request)
    return new, False


def again(row: TaskRow) -> TaskRequest:
    """What was asked for when this task was filed, to be done now. A unique key that it still has holds for as long
    as the new one is live."""
    kept = {name: row[name] for name in TaskRequest.model_fields if name in row and name not in ("delay", "run_at")}
    limit = max(1, row["concurrency_limit"])  # rows of the first schemas have none
    return TaskRequest.model_validate({**kept, "arguments": from_json(row["arguments"]), "concurrency_limit": limit})
