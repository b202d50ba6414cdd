"""Quotas of tenants: turns at once, queued tasks, tokens a day. They hold for all servers and workers of a database.

A quota is read again after some seconds; so long a new one may take to be obeyed. A tenant without any costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ..tasks.table import Task
from . import inbox, rows, tenants, usage
from .connection import Connection
from .errors import QuotaExceeded
from .failpoints import operation
from .inputs import NewCreate, NewSteer
from .spending import HOUR, window_of
from .statements import Statement, insert_row, table, word
from .tables import Quota as QuotaRow

EVERYBODY: Final = "*"  # who has no quota of their own
SECONDS: Final = 5.0  # for which a quota is remembered
SOON: Final = 5.0  # seconds until a turn or a task may have ended
LIMIT: Final = 500

quota, task = table(QuotaRow), table(Task)

READ: Statement = Statement(
    sa.select(quota.c.tenant, quota.c.turns, quota.c.tasks, quota.c.tokens).where(
        tenants.of_or_everybody(quota, EVERYBODY)
    )
)
ALL: Statement = Statement(sa.select(quota).order_by(quota.c.tenant).limit(LIMIT))
INSERT: Statement = Statement(insert_row(QuotaRow))
DELETE: Statement = Statement(sa.delete(quota).where(tenants.of(quota)))
TURNS: Statement = Statement(
    sa.select(sa.func.count()).where(
        rows.IS_LIVE, tenants.of_some(task), task.c.kind == word("turn"), task.c.status != word("waiting")
    )
)
QUEUED: Statement = Statement(
    sa.select(sa.func.count()).where(
        rows.IS_LIVE, tenants.of_some(task), task.c.kind != word("turn"), task.c.status == word("queued")
    )
)


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a tenant may have; None: no bound."""

    turns: int | None = None  # queued or running at once
    tasks: int | None = None  # queued
    tokens: int | None = None  # in a day (UTC)


NONE: Final = Quota()


def of(conn: Connection, tenant: str) -> Quota:
    """The tenant's quota, or everybody's; as it was some seconds ago."""
    key = ("quota", tenant)
    known = conn.estimates.get(key)
    if known is not None and 0 <= conn.wall() - known[1] < SECONDS:
        found: Quota = known[0]
        return found
    by_tenant = {str(row[0]): Quota(*row[1:]) for row in conn.all(READ, {"tenant": tenant})}
    found = by_tenant.get(tenant, by_tenant.get(EVERYBODY, NONE))
    conn.estimates[key] = found, conn.wall()
    return found


def check_input(conn: Connection, new: NewCreate | NewSteer) -> None:
    """Whether a tenant may have a further turn; a repeat of one that it had may always be asked for. Raises
    QuotaExceeded."""
    found = of(conn, new.tenant)
    if (found.turns is None and found.tokens is None) or inbox.repeat(conn, new) is not None:
        return
    check_turn(conn, new.tenant)


def check_turn(conn: Connection, tenant: str, *, beside: int = 0) -> None:
    """Whether a tenant may have its model asked once more. ``beside``: what runs for it that is no turn. Reads only.
    Raises QuotaExceeded."""
    found = of(conn, tenant)
    if found.tokens is not None:
        since, until = window_of("day", conn.wall())
        if usage.of_tenant(conn, tenant, since, until).tokens >= found.tokens:
            raise QuotaExceeded(found.tokens, "tokens a day", until * HOUR - conn.wall())
    if found.turns is not None and _count(conn, TURNS, tenant) + beside >= found.turns:
        raise QuotaExceeded(found.turns, "turns at once", SOON)


def check_task(conn: Connection, tenant: str) -> None:
    """Whether a tenant may have a further task in line. Raises QuotaExceeded."""
    found = of(conn, tenant)
    if found.tasks is not None and _count(conn, QUEUED, tenant) >= found.tasks:
        raise QuotaExceeded(found.tasks, "queued tasks", SOON)


def _count(conn: Connection, statement: Statement, tenant: str) -> int:
    row = conn.one(statement, {"tenant": tenant})
    return 0 if row is None else int(row[0])


@operation
def set_quota(conn: Connection, tenant: str, wanted: Quota) -> dict[str, Any]:
    """Gives a tenant this quota in place of the one that it had; without any bound, it has everybody's again."""
    conn.run(DELETE, {"tenant": tenant})
    values = {"tenant": tenant, "turns": wanted.turns, "tasks": wanted.tasks, "tokens": wanted.tokens}
    if wanted != NONE:
        conn.run(INSERT, values)
    for key in [one for one in conn.estimates if one[0] == "quota"]:
        del conn.estimates[key]
    return {"object": "frontdesk.quota", **values}


def listed(conn: Connection) -> list[dict[str, Any]]:
    """All quotas as they are shown, by tenant."""
    names = [column.name for column in quota.columns]
    return [{"object": "frontdesk.quota", **dict(zip(names, row, strict=True))} for row in conn.all(ALL)]
