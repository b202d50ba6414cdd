"""Rows of the task table: insert, read, lock, fence. What may happen to a task is decided elsewhere.

Locks: conversations first, then tasks, each by id, always; what turns out to be needed later is locked without
waiting. So no two transactions wait for each other. SQLite has one writer and hides a forgotten lock; PostgreSQL does
not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from ..tasks.states import Action, Status, apply
from ..tasks.table import Task
from . import tenants, views
from .connection import Connection, Row
from .errors import LeaseLost
from .events import count_on, insert_one
from .openings import Opened
from .statements import Statement, defaults, insert_row, p, table, word
from .tables import Conversation
from .views import TaskRow as TaskRow

task = table(Task)
conversation = table(Conversation)
COLUMNS: Final = tuple(column.name for column in task.columns)
# In the words of the partial indexes, which SQLite compares with the query's; claiming does not touch these indexes.
IS_LIVE: Final = task.c.finished_at.is_(None)

LOCK_CONVERSATION: Statement = Statement(
    sa.select(conversation.c.id).where(conversation.c.id == p("id")).with_for_update()
)
TRY_CONVERSATION: Statement = Statement(
    sa.select(conversation.c.id).where(conversation.c.id == p("id")).with_for_update(skip_locked=True)
)
READ: Statement = Statement(sa.select(task).where(task.c.id == p("id")))
LOCK: Statement = Statement(sa.select(task).where(task.c.id == p("id")).with_for_update())
LOCK_NOW: Statement = Statement(sa.select(task).where(task.c.id == p("id")).with_for_update(nowait=True))
TRY_LOCK: Statement = Statement(sa.select(task).where(task.c.id == p("id")).with_for_update(skip_locked=True))
HELD_COLUMNS: Final = (
    "status", "epoch", "slot", "cancel_requested", "progress", "message", "error", "error_kind", "webhook",
    "keep_result",
)  # fmt: skip
HELD: Statement = Statement(
    sa.select(*(task.c[name] for name in HELD_COLUMNS)).where(task.c.id == p("id")).with_for_update()
)
BY_CREATOR: Statement = Statement(
    sa.select(task).where(task.c.created_by == p("created_by"), task.c.created_by.is_not(None))
)
BY_UNIQUE_KEY: Statement = Statement(
    sa.select(task).where(tenants.of(task), task.c.unique_key == p("unique_key"), task.c.unique_key.is_not(None))
)
FREE_KEY: Statement = Statement(sa.update(task).where(task.c.id == p("id")).values(unique_key=None))
BY_LABEL: Statement = Statement(
    sa.select(task).where(
        task.c.conversation_id == p("conversation_id"), task.c.label == p("label"), task.c.label != word("")
    )
)
TWIN: Statement = Statement(
    sa.select(task).where(
        task.c.conversation_id == p("conversation_id"),
        task.c.fingerprint == p("fingerprint"),
        IS_LIVE,
    )
)
INSERT: Statement = Statement(insert_row(Task))
DEFAULTS: Final[TaskRow] = defaults(Task)


@dataclass(frozen=True, slots=True)
class Claim:
    """A run's right to write: valid as long as the task is running under this epoch."""

    task_id: str
    epoch: int
    kind: str
    name: str
    conversation_id: str | None
    tenant: str
    label: str
    title: str
    agent: str
    arguments: str
    attempt: int
    max_attempts: int
    on_crash: str
    timeout: float | None
    parent_id: str | None
    depth: int
    cancel_requested: bool
    announce: str
    created_at: float
    started_at: float
    concurrency_key: str | None
    opened: Opened | None = field(default=None, compare=False)  # a turn, as it was then

    @classmethod
    def of(cls, row: TaskRow) -> Claim:
        return cls(
            row["id"], row["epoch"], row["kind"], row["name"], row["conversation_id"], row["tenant"], row["label"],
            row["title"], row["agent"], row["arguments"], row["attempt"], row["max_attempts"], row["on_crash"],
            row["timeout"], row["parent_id"], row["depth"], bool(row["cancel_requested"]), row["announce"],
            row["created_at"], row["started_at"], row["concurrency_key"], row.get("opened"),
        )  # fmt: skip


def as_dict(row: Row) -> TaskRow:
    """A row of all columns by name."""
    return dict(zip(COLUMNS, row, strict=True))


def insert(conn: Connection, values: TaskRow) -> TaskRow:
    """Inserts a task; columns that are not given have their defaults."""
    row = {**DEFAULTS, **values}
    conn.run(INSERT, row)
    return row


def read(conn: Connection, task_id: str) -> TaskRow | None:
    row = conn.one(READ, {"id": task_id})
    return None if row is None else as_dict(row)


def by_label(conn: Connection, conversation_id: str, label: str) -> TaskRow | None:
    row = conn.one(BY_LABEL, {"conversation_id": conversation_id, "label": label})
    return None if row is None else as_dict(row)


def by_creator(conn: Connection, created_by: str) -> TaskRow | None:
    row = conn.one(BY_CREATOR, {"created_by": created_by})
    return None if row is None else as_dict(row)


def by_unique_key(conn: Connection, tenant: str, unique_key: str) -> TaskRow | None:
    """The task that has this key of its tenant; one whose time with it is over loses it."""
    row = conn.one(BY_UNIQUE_KEY, {"tenant": tenant, "unique_key": unique_key})
    if row is None:
        return None
    found = as_dict(row)
    until = found["unique_until"]
    if found["finished_at"] is None if until is None else conn.now() < until:
        return found
    conn.run(FREE_KEY, {"id": found["id"]})
    return None


