"""Copying a SQLite database while it may be in use. PostgreSQL has its own tool for that, which is only named here."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from . import inspection
from .errors import BackupRefused, DatabaseCorrupt
from .sqlite import SQLite

STEP: Final = 1_000  # pages that are copied at once; 4 KiB each, usually


def backup(engine: SQLite, target: Path, *, force: bool = False, tell: Callable[[int, int], None]) -> int:
    """Copies the database as it is now to ``target``, which is there only when all of it is and was checked; its size.

    A server that runs goes on meanwhile; what it commits is not in the copy, and its write-ahead log grows until the
    copy is made. ``tell`` hears of the pages that are copied and of how many there are. ``force`` replaces a file.
    Raises BackupRefused, a DatabaseError.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _check_target(engine, target, force=force)
        inspection.schema_of(engine)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # it holds what people have said
        try:
            _copy(engine, part, tell)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        _sync(target.parent)
    except OSError as error:
        raise BackupRefused(f"{target} cannot be written: {error.strerror}") from error
    return target.stat().st_size


def _check_target(engine: SQLite, target: Path, *, force: bool) -> None:
    if not target.parent.is_dir():
        raise BackupRefused(f"the folder {target.parent} does not exist; create it first")
    if target.is_dir():
        raise BackupRefused(f"{target} is a folder; name a file in it")
    if target.exists() and engine.path.exists() and target.samefile(engine.path):
        raise BackupRefused(f"{target} is the database itself; name another file")
    if target.exists() and not force:
        raise BackupRefused(f"{target} exists already; name another file, or replace it with --force")
    if target.with_name(f"{target.name}-wal").exists():
        raise BackupRefused(f"{target} is a database that is in use, or was when its process was killed; name another")


def _copy(engine: SQLite, part: Path, tell: Callable[[int, int], None]) -> None:
    with closing(engine.open_beside()) as source, closing(sqlite3.connect(part, isolation_level=None)) as copy:
        try:
            # A transaction that reads holds the state of this moment; without one, each commit of a server would make
            # SQLite begin anew, and beside a busy one the copy would never be made.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchall()
            copy.execute("PRAGMA synchronous=OFF")
            source.backup(copy, pages=STEP, progress=lambda _, left, all_of: tell(all_of - left, all_of))
            source.execute("ROLLBACK")
            copy.execute("PRAGMA journal_mode=DELETE")  # so that one file is all of it
            broken = inspection.broken(copy)
        except sqlite3.Error as error:
            ours = engine.translate(error)
            if ours is error:
                raise
            raise ours from error
    if broken:
        raise DatabaseCorrupt(engine.name, broken[0])
    _sync(part)


def _sync(path: Path) -> None:
    """Waits until a file, or what a folder lists, is on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def dump_command(url: str, target: Path) -> str:
    """The command line that backs a PostgreSQL database up, without the URL's password."""
    parts = urlsplit(url.replace("postgresql+psycopg://", "postgresql://", 1))
    user, at, host = parts.netloc.rpartition("@")
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name != "password"], safe="/")
    shown = urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}", query=query))
    return shlex.join(["pg_dump", "--format=custom", f"--file={target}", shown])
