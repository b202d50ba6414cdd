"""The queue: claim, renew, release, retry, finish, report. Each is a function of a connection; they compose into one
commit. How a task comes into it is in `filing`.

A claim gives a run the right to write until its lease ends; every later write of the run carries (task id, epoch) and
is rejected once another claim has been made. What a crash leaves: before the commit of a claim, a queued task; after
it, a running one whose lease ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from pydantic_core import to_json

from ..tasks.states import Action, Status, apply
from ..tasks.table import Task
from . import line, rows, telling
from .bulk import Bulk
from .connection import Answer, Connection, Row
from .endings import end, waiters_of
from .events import drop_deltas
from .failpoints import operation
from .filing import Filed as Filed
from .filing import Origin as Origin
from .filing import enqueue as enqueue
from .filing import file as file
from .filing import file_first as file_first
from .filing import fingerprint as fingerprint
from .filing import owns as owns
from .finishing import finish_many
from .merging import merges
from .openings import opened
from .rows import Claim, TaskRow
from .statements import DialectName, Statement, p, table
from .tables import Conversation
from .wakeups import TasksReady, TurnOpened

task, conversation = table(Task), table(Conversation)
RUNNING: Final = str(apply(Status.QUEUED, Action.CLAIM))

TAKE: Final = Bulk(
    """UPDATE frontdesk_task SET status = given.status, epoch = given.epoch, owner = given.owner,
    lease_until = given.lease_until, started_at = given.started_at FROM {given} WHERE frontdesk_task.id = given.id""",
    {
        "id": "text", "status": "text", "epoch": "bigint", "owner": "text", "lease_until": "double precision",
        "started_at": "double precision",
    },
)  # fmt: skip
# What a claim and the view of a task that has begun are made of; the rest of a queued task's row is known.
CLAIMED: Final = (
    "id", "epoch", "kind", "name", "conversation_id", "tenant", "label", "title", "agent", "announce", "arguments",
    "attempt", "max_attempts", "on_crash", "timeout", "parent_id", "depth", "cancel_requested", "progress", "message",
    "error", "error_kind", "created_at", "started_at", "place", "priority", "concurrency_key",
)  # fmt: skip
COUNTERS: Final = ("last_cursor", "last_label", "last_input")  # of a conversation
BEGUN: Final = {"question": None, "result": None, "result_until": None, "abandoned": 0, "finished_at": None}
HOLDS: Final = Bulk(
    "SELECT id, status, epoch, cancel_requested FROM frontdesk_task WHERE id IN (SELECT given.id FROM {given})",
    {"id": "text"},
)
TRY_HELD: Final = Bulk(
    """SELECT id, status, epoch, cancel_requested FROM frontdesk_task WHERE id IN (SELECT given.id FROM {given})
    {skip_locked}""",
    {"id": "text"},
)
RENEW: Final = Bulk(
    "UPDATE frontdesk_task SET lease_until = given.lease_until FROM {given} WHERE frontdesk_task.id = given.id",
    {"id": "text", "lease_until": "double precision"},
)
REQUEUE: Statement = Statement(
    sa.update(task)
    .where(task.c.id == p("id"))
    .values(
        status=p("status"), owner="", lease_until=None, ready=p("ready"), run_at=None, held=p("held"),
        place=p("place"), attempt=p("attempt"), error=p("error"),
    )
)  # fmt: skip
PROGRESS: Statement = Statement(
    sa.update(task)
    .where(task.c.id == p("id"))
    .values(progress=p("progress"), message=p("message"), log_tail=p("log_tail"))
)


OPEN: Final = "open queues"  # where the process keeps which ones it claimed from

Held: TypeAlias = tuple[str, int]  # a claim by its task's id and its epoch


@cache
def _candidates(names: int, dialect: DialectName) -> Statement:
    """The first tasks in line among so many names, but for those that another transaction holds; on PostgreSQL with
    their conversations, locked where no other transaction has them."""
    first = (
        sa.select(*(task.c[name] for name in CLAIMED))
        .where(
            task.c.slot == p("slot"),
            task.c.queue == p("queue"),
            *line.IN_LINE,
            task.c.name.in_([p(f"name_{number}") for number in range(names)]),
        )
        .order_by(task.c.priority.desc(), task.c.place, task.c.id)
        .limit(p("limit"))
        .with_for_update(skip_locked=True)
    )
    if dialect == "sqlite":
        return Statement(first)
    found = first.subquery("found")
    free = (
        sa.select(*(conversation.c[name] for name in COUNTERS))
        .where(conversation.c.id == found.c.conversation_id)
        .with_for_update(skip_locked=True)
        .lateral("free")
    )
    return Statement(sa.select(found, free).join_from(found, free, sa.true(), isouter=True))


def _asked(conn: Connection, slot: str, wanted: frozenset[str] | None, ask: Callable[[str], Answer]) -> list[Answer]:
    """Asks every queue of the slot that is open. Those that were open the last time are asked together with whether
    they still are."""
    if slot != "task":
        return [ask("")]
    opened = line.ask_open(conn)
    guessed = {} if conn.dialect == "sqlite" else {name: ask(name) for name in conn.estimates.get(OPEN, ())}
    names = [name for name in opened() if wanted is None or name in wanted]
    conn.estimates[OPEN] = names
    return [guessed[name] if name in guessed else ask(name) for name in names]


@operation
def claim(
    conn: Connection,
    slot: str,
    names: Sequence[str],
    owner: str,
    lease: float,
    limit: int,
    queues: frozenset[str] | None = None,
) -> list[Claim]:
    """Claims at most ``limit`` tasks of these names for ``lease`` seconds from these queues (None: all), the most
    urgent first, then in their fair order.

    It never waits: what others hold is passed over, and looked at again at once. Whoever does not receive the claims
    gives them back with `release`.
    """
    given: dict[str, Any] = {f"name_{number}": name for number, name in enumerate(names)}
    given |= {"slot": slot, "limit": limit}
    candidates: list[TaskRow] = []
    statement = _candidates(len(names), conn.dialect)
    for answer in _asked(conn, slot, queues, lambda name: conn.ask(statement, given | {"queue": name})):
        candidates += [_candidate(conn, one) for one in answer.rows()]
    candidates.sort(key=lambda row: (-row["priority"], row["place"], row["id"]))
    del candidates[limit:]
    taken = _free(conn, candidates)
    if len(taken) < len(candidates):
        conn.publish(TasksReady(slot))
    now = conn.now()
    for row in taken:
        row["status"], row["epoch"] = RUNNING, row["epoch"] + 1
        row["owner"], row["lease_until"] = owner, now + lease
        row["started_at"] = row["started_at"] or conn.wall()
    conn.bulk(TAKE, taken)
    telling.tell_each(conn, taken, "updated")
    if slot == "turn" and conn.dialect == "sqlite":
        for row in taken:
            row["opened"] = opened(conn, row["id"])
            conn.publish(TurnOpened(row["conversation_id"]))
    return [Claim.of(row) for row in taken]


def _candidate(conn: Connection, found: Row) -> TaskRow:
    """A task that may be claimed. What was found with it is noted of its conversation."""
    row: TaskRow = dict(zip(CLAIMED, found, strict=False)) | BEGUN
    if len(found) > len(CLAIMED) and found[-3] is not None:
        conn.hold(row["conversation_id"], found[-3:])
    return row


def _free(conn: Connection, candidates: Sequence[TaskRow]) -> list[TaskRow]:
    """Those whose conversation is locked by this transaction, or gone: it is in nobody's way. It never waits."""
    if conn.dialect == "sqlite":
        return list(candidates)
    busy = {row["conversation_id"] for row in candidates} - {None, *conn.holds}
    busy -= telling.those_gone(conn, busy)
    return [row for row in candidates if row["conversation_id"] not in busy]


