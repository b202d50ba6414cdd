"""The one file that turns a database URL into an engine."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from .engine import Engine
from .errors import UnknownEngine
from .sqlite import SQLite

# Below this version a second writing process can corrupt the WAL (https://sqlite.org/wal.html, "WAL-reset bug").
SAFE_FOR_PROCESSES: Final = (3, 51, 3)


def engine_of(url: str, *, durable: bool = True, exclusive: bool | None = None, patience: float = 5.0) -> Engine:
    """The engine for ``url``: ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``postgresql://…``.

    ``durable=False`` (tests, throw-away desks) lets SQLite skip waiting for the disk. ``exclusive`` says whether a
    second process is kept away from a SQLite file; by default it is where the SQLite version is not safe for two.
    ``patience`` is how many seconds to wait for a lock of another program. Raises UnknownEngine.
    """
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        if path and path != ":memory:":
            alone = sqlite3.sqlite_version_info < SAFE_FOR_PROCESSES if exclusive is None else exclusive
            return SQLite(Path(path), durable=durable, exclusive=alone, patience=patience)
    if url.startswith(("postgresql://", "postgresql+psycopg://", "postgres://")):
        from .postgresql import PostgreSQL

        return PostgreSQL(url)
    raise UnknownEngine(url)
