"""Records of durable calls: what a task function asked for, in order, so that running it again returns the same.

Each function is one commit. What a crash leaves: before it, nothing, and the call is made again under the same
position; after it, the record, and the call is not made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from ..tasks.request import TaskRequest
from ..tasks.states import TERMINAL, Action, Status
from ..tasks.table import DurableCall, Task
from . import notices, queue, quotas, rows, tenants, turns, waits
from .connection import Connection
from .endings import end
from .errors import TaskNotFound
from .failpoints import operation
from .queue import Origin
from .rows import Claim, TaskRow
from .statements import Statement, insert_row, p, table, word
from .views import is_expired

call, task = table(DurableCall), table(Task)

READ: Statement = Statement(
    sa.select(call.c.position, call.c.kind, call.c.key, call.c.done, call.c.value)
    .where(call.c.task_id == p("task_id"))
    .order_by(call.c.position)
)
INSERT: Statement = Statement(insert_row(DurableCall))
COMPLETE: Statement = Statement(
    sa.update(call)
    .where(call.c.task_id == p("task_id"), call.c.position == p("position"))
    .values(done=1, value=p("value"))
)
WITHDRAW: Statement = Statement(
    sa.update(call)
    .where(call.c.task_id == p("task_id"), call.c.position == p("position"))
    .values(done=1, kind=word("withdrawn"))
)
OPEN_ASK: Statement = Statement(
    sa.select(call.c.position).where(call.c.task_id == p("task_id"), call.c.kind == "ask", call.c.done == 0)
)
EXISTS: Statement = Statement(
    sa.select(call.c.done).where(call.c.task_id == p("task_id"), call.c.position == p("position"))
)


@dataclass(frozen=True, slots=True)
class Record:
    """A recorded call: ``done`` with its ``value``, or waiting."""

    position: int
    kind: str
    key: str
    done: bool
    value: Any


def records(conn: Connection, task_id: str) -> list[Record]:
    """All recorded calls of a task, in order."""
    found = conn.all(READ, {"task_id": task_id})
    return [Record(int(row[0]), str(row[1]), str(row[2]), bool(row[3]), from_json(row[4])) for row in found]


def _put(conn: Connection, claim: Claim, position: int, kind: str, key: str, value: Any, *, done: bool) -> None:
    text = to_json(value).decode()
    row = {"task_id": claim.task_id, "position": position, "kind": kind, "key": key, "done": int(done), "value": text}
    if conn.one(EXISTS, {"task_id": claim.task_id, "position": position}) is None:
        conn.run(INSERT, row)
    elif done:
        conn.run(COMPLETE, {"task_id": claim.task_id, "position": position, "value": text})


@operation
def record_step(conn: Connection, claim: Claim, position: int, key: str, value: Any) -> None:
    """A step has ended; it is never run again. Raises LeaseLost."""
    queue.held_row(conn, claim)
    _put(conn, claim, position, "step", key, value, done=True)


@operation
def record_create(conn: Connection, claim: Claim, position: int, key: str, request: TaskRequest) -> TaskRow:
    """Creates a child task and records it in the same commit. Raises LeaseLost."""
    row = queue.held_row(conn, claim)
    quotas.check_task(conn, claim.tenant)
    child = queue.enqueue(
        conn,
        request,
        Origin(
            tenant=claim.tenant, conversation_id=claim.conversation_id, agent=row["agent"], parent_id=claim.task_id,
            depth=claim.depth + 1, created_by=f"{claim.task_id}/{position}",
        ),
    )  # fmt: skip
    _put(conn, claim, position, "create", key, {"id": child["id"], "label": child["label"]}, done=True)
    return child


def _is_cancelled(conn: Connection, row: TaskRow) -> bool:
    """A function that is to be cancelled does not go to sleep: it ends here. Whether it did."""
    if not row["cancel_requested"]:
        return False
    end(conn, row, Action.CANCEL)
    return True


@operation
def record_wait(
    conn: Connection, claim: Claim, position: int, key: str, awaited: Sequence[str], need: int | None
) -> list[dict[str, Any]] | None:
    """Waits for tasks: their views when enough have ended, else None and the run is parked (or was to be cancelled, and
    has ended).

    Raises LeaseLost, CircularWait, TaskNotFound.
    """
    row = queue.held_row(conn, claim, also=awaited)
    if _is_cancelled(conn, row):
        return None
    if waits.park(conn, claim, row, awaited=awaited, need=need):
        _put(conn, claim, position, "wait", key, None, done=False)
        return None
    found = [rows.read(conn, one) for one in awaited]
    views = [_whole(one) for one in found if one is not None]
    _put(conn, claim, position, "wait", key, views, done=True)
    return views


def _whole(row: TaskRow) -> dict[str, Any]:
    """What a waiting function gets of a task: the whole result."""
    result = None if row["result"] is None else from_json(row["result"])
    error = "its result is gone, it was kept for a time only" if is_expired(row) else row["error"]
    return {"id": row["id"], "label": row["label"], "status": row["status"], "result": result, "error": error}


@operation
def record_sleep(conn: Connection, claim: Claim, position: int, key: str, seconds: float) -> None:
    """Parks the run for so many seconds of elapsed time. Raises LeaseLost."""
    row = queue.held_row(conn, claim)
    if not _is_cancelled(conn, row):
        _put(conn, claim, position, "sleep", key, conn.now() + seconds, done=False)
        waits.park(conn, claim, row, seconds=seconds)


@operation
def resume_sleep(conn: Connection, claim: Claim, position: int, key: str, until: float) -> bool:
    """Whether a recorded sleep is over; when it is not, the run is parked for what is left. Raises LeaseLost."""
    row = queue.held_row(conn, claim)
    left = until - conn.now()
    if left <= 0:
        _put(conn, claim, position, "sleep", key, until, done=True)
    elif not _is_cancelled(conn, row):
        waits.park(conn, claim, row, seconds=left)
    return left <= 0


def ask(conn: Connection, claim: Claim, row: TaskRow, key: str, question: str) -> Record:
    """The question of this key: with its answer, or the run has been parked for it. It is announced once. The caller
    holds the run's task."""
    known = records(conn, claim.task_id)
    found = _question(known, key)
    if found is not None and found.done:
        return found
    waits.park(conn, claim, row, question=question)
    if found is None:
        found = Record(len(known), "ask", key, False, None)
        _put(conn, claim, found.position, "ask", key, None, done=False)
        notices.asked(conn, row)
    return found


