"""What conversations and tenants have used, counted in the database. Storage functions only.

It is counted in the commit that says what it was used for, so a crash counts nothing twice and forgets nothing. A
tenant has a row for each hour, and on PostgreSQL several, so that its turns do not wait for each other's commits. Count
last in a commit: a row that many share is then locked for no longer than the commit itself.
"""

from __future__ import annotations

from typing import Any, Final
from zlib import crc32

import sqlalchemy as sa

from .bulk import Bulk, Type
from .connection import Connection, Row
from .failpoints import operation
from .spending import AMOUNTS, HOUR, Spending
from .statements import Statement, p, table
from .tables import UsageRow

used = table(UsageRow)

SHARDS: Final = 8
KEPT_DAYS: Final = 400  # more than anybody is shown, and than any window of a budget or a quota
LOOK: Final = 50  # tenants that are looked at together
COMMIT_HOURS: Final = 720  # of one tenant, in one commit
FIRST_TENANT: Final = "tenant"  # before all of them in any order of letters
_columns: Final[Any] = used.c

_ADDED: Final = ", ".join(f"{one} = used.{one} + excluded.{one}" for one in AMOUNTS)
_TYPES: Final[dict[str, Type]] = {
    "owner": "text", "hour": "bigint", "shard": "bigint",
    **{one: "double precision" if one in ("seconds", "cost") else "bigint" for one in AMOUNTS},
}  # fmt: skip
ADD: Final = Bulk(
    f"""INSERT INTO frontdesk_usage AS used ({", ".join(_TYPES)}) SELECT {", ".join(_TYPES)} FROM {{given}} WHERE true
    ON CONFLICT (owner, hour, shard) DO UPDATE SET {_ADDED}""",
    _TYPES,
)
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
NEXT: Statement = Statement(  # a tenant, and its oldest hour: one look into the index, however much there is
    sa.select(used.c.owner, used.c.hour)
    .where(used.c.owner > p("after"), used.c.hour > 0)
    .order_by(used.c.owner, used.c.hour)
    .limit(1)
)
OLDEST: Statement = Statement(sa.select(sa.func.min(used.c.hour)).where(used.c.owner == p("owner"), used.c.hour > 0))
PRUNE: Statement = Statement(
    sa.delete(used).where(used.c.owner == p("owner"), used.c.hour > 0, used.c.hour <= p("until"))
)


def count(conn: Connection, tenant: str, conversation_id: str, spent: Spending, *, key: str = "") -> None:
    """Counts it for the conversation and, in this hour, for the tenant. Call it last in a commit. ``key`` spreads what
    is counted at once; give the id of what counts.
    """
    of_all = {"owner": f"conversation:{conversation_id}", "hour": 0, "shard": 0, **spent.amounts()}
    conn.bulk(ADD, [of_all, _of_tenant(conn, tenant, spent, key)])


@operation
def count_beside(conn: Connection, tenant: str, spent: Spending, key: str) -> None:
    """Counts for the tenant what belongs to no conversation, in a commit of its own; ``key`` as in `count`."""
    conn.bulk(ADD, [_of_tenant(conn, tenant, spent, key)])


def _of_tenant(conn: Connection, tenant: str, spent: Spending, key: str) -> dict[str, Any]:
    shard = 0 if conn.dialect == "sqlite" else crc32(key.encode()) % SHARDS
    return {"owner": f"tenant:{tenant}", "hour": int(conn.wall() // HOUR), "shard": shard, **spent.amounts()}


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


def outdated(conn: Connection, after: str = FIRST_TENANT) -> tuple[list[str], str]:
    """Those of the next tenants, after this one, of whom more is kept than `KEPT_DAYS`; where to go on, which is the
    beginning when all have been looked at. Reads only.
    """
    found: list[str] = []
    for _ in range(LOOK):
        row = conn.one(NEXT, {"after": after})
        if row is None:
            return found, FIRST_TENANT
        after = str(row[0])
        if int(row[1]) < _kept_since(conn):
            found.append(after)
    return found, after


@operation
def prune(conn: Connection, owner: str) -> bool:
    """Removes some of a tenant's hours that are not kept any more; whether it is to be called again."""
    row = conn.one(OLDEST, {"owner": owner})
    if row is None or row[0] is None or int(row[0]) >= _kept_since(conn):
        return False
    conn.run(PRUNE, {"owner": owner, "until": min(int(row[0]) + COMMIT_HOURS, _kept_since(conn) - 1)})
    return True


def _kept_since(conn: Connection) -> int:
    return int(conn.wall() // HOUR) - 24 * KEPT_DAYS


def _sum(row: Row | None) -> Spending:
    values = row or ()
    return Spending(**{name: value or 0 for name, value in zip(AMOUNTS, values, strict=False)})
