"""How a task comes into the queue: once for each creation and for each unique key, with its label, its event and its
place in the line in one commit.

What a crash leaves: before the commit nothing, and the same creation makes it then; after it, the task.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from ..tasks.request import TaskRequest, new_id
from . import line, rows, views
from .connection import Connection
from .conversations import READ_CONVERSATION
from .events import count_on, insert_one
from .rows import TaskRow
from .wakeups import TasksReady


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a task comes from. ``created_by`` is unique: a repeat of the same creation finds the task that it made."""

    tenant: str = ""
    conversation_id: str | None = None
    agent: str = ""
    parent_id: str | None = None
    depth: int = 0
    created_by: str | None = None
    retry_of: str | None = None


def fingerprint(name: str, arguments: Any) -> str:
    """Names a task by what it does: the same function (or agent) with the same arguments."""
    return hashlib.sha256(to_json([name, arguments], serialize_unknown=True)).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Filed:
    """A task that was filed, or (``repeated``) that was there already under its creator or its unique key."""

    row: TaskRow
    repeated: bool = False


def owns(conn: Connection, tenant: str, conversation_id: str) -> bool:
    """Whether the tenant has this conversation; a delegated run's is nobody's."""
    return conn.one(READ_CONVERSATION, {"id": conversation_id, "tenant": tenant}) is not None


def enqueue(conn: Connection, request: TaskRequest, origin: Origin = Origin(), **values: Any) -> TaskRow:
    """As `file`; the task's row."""
    return file(conn, request, origin, **values).row


def file(conn: Connection, request: TaskRequest, origin: Origin = Origin(), **values: Any) -> Filed:
    """Files a task. The same ``created_by`` finds the task that is there already, as it is now, and so does the same
    unique key of the tenant for as long as it holds."""
    if origin.created_by is not None:
        found = rows.by_creator(conn, origin.created_by)
        if found is not None:
            return Filed(found, repeated=True)
    return file_first(conn, request, origin, **values)


def file_first(conn: Connection, request: TaskRequest, origin: Origin, **values: Any) -> Filed:
    """As `file`, where the caller has seen that ``created_by`` has made nothing yet."""
    if request.unique_key is not None:
        found = rows.by_unique_key(conn, origin.tenant, request.unique_key)
        if found is not None:
            return Filed(found, repeated=True)
    of = origin.conversation_id
    counted = None if of is None else count_on(conn, of, labels=1, events=1)
    row = columns(conn, request, origin)
    row = rows.insert(
        conn, {**row, **line.join(conn, row), "label": "" if counted is None else f"T{counted[1]}", **values}
    )
    if of is not None and counted is not None:
        insert_one(conn, of, counted[0], views.told(row, "created", views.view_text(row)))
    conn.publish(TasksReady("task"))
    return Filed(row)


def columns(conn: Connection, request: TaskRequest, origin: Origin) -> TaskRow:
    """The row of a new task, but for its label and its place in the line."""
    return {
        **_standing(conn, request, origin), "id": new_id("task"), "kind": request.kind, "name": request.name,
        "conversation_id": origin.conversation_id, "title": request.title or request.name, "agent": origin.agent,
        "parent_id": origin.parent_id, "depth": origin.depth, "created_by": origin.created_by,
        "retry_of": origin.retry_of, "fingerprint": fingerprint(request.name, request.arguments),
        "announce": request.announce, "max_attempts": request.max_attempts, "on_crash": request.on_crash,
        "timeout": request.timeout, "webhook": request.webhook, "keep_result": request.keep_result,
        "arguments": to_json(request.arguments).decode(), "created_at": conn.wall(),
    }  # fmt: skip


def _standing(conn: Connection, request: TaskRequest, origin: Origin) -> TaskRow:
    """Where the task queues and when it may be claimed."""
    return {
        "slot": "task", "queue": request.queue, "priority": request.priority, "tenant": origin.tenant,
        "flow": origin.conversation_id or "", "ready": conn.moment() + request.delay,
        "run_at": None if request.run_at is None else request.run_at.timestamp(),
        "concurrency_key": request.concurrency_key, "concurrency_limit": request.concurrency_limit,
        "unique_key": request.unique_key,
        "unique_until": None if request.unique_for is None else conn.now() + request.unique_for,
    }  # fmt: skip
