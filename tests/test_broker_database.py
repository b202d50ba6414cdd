"""The one write path: groups, savepoints, lost transactions, cancelled callers, and what is said when it cannot
work."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import anyio
import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from frontdesk.broker import calls, calls_waiting, errors, schema, transactions, urls, writer
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.schema import put, read
from frontdesk.broker.sqlite import SQLite
from frontdesk.broker.statements import Statement, p, table
from frontdesk.broker.tables import SCHEMA_VERSION, Meta
from frontdesk.broker.wakeups import TasksReady
from frontdesk.tests import forked
from frontdesk.tests.databases import Server, end_backends
from frontdesk.tests.fakes.wire import Cut, Wire

PATIENCE = 10.0  # seconds; a test that needs them has failed

meta = table(Meta)
COUNT: Statement = Statement(sa.select(sa.func.count()).where(meta.c.key.like(p("like"))))
INSERT: Statement = Statement(meta.insert().values(key=p("key"), value=p("value")))


def note(conn: Connection, key: str, value: str = "") -> str:
    """Writes a row that is not there yet."""
    conn.run(INSERT, {"key": key, "value": value})
    return key


def count(conn: Connection, like: str = "test:%") -> int:
    row = conn.one(COUNT, {"like": like})
    assert row is not None
    return int(row[0])


class Gate:
    """Holds the writer's thread inside a function until it is opened, so that others wait in line."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, conn: Connection) -> None:
        self.entered.set()
        assert self.opened.wait(PATIENCE)


@pytest.fixture
def gate() -> Iterator[Gate]:
    found = Gate()
    yield found
    found.opened.set()


async def held(database: Database, gate: Gate) -> asyncio.Task[None]:
    """Has the writer wait at the gate."""
    task = asyncio.create_task(database.write_first(gate))
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE)
    return task


