"""Parking: a task that waits for tasks, a timer or an answer holds no slot; it lies in the database until it is woken.

Park locks the tasks that it awaits, finish locks its waiters: whichever commits first, the other sees it, so a parent
is never left asleep.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from ..tasks.states import TERMINAL, Action, Status
from ..tasks.table import Task, Wait
from . import line, rows, turns
from .connection import Connection
from .errors import CircularWait, TaskNotFound
from .rows import Claim, TaskRow
from .statements import Statement, p, table, word

task, wait = table(Task), table(Wait)

PARK: Statement = Statement(
    sa.update(task)
    .where(task.c.id == p("id"))
    .values(
        status=p("status"), waiting_for=p("waiting_for"), waits_left=p("waits_left"), wake=p("wake"),
        question=p("question"), owner="", lease_until=None,
    )
)  # fmt: skip
ADD_EDGE: Statement = Statement(wait.insert().values(waiter_id=p("waiter_id"), awaited_id=p("awaited_id")))
AWAITED_BY: Statement = Statement(sa.select(wait.c.awaited_id).where(wait.c.waiter_id == p("id")))
PARENT: Statement = Statement(sa.select(task.c.parent_id).where(task.c.id == p("id")))
DUE: Statement = Statement(
    sa.select(task.c.id, task.c.conversation_id)
    .where(task.c.status == word("waiting"), task.c.wake.is_not(None), task.c.wake <= p("now"))
    .order_by(task.c.wake)
    .limit(p("limit"))
)


def check_no_circle(conn: Connection, waiter: str, awaited: Collection[str]) -> None:
    """Raises CircularWait when one of ``awaited`` is the waiter, its ancestor, or waits for either, directly or not.

    Its caller has locked the waiter and ``awaited``; the rest of a circle may be closing at this moment in other
    transactions, so they take turns from here to their commit.
    """
    if conn.dialect == "postgresql":
        conn.script("SELECT pg_advisory_xact_lock(70279402)")
    forbidden = {waiter}
    above: str | None = waiter
    while above is not None:
        row = conn.one(PARENT, {"id": above})
        above = None if row is None else row[0]
        if above is not None:
            forbidden.add(above)
    for first in awaited:
        seen: set[str] = set()
        to_see = [first]
        while to_see:
            one = to_see.pop()
            if one in forbidden:
                raise CircularWait(waiter, first)
            if one not in seen:
                seen.add(one)
                to_see += [str(row[0]) for row in conn.all(AWAITED_BY, {"id": one})]


def park(
    conn: Connection,
    claim: Claim,
    row: TaskRow,
    *,
    awaited: Sequence[str] = (),
    need: int | None = None,
    seconds: float | None = None,
    question: str | None = None,
) -> bool:
    """Parks the run until ``need`` (default: all) of ``awaited`` have ended, ``seconds`` have passed, or an answer
    comes.

    Returns False, and changes nothing, when there is nothing to wait for (any more), or when the run is to be
    cancelled, which its worker does. ``row`` is the run's task as `queue.held_row` returned it, which has also locked
    ``awaited``. Raises CircularWait, TaskNotFound.
    """
    ids = list(dict.fromkeys(awaited))
    found = rows.lock_now(conn, ids)
    missing = [one for one in ids if one not in found]
    if missing:
        raise TaskNotFound(missing[0])
    if ids:
        check_no_circle(conn, claim.task_id, ids)
    live = [one for one in ids if found[one]["status"] not in TERMINAL]
    left = min(len(ids) if need is None else need, len(ids)) - (len(ids) - len(live))
    if row["cancel_requested"] or (left <= 0 and (ids or (seconds is None and question is None))):
        return False
    for one in live:
        conn.run(ADD_EDGE, {"waiter_id": claim.task_id, "awaited_id": one})
    rows.change(
        conn,
        row,
        Action.PARK,
        PARK,
        waiting_for="tasks" if ids else "answer" if question is not None else "timer",
        waits_left=max(left, 0),
        wake=None if seconds is None else conn.now() + seconds,
        question=question,
    )
    line.leave(conn, row["concurrency_key"])
    rows.tell(conn, row, "updated")
    return True


def wake_due(conn: Connection, limit: int = 100) -> int:
    """Wakes parked tasks whose time has come; how many. What another transaction holds is passed over."""
    woken = 0
    now = conn.now()
    for task_id, conversation_id in conn.all(DUE, {"now": now, "limit": limit}):
        row = rows.try_lock(conn, str(task_id), conversation_id)
        if row is not None and row["status"] == Status.WAITING and row["wake"] is not None and row["wake"] <= now:
            turns.wake(conn, row)
            woken += 1
    return woken
