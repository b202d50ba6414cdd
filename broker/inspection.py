"""Looking at a database from beside: what wrote it, how large it is, whether it is whole, who has it open. It is only
read, also while a server runs, and it need not be one that this version could open."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from . import counting, schema
from .connection import Connection
from .engine import Engine
from .errors import DatabaseForeign, DatabaseNewer, DatabaseOlder
from .sqlite import SQLite
from .tables import SCHEMA_VERSION

PROBLEMS: Final = 20  # of a broken file that are named

SIZE: Final = "SELECT pg_database_size(current_database())"
OTHERS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'frontdesk' "
    "AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found. ``problems``: what is broken in the file; None: this engine is not asked, it has its own tool."""

    name: str
    engine: str
    schema: int
    newest_schema: int = SCHEMA_VERSION
    size: int  # bytes, with what is not yet written back
    problems: tuple[str, ...] | None
    live: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    opened_by: str  # empty: nobody

    @property
    def is_well(self) -> bool:
        """Whether this version can work with it; an older schema is migrated when it is opened."""
        return not self.problems and self.schema <= self.newest_schema


def inspect(engine: Engine) -> Report:
    """Looks at everything; a large file takes a while. Raises a DatabaseError, DatabaseForeign among them."""
    with beside(engine) as conn:
        return _report(engine, conn)


def schema_of(engine: Engine) -> int:
    """The version of a database's schema. Raises a DatabaseError, DatabaseForeign among them."""
    with beside(engine) as conn:
        return _schema(engine, conn)


@contextmanager
def beside(engine: Engine) -> Generator[Connection]:
    """A connection that only reads, also while a server has the database open. Raises a DatabaseError."""
    raw = engine.open_beside() if isinstance(engine, SQLite) else engine.open_reader()
    with closing(raw):
        try:
            yield Connection(engine, engine.cursor(raw))
        except Exception as error:
            ours = engine.translate(error)
            if ours is error:
                raise
            raise ours from error


def check_schema(engine: Engine, conn: Connection) -> None:
    """Whether this version's statements fit the database. Raises DatabaseForeign, DatabaseNewer, DatabaseOlder."""
    found = _schema(engine, conn)
    if found > SCHEMA_VERSION:
        raise DatabaseNewer(engine.name, found, SCHEMA_VERSION)
    if found < SCHEMA_VERSION:
        raise DatabaseOlder(engine.name, found, SCHEMA_VERSION)


def broken(raw: Any) -> tuple[str, ...]:
    """What is broken in a SQLite file."""
    found = [str(row[0]) for row in raw.execute(f"PRAGMA quick_check({PROBLEMS})").fetchall()]
    return () if found == ["ok"] else tuple(found)


def _schema(engine: Engine, conn: Connection) -> int:
    tables = "sqlite_master WHERE type = 'table' AND name" if conn.dialect == "sqlite" else "pg_tables WHERE tablename"
    found = schema.read(conn, "schema") if conn.script(f"SELECT 1 FROM {tables} = 'frontdesk_meta'") else None
    if found is None:
        raise DatabaseForeign(engine.name)
    return int(found)


def _report(engine: Engine, conn: Connection) -> Report:
    version = _schema(engine, conn)
    live = counting.live_work(conn) if version <= SCHEMA_VERSION else {}
    if isinstance(engine, SQLite):
        files = (engine.path, engine.path.with_name(f"{engine.path.name}-wal"))
        return Report(
            name=engine.name,
            engine=f"SQLite {conn.script('SELECT sqlite_version()')[0][0]}",
            schema=version,
            size=sum(file.stat().st_size for file in files if file.exists()),
            problems=broken(conn.raw),
            live=live,
            opened_by=engine.holder(),
        )
    others = int(conn.script(OTHERS)[0][0])
    return Report(
        name=engine.name,
        engine=f"PostgreSQL {conn.script('SHOW server_version')[0][0]}",
        schema=version,
        size=int(conn.script(SIZE)[0][0]),
        problems=None,
        live=live,
        opened_by=f"{others} connections" if others else "",
    )
