"""Turns in the database: which input is next, and that a conversation has one live turn at most.

What happens inside a turn is the agents' business. Here a turn is a row, a task of kind ``turn``, and its place in
the line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from ..tasks.request import new_id
from ..tasks.states import TERMINAL, Action, Status
from ..tasks.table import Task, Wait
from . import line
from .climbing import climb
from .connection import Connection, Row
from .openings import CONVERSATION as CONVERSATION
from .openings import TurnRow as TurnRow
from .openings import as_turn as as_turn
from .openings import of_task as of_task
from .rows import IS_LIVE, TaskRow, as_dict, change, insert
from .statements import Statement, defaults, insert_row, p, table, word
from .tables import Conversation, InboxEntry, Turn
from .wakeups import InputArrived, TasksReady

task, wait = table(Task), table(Wait)
turn, entry, conversation = table(Turn), table(InboxEntry), table(Conversation)

DEFAULTS: Final[TurnRow] = defaults(Turn)
PRIORITY: Final = {"steer": 20, "create": 10, "notice": 0}
ORDER: Final = {kind: place for place, kind in enumerate(PRIORITY)}

LIVE_TURN: Statement = Statement(
    sa.select(
        task.c.id, task.c.status, task.c.slot, task.c.queue, task.c.priority, task.c.tenant, task.c.flow,
        task.c.concurrency_key, task.c.concurrency_limit,
    )
    .where(task.c.conversation_id == p("id"), task.c.kind == word("turn"), IS_LIVE)
    .with_for_update(nowait=True)  # by then, a task may be locked that comes after it
)  # fmt: skip
LIVE_COLUMNS: Final = (
    "id", "status", "slot", "queue", "priority", "tenant", "flow", "concurrency_key", "concurrency_limit",
)  # fmt: skip
LIVE_ID: Statement = Statement(
    sa.select(task.c.id).where(task.c.conversation_id == p("id"), task.c.kind == word("turn"), IS_LIVE)
)


def _first_of(kind: str, *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """The oldest waiting input of a kind; one look into the index, however many wait."""
    found = (
        sa.select(word(kind).label("kind"), entry.c.response_id, entry.c.target_id)
        .where(entry.c.conversation_id == p("id"), entry.c.kind == word(kind), entry.c.taken_by.is_(None), *conditions)
        .order_by(entry.c.number)
        .limit(1)
        .subquery()
    )
    return sa.select(found)


# A steer's response goes after the one that it steers, which may not have had its turn yet.
_HAD_ITS_TURN = (
    ~sa.select(turn.c.id)
    .where(turn.c.id == entry.c.target_id, turn.c.status == "queued", turn.c.task_id.is_(None))
    .exists()
)
NEXT_INPUT: Statement = Statement(
    sa.union_all(_first_of("steer", _HAD_ITS_TURN), _first_of("create"), _first_of("notice"))
)
READ: Statement = Statement(sa.select(turn).where(turn.c.id == p("id")))
INSERT: Statement = Statement(insert_row(Turn))
SET_TASK: Statement = Statement(sa.update(turn).where(turn.c.id == p("id")).values(task_id=p("task_id")))
SET_UNATTENDED: Statement = Statement(
    sa.update(conversation).where(conversation.c.id == p("id")).values(unattended=p("unattended"))
)
WAKE: Statement = Statement(
    sa.update(task)
    .where(task.c.id == p("id"))
    .values(
        status=p("status"), waiting_for="", waits_left=0, wake=None, question=None, ready=p("ready"), held=p("held"),
        place=p("place"),
    )
)  # fmt: skip
DROP_WAITS: Statement = Statement(sa.delete(wait).where(wait.c.waiter_id == p("id")))
READ_TASK: Statement = Statement(
    sa.select(task).where(task.c.id == p("id")).with_for_update(nowait=True)  # as above
)


def read(conn: Connection, response_id: str) -> TurnRow | None:
    row = conn.one(READ, {"id": response_id})
    return None if row is None else as_turn(row)


def add(conn: Connection, values: TurnRow) -> TurnRow:
    """Inserts a turn; columns that are not given have their defaults."""
    row = {**DEFAULTS, **values, "created_at": conn.wall()}
    conn.run(INSERT, row)
    return row


def live(conn: Connection, conversation_id: str) -> TaskRow | None:
    """The task of the conversation's live turn, locked: what waking it needs. Lock the conversation first."""
    return foresee_live(conn, conversation_id)()


def foresee_live(conn: Connection, conversation_id: str) -> Callable[[], TaskRow | None]:
    """As `live`, by `Connection.foresee`."""
    answer = conn.foresee(LIVE_TURN, {"id": conversation_id})
    return lambda: next((dict(zip(LIVE_COLUMNS, row, strict=True)) for row in answer.rows()), None)


def live_id(conn: Connection, conversation_id: str) -> list[str]:
    """The id of the task of the conversation's live turn, if there is one; nothing is locked."""
    return [str(row[0]) for row in conn.all(LIVE_ID, {"id": conversation_id})]


