"""A database looked at from beside, copied while it is in use, and tidied."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from frontdesk.broker import backup as backing
from frontdesk.broker.backup import backup, dump_command
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.errors import (
    BackupRefused,
    DatabaseCorrupt,
    DatabaseForeign,
    DatabaseInUse,
    DatabaseNewer,
    DatabaseUnreachable,
)
from frontdesk.broker.inspection import inspect, schema_of
from frontdesk.broker.schema import put, read
from frontdesk.broker.sqlite import SQLite
from frontdesk.broker.tables import SCHEMA_VERSION
from frontdesk.broker.upkeep import vacuum
from frontdesk.broker.urls import engine_of
from frontdesk.tests.databases import Server
from frontdesk.tests.store import Store

PATIENCE = 30.0


def quiet(done: int, pages: int) -> None:
    """Nobody listens."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "desk #1?.db"


@pytest.fixture
def served(file: Path) -> Iterator[Database]:
    """A SQLite database that a server has open."""
    found = Database.open(f"sqlite:///{file}", durable=False, exclusive=True)
    yield found
    found.close()


@pytest.fixture
def engine(served: Database) -> SQLite:
    """The file of `served`, as a command has it."""
    found = engine_of(f"sqlite:///{served.engine.name}")
    assert isinstance(found, SQLite)
    return found


# --- looking


def test_a_database_is_described_while_a_server_has_it(database: Database, url: str) -> None:
    store = Store(database)
    store.create()
    store.started()
    store.enqueue(tenant="acme")
    store.finish(store.started(name="ended"))
    found = inspect(engine_of(url))
    assert found.live == {"tasks": {"running": 1, "queued": 1}, "turns": {"queued": 1}}
    assert (found.schema, found.newest_schema, found.is_well) == (SCHEMA_VERSION, SCHEMA_VERSION, True)
    assert found.size > 50_000
    if database.engine.dialect == "sqlite":
        assert (found.engine, found.problems) == (f"SQLite {sqlite3.sqlite_version}", ())
        assert found.opened_by.startswith("process ")
    else:
        assert (found.engine.split()[0], found.problems) == ("PostgreSQL", None)
        assert found.opened_by.endswith(" connections")


def test_a_database_that_nobody_has_open_is_said_to_be_free_and_is_left_as_it_was(url: str) -> None:
    Database.open(url, durable=False).close()
    engine = engine_of(url)
    before = engine.path.read_bytes() if isinstance(engine, SQLite) else b""
    until = time.monotonic() + PATIENCE
    while inspect(engine).opened_by:  # PostgreSQL sees a moment later that a client has gone
        assert time.monotonic() < until
    assert inspect(engine).is_well
    assert before == (engine.path.read_bytes() if isinstance(engine, SQLite) else b"")
    Database.open(url, durable=False).close()


def test_a_newer_database_is_described_and_not_well(url: str) -> None:
    database = Database.open(url, durable=False)
    database.write_blocking(put, "schema", "999")
    database.close()
    found = inspect(engine_of(url))
    assert (found.schema, found.is_well, found.live) == (999, False, {})
    with pytest.raises(DatabaseNewer):
        Database.open(url, durable=False)


def test_what_is_not_frontdesks_is_said_so(tmp_path: Path, postgresql: Server) -> None:
    with sqlite3.connect(tmp_path / "other.db") as raw:
        raw.execute("CREATE TABLE other (x)")
    raw.close()
    for engine in (engine_of(f"sqlite:///{tmp_path}/other.db"), engine_of(postgresql.url())):
        for look in (inspect, schema_of, vacuum):
            with pytest.raises(DatabaseForeign, match="no tables of Frontdesk"):
                look(engine)


def test_a_file_that_is_missing_or_none_is_said_so_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable, match="no such file"):
        inspect(engine_of(f"sqlite:///{tmp_path}/missing.db"))
    (tmp_path / "text.db").write_text("this is no database" * 100)
    with pytest.raises(DatabaseCorrupt):
        inspect(engine_of(f"sqlite:///{tmp_path}/text.db"))
    assert [path.name for path in tmp_path.iterdir()] == ["text.db"]


