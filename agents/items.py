"""The items of a conversation's history as rows: appended, changed, read a page at a time. Storage functions only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from pydantic_core import from_json

from ..broker.connection import Connection, Row
from ..broker.statements import Statement, insert_row, p, table
from .events import encoded
from .history import StoredItem
from .table import Item

PAGE: Final = 500  # items read at once

item = table(Item)

INSERT: Statement = Statement(insert_row(Item))
UPDATE: Statement = Statement(
    sa.update(item)
    .where(item.c.conversation_id == p("conversation_id"), item.c.id == p("id"))
    .values(status=p("status"), body=p("body"))
)
_FOLLOWING: Final = (
    sa.select(item.c.position, item.c.id, item.c.response_id, item.c.step, item.c.status, item.c.agent, item.c.body)
    .where(item.c.conversation_id == p("conversation_id"), item.c.position > p("after"))
    .order_by(item.c.position)
    .limit(PAGE)
)
AFTER: Statement = Statement(_FOLLOWING)
BETWEEN: Statement = Statement(_FOLLOWING.where(item.c.position <= p("until")))


@dataclass(frozen=True, slots=True)
class Page:
    """Items of a history, oldest first; ``size``: their characters as JSON."""

    items: list[StoredItem]
    last: int  # the position of the last one; 0 when there is none
    size: int

    @property
    def more(self) -> bool:
        """Whether there may be another page."""
        return len(self.items) == PAGE


NOTHING: Final = Page([], 0, 0)


def after(conn: Connection, conversation_id: str, position: int) -> Page:
    """A page of the history after a position."""
    return _page(conn.all(AFTER, {"conversation_id": conversation_id, "after": position}))


def between(conn: Connection, conversation_id: str, position: int, until: int) -> Page:
    """A page of the history after a position and up to another one."""
    return _page(conn.all(BETWEEN, {"conversation_id": conversation_id, "after": position, "until": until}))


def _page(found: Sequence[Row]) -> Page:
    found_items = [StoredItem(row[1], row[2], row[3], row[4], row[5], from_json(row[6])) for row in found]
    return Page(found_items, int(found[-1][0]) if found else 0, sum(len(row[6]) for row in found))


def insert(conn: Connection, conversation_id: str, position: int, items: Sequence[StoredItem]) -> None:
    """Appends items to the history, in their order, after a position that the caller has counted."""
    for one in items:
        position += 1
        conn.run(
            INSERT,
            {
                "conversation_id": conversation_id, "position": position, "id": one.id, "step": one.step,
                "response_id": one.response_id, "status": one.status, "agent": one.agent, "body": encoded(one.body),
            },
        )  # fmt: skip


def update(conn: Connection, conversation_id: str, changed: Sequence[StoredItem]) -> None:
    """Writes items of a running response again. Those of an ended one never change: see ``past``."""
    for one in changed:
        values = {"status": one.status, "body": encoded(one.body)}
        conn.run(UPDATE, {"conversation_id": conversation_id, "id": one.id, **values})
