"""What the server reads for itself: whether a conversation may be followed, a tenant's tasks. Nothing here writes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import sqlalchemy as sa

from ..broker import listing, rows, turns, views
from ..broker.connection import Connection
from ..broker.errors import ConversationNotFound, PreviousResponseNotFound, TaskNotFound
from ..broker.statements import Statement, p, table, word
from ..broker.tables import Conversation
from ..tasks.table import Task

PAGE: Final = 100

task, conversation = table(Task), table(Conversation)

CONVERSATION: Statement = Statement(
    sa.select(conversation.c.tenant, conversation.c.stored, conversation.c.last_cursor).where(
        conversation.c.id == p("id")
    )
)
TASKS: Statement = Statement(
    sa.select(task)
    .where(
        task.c.tenant == p("tenant"),
        task.c.kind != word("turn"),
        sa.or_(p("conversation") == "", task.c.conversation_id == p("conversation")),
        sa.or_(p("status") == "", task.c.status == p("status")),
        sa.or_(task.c.created_at < p("before"), sa.and_(task.c.created_at == p("before"), task.c.id < p("before_id"))),
    )
    .order_by(task.c.created_at.desc(), task.c.id.desc())
    .limit(p("limit"))
)
END_OF_TIME: Final = 1e18


def last_cursor(conn: Connection, conversation_id: str, tenant: str, chains: Collection[str]) -> int:
    """The log's last cursor of a conversation that this connection may follow. Raises ConversationNotFound."""
    row = conn.one(CONVERSATION, {"id": conversation_id})
    if row is None or row[0] != tenant or not (row[1] or conversation_id in chains):
        raise ConversationNotFound(conversation_id)
    return int(row[2])


def is_stored(conn: Connection, conversation_id: str) -> bool:
    row = conn.one(CONVERSATION, {"id": conversation_id})
    return row is not None and bool(row[1])


def check_chain(conn: Connection, previous_id: str, tenant: str, chains: Collection[str]) -> None:
    """A response that is not stored is continued on its own connection only. Raises PreviousResponseNotFound."""
    previous = turns.read(conn, previous_id)
    if previous is None or previous["tenant"] != tenant:
        raise PreviousResponseNotFound(previous_id)
    row = conn.one(CONVERSATION, {"id": previous["conversation_id"]})
    if row is None or not (row[1] or previous["conversation_id"] in chains):
        raise PreviousResponseNotFound(previous_id)


def tasks(
    conn: Connection,
    tenant: str,
    *,
    conversation_id: str = "",
    status: str = "",
    after: str = "",
    limit: int = PAGE,
) -> list[dict[str, Any]]:
    """Tasks as they are shown, newest first; ``after``: those that follow this one. Raises TaskNotFound."""
    before, before_id = END_OF_TIME, ""
    if after:
        last = _task(conn, after, tenant)
        before, before_id = last["created_at"], after
    given = {"tenant": tenant, "conversation": conversation_id, "status": status, "limit": min(limit, PAGE)}
    found = conn.all(TASKS, {**given, "before": before, "before_id": before_id})
    return [shown(rows.as_dict(row)) for row in found]


def task_of(conn: Connection, task_id: str, tenant: str) -> dict[str, Any]:
    """One task as it is shown. Raises TaskNotFound, also for another tenant's and for turns."""
    return shown(_task(conn, task_id, tenant))


def _task(conn: Connection, task_id: str, tenant: str) -> rows.TaskRow:
    row = listing.one(conn, task_id, tenant)
    if row is None:
        raise TaskNotFound(task_id)
    return row


def shown(row: rows.TaskRow) -> dict[str, Any]:
    """A task with what only its list says: the API's ``object``, and the conversation that owns it."""
    return {"object": "frontdesk.task", "conversation": row["conversation_id"], **views.view(row)}
