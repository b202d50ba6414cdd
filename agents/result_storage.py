"""Whole results of calls that a model is shown a part of, as rows. Storage functions only.

They are written by the commit that writes the call's output, are copied with a fork, and go with their conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from ..broker.connection import Connection
from ..broker.statements import Statement, insert_row, p, table
from .history import StoredItem
from .results import KEPT, Kept, Piece
from .table import Result

result = table(Result)

MOST_KNOWN: Final = 20

INSERT: Statement = Statement(insert_row(Result))
DROP: Statement = Statement(
    sa.delete(result).where(result.c.conversation_id == p("conversation_id"), result.c.call_id == p("call_id"))
)
READ: Statement = Statement(
    sa.select(sa.func.substr(result.c.text, p("first"), p("count")), result.c.characters).where(
        result.c.conversation_id == p("conversation_id"), result.c.call_id == p("call_id")
    )
)
KNOWN: Statement = Statement(
    sa.select(result.c.call_id, result.c.characters)
    .where(result.c.conversation_id == p("conversation_id"))
    .order_by(result.c.created_at.desc(), result.c.call_id)
    .limit(MOST_KNOWN)
)
COPY: Statement = Statement(
    sa.insert(result).from_select(
        [column.name for column in result.columns],
        sa.select(
            *[p("to").label(column.name) if column.name == "conversation_id" else column for column in result.columns]
        ).where(result.c.conversation_id == p("from")),
    )
)


def keep(conn: Connection, conversation_id: str, kept: Sequence[Kept]) -> None:
    """Keeps whole results; one that is there already (its call was run twice) is replaced."""
    for one in kept:
        key = {"conversation_id": conversation_id, "call_id": one.call_id}
        conn.run(DROP, key)
        conn.run(INSERT, {**key, "text": one.text, "characters": len(one.text), "created_at": conn.wall()})


def read(conn: Connection, conversation_id: str, call_id: str, offset: int, count: int) -> Piece | None:
    """A part of a kept result; None when it is not there."""
    key = {"conversation_id": conversation_id, "call_id": call_id, "first": offset + 1, "count": count}
    row = conn.one(READ, key)
    return None if row is None else Piece(str(row[0]), int(row[1]))


def known(conn: Connection, conversation_id: str) -> list[tuple[str, int]]:
    """The newest kept results: call ids and characters."""
    return [(str(row[0]), int(row[1])) for row in conn.all(KNOWN, {"conversation_id": conversation_id})]


def forget(conn: Connection, conversation_id: str, item: StoredItem) -> None:
    """Removes what is kept for an item that is removed."""
    if KEPT in item.body:
        conn.run(DROP, {"conversation_id": conversation_id, "call_id": str(item.body.get("frontdesk:call_id"))})


def copy(conn: Connection, original: str, fork: str) -> None:
    """Gives a fork what is kept for the original."""
    conn.run(COPY, {"from": original, "to": fork})
