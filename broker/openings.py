"""What a turn's run begins with: the turn, its conversation, and what waits to enter it.

A claim brings it along where that costs no trip: it is read in the claim's own commit. It holds until something is
heard of the conversation (`wakeups.TurnOpened`); then it is read again. Reads only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from .connection import Connection, Row
from .statements import Statement, p, table
from .tables import Conversation, InboxEntry, Turn

TurnRow: TypeAlias = dict[str, Any]

turn, entry, conversation = table(Turn), table(InboxEntry), table(Conversation)

COLUMNS: Final = tuple(column.name for column in turn.columns)

CONVERSATION: Statement = Statement(
    sa.select(
        conversation.c.tenant,
        conversation.c.desk,
        conversation.c.agent,
        conversation.c.parent_task,
        conversation.c.unattended,
        conversation.c.unattended_limit,
        conversation.c.head,
        conversation.c.last_item,
        conversation.c.summarised,
    ).where(conversation.c.id == p("id"))
)
BY_TASK: Statement = Statement(
    sa.select(turn).where(turn.c.task_id == p("task_id")).order_by(turn.c.created_at.desc()).limit(1)
)
OPENED: Statement = Statement(
    sa.select(turn, *(conversation.c[name] for name in ("desk", "agent", "last_item", "summarised")))
    .join_from(turn, conversation, conversation.c.id == turn.c.conversation_id)
    .where(turn.c.task_id == p("task_id"))
    .order_by(turn.c.created_at.desc())
    .limit(1)
)
WAITING: Statement = Statement(
    sa.select(entry.c.number, entry.c.kind, entry.c.response_id, entry.c.target_id, entry.c.payload)
    .where(entry.c.conversation_id == p("id"), entry.c.taken_by.is_(None))
    .order_by(sa.literal_column("number + 0"))  # or SQLite goes through everything that was ever taken, in this order
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A turn as it was at one moment. ``counted``: its conversation's counter of items; ``summarised``: up to which
    position of them there is a summary; ``waiting``: rows of the inbox, in the order of `WAITING`.
    """

    turn: TurnRow
    desk: str
    agent: str  # the conversation's
    counted: int
    summarised: int
    waiting: list[Row]


def as_turn(row: Row) -> TurnRow:
    return dict(zip(COLUMNS, row, strict=True))


def of_task(conn: Connection, task_id: str) -> TurnRow | None:
    """The turn that this task runs."""
    row = conn.one(BY_TASK, {"task_id": task_id})
    return None if row is None else as_turn(row)


def opened(conn: Connection, task_id: str) -> Opened | None:
    """The turn that this task runs, and what is around it; None when its conversation is gone."""
    found = conn.one(OPENED, {"task_id": task_id})
    if found is None:
        return None
    row, (desk, agent, counted, summarised) = as_turn(found[: len(COLUMNS)]), found[len(COLUMNS) :]
    waiting = conn.all(WAITING, {"id": row["conversation_id"]})
    return Opened(row, str(desk), str(agent), int(counted), int(summarised), waiting)
