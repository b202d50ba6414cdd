"""Removing a conversation whose time is over or that was given up, with all that belongs to it. Storage functions only.

It goes in small commits, what others refer to last: the log, the history, turns, inbox, tasks, at the end the
conversation itself. A crash between two of them leaves a conversation that is still due, and that nobody can reach.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from ..broker import cancel, rows, usage
from ..broker.connection import Connection
from ..broker.conversations import GIVEN_UP, UNSTORED_SECONDS
from ..broker.failpoints import operation
from ..broker.statements import Statement, p, table, word
from ..broker.tables import Conversation, Delivery, InboxEntry, LogRow, Turn
from ..tasks.table import DurableCall, Task, Wait
from .table import Item, RequiredInput, Result, StoredSummary

BATCH: Final = 200  # rows of one table in one commit
STOPPING_SECONDS: Final = 5.0  # between two looks whether all of a conversation that was given up has stopped

conversation, log, item, turn, entry = (table(one) for one in (Conversation, LogRow, Item, Turn, InboxEntry))
results, requests, summaries = table(Result), table(RequiredInput), table(StoredSummary)
task, call, wait, delivery = (table(one) for one in (Task, DurableCall, Wait, Delivery))

EXPIRED: Statement = Statement(
    sa.select(conversation.c.id)
    .where(conversation.c.kept_until <= p("now"))
    .order_by(conversation.c.kept_until)
    .limit(p("limit"))
)
EXPIRY: Statement = Statement(
    sa.select(conversation.c.kept_until, conversation.c.unattended_limit).where(conversation.c.id == p("id"))
)
GIVE_UP: Statement = Statement(  # hidden as one that is not stored is, and no notice starts a turn in it
    sa.update(conversation)
    .where(conversation.c.id == p("id"))
    .values(stored=0, unattended_limit=GIVEN_UP, kept_until=p("at"))
)
LIVE: Statement = Statement(
    sa.select(task.c.id).where(task.c.conversation_id == p("id"), task.c.finished_at.is_(None)).limit(1)
)
UNTOLD: Statement = Statement(
    sa.select(delivery.c.id)
    .join(task, task.c.id == delivery.c.task_id)
    .where(task.c.conversation_id == p("id"), task.c.label != word(""), delivery.c.status == word("pending"))
    .limit(1)
)
SET_EXPIRY: Statement = Statement(
    sa.update(conversation).where(conversation.c.id == p("id")).values(kept_until=p("at"))
)


def _some(of: sa.Table, number: str) -> tuple[Statement, Statement]:
    """The numbers of a conversation's oldest rows of a table, and their removal up to one of them."""
    column = of.c[number]
    chosen = sa.select(column).where(of.c.conversation_id == p("id")).order_by(column).limit(p("limit"))
    removed = sa.delete(of).where(of.c.conversation_id == p("id"), column <= p("last"))
    return Statement(chosen), Statement(removed)


NUMBERED: Final = (_some(log, "first"), _some(item, "position"), _some(entry, "number"))
TURNS: Statement = Statement(sa.select(turn.c.id, turn.c.task_id).where(turn.c.conversation_id == p("id")).limit(BATCH))
DELETE_TURN: Statement = Statement(sa.delete(turn).where(turn.c.id == p("id")))
TASKS: Statement = Statement(
    sa.select(task.c.id).where(task.c.conversation_id == p("id"), task.c.label != word("")).limit(BATCH)
)
DELEGATED: Statement = Statement(sa.select(turn.c.conversation_id).where(turn.c.task_id == p("id")))
OF_TASK: Final = tuple(
    Statement(sa.delete(of).where(column == p("id")))
    for of, column in (
        (call, call.c.task_id), (wait, wait.c.waiter_id), (wait, wait.c.awaited_id), (delivery, delivery.c.task_id),
        (task, task.c.id),
    )
)  # fmt: skip
OF_CONVERSATION: Final = tuple(
    Statement(sa.delete(of).where(of.c.conversation_id == p("id"))) for of in (results, requests, summaries)
)
DELETE_CONVERSATION: Statement = Statement(sa.delete(conversation).where(conversation.c.id == p("id")))


def expired(conn: Connection, limit: int = BATCH) -> list[str]:
    """Conversations whose time is over."""
    return [str(row[0]) for row in conn.all(EXPIRED, {"now": conn.now(), "limit": limit})]


def give_up(conn: Connection, conversation_id: str) -> None:
    """A conversation is over, whatever of it is live: nobody reaches it any more, and all of it is cancelled. What
    ends later starts nothing, and goes with the rest; its webhook is told. The caller has locked it and those below
    it."""
    conn.run(GIVE_UP, {"id": conversation_id, "at": conn.now()})
    cancel.cancel_all(conn, conversation_id)


@operation
def remove_conversation(conn: Connection, conversation_id: str, limit: int = BATCH) -> bool:
    """Removes some of a conversation whose time is over; whether it is to be called again.

    While something of it is live (a turn, a task, a webhook that was not told), it gets another ten minutes; one that
    was given up is looked at again soon, and what was filed since is cancelled.
    """
    found = conn.one(EXPIRY, {"id": conversation_id})
    given_up = found is not None and found[1] == GIVEN_UP
    if given_up and conn.one(LIVE, {"id": conversation_id}):
        cancel.cancel_all(conn, conversation_id)  # it locks more than this conversation, all in their order
    rows.lock_conversations(conn, [conversation_id])
    found = conn.one(EXPIRY, {"id": conversation_id})
    if found is None or found[0] is None or found[0] > conn.now():
        return False
    if conn.one(LIVE, {"id": conversation_id}) or conn.one(UNTOLD, {"id": conversation_id}):
        pause = STOPPING_SECONDS if given_up else UNSTORED_SECONDS
        conn.run(SET_EXPIRY, {"id": conversation_id, "at": conn.now() + pause})
        return False
    for chosen, removed in NUMBERED:
        numbers = conn.all(chosen, {"id": conversation_id, "limit": limit})
        if numbers:
            conn.run(removed, {"id": conversation_id, "last": numbers[-1][0]})
            return True
    if _remove_turns(conn, conversation_id) or _remove_tasks(conn, conversation_id):
        return True
    for statement in (*OF_CONVERSATION, DELETE_CONVERSATION):
        conn.run(statement, {"id": conversation_id})
    usage.forget(conn, conversation_id)
    return False


def _remove_turns(conn: Connection, conversation_id: str) -> bool:
    """Removes some turns with their tasks; not the task of a delegated run, which belongs to who delegated."""
    found = conn.all(TURNS, {"id": conversation_id})
    for turn_id, task_id in found:
        conn.run(DELETE_TURN, {"id": turn_id})
        row = None if task_id is None else rows.read(conn, task_id)
        if row is not None and row["kind"] == "turn":
            _remove_task(conn, row["id"])
    return bool(found)


def _remove_tasks(conn: Connection, conversation_id: str) -> bool:
    """Removes some of the conversation's tasks; the conversations of delegated runs are due from then on."""
    found = conn.all(TASKS, {"id": conversation_id})
    for (task_id,) in found:
        for (own,) in conn.all(DELEGATED, {"id": task_id}):
            conn.run(SET_EXPIRY, {"id": own, "at": conn.now()})
        _remove_task(conn, task_id)
    return bool(found)


def _remove_task(conn: Connection, task_id: Any) -> None:
    for statement in OF_TASK:
        conn.run(statement, {"id": task_id})