async def settle() -> None:
    """Lets tasks that were started reach the database."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def embedded(file: Path) -> Iterator[Database]:
    """An embedded SQLite database."""
    found = Database.open(f"sqlite:///{file}", durable=False, patience=0.2)
    yield found
    found.close()


# --- one transaction for many


async def test_what_was_written_is_read(database: Database) -> None:
    await database.write(note, "test:1", "one")
    assert await database.read(read, "test:1") == "one"
    assert await database.write(read, "test:1") == "one"


async def test_functions_that_wait_are_committed_together(embedded: Database, gate: Gate) -> None:
    commits: list[int] = []
    embedded.hub.publish = lambda hints: commits.append(len(list(hints)))  # type: ignore[method-assign]

    def hinting(conn: Connection, key: str) -> None:
        note(conn, key)
        conn.publish(TasksReady("task"))

    first = await held(embedded, gate)
    rest = [asyncio.create_task(embedded.write(hinting, f"test:{n}")) for n in range(20)]
    await settle()
    gate.opened.set()
    await asyncio.gather(first, *rest)
    assert sum(commits) == 20
    assert len(commits) < 20, "each had a commit of its own"
    assert await embedded.read(count) == 20


async def test_one_that_raises_loses_its_own_changes_and_no_others(database: Database) -> None:
    def fails(conn: Connection) -> None:
        note(conn, "test:lost")
        raise ValueError("no")

    results = await asyncio.gather(
        *(database.write(note, f"test:{number}") for number in range(5)),
        database.write(fails),
        *(database.write(note, f"test:{number}") for number in range(5, 10)),
        return_exceptions=True,
    )
    assert [str(one) for one in results if isinstance(one, Exception)] == ["no"]
    assert await database.read(count) == 10


async def test_hints_are_published_after_the_commit_and_dropped_with_what_failed(database: Database) -> None:
    heard: list[bool] = []
    news = asyncio.Event()

    def seen() -> None:
        # in the loop, after the commit: another connection must see the row
        heard.append(database.read_blocking(read, "test:1") == "there")
        news.set()

    def hints(conn: Connection, *, fail: bool) -> None:
        conn.publish(TasksReady("task"))
        if fail:
            raise ValueError("no")
        note(conn, "test:1", "there")

    listening = database.hub.listen("ready", "task", seen)
    with pytest.raises(ValueError, match="no"):
        await database.write(hints, fail=True)
    await database.write(note, "test:2")
    assert heard == []
    await database.write(hints, fail=False)
    with anyio.fail_after(PATIENCE):
        await news.wait()
    assert heard == [True]
    listening.stop()


async def test_a_caller_resumes_after_its_commit(database: Database) -> None:
    for number in range(20):
        await database.write(note, f"test:{number}")
        assert await database.read(count) == number + 1


async def test_an_error_that_a_future_cannot_hold_reaches_its_caller(database: Database) -> None:
    def stops(conn: Connection) -> None:
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        await database.write(stops)
    with pytest.raises(SystemExit):
        await database.write(leaves)
    assert await database.write(note, "test:1") == "test:1"


def leaves(conn: Connection) -> None:
    raise SystemExit(3)


def test_threads_write_and_read_without_a_loop(database: Database) -> None:
    assert database.write_blocking(note, "test:1", "x") == "test:1"
    assert database.read_blocking(read, "test:1") == "x"
    with pytest.raises(SystemExit):
        database.write_blocking(leaves)


async def test_the_clock_stands_still_in_a_function_and_goes_on_between_them(database: Database) -> None:
    first = await database.write(lambda conn: (conn.now(), conn.now(), conn.moment(), conn.moment(), conn.wall()))
    second = await database.write(lambda conn: conn.now())
    assert first[0] == first[1] == first[2] < first[3]
    assert first[0] < second
    assert await database.read(lambda conn: conn.now()) > second


# --- callers that go away


async def test_a_caller_that_goes_away_before_it_ran_never_runs(embedded: Database, gate: Gate) -> None:
    first = await held(embedded, gate)
    waiting = asyncio.create_task(embedded.write(note, "test:1"))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.opened.set()
    await first
    await embedded.write(note, "test:2")
    assert await embedded.read(count) == 1


async def test_what_was_taken_for_a_caller_that_went_away_is_given_back(database: Database, gate: Gate) -> None:
    returned: list[str] = []
    given_back = threading.Event()

    def taking(conn: Connection) -> str:
        gate(conn)
        return "claim"

    def give_back(conn: Connection, what: str) -> None:
        returned.append(what)
        given_back.set()

    task = asyncio.create_task(database.take(give_back, taking))
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.opened.set()
    assert await asyncio.to_thread(given_back.wait, PATIENCE)
    assert returned == ["claim"]


async def test_a_result_that_comes_with_the_cancellation_is_given_back(database: Database, gate: Gate) -> None:
    """The future has its result, but the task is cancelled before it wakes up."""
    returned: list[str] = []
    given_back = threading.Event()

    def give_back(conn: Connection, what: str) -> None:
        returned.append(what)
        given_back.set()

    def later() -> None:
        gate.opened.set()
        for number in range(2):  # when the second one returns, the results of the first one's group are on their way
            database.write_blocking(note, f"test:{number}")

    first = await held(database, gate)
    task = asyncio.create_task(database.take(give_back, lambda conn: "claim"))
    await settle()
    thread = threading.Thread(target=later)
    thread.start()
    thread.join(PATIENCE)  # the loop stands still
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    await first
    assert await asyncio.to_thread(given_back.wait, PATIENCE)
    assert returned == ["claim"]


def test_what_was_taken_for_a_loop_that_has_ended_is_given_back(database: Database, gate: Gate) -> None:
    given_back = threading.Event()

    def taking(conn: Connection) -> str:
        gate(conn)
        return "claim"

    async def leave() -> None:
        task = asyncio.create_task(database.take(lambda conn, what: given_back.set(), taking))
        assert await asyncio.to_thread(gate.entered.wait, PATIENCE)
        task.cancel()

    asyncio.run(leave())
    gate.opened.set()
    assert given_back.wait(PATIENCE)


async def test_writes_that_free_others_go_before_those_that_wait(embedded: Database, gate: Gate) -> None:
    order: list[str] = []

    def ordered(conn: Connection, name: str) -> None:
        order.append(name)

    first = await held(embedded, gate)
    rest = [asyncio.create_task(embedded.write(ordered, f"rest {n}")) for n in range(3)]
    await settle()
    urgent = asyncio.create_task(embedded.write_first(ordered, "first"))
    await settle()
    gate.opened.set()
    await asyncio.gather(first, urgent, *rest)
    assert order == ["first", "rest 0", "rest 1", "rest 2"]


async def test_too_many_waiting_writes_are_refused_and_urgent_ones_are_not(
    embedded: Database, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_waiting, "WAITING_LIMIT", 3)
    first = await held(embedded, gate)
    rest = [asyncio.create_task(embedded.write(note, f"test:{n}")) for n in range(3)]
    await settle()
    with pytest.raises(errors.DatabaseOverloaded, match="3 writes are waiting"):
        await embedded.write(note, "test:refused")
    urgent = asyncio.create_task(embedded.write_first(note, "test:urgent"))
    await settle()
    gate.opened.set()
    await first
    await asyncio.gather(urgent, *rest)
    assert await embedded.read(count) == 4


async def test_closing_finishes_what_waits_and_refuses_the_rest(url: str, gate: Gate) -> None:
    database = Database.open(url, durable=False)
    first = await held(database, gate)
    rest = [asyncio.create_task(database.write(note, f"test:{n}")) for n in range(5)]
    await settle()
    closing = asyncio.create_task(asyncio.to_thread(database.close))
    gate.opened.set()
    await asyncio.gather(first, closing)
    assert await asyncio.gather(*rest) == [f"test:{n}" for n in range(5)]
    database.close()
    with pytest.raises(errors.DatabaseClosed, match="nothing was written"):
        await database.write(note, "test:late")
    with pytest.raises(errors.DatabaseClosed):
        await database.read(count)
    with pytest.raises(errors.DatabaseClosed):
        database.read_blocking(count)
    again = Database.open(url, durable=False)
    assert await again.read(count) == 5
    again.close()


async def test_what_is_taken_when_the_database_closes_is_left_to_its_lease(
    url: str, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database.open(url, durable=False)

    def taking(conn: Connection) -> str:
        gate(conn)
        return "claim"

    task = asyncio.create_task(database.take(lambda conn, what: None, taking))
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.opened.set()
    database.close()  # while the loop stands still: the result arrives afterwards
    await settle()
    assert "its lease will end it" in caplog.text


# --- lost transactions


async def test_a_full_disk_is_said_and_everything_goes_on_when_there_is_space(embedded: Database) -> None:
    def limit(conn: Connection, pages: int) -> None:
        conn.script(f"PRAGMA max_page_count={pages}")

    def large(conn: Connection, key: str) -> None:
        note(conn, key, "x" * 200_000)

    await embedded.write(limit, 60)  # pages of 4 KiB: the tables take most of them
    results = await asyncio.gather(
        *(embedded.write(large if number % 2 else note, f"test:{number}") for number in range(10)),
        return_exceptions=True,
    )
    refused = [one for one in results if isinstance(one, BaseException)]
    assert len(refused) == 5
    assert {type(one) for one in refused} == {errors.DatabaseFull}
    assert "free some" in str(refused[0])
    assert await embedded.read(count) == 5, "a function that fits is not lost with its neighbours"
    await embedded.write(limit, 1_000_000)
    await embedded.write(large, "test:large")
    assert await embedded.read(count) == 6


async def test_an_interrupted_group_is_run_again_one_by_one(embedded: Database, gate: Gate) -> None:
    runs: list[str] = []

    def interrupted(conn: Connection) -> None:
        runs.append("interrupted")
        note(conn, "test:interrupted")
        if runs.count("interrupted") == 1:
            conn.script("CREATE TEMP TABLE numbers AS SELECT 1 AS i UNION SELECT 2 UNION SELECT 3")
            raw = cast(Any, conn)._cursor.connection
            raw.set_progress_handler(lambda: 1, 1)
            try:
                conn.script("INSERT INTO numbers SELECT i FROM numbers")
            finally:
                raw.set_progress_handler(None, 1)

    def counted(conn: Connection, key: str) -> None:
        runs.append(key)
        note(conn, key)
        conn.publish(TasksReady("task"))

    heard: list[int] = []
    embedded.hub.publish = lambda hints: heard.append(len(list(hints)))  # type: ignore[method-assign]
    first = await held(embedded, gate)
    work = [
        asyncio.create_task(embedded.write(counted, "test:1")),
        asyncio.create_task(embedded.write(interrupted)),
        asyncio.create_task(embedded.write(counted, "test:2")),
    ]
    await settle()
    gate.opened.set()
    await asyncio.gather(first, *work)
    assert runs == ["test:1", "interrupted", "test:1", "interrupted", "test:2"]
    assert await embedded.read(count) == 3
    assert sum(heard) == 2, "the hints of the lost transaction were published too"


async def test_a_unique_key_that_another_transaction_took_is_found_when_run_again(
    opened: Callable[..., Database],
) -> None:
    """On PostgreSQL two processes insert the same key at once; the second one looks again."""
    one, two = opened(), opened()
    meeting = threading.Barrier(2, timeout=PATIENCE)
    looks: list[str] = []

    def unless_there(conn: Connection, who: str) -> str:
        looks.append(who)
        found = read(conn, "test:key")
        if found is not None:
            return found
        if conn.dialect == "postgresql" and looks.count(who) == 1:
            meeting.wait()
        note(conn, "test:key", who)
        return who

    results = await asyncio.gather(one.write(unless_there, "one"), two.write(unless_there, "two"))
    assert results[0] == results[1]
    assert await one.read(count) == 1


async def test_a_deadlock_is_resolved_by_running_again(postgresql_url: str) -> None:
    one, two = Database.open(postgresql_url), Database.open(postgresql_url)
    try:
        for key in ("test:a", "test:b"):
            await one.write(note, key)
        meeting = threading.Barrier(2, timeout=PATIENCE)
        lock: Statement = Statement(sa.select(meta.c.key).where(meta.c.key == p("key")).with_for_update())
        runs: list[str] = []

        def both(conn: Connection, first: str, second: str) -> None:
            runs.append(first)
            conn.one(lock, {"key": first})
            if runs.count(first) == 1:
                meeting.wait()
            conn.one(lock, {"key": second})

        await asyncio.gather(one.write(both, "test:a", "test:b"), two.write(both, "test:b", "test:a"))
        assert len(runs) == 3, "one of them was run again"
    finally:
        one.close()
        two.close()


async def test_a_function_that_others_keep_stopping_ends_with_an_error_that_says_so(postgresql_url: str) -> None:
    database = Database.open(postgresql_url)
    runs: list[int] = []

    def always(conn: Connection) -> None:
        runs.append(1)
        raise psycopg.errors.DeadlockDetected("deadlock detected")

    with pytest.raises(errors.DatabaseContended, match="deadlock detected; try again"):
        await database.write(always)
    assert len(runs) == writer.REPEATS
    await database.write(note, "test:1")
    database.close()


# --- PostgreSQL goes away


async def test_connections_that_are_killed_between_transactions_are_replaced(
    postgresql: Server, postgresql_url: str
) -> None:
    database = Database.open(postgresql_url)
    await asyncio.gather(*(database.read(count) for _ in range(20)))
    for number in range(3):
        end_backends(postgresql, postgresql_url)
        await database.write(note, f"test:{number}")
        end_backends(postgresql, postgresql_url)
        assert await asyncio.gather(*(database.read(count) for _ in range(20))) == [number + 1] * 20
    database.close()


async def test_a_function_whose_connection_is_killed_in_the_middle_is_run_again(
    postgresql: Server, postgresql_url: str
) -> None:
    database = Database.open(postgresql_url)
    runs: list[int] = []

    def killed(conn: Connection) -> None:
        runs.append(1)
        note(conn, "test:1")
        if len(runs) == 1:
            end_backends(postgresql, postgresql_url)
        note(conn, "test:2")

    await database.write(killed)
    assert len(runs) == 2
    assert await database.read(count) == 2
    database.close()


async def test_a_function_that_always_kills_its_connection_is_given_up(postgresql: Server, postgresql_url: str) -> None:
    database = Database.open(postgresql_url)

    def killing(conn: Connection) -> None:
        end_backends(postgresql, postgresql_url)
        note(conn, "test:1")

    with pytest.raises(errors.DatabaseUnreachable):
        await database.write(killing)
    await database.write(note, "test:2")
    assert await database.read(count) == 1
    database.close()


async def test_a_database_that_is_away_for_too_long_is_an_error_and_nothing_is_lost(
    postgresql: Server, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "RECONNECT_SECONDS", 0.2)
    database = Database.open(postgresql_url)
    await database.write(note, "test:1")
    name = sql.Identifier(postgresql_url.split("/")[3].split("?")[0])
    with postgresql.connect() as raw:
        raw.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        end_backends(postgresql, postgresql_url)
        with pytest.raises(errors.DatabaseUnreachable, match="cannot be reached"):
            await database.write(note, "test:2")
        with pytest.raises(errors.DatabaseUnreachable):
            await database.read(count)
        raw.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
    await database.write(note, "test:3")
    assert await database.read(count) == 2
    database.close()


@pytest.fixture
def wire(postgresql: Server, postgresql_url: str) -> Iterator[Wire]:
    found = Wire(postgresql.socket_folder, postgresql_url.split("/")[3].split("?")[0])
    yield found
    found.stop()


@pytest.mark.parametrize(("when", "runs_needed"), [("before", 2), ("after", 1)])
async def test_a_commit_whose_answer_was_lost_is_looked_up_and_never_made_twice(
    wire: Wire, when: Cut, runs_needed: int
) -> None:
    database = Database.open(wire.url)
    news = asyncio.Event()
    listening = database.hub.listen("ready", "task", news.set)
    runs: list[str] = []

    def adding(conn: Connection) -> str:
        """Has no key of its own by which a repeat could be recognised."""
        runs.append(note(conn, f"test:{len(runs)}"))
        conn.publish(TasksReady("task"))
        return runs[-1]

    wire.cut_at_commit(when)
    assert await database.write(adding) == f"test:{runs_needed - 1}"
    assert len(runs) == runs_needed
    assert await database.read(count) == 1
    with anyio.fail_after(PATIENCE):
        await news.wait()
    listening.stop()
    database.close()


async def test_a_commit_that_cannot_be_looked_up_is_an_error_and_is_not_made_again(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database.open(wire.url)
    monkeypatch.setattr(transactions, "RECONNECT_SECONDS", 0.3)
    runs: list[int] = []

    def adding(conn: Connection) -> None:
        runs.append(1)
        note(conn, f"test:{len(runs)}")
        wire.cut_at_commit("after")
        wire.refuse()

    with pytest.raises(errors.DatabaseUnreachable, match="unknown"):
        await database.write(adding)
    assert len(runs) == 1
    wire.up()
    await database.write(note, "test:again")
    assert await database.read(count) == 2
    database.close()


async def test_notifications_that_were_lost_are_made_up_for(wire: Wire, postgresql_url: str) -> None:
    one, two = Database.open(wire.url), Database.open(postgresql_url)
    news = asyncio.Event()
    listening = one.hub.listen("events", "conv_1", news.set)
    wire.down()
    await two.write(note, "test:1")
    wire.up()
    with anyio.fail_after(PATIENCE):
        await news.wait()
    listening.stop()
    one.close()
    two.close()


# --- what is said when it cannot be opened


def open_error(url: str, **options: Any) -> errors.DatabaseError:
    with pytest.raises(errors.DatabaseError) as caught:
        Database.open(url, durable=False, patience=0.1, **options).close()
    return caught.value


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    error = open_error(f"sqlite:///{tmp_path}/none/desk.db")
    assert isinstance(error, errors.DatabaseUnreachable)
    assert f"the folder {tmp_path}/none does not exist; create it first" in str(error)


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    assert isinstance(open_error(f"sqlite:///{tmp_path}"), errors.DatabaseUnreachable)


def test_a_file_that_is_no_database_is_left_as_it_is(file: Path) -> None:
    file.write_text("This is a letter, not a database. " * 100)
    error = open_error(f"sqlite:///{file}")
    assert isinstance(error, errors.DatabaseCorrupt)
    assert "restore it from a backup" in str(error)
    assert file.read_text().startswith("This is a letter")


def test_a_corrupt_database_is_said_when_it_is_met(file: Path) -> None:
    database = Database.open(f"sqlite:///{file}", durable=False)
    for number in range(50):
        database.write_blocking(note, f"test:{number}", "x" * 4_000)
    database.close()
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    assert isinstance(open_error(f"sqlite:///{file}"), errors.DatabaseCorrupt)


def test_a_newer_database_is_refused_and_left_as_it_is(url: str) -> None:
    database = Database.open(url, durable=False)
    database.write_blocking(put, "schema", "999")
    database.close()
    error = open_error(url)
    assert isinstance(error, errors.DatabaseNewer)
    assert "schema 999" in str(error)
    assert "upgrade Frontdesk" in str(error)


def test_a_locked_database_is_said_and_opens_when_the_lock_is_gone(file: Path) -> None:
    Database.open(f"sqlite:///{file}", durable=False).close()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    error = open_error(f"sqlite:///{file}")
    assert isinstance(error, errors.DatabaseLocked)
    assert "close it" in str(error)
    other.execute("ROLLBACK")
    other.close()
    Database.open(f"sqlite:///{file}", durable=False, patience=0.1).close()


async def test_a_lock_of_another_program_is_said_and_nothing_is_lost(embedded: Database, file: Path) -> None:
    await embedded.write(note, "test:1")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(errors.DatabaseLocked):
        await embedded.write(note, "test:2")
    other.execute("ROLLBACK")
    other.close()
    await embedded.write(note, "test:3")
    assert await embedded.read(count) == 2


@pytest.fixture
def nobody(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], None]]:
    """Becomes a user without rights, where the tests are run by root, to whom everything is allowed."""
    root = os.geteuid() == 0
    above = tmp_path_factory.getbasetemp().parent
    opened = [tmp_path, *(one for one in tmp_path.parents if one == above or above in one.parents)]
    if "PYTEST_XDIST_WORKER" in os.environ:  # then it has one folder more
        opened.append(above.parent)

    def become() -> None:
        if root:
            for folder in opened:
                folder.chmod(folder.stat().st_mode | 0o011)
            os.seteuid(65534)

    yield become
    if root:
        os.seteuid(0)


def test_a_database_that_may_not_be_written_is_said(file: Path, nobody: Callable[[], None]) -> None:
    Database.open(f"sqlite:///{file}", durable=False).close()
    file.chmod(0o444)
    Path(f"{file}-lock").chmod(0o666)
    nobody()
    error = open_error(f"sqlite:///{file}")
    assert isinstance(error, errors.DatabaseReadOnly)
    assert "check the rights" in str(error)


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path, nobody: Callable[[], None]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o555)
    nobody()
    assert isinstance(open_error(f"sqlite:///{folder}/desk.db"), errors.DatabaseReadOnly)


def test_a_folder_that_may_not_be_entered_is_said(tmp_path: Path, nobody: Callable[[], None]) -> None:
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o600)
    nobody()
    assert isinstance(open_error(f"sqlite:///{folder}/desk.db"), errors.DatabaseReadOnly)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://x/y", "desk.db"])
def test_a_url_without_an_engine_is_an_error_that_shows_what_to_write(url: str) -> None:
    with pytest.raises(errors.UnknownEngine, match="use sqlite:///path"):
        Database.open(url)


def test_a_database_server_that_cannot_be_reached_is_said_without_its_password(tmp_path: Path) -> None:
    error = open_error(f"postgresql://desk:secret@/desk?host={tmp_path}")
    assert isinstance(error, errors.DatabaseUnreachable)
    assert "postgresql://desk:…@/desk" in str(error)
    assert "secret" not in str(error)


def test_a_missing_database_on_the_server_is_said(postgresql: Server) -> None:
    assert "does not exist" in str(open_error(postgresql.url("missing")))


# --- one process at a time


SECOND = """
import sys
from frontdesk.broker.database import Database
from frontdesk.broker.errors import DatabaseError
try:
    Database.open(sys.argv[1], durable=False, exclusive=sys.argv[2] == "exclusive", patience=0.1).close()
