"""Giving back the space of what was removed, and renewing what the engine knows about its tables. No row is removed."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

from . import inspection
from .engine import Engine
from .sqlite import SQLite

TABLES: Final = (
    "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE 'frontdesk~_%' ESCAPE '~' "
    "ORDER BY tablename"
)


def vacuum(engine: Engine) -> None:
    """Vacuums the database. A SQLite file is written anew, so its engine has to be `exclusive`, and needs as much free
    space again. Raises a DatabaseError, DatabaseInUse among them."""
    inspection.schema_of(engine)
    raw = engine.open_writer() if isinstance(engine, SQLite) else engine.open_reader()
    try:
        with closing(raw):
            _vacuum(engine, raw)
    except Exception as error:
        ours = engine.translate(error)
        if ours is error:
            raise
        raise ours from error
    finally:
        engine.release()


def _vacuum(engine: Engine, raw: Any) -> None:
    if isinstance(engine, SQLite):
        raw.execute("VACUUM")
        raw.execute("PRAGMA optimize")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    else:
        raw.execute("SET default_transaction_read_only = off")
        for (name,) in raw.execute(TABLES).fetchall():
            raw.execute(f'VACUUM (ANALYZE) "{name}"')
