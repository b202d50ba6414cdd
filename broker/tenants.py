"""Whose a row is: the one place where tenants are compared. `tests/test_server_tenants.py` looks for other ones.

A row of another tenant is as one that does not exist: whoever asks for it gets the same answer, word for word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import sqlalchemy as sa

from .statements import p, word

Row = TypeVar("Row", bound=Mapping[str, Any])


def owned(row: Row | None, tenant: str) -> Row | None:
    """The row when it is this tenant's; else None, as for one that does not exist."""
    return row if row is not None and row["tenant"] == tenant else None


def of(table: sa.Table) -> sa.ColumnElement[bool]:
    """That a row of this table is the tenant's of the parameter ``tenant``."""
    return table.c.tenant == p("tenant")


def of_or_everybody(table: sa.Table, everybody: str) -> sa.ColumnElement[bool]:
    """As `of`, or that the row is for all tenants."""
    return sa.or_(of(table), table.c.tenant == word(everybody))


def of_some(table: sa.Table) -> sa.ColumnElement[bool]:
    """As `of`, for rows that another condition has narrowed down already. Joined to an empty text, the tenant does not
    tempt SQLite to an index that holds all that have ended."""
    return table.c.tenant.op("||")(word("")) == p("tenant")
