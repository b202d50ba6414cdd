"""The one file that turns a database URL into an engine: how to connect, how to begin, what an error means.

What is stored is the same on both engines; only what differs between them is here, and nothing here knows a table.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from .clock import since_boot
from .errors import (
    DatabaseCorrupt,
    DatabaseError,
    DatabaseFull,
    DatabaseInUse,
    DatabaseLocked,
    DatabaseReadOnly,
    DatabaseUnreachable,
    UnknownEngine,
)
from .statements import DialectName

# Below this version a second writing process can corrupt the WAL (https://sqlite.org/wal.html, "WAL-reset bug").
SAFE_FOR_PROCESSES: Final = (3, 51, 3)


class Cursor(Protocol):
    """What both drivers' cursors have in common."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Any: ...
    def execute(self, query: Any, params: Any = ..., /) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Engine(Protocol):
    """One kind of database at one place."""

    dialect: DialectName
    name: str  # safe to show
    group: int  # how many functions one transaction may carry

    def open_writer(self) -> Any: ...
    def open_reader(self) -> Any: ...
    def cursor(self, raw: Any) -> Cursor: ...
    def begin(self, raw: Any, *, write: bool) -> None: ...
    def in_transaction(self, raw: Any) -> bool: ...
    def now(self, cursor: Cursor) -> float: ...
    def translate(self, error: Exception) -> Exception: ...
    def may_be_repeated(self, error: Exception) -> bool: ...
    def release(self) -> None: ...


def engine_of(url: str, *, durable: bool = True, exclusive: bool | None = None) -> Engine:
    """The engine for ``url``: ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``postgresql://…``.

    ``durable=False`` (tests, throw-away desks) lets SQLite skip waiting for the disk. ``exclusive`` says whether a second process is kept
    away from a SQLite file; by default it is where the SQLite version is not safe for two.
    Raises UnknownEngine.
    """
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        if path and path != ":memory:":
            alone = sqlite3.sqlite_version_info < SAFE_FOR_PROCESSES if exclusive is None else exclusive
            return SQLite(Path(path), durable=durable, exclusive=alone)
    if url.startswith(("postgresql://", "postgresql+psycopg://", "postgres://")):
        from .postgresql import PostgreSQL

        return PostgreSQL(url)
    raise UnknownEngine(url)


def hide_password(url: str) -> str:
    """The URL as it may be shown and logged."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":…@", 1).replace(f":{unquote(parts.password)}@", ":…@", 1)


class SQLite:
    """A SQLite file in WAL mode. With ``exclusive`` an advisory lock on ``<file>-lock`` keeps other processes away."""

    dialect: DialectName = "sqlite"
    group = 500

    def __init__(self, path: Path, *, durable: bool, exclusive: bool) -> None:
        self.path, self.name = path, str(path)
        self._synchronous = "FULL" if durable else "OFF"
        self._exclusive = exclusive
        self._lock: int | None = None
        self._offset = 0.0

    def open_writer(self) -> sqlite3.Connection:
        """The connection that writes. Takes the file's lock first. Raises a DatabaseError that says what is wrong."""
        if not self.path.parent.is_dir():
            raise DatabaseUnreachable(self.name, f"the folder {self.path.parent} does not exist; create it first")
        if self._exclusive:
            self._take_lock()
        try:
            raw = self._connect()
            raw.execute("PRAGMA journal_mode=WAL").fetchone()
            raw.execute(f"PRAGMA synchronous={self._synchronous}")
            raw.execute("PRAGMA temp_store=MEMORY")
            raw.execute("PRAGMA wal_autocheckpoint=2000")
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("PRAGMA user_version").fetchone()
            raw.execute("COMMIT")
        except sqlite3.Error as error:
            self.release()
            raise self.translate(error) from error
        return raw

    def open_reader(self) -> sqlite3.Connection:
        """A connection that only reads."""
        try:
            raw = self._connect()
            raw.execute("PRAGMA query_only=1")
        except sqlite3.Error as error:
            raise self.translate(error) from error
        return raw

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path, timeout=5.0, isolation_level=None, check_same_thread=False, cached_statements=512
        )

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        path = f"{self.path}-lock"
        try:
            held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DatabaseReadOnly(self.name) from error
        # A process that was killed a moment ago may still be ending: its lock goes with it.
        for _ in range(20):
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)  # bounded, at start only: another process holds the file, or is just going
        else:
            holder = os.pread(held, 200, 0).decode(errors="replace").strip() or "unknown"
            os.close(held)
            raise DatabaseInUse(self.name, holder)
        os.ftruncate(held, 0)
        os.pwrite(held, f"process {os.getpid()}".encode(), 0)
        self._lock = held

    def release(self) -> None:
        """Gives the file's lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def cursor(self, raw: sqlite3.Connection) -> Cursor:
        return raw.cursor()

    def begin(self, raw: sqlite3.Connection, *, write: bool) -> None:
        raw.execute("BEGIN IMMEDIATE" if write else "BEGIN")

    def in_transaction(self, raw: sqlite3.Connection) -> bool:
        return raw.in_transaction

    def set_clock(self, offset: float) -> None:
        """The database's clock is the time since boot plus this."""
        self._offset = offset

    def now(self, cursor: Cursor) -> float:
        return since_boot() + self._offset

    def may_be_repeated(self, error: Exception) -> bool:
        """A unique key that another transaction took first: the function looks again and finds the row."""
        return isinstance(error, sqlite3.IntegrityError)

    def translate(self, error: Exception) -> Exception:
        """The driver's error in our words; other errors as they are."""
        if not isinstance(error, sqlite3.Error):
            return error
        code = getattr(error, "sqlite_errorcode", None) or 0
        kinds: Sequence[tuple[int, DatabaseError]] = (
            (sqlite3.SQLITE_BUSY, DatabaseLocked(self.name)),
            (sqlite3.SQLITE_READONLY, DatabaseReadOnly(self.name)),
            (sqlite3.SQLITE_FULL, DatabaseFull(self.name)),
            (sqlite3.SQLITE_CORRUPT, DatabaseCorrupt(self.name, str(error))),
            (sqlite3.SQLITE_NOTADB, DatabaseCorrupt(self.name, str(error))),
            (sqlite3.SQLITE_CANTOPEN, DatabaseUnreachable(self.name, f"{error}; check the path and its rights")),
            (sqlite3.SQLITE_PERM, DatabaseReadOnly(self.name)),
        )
        for kind, ours in kinds:
            if code & 0xFF == kind:
                return ours
        return error
