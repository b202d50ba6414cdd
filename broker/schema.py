"""Creates the tables, brings those of an older version up to date, and refuses a database that a newer version wrote.
Runs inside the writer's first transaction."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from ..tasks.table import Base
from .clock import boot_id, since_boot, wall
from .connection import Connection
from .engine import Engine
from .errors import DatabaseNewer
from .migrations.chain import migrate
from .sqlite import SQLite
from .statements import Statement, dialect_of, p, table
from .tables import SCHEMA_VERSION, Meta

_meta = table(Meta)
READ: Statement = Statement(sa.select(_meta.c.value).where(_meta.c.key == p("key")))
DROP: Statement = Statement(sa.delete(_meta).where(_meta.c.key == p("key")))
PUT: Statement = Statement(_meta.insert().values(key=p("key"), value=p("value")))


def put(conn: Connection, key: str, value: str) -> None:
    """Stores a fact about the database."""
    conn.run(DROP, {"key": key})
    conn.run(PUT, {"key": key, "value": value})


def read(conn: Connection, key: str) -> str | None:
    """A fact about the database, or None."""
    row = conn.one(READ, {"key": key})
    return None if row is None else str(row[0])


def prepare(conn: Connection, engine: Engine) -> None:
    """Makes the database ready: version, tables, clock. A new one has the newest version at once. Raises
    DatabaseNewer."""
    if conn.dialect == "postgresql":
        conn.script("SELECT pg_advisory_xact_lock(70279401)")  # two processes that start at once
    _create(conn, _meta)
    found = read(conn, "schema")
    version = SCHEMA_VERSION if found is None else int(found)
    if version > SCHEMA_VERSION:
        raise DatabaseNewer(engine.name, version, SCHEMA_VERSION)
    if version < SCHEMA_VERSION:
        migrate(conn, version, SCHEMA_VERSION)
    if found != str(SCHEMA_VERSION):
        put(conn, "schema", str(SCHEMA_VERSION))
    # Of one that is up to date only what is not there is made (tables of a storey that nobody had loaded before): even
    # an index that exists makes PostgreSQL lock its table against everyone who writes.
    present = _tables(conn) if found == str(SCHEMA_VERSION) else frozenset[str]()
    for of in Base.metadata.sorted_tables:
        if of.name not in present:
            _create(conn, of)
    if isinstance(engine, SQLite):
        _set_clock(conn, engine)


def _tables(conn: Connection) -> frozenset[str]:
    """The names of the tables that are there."""
    if conn.dialect == "sqlite":
        found = conn.script("SELECT name FROM sqlite_master WHERE type = 'table'")
    else:
        found = conn.script("SELECT tablename FROM pg_tables WHERE schemaname = ANY (current_schemas(false))")
    return frozenset(str(name) for (name,) in found)


def _create(conn: Connection, of: sa.Table) -> None:
    dialect = dialect_of(conn.dialect)
    conn.script(str(CreateTable(of, if_not_exists=True).compile(dialect=dialect)))
    for index in sorted(of.indexes, key=lambda index: str(index.name)):
        if "where" in index.info:
            index.dialect_options[conn.dialect]["where"] = sa.text(index.info["where"])
        conn.script(str(CreateIndex(index, if_not_exists=True).compile(dialect=dialect)))


def _set_clock(conn: Connection, engine: SQLite) -> None:
    """The database's clock goes on where it was: in the same boot exactly, after a reboot by the wall time that has
    passed."""
    here, boot, now = boot_id(), since_boot(), wall()
    stored = read(conn, "clock")
    offset = 0.0
    if stored is not None:
        old_boot, old_offset, old_clock, old_wall = stored.split("|")
        offset = float(old_offset)
        if old_boot != here:
            offset = float(old_clock) + max(0.0, now - float(old_wall)) - boot
    put(conn, "clock", f"{here}|{offset!r}|{boot + offset!r}|{now!r}")
    engine.set_clock(offset)


def note_clock(conn: Connection) -> None:
    """Remembers how far the clock is, for the next boot. Called now and then by a worker."""
    stored = read(conn, "clock")
    if stored is not None:
        boot, offset, _, _ = stored.split("|")
        put(conn, "clock", f"{boot}|{offset}|{conn.now()!r}|{conn.wall()!r}")
