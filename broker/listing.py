"""Reading tasks: by label, of a conversation, of a tenant, a page at a time. Only reads."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ..tasks import states
from . import rows, tenants, turns
from .climbing import BETWEEN
from .connection import Connection
from .errors import TaskNotFound
from .rows import TaskRow, as_dict, task
from .statements import Statement, p, word

LIMIT: Final = 500
LIVE: Final = "live"  # instead of a state: queued, running or waiting
END_OF_TIME: Final = 1e18

OF_CONVERSATION: Statement = Statement(
    sa.select(task)
    .where(task.c.conversation_id == p("id"), task.c.label != word(""))
    .order_by(task.c.created_at.desc(), task.c.id.desc())
    .limit(LIMIT)
)
OF_TENANT: Statement = Statement(
    sa.select(task)
    .where(tenants.of(task), task.c.kind != word("turn"))
    .order_by(task.c.created_at.desc(), task.c.id.desc())
    .limit(p("limit"))
)
# A tenant's index is in the order of a page; of live tasks there are few beside those that have ended, so these are
# found by an index of their own, and sorted.
WANTED: Final = (
    task.c.kind != word("turn"),
    sa.or_(p("conversation") == "", task.c.conversation_id == p("conversation")),
    sa.or_(p("status") == "", task.c.status == p("status")),
    sa.or_(task.c.created_at < p("before"), sa.and_(task.c.created_at == p("before"), task.c.id < p("before_id"))),
)
PAGE: Statement = Statement(
    sa.select(task)
    .where(tenants.of(task), *WANTED)
    .order_by(task.c.created_at.desc(), task.c.id.desc())
    .limit(p("limit"))
)
LIVE_PAGE: Statement = Statement(
    sa.select(task)
    .where(rows.IS_LIVE, tenants.of_some(task), *WANTED)
    .order_by(task.c.created_at.desc(), task.c.id.desc())
    .limit(p("limit"))
)
LIVE_OF: Statement = Statement(sa.select(sa.func.count()).where(task.c.conversation_id == p("id"), rows.IS_LIVE))


def find(conn: Connection, conversation_id: str, label: str) -> TaskRow | None:
    """A task of this conversation by its label (in any case) or its id; ``T1.T3`` is task T3 of the run that is T1."""
    first, dot, below = label.partition(BETWEEN)
    if dot:
        run = find(conn, conversation_id, first)
        child = None if run is None else turns.of_task(conn, run["id"])
        found = None if child is None else find(conn, child["conversation_id"], below)
        return None if found is None else {**found, "label": label.strip().upper()}
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


def page(
    conn: Connection, tenant: str, *, conversation_id: str = "", status: str = "", after: str = "", limit: int = LIMIT
) -> list[TaskRow]:
    """The tenant's tasks, newest first; turns are not listed. ``status`` is a state or `LIVE`; ``after``: those that
    follow this one. Raises TaskNotFound."""
    before, before_id = END_OF_TIME, ""
    if after:
        last = one(conn, after, tenant)
        if last is None:
            raise TaskNotFound(after)
        before, before_id = last["created_at"], after
    live = status == LIVE or status in states.LIVE
    given = {
        "tenant": tenant, "conversation": conversation_id, "status": "" if status == LIVE else status,
        "before": before, "before_id": before_id, "limit": min(limit, LIMIT),
    }  # fmt: skip
    return [as_dict(row) for row in conn.all(LIVE_PAGE if live else PAGE, given)]


def one(conn: Connection, task_id: str, tenant: str) -> TaskRow | None:
    """A task of this tenant; None for another tenant's, as for one that does not exist."""
    found = tenants.owned(rows.read(conn, task_id), tenant)
    return found if found is not None and found["kind"] != "turn" else None


def live_count(conn: Connection, conversation_id: str) -> int:
    """How many tasks of the conversation, its turns among them, have not ended."""
    row = conn.one(LIVE_OF, {"id": conversation_id})
    return 0 if row is None else int(row[0])
