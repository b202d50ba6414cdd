"""SQLite as an engine: a file in WAL mode, with an advisory lock beside it that keeps other processes away."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from .clock import since_boot
from .engine import BEGUN, OTHERS, Begun, Cursor, Neighbours
from .errors import (
    DatabaseCorrupt,
    DatabaseError,
    DatabaseFull,
    DatabaseInUse,
    DatabaseLocked,
    DatabaseReadOnly,
    DatabaseUnreachable,
)
from .statements import DialectName
from .wakeups import Hint, Hub

log = logging.getLogger("frontdesk.sqlite")

LOOK_SECONDS: Final = 0.02  # how often the file is looked at for commits of other processes
LAST_WORDS: Final = 1.0  # how long a process that was killed a moment ago may keep its lock


class SQLite:
    """A SQLite file in WAL mode.

    ``<file>-lock`` is locked for as long as the file is open: alone with ``exclusive``, else together with others that
    are not exclusive either.
    """

    dialect: DialectName = "sqlite"
    group = 500

    def __init__(self, path: Path, *, durable: bool, exclusive: bool, patience: float = 5.0) -> None:
        self.path, self.name = path, str(path)
        self._synchronous = "FULL" if durable else "OFF"
        self._exclusive, self._patience = exclusive, patience
        self._lock: int | None = None
        self._offset = 0.0
        self._version = 0

    @property
    def alone(self) -> bool:
        return self._exclusive

    def open_writer(self) -> sqlite3.Connection:
        self._check_folder()
        if self._lock is None:
            self._lock = self._locked()
        raw: sqlite3.Connection | None = None
        try:
            raw = self._connect()
            mode = self._write_ahead(raw)
            if mode != "wal":
                raise DatabaseUnreachable(
                    self.name, f"its file system cannot keep a write-ahead log ({mode}); put it on a local disk"
                )
            raw.execute(f"PRAGMA synchronous={self._synchronous}")
            raw.execute("PRAGMA temp_store=MEMORY")
            raw.execute("PRAGMA wal_autocheckpoint=2000")
            raw.execute("BEGIN IMMEDIATE")
            self._version = int(raw.execute("PRAGMA data_version").fetchone()[0])
            raw.execute("COMMIT")
        except BaseException as error:
            if raw is not None:
                raw.close()
            self.release()
            ours = self.translate(error)
            if ours is error:
                raise
            raise ours from error
        return raw

    def _check_folder(self) -> None:
        folder = self.path.parent
        try:
            is_folder = stat.S_ISDIR(os.stat(folder).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            is_folder = False
        except OSError as error:  # a folder above it may not be entered
            raise self._of_system(error) from error
        if not is_folder:
            raise DatabaseUnreachable(self.name, f"the folder {folder} does not exist; create it first")

    def open_reader(self) -> sqlite3.Connection:
        try:
            raw = self._connect()
            raw.execute("PRAGMA query_only=1")
        except sqlite3.Error as error:
            raise self.translate(error) from error
        return raw

    def open_beside(self) -> sqlite3.Connection:
        """A connection that cannot write, to a file that may be open in another process, whatever SQLite's version: no
        lock is taken and nothing is created but what SQLite itself needs to read. Raises a DatabaseError."""
        if not self.path.is_file():
            raise DatabaseUnreachable(self.name, "there is no such file; `frontdesk serve` makes one")
        try:
            return sqlite3.connect(
                f"file:{quote(str(self.path))}?mode=ro", uri=True, timeout=self._patience, isolation_level=None
            )
        except sqlite3.Error as error:
            raise self.translate(error) from error

    def holder(self) -> str:
        """Which process has the file open, as it has named itself; empty when none has."""
        try:
            held = os.open(f"{self.path}-lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _named(held)
        finally:
            os.close(held)
        return ""

    def _write_ahead(self, raw: sqlite3.Connection) -> str:
        """Asks for a write-ahead log; the mode that the file has then.

        While it switches, SQLite waits for no lock, whatever the connection's timeout: of processes that make a file
        at once, all but one are told that it is locked.
        """
        until = time.monotonic() + self._patience
        while True:
            try:
                return str(raw.execute("PRAGMA journal_mode=WAL").fetchone()[0])
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
            time.sleep(0.01)  # once in the life of a file

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path, timeout=self._patience, isolation_level=None, check_same_thread=False, cached_statements=512
        )

    def _locked(self) -> int:
        """Takes the advisory lock; the open file that holds it."""
        try:
            held = os.open(f"{self.path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._of_system(error) from error
        kind = fcntl.LOCK_EX if self._exclusive else fcntl.LOCK_SH
        until = time.monotonic() + min(LAST_WORDS, self._patience)
        while True:
            try:
                fcntl.flock(held, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    holder = _named(held)
                    os.close(held)
                    raise DatabaseInUse(self.name, holder) from None
                time.sleep(0.05)  # at start only: another process holds the file, or is just going
        try:
            os.ftruncate(held, 0)
            os.pwrite(held, f"process {os.getpid()}".encode(), 0)
        except OSError:
            log.debug("who holds %s could not be noted", self.name)  # a full disk: the lock holds all the same
        return held

    def _of_system(self, error: OSError) -> DatabaseError:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return DatabaseReadOnly(self.name)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DatabaseFull(self.name)
        return DatabaseUnreachable(self.name, f"{error.strerror}; check the path and its rights")

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def cursor(self, raw: sqlite3.Connection) -> Cursor:
        return raw.cursor()

    def begin(self, raw: sqlite3.Connection, cursor: Cursor, *, write: bool) -> Begun:
        if not write or self._exclusive:
            cursor.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            return BEGUN
        cursor.execute("BEGIN IMMEDIATE")
        cursor.execute("PRAGMA data_version")  # unlike a reader's, it does not count this connection's own commits
        version = int(cursor.fetchall()[0][0])
        seen, self._version = self._version, version
        return BEGUN if version == seen else OTHERS

    def in_transaction(self, raw: sqlite3.Connection) -> bool:
        return raw.in_transaction

    def settle(self, raw: sqlite3.Connection) -> None:
        """Whatever was run has been."""

    def is_lost(self, raw: sqlite3.Connection) -> bool:
        return False

    def was_committed(self, raw: sqlite3.Connection, mark: str) -> bool | None:
        raise AssertionError("a commit of SQLite has succeeded or failed when it returns")

    def set_clock(self, offset: float) -> None:
        """The database's clock is the time since boot plus this."""
        self._offset = offset

    def now(self, cursor: Cursor) -> float:
        return since_boot() + self._offset

    def may_be_repeated(self, error: BaseException) -> bool:
        """Only an interrupt: there is one writer, so no other transaction can have been first."""
        return _code(error) == sqlite3.SQLITE_INTERRUPT

    def translate(self, error: BaseException) -> BaseException:
        match _code(error):
            case None:
                return error
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
                return DatabaseLocked(self.name)
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
                return DatabaseReadOnly(self.name)
            case sqlite3.SQLITE_FULL:
                return DatabaseFull(self.name)
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return DatabaseCorrupt(self.name, str(error))
            case sqlite3.SQLITE_CANTOPEN:
                return DatabaseUnreachable(self.name, f"{error}; check the path and its rights")
            case sqlite3.SQLITE_IOERR:
                return DatabaseUnreachable(self.name, f"{error}; check the disk")
            case _:
                return error

    def neighbours(self, hub: Hub, look: Callable[[], None]) -> SQLiteNeighbours | None:
        return None if self._exclusive else SQLiteNeighbours(self, look)


