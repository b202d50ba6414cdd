"""Reading tasks: by label, of a conversation, of a tenant. Only reads."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from . import rows
from .connection import Connection
from .rows import TaskRow, as_dict, task
from .statements import Statement, p, word

LIMIT: Final = 500

OF_CONVERSATION: Statement = Statement(
    sa.select(task)
    .where(task.c.conversation_id == p("id"), task.c.label != word(""))
    .order_by(task.c.created_at.desc(), task.c.id.desc())
    .limit(LIMIT)
)
OF_TENANT: Statement = Statement(
    sa.select(task)
    .where(task.c.tenant == p("tenant"), task.c.kind != word("turn"))
    .order_by(task.c.created_at.desc(), task.c.id.desc())
    .limit(p("limit"))
)
LIVE_OF: Statement = Statement(sa.select(sa.func.count()).where(task.c.conversation_id == p("id"), rows.IS_LIVE))


def find(conn: Connection, conversation_id: str, label: str) -> TaskRow | None:
    """A task of this conversation by its label (in any case) or its id."""
    found = rows.by_label(conn, conversation_id, label.strip().upper())
    if found is None:
        found = rows.read(conn, label)
        if found is not None and (found["conversation_id"] != conversation_id or found["kind"] == "turn"):
            return None
    return found


def of_conversation(conn: Connection, conversation_id: str) -> list[TaskRow]:
    """The conversation's newest tasks, at most 500; the oldest of them first."""
    return [as_dict(row) for row in reversed(conn.all(OF_CONVERSATION, {"id": conversation_id}))]


def of_tenant(conn: Connection, tenant: str, limit: int = LIMIT) -> list[TaskRow]:
    """The tenant's tasks, newest first; turns are not listed."""
    return [as_dict(row) for row in conn.all(OF_TENANT, {"tenant": tenant, "limit": min(limit, LIMIT)})]


def one(conn: Connection, task_id: str, tenant: str) -> TaskRow | None:
    """A task of this tenant; None for another tenant's, as for one that does not exist."""
    found = rows.read(conn, task_id)
    return found if found is not None and found["tenant"] == tenant and found["kind"] != "turn" else None


def live_count(conn: Connection, conversation_id: str) -> int:
    """How many tasks of the conversation, its turns among them, have not ended."""
    row = conn.one(LIVE_OF, {"id": conversation_id})
    return 0 if row is None else int(row[0])
