"""The queue: enqueue, claim, renew, release, retry, finish. Each is a function of a connection; they compose into one
commit.

A claim gives a run the right to write until its lease ends; every later write of the run carries (task id, epoch) and
is rejected once another claim has been made. What a crash leaves: before the commit of a claim, a queued task; after
it, a running one whose lease ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from pydantic_core import to_json

from ..tasks.request import TaskRequest, new_id
from ..tasks.states import Action, Status, apply
from ..tasks.table import Task
from . import rows
from .connection import Connection
from .endings import end, waiters_of
from .events import count_on, insert_one
from .failpoints import operation
from .rows import Claim, TaskRow
from .statements import Statement, p, table, word
from .wakeups import TasksReady

task = table(Task)
RUNNING: Final = str(apply(Status.QUEUED, Action.CLAIM))

TAKE: Statement = Statement(
    sa.update(task)
    .where(task.c.id == p("id"))
    .values(
        status=p("status"), epoch=p("epoch"), owner=p("owner"), lease_until=p("lease_until"),
        started_at=p("started_at"),
    )
)  # fmt: skip
# What a claim and the view of a task that has begun are made of; the rest of a queued task's row is known.
CLAIMED: Final = (
    "id", "epoch", "kind", "name", "conversation_id", "tenant", "label", "title", "agent", "announce", "arguments",
    "attempt", "max_attempts", "on_crash", "timeout", "parent_id", "depth", "cancel_requested", "progress", "message",
    "error", "error_kind", "created_at", "started_at",
)  # fmt: skip
BEGUN: Final = {"question": None, "result": None, "abandoned": 0, "finished_at": None}
HOLDS: Statement = Statement(
    sa.select(task.c.status, task.c.epoch, task.c.cancel_requested).where(task.c.id == p("id"))
)
TRY_HELD: Statement = Statement(
    sa.select(task.c.status, task.c.epoch, task.c.cancel_requested, word("locked"))
    .where(task.c.id == p("id"))
    .with_for_update(skip_locked=True)
)
RENEW: Statement = Statement(sa.update(task).where(task.c.id == p("id")).values(lease_until=p("lease_until")))
REQUEUE: Statement = Statement(
    sa.update(task)
    .where(task.c.id == p("id"))
    .values(status=p("status"), owner="", lease_until=None, ready=p("ready"), attempt=p("attempt"), error=p("error"))
)
PROGRESS: Statement = Statement(
    sa.update(task)
    .where(task.c.id == p("id"))
    .values(progress=p("progress"), message=p("message"), log_tail=p("log_tail"))
)


Held: TypeAlias = tuple[str, int]  # a claim by its task's id and its epoch


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


def enqueue(conn: Connection, request: TaskRequest, origin: Origin = Origin(), **values: Any) -> TaskRow:
    """Files a task. The same ``created_by`` returns the task that is there already, as it is now."""
    if origin.created_by is not None:
        found = rows.by_creator(conn, origin.created_by)
        if found is not None:
            return found
    of = origin.conversation_id
    counted = None if of is None else count_on(conn, of, labels=1, events=1)
    row = rows.insert(
        conn,
        {
            "id": new_id("task"), "kind": request.kind, "name": request.name, "slot": "task", "queue": request.queue,
            "tenant": origin.tenant, "conversation_id": of, "label": "" if counted is None else f"T{counted[1]}",
            "title": request.title or request.name, "agent": origin.agent, "parent_id": origin.parent_id,
            "depth": origin.depth, "created_by": origin.created_by, "retry_of": origin.retry_of,
            "fingerprint": fingerprint(request.name, request.arguments), "announce": request.announce,
            "priority": request.priority, "ready": conn.moment() + request.delay, "max_attempts": request.max_attempts,
            "on_crash": request.on_crash, "timeout": request.timeout,
            "arguments": to_json(request.arguments).decode(), "created_at": conn.wall(), **values,
        },
    )  # fmt: skip
    if of is not None and counted is not None:
        insert_one(conn, of, counted[0], rows.told(row, "created", rows.view_text(row)))
    conn.publish(TasksReady("task"))
    return row


@cache
def _candidates(names: int) -> Statement:
    """The most urgent and oldest claimable tasks among so many names, but for those that another transaction holds."""
    return Statement(
        sa.select(*(task.c[name] for name in CLAIMED))
        .where(
            task.c.slot == p("slot"),
            task.c.status == word("queued"),
            task.c.ready <= p("now"),
            task.c.name.in_([p(f"name_{number}") for number in range(names)]),
        )
        .order_by(task.c.priority.desc(), task.c.ready, task.c.id)
        .limit(p("limit"))
        .with_for_update(skip_locked=True)
    )


@operation
def claim(conn: Connection, slot: str, names: Sequence[str], owner: str, lease: float, limit: int) -> list[Claim]:
    """Claims at most ``limit`` tasks of these names for ``lease`` seconds, the most urgent and oldest first.

    It never waits: what others hold is passed over, and looked at again at once. Whoever does not receive the claims
    gives them back with `release`.
    """
    now = conn.now()
    given: dict[str, Any] = {f"name_{number}": name for number, name in enumerate(names)}
    given |= {"slot": slot, "now": now, "limit": limit}
    taken: list[TaskRow] = []
    for found in conn.all(_candidates(len(names)), given):
        row: TaskRow = dict(zip(CLAIMED, found, strict=True)) | BEGUN
        if not rows.try_conversation(conn, row["conversation_id"]):
            conn.publish(TasksReady(slot))
            continue
        row["status"], row["epoch"] = RUNNING, row["epoch"] + 1
        row["owner"], row["lease_until"] = owner, now + lease
        row["started_at"] = row["started_at"] or conn.wall()
        taken.append(row)
    conn.run_each(TAKE, taken)
    for row in taken:
        rows.tell(conn, row, "updated")
    return [Claim.of(row) for row in taken]


@operation
def renew(conn: Connection, held: Sequence[tuple[str, int]], lease: float) -> tuple[set[Held], set[Held]]:
    """Renews leases of (task id, epoch). Returns those that are over, and those that somebody asked to cancel.

    It never waits: a task that another transaction is writing is left for the next time, three of which fit into a
    lease.
    """
    until = conn.now() + lease
    lost: set[Held] = set()
    cancels: set[Held] = set()
    for task_id, epoch in held:
        row = conn.one(TRY_HELD, {"id": task_id}) or conn.one(HOLDS, {"id": task_id})
        if row is None or row[0] != RUNNING or row[1] != epoch:
            lost.add((task_id, epoch))
            continue
        if row[2]:
            cancels.add((task_id, epoch))
        if len(row) == 4:
            conn.run(RENEW, {"id": task_id, "lease_until": until})
    return lost, cancels


def held_row(conn: Connection, claim: Claim, *others: str | None, also: Collection[str] = ()) -> TaskRow:
    """The run's task, locked after its conversation (and ``others``) and together with the tasks that the caller is
    about to lock ``also``. Raises LeaseLost when the claim is over.
    """
    rows.lock_conversations(conn, {claim.conversation_id, *others})
    return rows.lock_claimed(conn, claim, *(also if conn.dialect != "sqlite" else ()))


@operation
def release(conn: Connection, claims: Sequence[Claim]) -> None:
    """Gives claims back: the tasks are queued again at once and no attempt is counted. Claims that are over are passed
    over."""
    ids = [claim.task_id for claim in claims]
    found = rows.lock_with_conversations(conn, [*ids, *waiters_of(conn, *ids)])
    for claim in claims:
        row = found.get(claim.task_id)
        if row is not None and row["status"] == Status.RUNNING and row["epoch"] == claim.epoch:
            requeue(conn, row, Action.RELEASE)


def requeue(conn: Connection, row: TaskRow, action: Action, *, delay: float = 0.0, error: str | None = None) -> None:
    """Puts a running task back into the queue, after ``delay`` seconds; a function that is to be cancelled ends."""
    if row["cancel_requested"] and row["kind"] == "function":
        end(conn, row, Action.CANCEL)
        return
    attempt = row["attempt"] + (action is Action.RETRY)
    rows.change(conn, row, action, REQUEUE, ready=conn.now() + delay, attempt=attempt, error=error)
    rows.tell(conn, row, "updated")
    conn.publish(TasksReady(row["slot"]))


@operation
def retry_later(conn: Connection, claim: Claim, *, delay: float, error: str) -> None:
    """The run raised and is to be run again after ``delay`` seconds, as another attempt. Raises LeaseLost."""
    requeue(conn, held_row(conn, claim), Action.RETRY, delay=delay, error=error)


@operation
def finish(
    conn: Connection,
    claim: Claim,
    action: Action,
    *,
    result: str | None = None,
    error: str | None = None,
    error_kind: str = "",
    abandoned: bool = False,
) -> None:
    """Ends the run with SUCCEED, FAIL, CANCEL or HOLD, exactly once. Raises LeaseLost."""
    rows.lock_conversations(conn, {claim.conversation_id})
    if conn.dialect != "sqlite":
        rows.lock(conn, (claim.task_id, *waiters_of(conn, claim.task_id)))
    row = rows.held(conn, claim)
    end(conn, row, action, result=result, error=error, error_kind=error_kind, abandoned=abandoned)


@operation
def report(conn: Connection, claim: Claim, *, progress: float | None, message: str, log_tail: Sequence[str]) -> None:
    """Writes a run's progress and the tail of its log. Raises LeaseLost."""
    rows.lock_conversations(conn, {claim.conversation_id})
    row = rows.held(conn, claim)
    told = (row["progress"], row["message"]) != (progress, message)
    row.update(progress=progress, message=message, log_tail=to_json(list(log_tail)).decode())
    conn.run(PROGRESS, row)
    if told:
        rows.tell(conn, row, "updated", passing=True)