def _named(lock: int) -> str:
    """Who holds an advisory lock, by what is written into its file."""
    return os.pread(lock, 200, 0).decode(errors="replace").strip("\0 \n") or "unknown"


def _code(error: BaseException) -> int | None:
    """SQLite's primary result code; None when the error is not SQLite's."""
    if not isinstance(error, sqlite3.Error):
        return None
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


class SQLiteNeighbours(Neighbours):
    """Sees by ``PRAGMA data_version``, on a connection that does nothing else, that somebody has committed.

    It may have been this process: the writer, whose own connection can tell the two apart, is asked to look.
    """

    def __init__(self, engine: SQLite, look: Callable[[], None]) -> None:
        self._engine, self._ask_writer = engine, look
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        raw = self._engine.open_reader()
        seen = _version(raw)
        self._thread = threading.Thread(target=self._look, args=(raw, seen), name="frontdesk-neighbours", daemon=True)
        self._thread.start()

    def tell(self, hints: Iterable[Hint]) -> None:
        """They look for themselves."""

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self, raw: sqlite3.Connection, seen: int) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                version = _version(raw)
            except sqlite3.Error as error:
                log.warning("other processes' commits cannot be seen: %s", error)
                continue
            if version != seen:
                seen = version
                self._ask_writer()
        raw.close()


def _version(raw: sqlite3.Connection) -> int:
    return int(raw.execute("PRAGMA data_version").fetchone()[0])
