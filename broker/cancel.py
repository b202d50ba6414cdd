"""Cancel requests. A cancel is a request until the work has stopped; what runs nowhere is cancelled at once."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from ..tasks.states import TERMINAL, Action, Status
from ..tasks.table import Task
from . import rows, tenants, turns
from .connection import Connection
from .endings import end, waiters_of
from .errors import ResponseNotFound, TaskNotFound
from .failpoints import operation
from .rows import TaskRow
from .statements import Statement, p, table, word
from .tables import Turn
from .wakeups import CancelAsked

task, turn = table(Task), table(Turn)

ASK: Statement = Statement(sa.update(task).where(task.c.id == p("id")).values(cancel_requested=1))
ASK_TURN: Statement = Statement(sa.update(turn).where(turn.c.id == p("id")).values(cancel_requested=1))
CHILDREN: Statement = Statement(
    sa.select(task.c.id)
    .where(task.c.parent_id == p("id"), task.c.kind != word("turn"), rows.IS_LIVE)
    .order_by(task.c.id)
)
LIVE_OF: Statement = Statement(
    sa.select(task.c.id).where(task.c.conversation_id == p("id"), rows.IS_LIVE).order_by(task.c.id)
)
ASK_TURNS: Statement = Statement(  # those that have not had their turn end when it comes
    sa.update(turn)
    .where(turn.c.conversation_id == p("id"), turn.c.status.in_([word("queued"), word("in_progress")]))
    .values(cancel_requested=1)
)


@operation
def cancel_task(conn: Connection, task_id: str, tenant: str) -> TaskRow:
    """Asks for a task and everything below it to be cancelled; returns the task as it is then. A terminal task stays as
    it is.

    Raises TaskNotFound.
    """
    found = tenants.owned(rows.read(conn, task_id), tenant)
    if found is None or found["kind"] == "turn":
        raise TaskNotFound(task_id)
    for row in _locked(conn, lambda: [task_id]):
        _ask(conn, row)
    return rows.read(conn, task_id) or found


def cancel_all(conn: Connection, conversation_id: str) -> None:
    """Asks for everything of a conversation that is live to be cancelled, and for what waits in its inbox; what was
    asked before is left alone."""
    for row in _locked(conn, lambda: [str(one) for (one,) in conn.all(LIVE_OF, {"id": conversation_id})]):
        if not row["cancel_requested"]:
            _ask(conn, row)
    conn.run(ASK_TURNS, {"id": conversation_id})


def _locked(conn: Connection, roots: Callable[[], list[str]]) -> list[TaskRow]:
    """These tasks and what they have filed, directly or not, that is live: parents first. All are locked, after their
    conversations."""
    family = _family(conn, roots())
    while True:
        locked = rows.lock_with_conversations(conn, [*family, *_waiters(conn, family)])
        grown = _family(conn, roots())
        if set(grown) <= set(family):
            return [locked[one] for one in family if one in locked]
        family = grown  # a child was filed before its parent was locked; now none can be


def _family(conn: Connection, roots: list[str]) -> list[str]:
    found = list(roots)
    for one in found:
        found += [str(child) for (child,) in conn.all(CHILDREN, {"id": one}) if child not in found]
    return found


def _waiters(conn: Connection, family: list[str]) -> list[str]:
    return waiters_of(conn, *family) if conn.dialect != "sqlite" else []


def _ask(conn: Connection, row: TaskRow) -> None:
    if row["status"] in TERMINAL:
        return
    if row["kind"] == "function" and row["status"] in (Status.QUEUED, Status.WAITING):
        row["cancel_requested"] = 1
        conn.run(ASK, {"id": row["id"]})
        end(conn, row, Action.CANCEL)
    else:
        ask_turn(conn, row)
        rows.tell(conn, row, "updated")


def ask_turn(conn: Connection, row: TaskRow) -> None:
    """Asks for a turn or a delegated run to be cancelled: its own worker ends it, so that its conversation stays
    valid."""
    conn.run(ASK, {"id": row["id"]})
    row["cancel_requested"] = 1
    if row["status"] == Status.WAITING:
        turns.wake(conn, row)
    conn.publish(CancelAsked(row["id"]))


@operation
def cancel_response(conn: Connection, response_id: str, tenant: str) -> None:
    """Asks for a response to be cancelled; one that is still queued ends when its turn comes. Raises
    ResponseNotFound."""
    found = tenants.owned(turns.read(conn, response_id), tenant)
    if found is None:
        raise ResponseNotFound(response_id)
    rows.lock_conversations(conn, [found["conversation_id"]])
    conn.run(ASK_TURN, {"id": response_id})
    if found["task_id"] is not None:
        row = rows.lock(conn, [found["task_id"]]).get(found["task_id"])
        if row is not None and row["status"] not in TERMINAL:
            ask_turn(conn, row)