except DatabaseError as error:
    print(type(error).__name__, error)
else:
    print("opened")
"""


HOLDER = """
import sys, time
from frontdesk.broker.database import Database
Database.open(sys.argv[1])
print("open", flush=True)
time.sleep(60)
"""


def second_process(url: str, how: str) -> str:
    command = [sys.executable, "-c", SECOND, url, how]
    return str(forked.run(command, check=True, capture_output=True, text=True, timeout=60).stdout).strip()


def test_a_second_process_is_refused_and_told_who_is_first(file: Path) -> None:
    database = Database.open(f"sqlite:///{file}", durable=False, exclusive=True)
    said = second_process(f"sqlite:///{file}", "exclusive")
    assert said.startswith("DatabaseInUse")
    assert f"process {os.getpid()}" in said
    assert second_process(f"sqlite:///{file}", "shared").startswith("DatabaseInUse"), "it must not slip in beside"
    database.close()
    assert second_process(f"sqlite:///{file}", "exclusive") == "opened"


def test_processes_that_share_keep_an_exclusive_one_away(file: Path) -> None:
    database = Database.open(f"sqlite:///{file}", durable=False, exclusive=False)
    assert second_process(f"sqlite:///{file}", "shared") == "opened"
    assert second_process(f"sqlite:///{file}", "exclusive").startswith("DatabaseInUse")
    database.close()


def test_a_process_that_is_killed_leaves_no_lock(file: Path) -> None:
    process = forked.Popen([sys.executable, "-c", HOLDER, f"sqlite:///{file}"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "open\n"
        assert isinstance(open_error(f"sqlite:///{file}"), errors.DatabaseInUse)
        process.kill()
        Database.open(f"sqlite:///{file}", durable=False).close()


@pytest.mark.parametrize(("version", "alone"), [((3, 51, 2), True), ((3, 40, 1), True), ((3, 51, 3), False)])
def test_only_a_safe_version_of_sqlite_shares_by_default(
    version: tuple[int, int, int], alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    engine = urls.engine_of("sqlite:///desk.db")
    assert isinstance(engine, SQLite)
    assert engine.alone is alone


async def test_a_commit_of_another_process_wakes_everyone(opened: Callable[..., Database]) -> None:
    """Through SQLite's data_version, or PostgreSQL's notifications."""
    one, two = opened(), opened()
    news = asyncio.Event()

    def hinting(conn: Connection, key: str) -> None:
        note(conn, key)
        conn.publish(TasksReady("task"))

    listening = one.hub.listen("ready", "task", news.set)
    for number in range(3):
        news.clear()
        await two.write(hinting, f"test:{number}")
        with anyio.fail_after(PATIENCE):
            await news.wait()
    listening.stop()


async def test_own_commits_on_a_shared_file_do_not_wake_those_they_do_not_concern(sqlite_url: str) -> None:
    database = Database.open(sqlite_url, durable=False, exclusive=False)
    other = Database.open(sqlite_url, durable=False, exclusive=False)
    await database.write(note, "test:opened")  # it sees that the other one has opened the file
    await settle()
    woken: list[int] = []
    listening = database.hub.listen("ready", "turn", lambda: woken.append(1))
    for number in range(200):
        await database.write(note, f"test:{number}")
    assert woken == []
    news = asyncio.Event()
    heard = database.hub.listen("ready", "task", news.set)
    await other.write(note, "test:other")
    with anyio.fail_after(PATIENCE):
        await news.wait()
    assert woken == [1]
    listening.stop()
    heard.stop()
    other.close()
    database.close()


# --- the schema and its clock


def test_opening_twice_changes_nothing(url: str) -> None:
    for _ in range(2):
        database = Database.open(url, durable=False)
        assert database.read_blocking(read, "schema") == str(SCHEMA_VERSION)
        database.close()


async def test_processes_that_start_at_once_share_one_schema(opened: Callable[..., Database]) -> None:
    found = await asyncio.gather(*(asyncio.to_thread(opened, patience=PATIENCE) for _ in range(4)))
    await found[0].write(note, "test:1")
    assert [await one.read(count) for one in found] == [1] * 4


def test_a_file_that_another_process_is_just_making_is_waited_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own timeout does not apply to the switch to a write-ahead log."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(errors.DatabaseLocked):
        Database.open(f"sqlite:///{file}", patience=0.0)

    def meanwhile(seconds: float) -> None:
        other.execute("COMMIT")

    monkeypatch.setattr("frontdesk.broker.sqlite.time.sleep", meanwhile)
    Database.open(f"sqlite:///{file}", patience=PATIENCE).close()
    other.close()


def test_the_clock_goes_on_after_a_reboot(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boot clock 1000 s and wall clock 50,000 s; then another boot, 60 s old, 100 s later on the wall."""

    def opened_at(boot: str, since: float, at: float) -> float:
        monkeypatch.setattr(schema, "boot_id", lambda: boot)
        for module in (schema, sys.modules[SQLite.__module__]):
            monkeypatch.setattr(module, "since_boot", lambda: since)
        monkeypatch.setattr(schema, "wall", lambda: at)
        database = Database.open(f"sqlite:///{file}", durable=False)
        now = database.write_blocking(lambda conn: conn.now())
        database.write_blocking(schema.note_clock)
        database.close()
        return now

    first = opened_at("one", 1000.0, 50_000.0)
    assert opened_at("one", 1010.0, 90_000.0) == first + 10, "in one boot the wall clock does not count"
    monkeypatch.setattr("frontdesk.broker.connection.wall", lambda: 90_000.0)
    assert opened_at("one", 1010.0, 90_000.0) == first + 10
    assert opened_at("two", 60.0, 90_100.0) == first + 110
    assert opened_at("three", 5.0, 80_000.0) >= first + 110, "a wall clock that went back does not turn it back"


def test_calls_name_their_functions() -> None:
    assert calls.Call(note).name == "note"


def test_a_process_that_starts_waits_for_nobody_who_writes(postgresql: Server, postgresql_url: str) -> None:
    Database.open(postgresql_url, durable=False).close()
    name = postgresql_url.split("/")[3].split("?")[0]
    with postgresql.connect(name) as raw, raw.transaction():
        raw.execute("UPDATE frontdesk_task SET name = name")
        raw.execute("SET LOCAL lock_timeout = '1ms'")
        Database.open(postgresql_url, durable=False).close()
        raw.execute("UPDATE frontdesk_turn SET status = status")
