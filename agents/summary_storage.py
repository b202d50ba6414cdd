"""Summaries of conversations in the database: filed as a task, read by turns, kept with the end of their task, carried
over to forks. Storage functions only.

The task belongs to no conversation: nobody is told of it, and it has no label. What a crash leaves: before the commit
that files it nothing, and the conversation's next turn files it; after it, a task that is run again; the summary and
the task's end are one commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from ..broker import queue, usage
from ..broker.connection import Connection
from ..broker.endings import end
from ..broker.failpoints import operation
from ..broker.rows import Claim
from ..broker.statements import Statement, insert_row, p, table, word
from ..broker.tables import Conversation, Turn
from ..tasks.request import TaskRequest
from ..tasks.states import Action
from .events import encoded
from .model import Usage
from .response import Progress, spent_by
from .summaries import Summary
from .table import Item, StoredSummary

ATTEMPTS: Final = 4
PRIORITY: Final = 10  # before tasks that nobody has ranked: a conversation may be close to what its model can read

conversation, item, stored, turn = table(Conversation), table(Item), table(StoredSummary), table(Turn)

READ: Statement = Statement(
    sa.select(stored.c.position, stored.c.item_id, stored.c.text).where(
        stored.c.conversation_id == p("id"), stored.c.position == p("position")
    )
)
SETTLED: Statement = Statement(
    sa.select(conversation.c.last_item, conversation.c.summarised).where(conversation.c.id == p("id"))
)
RUNNING: Statement = Statement(
    sa.select(turn.c.id).where(turn.c.conversation_id == p("id"), turn.c.status == word("in_progress"))
)
POSITION: Statement = Statement(
    sa.select(item.c.position).where(item.c.conversation_id == p("conversation_id"), item.c.id == p("id"))
)
COUNT: Statement = Statement(
    sa.select(sa.func.count()).where(
        item.c.conversation_id == p("conversation_id"), item.c.position > p("after"), item.c.position <= p("until")
    )
)
INSERT: Statement = Statement(insert_row(StoredSummary))
SET: Statement = Statement(sa.update(conversation).where(conversation.c.id == p("id")).values(summarised=p("position")))
COPY: Statement = Statement(
    sa.insert(stored).from_select(
        [column.name for column in stored.columns],
        sa.select(
            *[p("to").label(column.name) if column.name == "conversation_id" else column for column in stored.columns]
        ).where(stored.c.conversation_id == p("from"), stored.c.position <= p("until")),
    )
)
LAST: Statement = Statement(sa.select(sa.func.max(stored.c.position)).where(stored.c.conversation_id == p("id")))
FORGET: Statement = Statement(
    sa.delete(stored).where(stored.c.conversation_id == p("id"), stored.c.position >= p("position"))
)


def task_name(desk: str) -> str:
    """The name of the tasks that write summaries, for workers of this desk. No task function can have it."""
    return f"{desk}:summary"


@operation
def file_summary(conn: Connection, desk: str, tenant: str, conversation_id: str, agent: str) -> int:
    """Has a summary of a conversation written, unless that is under way; up to which position there is one now."""
    request = TaskRequest(
        name=task_name(desk),
        title="Summary of a long conversation",
        arguments={"conversation": conversation_id, "agent": agent},
        unique_key=f"summary of {conversation_id}",
        priority=PRIORITY,
        max_attempts=ATTEMPTS,
        on_crash="retry",
        announce="none",
    )
    queue.file(conn, request, queue.Origin(tenant=tenant))
    row = conn.one(SETTLED, {"id": conversation_id})
    return 0 if row is None else int(row[1])


def newest(conn: Connection, conversation_id: str) -> Summary | None:
    """The last summary of a conversation. Reads only."""
    row = conn.one(SETTLED, {"id": conversation_id})
    return None if row is None else read(conn, conversation_id, int(row[1]))


@dataclass(frozen=True, slots=True)
class Settled:
    """How far a history does not change any more: up to a position, but for the newest step of the response that is
    running, a turn's or a delegated run's.
    """

    last_item: int
    running: str  # the response's id; empty when none is
    summary: Summary | None


def settled(conn: Connection, conversation_id: str) -> Settled | None:
    """What a summary can be made of; None when the conversation is gone. Reads only."""
    row = conn.one(SETTLED, {"id": conversation_id})
    if row is None:
        return None
    running = conn.one(RUNNING, {"id": conversation_id})
    return Settled(int(row[0]), "" if running is None else str(running[0]), read(conn, conversation_id, int(row[1])))


def read(conn: Connection, conversation_id: str, position: int) -> Summary | None:
    """The summary up to a position. Reads only."""
    row = conn.one(READ, {"id": conversation_id, "position": position}) if position else None
    return None if row is None else Summary(int(row[0]), str(row[1]), str(row[2]))


@dataclass(frozen=True, slots=True)
class Written:
    """A summary that a model has written, after another one: of ``count`` items after it, the last one ``item_id``."""

    after: int
    item_id: str
    count: int
    text: str
    model: str
    asked: int  # how often
    usage: Usage


@operation
def keep_summary(conn: Connection, claim: Claim, conversation_id: str, written: Written) -> bool:
    """Ends the task with its summary; whether that is kept: not when something that it was made of was deleted
    meanwhile. Raises LeaseLost.
    """
    row = queue.held_row(conn, claim, conversation_id)
    position = _position(conn, conversation_id, written)
    if position:
        values = {"position": position, "item_id": written.item_id, "text": written.text, "model": written.model}
        values |= {"usage": encoded(written.usage), "created_at": conn.wall()}
        conn.run(INSERT, {"conversation_id": conversation_id, **values})
        conn.run(SET, {"id": conversation_id, "position": position})
    end(conn, row, Action.SUCCEED, result=encoded({"summarised": written.count if position else 0}))
    if conn.one(SETTLED, {"id": conversation_id}) is not None:
        spent = spent_by(Progress(model_calls=written.asked), written.usage)
        usage.count(conn, claim.tenant, conversation_id, spent, key=claim.task_id)
    return bool(position)


def _position(conn: Connection, conversation_id: str, written: Written) -> int:
    """Up to where the summary counts; 0 when its items, or the summary before it, are not what they were."""
    row = conn.one(SETTLED, {"id": conversation_id})
    found = conn.one(POSITION, {"conversation_id": conversation_id, "id": written.item_id})
    if row is None or found is None or int(row[1]) != written.after:
        return 0
    between = {"conversation_id": conversation_id, "after": written.after, "until": found[0]}
    counted = conn.one(COUNT, between)
    return int(found[0]) if counted is not None and int(counted[0]) == written.count else 0


def carry_over(conn: Connection, original: str, forked: str, until: int) -> None:
    """Gives a fork the summaries of what it has taken over."""
    conn.run(COPY, {"to": forked, "from": original, "until": until})
    _set_last(conn, forked)


def forget(conn: Connection, conversation_id: str, position: int) -> None:
    """Removes every summary of the item at this position, or of what comes after it: call it in the commit that deletes
    the item. The conversation is locked by the caller.
    """
    conn.run(FORGET, {"id": conversation_id, "position": position})
    _set_last(conn, conversation_id)


def _set_last(conn: Connection, conversation_id: str) -> None:
    last = conn.one(LAST, {"id": conversation_id})
    conn.run(SET, {"id": conversation_id, "position": 0 if last is None or last[0] is None else int(last[0])})