def made_or_twin(
    conn: Connection, created_by: str, conversation_id: str, fingerprint: str | None
) -> tuple[TaskRow | None, TaskRow | None]:
    """The task that this creator has made; without one, a live task of the conversation with this fingerprint."""
    made = conn.ask(BY_CREATOR, {"created_by": created_by})
    twins = conn.foresee(TWIN, {"conversation_id": conversation_id, "fingerprint": fingerprint})
    if found := made.rows():
        return as_dict(found[0]), None
    if fingerprint is None or not (found := twins.rows()):
        return None, None
    return None, as_dict(found[0])


def lock_conversations(conn: Connection, ids: Collection[str | None]) -> None:
    """Locks conversations, in the order of their ids, before whatever is asked next."""
    if conn.dialect == "sqlite":
        return  # the writer's transaction is the only one
    for one in sorted(id for id in ids if id is not None):
        conn.ask(LOCK_CONVERSATION, {"id": one})


def lock(conn: Connection, ids: Iterable[str]) -> dict[str, TaskRow]:
    """Locks tasks in the order of their ids; what was found. Lock their conversations first."""
    found: dict[str, TaskRow] = {}
    for one in sorted(set(ids)):
        row = conn.one(LOCK, {"id": one})
        if row is not None:
            found[one] = as_dict(row)
    return found


def lock_now(conn: Connection, ids: Iterable[str]) -> dict[str, TaskRow]:
    """Locks tasks out of their order, so it never waits: while another transaction has one of them, the function that
    asked fails and is run again."""
    found = {one: conn.one(LOCK_NOW, {"id": one}) for one in sorted(set(ids))}
    return {one: as_dict(row) for one, row in found.items() if row is not None}


def lock_with_conversations(conn: Connection, ids: Iterable[str]) -> dict[str, TaskRow]:
    """Locks tasks after all their conversations; what was found."""
    ids = set(ids)
    if conn.dialect != "sqlite":
        known = [read(conn, one) for one in ids]
        lock_conversations(conn, {row["conversation_id"] for row in known if row is not None})
    return lock(conn, ids)


def lock_one(conn: Connection, task_id: str) -> TaskRow | None:
    """Locks a task after its conversation; None when there is none."""
    return lock_with_conversations(conn, [task_id]).get(task_id)


def try_conversation(conn: Connection, conversation_id: str | None) -> bool:
    """Locks a conversation unless another transaction has it; never waits."""
    if conversation_id is None or conn.dialect == "sqlite":
        return True
    return conn.one(TRY_CONVERSATION, {"id": conversation_id}) is not None


def try_lock(conn: Connection, task_id: str, conversation_id: str | None) -> TaskRow | None:
    """Locks a task after its conversation; None when another transaction has one of them. Never waits."""
    if not try_conversation(conn, conversation_id):
        return None
    row = conn.one(TRY_LOCK, {"id": task_id})
    return None if row is None else as_dict(row)


def lock_claimed(conn: Connection, claim: Claim, *others: str) -> TaskRow:
    """Locks the run's task (and ``others``, whose rows are not returned) and checks that the claim still holds.

    Raises LeaseLost.
    """
    row = lock(conn, (claim.task_id, *others)).get(claim.task_id)
    if row is None or row["status"] != Status.RUNNING or row["epoch"] != claim.epoch:
        raise LeaseLost(claim.task_id, claim.epoch)
    return row


def held(conn: Connection, claim: Claim) -> TaskRow:
    """The run's task, locked: what its view and its end need, no more, because every end of a run comes here.

    Lock its conversation first. Raises LeaseLost when the claim is over.
    """
    found = conn.one(HELD, {"id": claim.task_id})
    if found is None or found[0] != Status.RUNNING or found[1] != claim.epoch:
        raise LeaseLost(claim.task_id, claim.epoch)
    return held_by(claim, found)


def held_by(claim: Claim, found: Row) -> TaskRow:
    """A run's task, made of its claim and of the columns that may have changed since (`HELD_COLUMNS`)."""
    return {
        "id": claim.task_id, "epoch": claim.epoch, "kind": claim.kind, "name": claim.name, "slot": found[2],
        "conversation_id": claim.conversation_id, "tenant": claim.tenant, "label": claim.label, "title": claim.title,
        "agent": claim.agent, "attempt": claim.attempt, "announce": claim.announce, "created_at": claim.created_at,
        "started_at": claim.started_at, "status": found[0], "cancel_requested": found[3], "progress": found[4],
        "message": found[5], "error": found[6], "error_kind": found[7], "question": None, "result": None,
        "abandoned": 0, "finished_at": None, "held": "", "concurrency_key": claim.concurrency_key,
        "webhook": found[8], "keep_result": found[9], "result_until": None,
    }  # fmt: skip


def change(conn: Connection, row: TaskRow, action: Action, statement: Statement, **values: Any) -> None:
    """Applies an action by the table of states, writes it with ``statement``, and updates ``row``.

    ``statement`` takes ``id``, ``status`` and the given values. Raises InvalidTransition.
    """
    status = str(apply(Status(row["status"]), action))
    conn.run(statement, {"id": row["id"], "status": status, **values})
    row.update(values, status=status)


def tell(conn: Connection, row: TaskRow, what: str, *, passing: bool = False) -> None:
    """Appends ``frontdesk:task.<what>`` to the log of the conversation that owns the task, if there (still) is one.

    ``passing``: progress, which need not be kept once the task has ended.
    """
    conversation_id = row["conversation_id"]
    if conversation_id is None or row["kind"] == "turn":
        return
    counted = count_on(conn, conversation_id, events=1)
    if counted is not None:  # else it was deleted; the task outlives it
        insert_one(conn, conversation_id, counted[0], views.told(row, what, views.view_text(row), passing=passing))
