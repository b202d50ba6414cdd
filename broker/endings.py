"""How a task ends: one terminal transition, and everything that follows from it in the same commit.

What follows: whoever waits for it is one task closer to waking, its notice enters the conversation's inbox, its event
the log, and the conversation moves on. The caller has locked the conversation and the task.
"""

from __future__ import annotations

import sqlalchemy as sa

from ..tasks.states import Action, Status
from ..tasks.table import DurableCall, Task, Wait
from . import deliveries, line, rows, turns
from .connection import Connection
from .events import drop_deltas
from .notices import asked, finished
from .rows import TaskRow
from .statements import Statement, p, table, word
from .tables import InboxEntry, Turn

task, wait, durable, entry, turn = (table(one) for one in (Task, Wait, DurableCall, InboxEntry, Turn))

END: Statement = Statement(
    sa.update(task)
    .where(task.c.id == p("id"))
    .values(
        status=p("status"), result=p("result"), error=p("error"), error_kind=p("error_kind"),
        abandoned=p("abandoned"), finished_at=p("finished_at"), progress=p("progress"), result_until=p("result_until"),
        owner="", lease_until=None, waiting_for="", waits_left=0, wake=None, question=None,
    )
)  # fmt: skip
WAITERS: Statement = Statement(sa.select(wait.c.waiter_id).where(wait.c.awaited_id == p("id")))
DROP_EDGE: Statement = Statement(
    sa.delete(wait).where(wait.c.awaited_id == p("id"), wait.c.waiter_id == p("waiter_id"))
)
DROP_OWN_EDGES: Statement = Statement(sa.delete(wait).where(wait.c.waiter_id == p("id")))
DECREMENT: Statement = Statement(
    sa.update(task)
    .where(task.c.id == p("id"))
    .values(waits_left=task.c.waits_left - 1)
    .returning(task.c.waits_left, task.c.status)
)
UNREAD: Statement = Statement(
    sa.select(entry.c.target_id).where(entry.c.conversation_id == p("id"), entry.c.taken_by.is_(None))
)
OVER: Statement = Statement(  # the conversations of its runs that are over
    sa.select(turn.c.conversation_id)
    .join(task, task.c.id == turn.c.task_id)
    .where(task.c.conversation_id == p("id"), task.c.kind == word("agent"), task.c.finished_at.is_not(None))
)
ASKING: Statement = Statement(  # with a question of their own that nobody has answered
    sa.select(task)
    .where(
        task.c.conversation_id == p("id"),
        task.c.waiting_for == word("answer"),
        sa.select(durable.c.position)
        .where(durable.c.task_id == task.c.id, durable.c.kind == word("ask"), durable.c.done == 0)
        .exists(),
    )
    .order_by(task.c.created_at, task.c.id)
)
FORGET_CALLS: Statement = Statement(sa.delete(durable).where(durable.c.task_id == p("id")))


def waiters_of(conn: Connection, *task_ids: str) -> list[str]:
    """The tasks that `end` will lock when these end: lock them together, in the order of their ids. One that begins to
    wait between this and the lock is locked then, out of order."""
    return [str(found[0]) for one in task_ids for found in conn.all(WAITERS, {"id": one})]


def try_to_hold(conn: Connection, task_id: str, conversation_id: str | None) -> TaskRow | None:
    """Locks a task and all that `end` will lock; None when another transaction has one of them. Never waits."""
    row = rows.try_lock(conn, task_id, conversation_id)
    if row is None or conn.dialect == "sqlite":
        return row
    others = waiters_of(conn, task_id)
    if row["conversation_id"] is not None:
        others += turns.live_id(conn, row["conversation_id"])
    return row if all(conn.one(rows.TRY_LOCK, {"id": one}) for one in others) else None


def end(
    conn: Connection,
    row: TaskRow,
    action: Action,
    *,
    result: str | None = None,
    error: str | None = None,
    error_kind: str = "",
    abandoned: bool = False,
) -> None:
    """Ends a task. Raises InvalidTransition when it has ended already."""
    was_waiting = row["status"] == Status.WAITING
    kept = None if result is None else row["keep_result"]
    rows.change(
        conn,
        row,
        action,
        END,
        result=result,
        error=error,
        error_kind=error_kind,
        abandoned=int(abandoned),
        finished_at=conn.wall(),
        progress=1.0 if action is Action.SUCCEED else row["progress"],
        result_until=None if kept is None else conn.now() + kept,
    )
    row["question"] = None
    if row["held"]:
        if (
            conn.changed(line.UNHOLD, {"id": row["id"]}) == 0
        ):  # let in since the row was read, by another end before this
            line.leave(conn, row["concurrency_key"])
    elif row["concurrency_key"] is not None and not was_waiting:
        line.leave(conn, row["concurrency_key"])
    if was_waiting:
        conn.run(DROP_OWN_EDGES, {"id": row["id"]})
    if row["kind"] != "turn":
        conn.run(FORGET_CALLS, {"id": row["id"]})
    waiting = conn.foresee(WAITERS, {"id": row["id"]})
    if row["kind"] == "turn":
        turns.go_on(conn, row["conversation_id"])
    _release(conn, row["id"], [str(found[0]) for found in waiting.rows()])
    if row["webhook"] is not None:
        deliveries.file(conn, row)
    if row["kind"] != "turn":
        if row["conversation_id"] is not None and (row["progress"] is not None or row["message"]):
            drop_deltas(conn, row["conversation_id"], row["id"])
        finished(conn, row)
        if row["kind"] == "agent" and action is not Action.CANCEL:
            _leave_questions(conn, row["id"])


def _leave_questions(conn: Connection, task_id: str) -> None:
    """What a run's tasks still ask, and what it has not read, is told to whoever is above it: it is over. So is what is
    asked below runs of its own that are over: it was told of that.
    """
    run = turns.of_task(conn, task_id)
    if run is None:
        return
    below, unread = [str(run["conversation_id"])], set[str]()
    for one in below:
        unread |= {str(about) for (about,) in conn.all(UNREAD, {"id": one})}
        below += [str(found[0]) for found in conn.all(OVER, {"id": one})]
    for one in below:
        for asking in conn.all(ASKING, {"id": one}):
            row = rows.as_dict(asking)
            if row["id"] not in unread:
                asked(conn, row)
    turns.advance(conn, below[0])


def _release(conn: Connection, task_id: str, waiters: list[str]) -> None:
    """Tells every waiter that one of the tasks it waits for has ended. A park that adds an edge holds this task's
    lock."""
    for waiter, row in rows.lock_now(conn, waiters).items():
        conn.run(DROP_EDGE, {"id": task_id, "waiter_id": waiter})
        counted = conn.one(DECREMENT, {"id": waiter})
        if counted is not None and counted[0] <= 0 and counted[1] == Status.WAITING:
            turns.wake(conn, row)