def spoil(file: Path) -> None:
    """Breaks an index of the task table."""
    raw = sqlite3.connect(file)
    (root,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'frontdesk_task_claim'").fetchone()
    (size,) = raw.execute("PRAGMA page_size").fetchone()
    raw.close()
    with file.open("r+b") as pages:
        pages.seek((root - 1) * size)
        pages.write(b"\xff" * size)


def test_a_broken_file_is_not_well_and_not_copied(served: Database, engine: SQLite, tmp_path: Path) -> None:
    served.close()
    spoil(engine.path)
    found = inspect(engine)
    assert found.problems
    assert not found.is_well
    with pytest.raises(DatabaseCorrupt):
        backup(engine, tmp_path / "copy", tell=quiet)
    assert not list(tmp_path.glob("*copy*"))


# --- copying


def pair(conn: Connection, value: str) -> None:
    """Two facts that always agree."""
    for key in ("test:a", "test:b"):
        put(conn, key, value)


def test_a_copy_is_one_moment_of_a_database_that_is_written_meanwhile(
    served: Database, engine: SQLite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit between any two steps: without a snapshot, SQLite would begin anew each time, and never end."""
    served.write_blocking(pair, "first")
    monkeypatch.setattr(backing, "STEP", 1)
    steps: list[int] = []

    def commit(done: int, pages: int) -> None:
        steps.append(done)
        assert len(steps) <= 2 * pages, "it began anew"
        served.write_blocking(pair, f"after {len(steps)}")

    size = backup(engine, tmp_path / "copy.db", tell=commit)
    assert len(steps) > 10
    assert (size, sorted(path.name for path in tmp_path.glob("*copy*"))) == (
        (tmp_path / "copy.db").stat().st_size,
        ["copy.db"],
    )
    assert (tmp_path / "copy.db").stat().st_mode & 0o077 == 0, "it is for its owner alone"
    assert served.read_blocking(read, "test:a") == f"after {len(steps)}"
    copy = Database.open(f"sqlite:///{tmp_path}/copy.db", durable=False)
    assert [copy.read_blocking(read, key) for key in ("test:a", "test:b")] == ["first", "first"]
    copy.close()


def test_a_copy_replaces_only_what_it_may(served: Database, engine: SQLite, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("something else")
    with pytest.raises(BackupRefused, match=r"exists already; .* --force"):
        backup(engine, target, tell=quiet)
    assert target.read_text() == "something else"
    backup(engine, target, force=True, tell=quiet)
    assert schema_of(engine_of(f"sqlite:///{target}")) == SCHEMA_VERSION
    link = tmp_path / "link.db"
    link.symlink_to(engine.path)
    for itself in (engine.path, link):
        with pytest.raises(BackupRefused, match="the database itself"):
            backup(engine, itself, force=True, tell=quiet)
    opened = Database.open(f"sqlite:///{target}", durable=False)
    with pytest.raises(BackupRefused, match="in use"):
        backup(engine, target, force=True, tell=quiet)
    opened.close()


@pytest.mark.parametrize(("path", "words"), [("no/copy.db", "create it first"), ("", "is a folder")])
def test_a_copy_that_has_no_place_is_refused(
    served: Database, engine: SQLite, tmp_path: Path, path: str, words: str
) -> None:
    with pytest.raises(BackupRefused, match=words):
        backup(engine, tmp_path / path, tell=quiet)
    long = tmp_path / ("x" * 250)
    with pytest.raises(BackupRefused, match="cannot be written"):
        backup(engine, long, tell=quiet)


def test_an_interrupted_copy_leaves_what_was_there(served: Database, engine: SQLite, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("the one before")

    def interrupt(done: int, pages: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(engine, target, force=True, tell=interrupt)
    assert target.read_text() == "the one before"
    assert [path.name for path in tmp_path.glob("*copy*")] == ["copy.db"]


def test_only_a_database_of_frontdesk_is_copied(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable):
        backup(_sqlite(tmp_path / "missing.db"), tmp_path / "copy.db", tell=quiet)
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()
    with pytest.raises(DatabaseForeign):
        backup(_sqlite(tmp_path / "empty.db"), tmp_path / "copy.db", tell=quiet)


def _sqlite(path: Path) -> SQLite:
    found = engine_of(f"sqlite:///{path}")
    assert isinstance(found, SQLite)
    return found


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:se@cret@db:5433/desk", "postgresql://me@db:5433/desk"),
        ("postgresql+psycopg://me@/desk?host=/tmp/x&password=secret", "'postgresql://me@/desk?host=/tmp/x'"),
        ("postgres://db/desk", "postgres://db/desk"),
    ],
)
def test_the_command_for_postgresql_shows_no_password(url: str, shown: str) -> None:
    assert dump_command(url, Path("a b.dump")) == f"pg_dump --format=custom '--file=a b.dump' {shown}"


# --- tidying


def fill(conn: Connection) -> None:
    for number in range(2_000):
        put(conn, f"test:{number}", "x" * 500)


def empty(conn: Connection) -> None:
    conn.script("DELETE FROM frontdesk_meta WHERE \"key\" LIKE 'test:%'")


def test_space_is_given_back(url: str) -> None:
    sizes: list[int] = []
    for act in (fill, empty):
        database = Database.open(url, durable=False)
        database.write_blocking(act)
        database.close()
        sizes.append(inspect(engine_of(url)).size)
    vacuum(engine_of(url, exclusive=True))
    after = inspect(engine_of(url))
    assert after.size < sizes[1] - 500_000
    assert after.is_well
    Database.open(url, durable=False).close()


def test_a_file_that_a_server_has_open_is_not_vacuumed(served: Database, file: Path) -> None:
    engine = engine_of(f"sqlite:///{file}", exclusive=True, patience=0.0)
    with pytest.raises(DatabaseInUse, match="in use by another Frontdesk process"):
        vacuum(engine)
    served.close()
    vacuum(engine)
    Database.open(f"sqlite:///{file}", durable=False, exclusive=True).close()


def test_vacuuming_beside_servers_on_postgresql_stops_nobody(postgresql_url: str) -> None:
    database = Database.open(postgresql_url)
    vacuum(engine_of(postgresql_url))
    database.write_blocking(put, "test:a", "there")
    database.close()


def test_who_has_a_file_open_is_asked_without_disturbing(file: Path, opened: Callable[..., Database]) -> None:
    engine = _sqlite(file)
    assert engine.holder() == ""
    for _ in range(2):
        database = Database.open(f"sqlite:///{file}", durable=False, exclusive=True, patience=0.0)
        assert engine.holder().startswith("process ")
        database.close()
        assert engine.holder() == ""
