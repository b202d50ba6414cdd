"""Leases that ended: their tasks go back to the queue, or end, as each task has chosen with ``on_crash``.

Whoever runs here also looks for leases of processes of this machine that are no longer alive, so that a restarted
server goes on at once.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from ..tasks.states import Action, Status
from ..tasks.table import Task
from . import rows
from .clock import Owner, is_dead
from .connection import Connection
from .endings import end, try_to_hold, waiters_of
from .failpoints import operation
from .lifetimes import clear_expired
from .line import let_in_due
from .presence import Presence, note
from .queue import Held, held_row, requeue
from .rows import Claim, TaskRow
from .schema import note_clock
from .statements import Statement, p, table, word
from .waits import wake_due

task = table(Task)

EXPIRED: Statement = Statement(
    sa.select(task.c.id, task.c.conversation_id)
    .where(task.c.status == word("running"), task.c.lease_until <= p("now"))
    .order_by(task.c.lease_until)
    .limit(p("limit"))
)
OWNERS: Statement = Statement(sa.select(task.c.owner).where(task.c.status == word("running")).distinct())
OWNED: Statement = Statement(
    sa.select(task.c.id).where(task.c.status == word("running"), task.c.owner == p("owner")).order_by(task.c.id)
)
ASKED: Statement = Statement(
    sa.select(task.c.id, task.c.epoch).where(task.c.status == word("running"), task.c.cancel_requested == 1)
)
WORKER_LOST = "worker lost"


@operation
def sweep(conn: Connection, limit: int = 100) -> int:
    """Wakes parked tasks and lets queued ones into the line whose time has come, and deals with leases that ended; how
    many tasks it moved. Results whose time is over are cleared.

    What another transaction holds is passed over: it is looked at again the next time.
    """
    now = conn.now()
    moved = wake_due(conn, limit) + let_in_due(conn)
    for task_id, conversation_id in conn.all(EXPIRED, {"now": now, "limit": limit}):
        row = try_to_hold(conn, str(task_id), conversation_id)
        if row is not None and row["status"] == Status.RUNNING and row["lease_until"] <= now:
            lose(conn, row)
            moved += 1
    clear_expired(conn)
    return moved


@operation
def recover(conn: Connection, here: Presence | None = None) -> int:
    """Releases the leases of processes that ran on this machine and are gone; how many tasks it moved.

    ``here`` is the worker that does so: it notes that it is there. Where no other process can have the database open,
    every process but this one is gone.
    """
    own = Owner.here().process
    moved = 0
    owners = {str(owner) for (owner,) in conn.all(OWNERS) if str(owner).rpartition("/")[0] != own}
    dead = owners if conn.alone else {owner for owner in owners if is_dead(owner)}
    for row in _owned(conn, dead):
        lose(conn, row)
        moved += 1
    if conn.dialect == "sqlite":
        note_clock(conn)
    if here is not None:
        note(conn, here)
    return moved


@operation
def release_all(conn: Connection, owners: Collection[str]) -> int:
    """Gives back every claim under these owner texts, none of which has been run; how many."""
    moved = 0
    for row in _owned(conn, owners):
        requeue(conn, row, Action.RELEASE)
        moved += 1
    return moved


def _owned(conn: Connection, owners: Collection[str]) -> list[TaskRow]:
    """What runs under these owner texts, locked together with what its end will touch."""
    ids = [str(task_id) for owner in owners for (task_id,) in conn.all(OWNED, {"owner": owner})]
    found = rows.lock_with_conversations(conn, [*ids, *waiters_of(conn, *ids)])
    return [row for row in found.values() if row["status"] == Status.RUNNING and row["owner"] in owners]


@operation
def give_up(conn: Connection, claim: Claim) -> None:
    """The run was stopped because its worker ends. It is given back, with no attempt counted; a function that must not
    be run twice ends, as it would had the worker crashed. Raises LeaseLost."""
    row = held_row(conn, claim, also=waiters_of(conn, claim.task_id))
    if row["kind"] == "function" and row["on_crash"] != "retry":
        lose(conn, row)
    else:
        requeue(conn, row, Action.RELEASE)


def cancels_asked(conn: Connection) -> set[Held]:
    """Running tasks, anywhere, that somebody asked to cancel."""
    return {(str(row[0]), int(row[1])) for row in conn.all(ASKED)}


def lose(conn: Connection, row: TaskRow) -> None:
    """The worker of a running task is lost. Turns and delegated runs are always run again: their own loop decides how
    often."""
    if row["kind"] != "function":
        requeue(conn, row, Action.RETRY, error=WORKER_LOST)
    elif row["cancel_requested"]:
        end(conn, row, Action.CANCEL)
    elif row["on_crash"] != "retry":
        end(conn, row, Action.FAIL, error=f"{WORKER_LOST}: it was not run again, because it is not idempotent",
            error_kind=WORKER_LOST)  # fmt: skip
    elif row["attempt"] < row["max_attempts"]:
        requeue(conn, row, Action.RETRY, error=WORKER_LOST)
    else:
        end(conn, row, Action.HOLD, error=f"{WORKER_LOST} in each of {row['attempt']} attempts", error_kind=WORKER_LOST)