def claim_so_many(
    conn: Connection,
    limit: int,
    slot: str,
    names: Sequence[str],
    owner: str,
    lease: float,
    queues: frozenset[str] | None = None,
) -> list[Claim]:
    """As `claim`, for the slots that the same commit frees, which is no write of its own."""
    return claim(conn, slot, names, owner, lease, limit, queues)


@operation
def renew(conn: Connection, held: Sequence[tuple[str, int]], lease: float) -> tuple[set[Held], set[Held]]:
    """Renews leases of (task id, epoch). Returns those that are over, and those that somebody asked to cancel.

    It never waits: a task that another transaction is writing is left for the next time, three of which fit into a
    lease.
    """
    ids = [{"id": task_id} for task_id, _ in held]
    locked = {str(row[0]): row[1:] for row in conn.bulk(TRY_HELD, ids)}
    busy = [one for one in ids if one["id"] not in locked]
    found = locked | {str(row[0]): row[1:] for row in conn.bulk(HOLDS, busy)}
    lost = {one for one in held if found.get(one[0], (None, None))[:2] != (RUNNING, one[1])}
    cancels = {one for one in held if one not in lost and found[one[0]][2]}
    until = conn.now() + lease
    kept = [{"id": one[0], "lease_until": until} for one in held if one not in lost and one[0] in locked]
    conn.bulk(RENEW, kept)
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
    ready = conn.now() + delay
    held, place = "", row["place"]
    if delay > 0:  # it will join the line again
        held, place = line.TIME, 0
        line.leave(conn, row["concurrency_key"])
    rows.change(conn, row, action, REQUEUE, ready=ready, attempt=attempt, error=error, held=held, place=place)
    rows.tell(conn, row, "updated")
    conn.publish(TasksReady(row["slot"]))


@operation
def retry_later(conn: Connection, claim: Claim, *, delay: float, error: str) -> None:
    """The run raised and is to be run again after ``delay`` seconds, as another attempt. Raises LeaseLost."""
    requeue(conn, held_row(conn, claim), Action.RETRY, delay=delay, error=error)


@operation
@merges(finish_many)
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
        if claim.conversation_id is not None:
            drop_deltas(conn, claim.conversation_id, claim.task_id)  # this says more than what came before it
        rows.tell(conn, row, "updated", passing=True)