def wake(conn: Connection, row: TaskRow) -> None:
    """A parked task goes back to the queue, whatever it waited for. Its row is locked by the caller."""
    conn.run(DROP_WAITS, {"id": row["id"]})
    standing = line.join(conn, {**row, "ready": conn.now(), "run_at": None})
    change(conn, row, Action.WAKE, WAKE, ready=conn.now(), **standing)
    row.update(waiting_for="", question=None)
    conn.publish(TasksReady(row["slot"]))


def advance(conn: Connection, conversation_id: str, *, idle: bool = False) -> None:
    """Makes sure that what waits in the inbox is being dealt with. The conversation is locked by the caller, who may
    know (``idle``) that it has no live turn.

    A parked turn is woken by new input; an idle conversation's next input gets its turn: steers first, then creates in
    their order, then notices while no more than the limit of unattended turns have followed each other. A delegated
    run's conversation has only that run; what it is told when the run is over goes up (`climbing`).
    """
    conn.publish(InputArrived(conversation_id))
    living = None if idle else foresee_live(conn, conversation_id)
    of = conn.foresee(CONVERSATION, {"id": conversation_id})
    following = _foresee_next(conn, conversation_id)
    found = None if living is None else living()
    if found is not None:
        if found["status"] == Status.WAITING and following() is not None:
            wake(conn, found)
        return
    about = next(iter(of.rows()), None)
    if about is None:
        return
    if about[3] is not None:
        _tell_run(conn, conversation_id, str(about[3]))
    elif (one := following()) is not None:
        _begin(conn, conversation_id, about, one)


def go_on(conn: Connection, conversation_id: str) -> None:
    """As `advance`, where a turn has just ended: there is never another live one, and it is no delegated run's."""
    conn.publish(InputArrived(conversation_id))
    following, of = _foresee_next(conn, conversation_id), conn.foresee(CONVERSATION, {"id": conversation_id})
    if (one := following()) is not None:
        for about in of.rows():
            _begin(conn, conversation_id, about, one)


def _begin(conn: Connection, conversation_id: str, about: Row, following: Row) -> None:
    """Gives an idle conversation's next input its turn."""
    tenant, desk, agent, _, unattended, limit, head, *_ = about
    kind, response_id, target_id = following
    if kind == "notice" and unattended >= limit:
        return
    now = unattended + 1 if kind == "notice" else 0
    if now != unattended:
        conn.run(SET_UNATTENDED, {"id": conversation_id, "unattended": now})
    task_id = new_id("task")
    if kind == "notice":
        add(
            conn,
            {
                "id": new_id("resp"), "conversation_id": conversation_id, "tenant": tenant, "task_id": task_id,
                "agent": agent, "started_by": "notice", "triggers": target_id or "", "previous_id": head,
            },
        )  # fmt: skip
    else:
        conn.run(SET_TASK, {"id": response_id, "task_id": task_id})
    _start(conn, task_id, str(desk), str(tenant), conversation_id, PRIORITY[kind])


def add_next(conn: Connection, values: TurnRow, desk: str, unattended: int) -> None:
    """As `add` of a turn that a client has created, and then `advance`, where it is the next one for sure: its
    conversation has no live turn, and no other input of a client waits.
    """
    conversation_id, task_id = str(values["conversation_id"]), new_id("task")
    add(conn, {**values, "task_id": task_id})
    if unattended:
        conn.run(SET_UNATTENDED, {"id": conversation_id, "unattended": 0})
    _start(conn, task_id, desk, str(values["tenant"]), conversation_id, PRIORITY["create"])
    conn.publish(InputArrived(conversation_id))


def _foresee_next(conn: Connection, conversation_id: str) -> Callable[[], Row | None]:
    """Kind, response and target of the input that is next: steers before creates before notices."""
    answer = conn.foresee(NEXT_INPUT, {"id": conversation_id})
    return lambda: min(answer.rows(), key=lambda found: ORDER[found[0]], default=None)


def _tell_run(conn: Connection, conversation_id: str, task_id: str) -> None:
    """A delegated run is woken; for one that is over, whoever is above it is told."""
    row = conn.one(READ_TASK, {"id": task_id})
    found = None if row is None else as_dict(row)
    if found is None:
        return
    if found["status"] == Status.WAITING:
        wake(conn, found)
    elif found["status"] in TERMINAL and (above := climb(conn, conversation_id, found)) is not None:
        advance(conn, above)


def _start(conn: Connection, task_id: str, desk: str, tenant: str, conversation_id: str, priority: int) -> None:
    """Puts a turn's task into the queue."""
    standing = {"slot": "turn", "queue": "", "priority": priority, "tenant": tenant, "flow": "",
                "ready": conn.now(), "run_at": None, "concurrency_key": None, "concurrency_limit": 0}  # fmt: skip
    insert(
        conn,
        {
            **standing, **line.join(conn, standing), "id": task_id, "kind": "turn", "name": desk,
            "conversation_id": conversation_id, "on_crash": "retry", "announce": "none", "created_at": conn.wall(),
        },
    )  # fmt: skip
    conn.publish(TasksReady("turn"))