def withdraw(conn: Connection, claim: Claim, key: str) -> Record | None:
    """Takes a question back: nobody's answer counts any more. The answer, where there is one already."""
    found = _question(records(conn, claim.task_id), key)
    if found is None or found.done:
        return found
    conn.run(WITHDRAW, {"task_id": claim.task_id, "position": found.position})
    return None


def _question(known: Sequence[Record], key: str) -> Record | None:
    return next((one for one in known if (one.kind, one.key) == ("ask", key)), None)


@operation
def record_ask(conn: Connection, claim: Claim, position: int, key: str, question: str) -> None:
    """Parks the run until somebody answers; the question is announced in the same commit. Raises LeaseLost."""
    row = queue.held_row(conn, claim)
    if not _is_cancelled(conn, row):
        _put(conn, claim, position, "ask", key, None, done=False)
        waits.park(conn, claim, row, question=question)
        notices.asked(conn, row)


def answer(conn: Connection, task_id: str, tenant: str, given: Any) -> TaskRow:
    """Answers the question that a task waits with, and wakes it. Raises TaskNotFound; a task that asks nothing is
    returned as it is."""
    row = tenants.owned(rows.lock_one(conn, task_id), tenant)
    if row is None:
        raise TaskNotFound(task_id)
    if row["status"] != Status.WAITING or row["waiting_for"] != "answer":
        return row
    asked = conn.one(OPEN_ASK, {"task_id": task_id})
    if asked is not None:
        conn.run(COMPLETE, {"task_id": task_id, "position": asked[0], "value": to_json(given).decode()})
    turns.wake(conn, row)
    return row


def asks(conn: Connection, task_id: str) -> bool:
    """Whether a task has asked a question of its own that nobody has answered."""
    return conn.one(OPEN_ASK, {"task_id": task_id}) is not None


def ended(row: TaskRow) -> bool:
    """Whether a task is terminal."""
    return row["status"] in TERMINAL
