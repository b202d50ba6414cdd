"""What conversations and tenants have used, counted in the database. Storage functions only.

It is counted in the commit that says what it was used for, so a crash counts nothing twice and forgets nothing. A
tenant has a row for each hour, and on PostgreSQL several, so that its turns do not wait for each other's commits. Count
last in a commit: a row that many share is then locked for no longer than the commit itself.
"""

from __future__ import annotations

from typing import Any, Final
from zlib import crc32

import sqlalchemy as sa

from .connection import Connection, Row
from .failpoints import operation
from .spending import AMOUNTS, HOUR, Spending
from .statements import Statement, insert_row, p, table
from .tables import UsageRow

used = table(UsageRow)

SHARDS: Final = 8
_columns: Final[Any] = used.c

COUNT: Statement = Statement(
    sa.update(used)
    .where(used.c.owner == p("owner"), used.c.hour == p("hour"), used.c.shard == p("shard"))
    .values({name: _columns[name] + p(name) for name in AMOUNTS})
)
FIRST: Statement = Statement(insert_row(UsageRow))
SUM: Statement = Statement(
    sa.select(*(sa.func.sum(_columns[name]) for name in AMOUNTS)).where(
        used.c.owner == p("owner"), used.c.hour >= p("since"), used.c.hour < p("until")
    )
)
BY_HOUR: Statement = Statement(
    sa.select(used.c.hour, *(sa.func.sum(_columns[name]) for name in AMOUNTS))
    .where(used.c.owner == p("owner"), used.c.hour >= p("since"), used.c.hour < p("until"))
    .group_by(used.c.hour)
    .order_by(used.c.hour)
)
FORGET: Statement = Statement(sa.delete(used).where(used.c.owner == p("owner")))


def count(conn: Connection, tenant: str, conversation_id: str, spent: Spending, *, key: str = "") -> None:
    """Counts it for the conversation and, in this hour, for the tenant. Call it last in a commit. ``key`` spreads what
    is counted at once; give the id of what counts.
    """
    _count(conn, f"conversation:{conversation_id}", 0, 0, spent)
    _count_of_tenant(conn, tenant, spent, key)


@operation
def count_beside(conn: Connection, tenant: str, spent: Spending, key: str) -> None:
    """Counts for the tenant what belongs to no conversation, in a commit of its own; ``key`` as in `count`."""
    _count_of_tenant(conn, tenant, spent, key)


def _count_of_tenant(conn: Connection, tenant: str, spent: Spending, key: str) -> None:
    shard = 0 if conn.dialect == "sqlite" else crc32(key.encode()) % SHARDS
    _count(conn, f"tenant:{tenant}", int(conn.wall() // HOUR), shard, spent)


def _count(conn: Connection, owner: str, hour: int, shard: int, spent: Spending) -> None:
    values = {"owner": owner, "hour": hour, "shard": shard, **spent.amounts()}
    if conn.run(COUNT, values) == 0:
        conn.run(FIRST, values)  # when two do this at once, one of them is run again


def of_conversation(conn: Connection, conversation_id: str) -> Spending:
    """All that a conversation has used. Reads only."""
    return _sum(conn.one(SUM, {"owner": f"conversation:{conversation_id}", "since": 0, "until": 1}))


def of_tenant(conn: Connection, tenant: str, since: int, until: int) -> Spending:
    """What a tenant has used in the hours from ``since`` to before ``until`` (see `spending.window_of`). Reads only."""
    return _sum(conn.one(SUM, {"owner": f"tenant:{tenant}", "since": since, "until": until}))


def by_hour(conn: Connection, tenant: str, since: int, until: int) -> list[tuple[int, Spending]]:
    """The same, hour by hour, where something was used. Reads only."""
    found = conn.all(BY_HOUR, {"owner": f"tenant:{tenant}", "since": since, "until": until})
    return [(int(row[0]), _sum(row[1:])) for row in found]


def forget(conn: Connection, conversation_id: str) -> None:
    """A conversation is deleted. What its tenant has used stays counted."""
    conn.run(FORGET, {"owner": f"conversation:{conversation_id}"})


def _sum(row: Row | None) -> Spending:
    values = row or ()
    return Spending(**{name: value or 0 for name, value in zip(AMOUNTS, values, strict=False)})
