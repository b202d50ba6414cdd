"""The application's own transaction, lent to storage functions: what they write exists if and only if it commits.

The connection stays the application's: it is never committed, rolled back or closed here. Nobody is woken by such a
commit; workers see what it holds at their next look, half a second later at most.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from .clock import boot_id
from .connection import Connection
from .engine import Engine
from .errors import DatabaseInUse, DatabaseUnreachable, ForeignConnection
from .postgresql import PostgreSQL
from .sqlite import SQLite
from .statements import Statement, p, table
from .tables import Meta
from .urls import SAFE_FOR_PROCESSES

_meta = table(Meta)
CLOCK: Statement = Statement(sa.select(_meta.c.value).where(_meta.c.key == p("key")))


def borrowed(lent: Any) -> Connection:
    """A SQLAlchemy ``Connection`` or ``Session`` (SQLModel's too) as storage functions take it.

    Raises ForeignConnection for anything else, and for drivers other than sqlite3 and psycopg; a DatabaseError when the
    database is none of Frontdesk's, or when another process has its SQLite file for itself.
    """
    connection = lent.connection() if hasattr(lent, "connection") and hasattr(lent, "flush") else lent
    if not isinstance(connection, sa.Connection):
        raise ForeignConnection(f"a SQLAlchemy Connection or Session is needed, not {type(lent).__name__}")
    if hasattr(lent, "flush"):
        lent.flush()  # what the session has pending comes before
    raw: Any = connection.connection.dbapi_connection
    driver = f"{connection.dialect.name}+{connection.dialect.driver}"
    engine: Engine
    match driver:
        case "sqlite+pysqlite":
            engine = _sqlite(connection, raw)
        case "postgresql+psycopg":
            engine = PostgreSQL(connection.engine.url.render_as_string(hide_password=True))
        case _:
            raise ForeignConnection(
                f"{driver} is not supported; connect with sqlite:///… or postgresql+psycopg://…, synchronously"
            )
    return Connection(engine, engine.cursor(raw))


def _sqlite(connection: sa.Connection, raw: Any) -> SQLite:
    path = Path(connection.engine.url.database or "")
    engine = SQLite(path, durable=True, exclusive=False)
    holder = engine.holder()
    if holder not in ("", f"process {os.getpid()}") and sqlite3.sqlite_version_info < SAFE_FOR_PROCESSES:
        raise DatabaseInUse(engine.name, holder)
    cursor = engine.cursor(raw)
    try:
        stored = Connection(engine, cursor).one(CLOCK, {"key": "clock"})
    except Exception as error:
        raise DatabaseUnreachable(engine.name, f"it holds none of Frontdesk's tables ({error}); start a server, or "
                                  "`frontdesk db upgrade`, on it first") from error  # fmt: skip
    if stored is None or not str(stored[0]).startswith(f"{boot_id()}|"):
        raise DatabaseUnreachable(engine.name, "no server has opened it since this machine was started; start one")
    engine.set_clock(float(str(stored[0]).split("|")[1]))
    if not raw.in_transaction:
        cursor.execute("BEGIN IMMEDIATE")  # else the driver begins at the first change, after what was read before it
    return engine
