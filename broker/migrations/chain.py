"""The chain of migrations, and how it is run: inside the writer's first transaction, so that a database has the old
schema or the new one, whatever is killed, and of processes that start at once one migrates while the others wait.

To change the schema: change the tables, raise `SCHEMA_VERSION`, add ``v<N>.py`` with ``upgrade(op)``, and list it here.
A migration says everything by itself, in Alembic's operations; it imports no table, because those are of the newest
version, and it may find that a table of a higher storey was never made. What a new column holds in old rows is its
``server_default``. A migration that was released is never changed. Alembic is imported when there is something to
migrate, because it takes longer than everything else at start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import sqlalchemy as sa

from ..connection import Connection
from . import v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13

if TYPE_CHECKING:
    from alembic.operations import Operations

log = logging.getLogger("frontdesk.migrations")

Migration: TypeAlias = Callable[["Operations"], None]

MIGRATIONS: Final[Mapping[int, Migration]] = {  # by the version that they lead to
    2: v2.upgrade,
    3: v3.upgrade,
    4: v4.upgrade,
    5: v5.upgrade,
    6: v6.upgrade,
    7: v7.upgrade,
    8: v8.upgrade,
    9: v9.upgrade,
    10: v10.upgrade,
    11: v11.upgrade,
    12: v12.upgrade,
    13: v13.upgrade,
}

URLS: Final = {"sqlite": "sqlite://", "postgresql": "postgresql+psycopg://"}


def migrate(conn: Connection, found: int, wanted: int, chain: Mapping[int, Migration] = MIGRATIONS) -> None:
    """Brings the tables from version ``found`` to ``wanted``, in this transaction; the caller notes the version."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    with _borrowed(conn).connect() as connection:
        op = Operations(MigrationContext.configure(connection))
        for version in range(found + 1, wanted + 1):
            log.info("the database is brought to schema %d", version)
            chain[version](op)


def _borrowed(conn: Connection) -> sa.Engine:
    """SQLAlchemy on the writer's connection. Beginning and ending the transaction stays the writer's business."""
    engine = sa.create_engine(
        URLS[conn.dialect], creator=lambda: conn.raw, poolclass=sa.StaticPool, pool_reset_on_return=None
    )
    dialect = cast(Any, engine.dialect)
    dialect.do_begin = dialect.do_commit = dialect.do_rollback = _nothing
    return engine


def _nothing(raw: object) -> None:
    """The transaction goes on."""
