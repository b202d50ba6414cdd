"""How long the event log is kept: by age, and by how much of it a conversation has.

What a conversation has said and done (its items, its tasks) stays. Whole rows go, the oldest first, a few hundred in a
commit. The row that the log then begins with is never one of deltas: such rows are also removed when their item is
done, and that is no loss. So the cursor of the log's first row says exactly how far it was removed, and no other record
of it is needed: after a crash the rest is removed the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from .connection import Connection, Row
from .failpoints import operation
from .statements import Statement, p, table
from .tables import Conversation, LogRow

LOOK: Final = 200  # conversations that are looked at together
BATCH: Final = 500  # rows of one commit
DAY: Final = 86_400.0

conversation, row = table(Conversation), table(LogRow)
_oldest: Any = row.alias("oldest")


def _of_oldest(column: sa.ColumnElement[Any]) -> sa.ScalarSelect[Any]:
    return (
        sa.select(column)
        .where(_oldest.c.conversation_id == conversation.c.id)
        .order_by(_oldest.c.first)
        .limit(1)
        .scalar_subquery()
    )


NEXT: Statement = Statement(
    sa.select(
        conversation.c.id, conversation.c.last_cursor, _of_oldest(_oldest.c.first), _of_oldest(_oldest.c.created_at)
    )
    .where(conversation.c.id > p("after"))
    .order_by(conversation.c.id)
    .limit(p("limit"))
)
OLDEST_ROWS: Statement = Statement(
    sa.select(row.c.first, row.c.count, row.c.created_at, row.c.deltas_of)
    .where(row.c.conversation_id == p("id"))
    .order_by(row.c.first)
    .limit(p("limit"))
)
LAST: Statement = Statement(sa.select(conversation.c.last_cursor).where(conversation.c.id == p("id")))
DELETE: Statement = Statement(sa.delete(row).where(row.c.conversation_id == p("id"), row.c.first < p("first")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What is kept of the event log. Cursors beyond it are answered with ``frontdesk:gap``."""

    seconds: float = 30 * DAY  # 0: for ever
    events: int = 100_000  # of each conversation, about; 0: all

    def is_over(self, created_at: float, last_of_row: int, *, now: float, last_cursor: int) -> bool:
        """Whether a row of the log is to go: written then, its last event has this cursor."""
        too_old = self.seconds > 0 and created_at <= now - self.seconds
        return too_old or (self.events > 0 and last_of_row <= last_cursor - self.events)


def overdue(conn: Connection, keep: Keep, after: str, limit: int = LOOK) -> tuple[list[str], str]:
    """Of the next conversations after this id, those whose log is to be shortened; the id to go on after, empty when
    there are no more."""
    found = conn.all(NEXT, {"after": after, "limit": limit})
    now = conn.wall()
    due = [
        str(one)
        for one, last_cursor, first, created_at in found
        if first is not None and keep.is_over(created_at, first, now=now, last_cursor=last_cursor)
    ]
    return due, str(found[-1][0]) if len(found) == limit else ""


@operation
def shorten_log(conn: Connection, conversation_id: str, keep: Keep, limit: int = BATCH) -> int:
    """Removes the oldest rows of a conversation's log that are not to be kept any more, at most ``limit``; how many
    went. Nothing is locked: what is removed is written by nobody any more."""
    last = conn.one(LAST, {"id": conversation_id})
    if last is None:
        return 0
    rows = conn.all(OLDEST_ROWS, {"id": conversation_id, "limit": limit})
    first = beginning(rows, keep, now=conn.wall(), last_cursor=int(last[0]))
    return 0 if first is None else conn.changed(DELETE, {"id": conversation_id, "first": first})


def beginning(rows: Sequence[Row], keep: Keep, *, now: float, last_cursor: int) -> int | None:
    """The first cursor of the row that the log is to begin with; None when it is to stay as it is. Pure.

    ``rows``: the oldest ones, as ``first``, ``count``, ``created_at``, ``deltas_of``.
    """
    found: int | None = None
    for number, (first, count, created_at, deltas_of) in enumerate(rows):
        if number and deltas_of is None:
            found = int(first)
        if not keep.is_over(created_at, first + count - 1, now=now, last_cursor=last_cursor):
            break
    return found
