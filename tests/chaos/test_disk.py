"""The disk is full, refuses to be written, or may not be: a clear error, no half state, and it goes on afterwards."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from frontdesk.broker.database import Database
from frontdesk.broker.errors import DatabaseError, DatabaseFull, DatabaseReadOnly
from frontdesk.broker.queue import Origin, enqueue
from frontdesk.tests.chaos import works
from frontdesk.tests.chaos.processes import Fleet
from frontdesk.tests.chaos.waiting import until
from frontdesk.tests.databases import Server
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store

TEXT = "x" * 20_000


class Disk:
    """A small file system in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._ballast = folder, folder / "ballast"

    def fill(self) -> None:
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while file.write(b"\0" * 4096):
                pass

    def empty(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command to make a small disk with")
    folder = Path(tempfile.mkdtemp(prefix="frontdesk-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={request.param}m", "frontdesk-chaos", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        folder.rmdir()
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    folder.chmod(0o755)  # a PostgreSQL server may be another user
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


class Filing:
    """Files tasks; knows which the database has acknowledged, and what was said about the others."""

    def __init__(self, store: Store) -> None:
        self.store, self.conversation = store, store.conversation(unattended_limit=0)
        self.acknowledged: set[str] = set()
        self.errors: list[DatabaseError] = []

    def one(self) -> bool:
        number = len(self.acknowledged) + len(self.errors)
        request = works.again.request({"number": number}, announce="note", title=TEXT[:400])
        try:
            row = self.store.do(enqueue, request, Origin(conversation_id=self.conversation))
        except DatabaseError as error:
            self.errors.append(error)
            return False
        self.acknowledged.add(row["id"])
        return True

    def fails_with(self, kind: type[DatabaseError]) -> bool:
        return not self.one() and isinstance(self.errors[-1], kind)

    def check(self, fleet: Fleet) -> None:
        """Everything that was acknowledged is there and done; nothing else is there."""
        assert self.one(), self.errors[-1]
        until(lambda: {row["status"] for row in self.store.tasks()} == {"succeeded"}, fleet.logs)
        assert {row["id"] for row in self.store.tasks()} == self.acknowledged
        assert broken(self.store) == []
        told = Counter(str(one) for one in self.errors)
        print(f"{len(self.acknowledged)} filed, refused: {dict(told)}")


@contextlib.contextmanager
def working(url: str, folder: Path) -> Generator[tuple[Filing, Fleet]]:
    """A worker process that runs what is filed here."""
    database = Database.open(url, durable=False, exclusive=False)
    fleet = Fleet(url, folder)
    try:
        filing = Filing(Store(database))
        worker = fleet.worker(task_slots=4)
        for _ in range(20):
            assert filing.one()
        until(lambda: works.noted(folder, works.STARTS) > 5, fleet.logs)
        yield filing, fleet
        assert worker.end() == 0, fleet.logs()
    finally:
        fleet.stop()
        database.close()


def meets_a_full_disk(url: str, disk: Disk, folder: Path) -> None:
    with working(url, folder) as (filing, fleet):
        disk.fill()
        until(lambda: not filing.one())
        for _ in range(20):
            filing.one()
        assert {type(error) for error in filing.errors} == {DatabaseFull}, filing.errors
        assert "free some and it goes on by itself" in str(filing.errors[0])
        assert len(filing.store.tasks()) == len(filing.acknowledged), "it can still be read"
        disk.empty()
        filing.check(fleet)


@pytest.mark.parametrize("disk", [4], indirect=True)
def test_sqlite_on_a_full_disk_goes_on_when_there_is_space(disk: Disk, tmp_path: Path) -> None:
    meets_a_full_disk(f"sqlite:///{disk.folder}/desk.db", disk, tmp_path)


@pytest.fixture
def small_url(postgresql: Server, disk: Disk) -> Iterator[str]:
    """A database whose tables lie on the small disk."""
    owner = postgresql.folder.stat()
    place = disk.folder / "tables"
    place.mkdir()
    os.chown(place, owner.st_uid, owner.st_gid)
    name = "chaos_small_disk"
    with postgresql.connect() as raw:
        raw.execute(sql.SQL("CREATE TABLESPACE chaos LOCATION {}").format(sql.Literal(str(place))))
        raw.execute(sql.SQL("CREATE DATABASE {} TABLESPACE chaos STRATEGY file_copy").format(sql.Identifier(name)))
    yield postgresql.url(name)
    with postgresql.connect() as raw:
        raw.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        raw.execute("DROP TABLESPACE chaos")


@pytest.mark.parametrize("disk", [24], indirect=True)
def test_postgresql_on_a_full_disk_goes_on_when_there_is_space(small_url: str, disk: Disk, tmp_path: Path) -> None:
    meets_a_full_disk(small_url, disk, tmp_path)


def test_a_worker_whose_every_write_is_refused_goes_on_when_it_may_write_again(sqlite_url: str, tmp_path: Path) -> None:
    """The limit of a file's size, set to nothing while it runs: each write fails, as on a disk that breaks."""
    with working(sqlite_url, tmp_path) as (filing, fleet):
        pid = fleet.processes[0].pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
        for _ in range(20):
            assert filing.one(), "this process may write"
        time.sleep(0.3)  # it tries again and again
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        filing.check(fleet)


def read_only(raw: psycopg.Connection[Any], name: str, *, begins: bool) -> None:
    value = sql.SQL("on" if begins else "off")
    raw.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}").format(sql.Identifier(name), value))
    raw.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


def without_rights(raw: psycopg.Connection[Any], name: str, *, begins: bool) -> None:
    change = "REVOKE INSERT, UPDATE ON ALL TABLES IN SCHEMA public FROM chaos_clerk"
    raw.execute(change if begins else change.replace("REVOKE", "GRANT").replace("FROM", "TO"))


@pytest.mark.parametrize("change", [read_only, without_rights])
def test_a_database_that_may_not_be_written_any_more_goes_on_when_it_may(
    postgresql: Server, tmp_path: Path, change: Callable[..., None]
) -> None:
    name = f"chaos_{change.__name__}"
    with postgresql.connect() as raw:
        raw.execute("DROP ROLE IF EXISTS chaos_clerk")
        raw.execute("CREATE ROLE chaos_clerk LOGIN")
        raw.execute(sql.SQL("CREATE DATABASE {} OWNER chaos_clerk STRATEGY file_copy").format(sql.Identifier(name)))
    url = postgresql.url(name)
    try:
        with (
            working(url.replace("postgres@", "chaos_clerk@"), tmp_path) as (filing, fleet),
            postgresql.connect() as server,
            postgresql.connect(name) as raw,
        ):
            change(raw if change is without_rights else server, name, begins=True)
            until(lambda: filing.fails_with(DatabaseReadOnly), lambda: str(filing.errors))
            assert str(filing.errors[-1]).endswith("cannot be written; check the rights of its user")
            assert len(filing.store.tasks()) == len(filing.acknowledged), "it can still be read"
            change(raw if change is without_rights else server, name, begins=False)
            until(filing.one, lambda: str(filing.errors))
            filing.check(fleet)
    finally:
        with postgresql.connect() as server:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            server.execute("DROP ROLE chaos_clerk")
