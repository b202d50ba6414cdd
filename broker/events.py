"""The event log: what a conversation has emitted. Append-only, numbered, committed before anyone is shown it.

An event's cursor is a number unique in its conversation; it is put into the event's text when it is read, so that
appending never parses or rebuilds JSON. Rows that hold only deltas of one item (or progress of one task) are removed by
the commit that writes that it is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa

from .connection import Connection
from .errors import ConversationNotFound
from .statements import Statement, insert_row, p, table
from .tables import Conversation, LogRow
from .wakeups import Events

READ_LIMIT: Final = 500
_conversation, _row = table(Conversation), table(LogRow)
COLUMNS: Final = tuple(column.name for column in _row.columns)

COUNT_ON: Statement = Statement(
    sa.update(_conversation)
    .where(_conversation.c.id == p("id"))
    .values(
        last_cursor=_conversation.c.last_cursor + p("events"),
        last_label=_conversation.c.last_label + p("labels"),
        last_input=_conversation.c.last_input + p("inputs"),
    )
    .returning(_conversation.c.last_cursor, _conversation.c.last_label, _conversation.c.last_input)
)
INSERT: Statement = Statement(insert_row(LogRow))
READ: Statement = Statement(
    sa.select(_row.c.first, _row.c.count, _row.c.response_id, _row.c.body)
    .where(_row.c.conversation_id == p("id"), _row.c.first + _row.c.count > p("cursor") + 1, _row.c.first > p("from"))
    .order_by(_row.c.first)
    .limit(p("limit"))
)
ROW_AT: Statement = Statement(
    sa.select(sa.func.max(_row.c.first)).where(_row.c.conversation_id == p("id"), _row.c.first <= p("cursor"))
)
DROP_DELTAS: Statement = Statement(
    sa.delete(_row).where(_row.c.conversation_id == p("id"), _row.c.deltas_of == p("item_id"))
)
DELTAS: Statement = Statement(
    sa.select(_row.c.body)
    .where(_row.c.conversation_id == p("id"), _row.c.deltas_of == p("item_id"))
    .order_by(_row.c.first)
)
FIRST: Statement = Statement(sa.select(sa.func.min(_row.c.first)).where(_row.c.conversation_id == p("id")))
LAST: Statement = Statement(sa.select(_conversation.c.last_cursor).where(_conversation.c.id == p("id")))


@dataclass(frozen=True, slots=True)
class Event:
    """One event to append: its JSON text (an object on one line, without ``cursor``); ``deltas_of`` marks a delta of
    that item."""

    text: str
    response_id: str = ""
    deltas_of: str | None = None


def count_on(
    conn: Connection, conversation_id: str, *, events: int = 0, labels: int = 0, inputs: int = 0
) -> tuple[int, int, int] | None:
    """Counts the conversation's counters on and locks it: its last cursor, label and input. None when it is gone."""
    row = conn.one(COUNT_ON, {"id": conversation_id, "events": events, "labels": labels, "inputs": inputs})
    counted = None if row is None else (int(row[0]), int(row[1]), int(row[2]))
    if conversation_id in conn.holds:
        conn.holds[conversation_id] = counted
    return counted


def _run_of(event: Event) -> tuple[str, str | None]:
    return event.response_id, event.deltas_of


def append(conn: Connection, conversation_id: str, events: Sequence[Event]) -> int:
    """Appends events; returns the cursor of the last one. Locks the conversation. Raises ConversationNotFound."""
    counted = count_on(conn, conversation_id, events=len(events))
    if counted is None:
        raise ConversationNotFound(conversation_id)
    insert(conn, conversation_id, counted[0] - len(events) + 1, events)
    return counted[0]


def insert(conn: Connection, conversation_id: str, first: int, events: Sequence[Event]) -> None:
    """Writes events whose cursors, from ``first`` on, the caller has just counted in the locked conversation."""
    for (response_id, deltas_of), run in groupby(events, _run_of):
        texts = [event.text for event in run]
        _insert_row(conn, Events(conversation_id, first, len(texts), response_id, "\n".join(texts)), deltas_of)
        first += len(texts)


def insert_one(conn: Connection, conversation_id: str, cursor: int, event: Event) -> None:
    """Writes the event whose cursor the caller has just counted in the locked conversation."""
    _insert_row(conn, Events(conversation_id, cursor, 1, event.response_id, event.text), event.deltas_of)


def _insert_row(conn: Connection, row: Events, deltas_of: str | None) -> None:
    conn.run(INSERT, row_of(row, deltas_of, conn.wall()))
    conn.publish(row)


def row_of(row: Events, deltas_of: str | None, now: float) -> dict[str, Any]:
    """A row of the log, with all its columns."""
    if row.body.count("\n") != row.count - 1:
        raise ValueError("the text of an event is one line of JSON")
    return {
        "conversation_id": row.conversation_id, "first": row.first, "count": row.count,
        "response_id": row.response_id, "deltas_of": deltas_of, "body": row.body, "created_at": now,
    }  # fmt: skip


def drop_deltas(conn: Connection, conversation_id: str, item_id: str) -> None:
    """Removes the item's deltas; its ``done`` event, in the same commit, holds their content."""
    conn.run(DROP_DELTAS, {"id": conversation_id, "item_id": item_id})


def deltas(conn: Connection, conversation_id: str, item_id: str) -> list[str]:
    """The JSON texts of the item's deltas that are still kept."""
    rows = conn.all(DELTAS, {"id": conversation_id, "item_id": item_id})
    return [line for row in rows for line in str(row[0]).split("\n")]


def read_after(conn: Connection, conversation_id: str, cursor: int, limit: int = READ_LIMIT) -> list[Events]:
    """Rows that hold events after ``cursor``, oldest first; at most ``limit`` rows. A row may begin before the
    cursor."""
    before = conn.one(ROW_AT, {"id": conversation_id, "cursor": cursor})
    start = -1 if before is None or before[0] is None else int(before[0]) - 1
    rows = conn.all(READ, {"id": conversation_id, "cursor": cursor, "from": start, "limit": min(limit, READ_LIMIT)})
    return [Events(conversation_id, int(row[0]), int(row[1]), str(row[2]), str(row[3])) for row in rows]


def removed_until(conn: Connection, conversation_id: str) -> int:
    """The cursor up to which retention has removed the log: 0 while it is whole, but for deltas. See ``retention``."""
    row = conn.one(FIRST, {"id": conversation_id})
    return 0 if row is None or row[0] is None else int(row[0]) - 1


def resume(conn: Connection, conversation_id: str, cursor: int, limit: int = READ_LIMIT) -> tuple[int, list[Events]]:
    """As `read_after`, and `removed_until`, of one moment."""
    return removed_until(conn, conversation_id), read_after(conn, conversation_id, cursor, limit)


def last_cursor(conn: Connection, conversation_id: str) -> int | None:
    """The cursor of the newest event; 0 before the first; None when there is no such conversation."""
    row = conn.one(LAST, {"id": conversation_id})
    return None if row is None else int(row[0])


def texts(row: Events, after: int = 0) -> Iterator[tuple[int, str]]:
    """The events of a row whose cursor is greater than ``after``: cursor and JSON text with the cursor in it."""
    for offset, line in enumerate(row.body.split("\n")):
        cursor = row.first + offset
        if cursor > after:
            yield cursor, f'{{"cursor":"{cursor}",{line[1:]}'
