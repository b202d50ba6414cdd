"""Statements that go to PostgreSQL together: in order, with their own errors, and all or nothing."""

from __future__ import annotations

import select
from collections.abc import Iterator

import psycopg
import pytest

from frontdesk.broker.postgresql import PostgreSQL
from frontdesk.broker.trips import MUCH, OUTSTANDING, Trips


@pytest.fixture
def trips(postgresql_url: str) -> Iterator[Trips]:
    engine = PostgreSQL(postgresql_url)
    opened = engine.open_writer()
    opened.begin()
    opened.execute("CREATE TEMPORARY TABLE note (id text PRIMARY KEY, number bigint, part double precision)")
    opened.commit()
    yield opened
    opened.close()


def notes(trips: Trips) -> list[str]:
    """What is kept."""
    found = trips.connection.execute("SELECT id FROM note ORDER BY id").fetchall()
    return [str(row[0]) for row in found]


def note(trips: Trips, name: str, number: int | None = None, part: float | None = None) -> None:
    trips.send("INSERT INTO note VALUES (%s, %s, %s)", (name, number, part))


def test_nothing_is_waited_for_until_an_answer_is_read(trips: Trips) -> None:
    trips.begin()
    note(trips, "a", 7, 0.5)
    first = trips.send("SELECT id, number, part FROM note WHERE id = %s", ("a",))
    note(trips, "b")
    second = trips.send("SELECT id, number, part FROM note ORDER BY id", ())
    assert first.rows() == [("a", 7, 0.5)]  # what came after it is not seen
    assert second.rows() == [("a", 7, 0.5), ("b", None, None)]
    trips.commit()
    assert notes(trips) == ["a", "b"]


def test_a_statement_that_fails_unread_fails_the_commit_and_nothing_is_kept(trips: Trips) -> None:
    trips.begin()
    note(trips, "a")
    note(trips, "a")
    note(trips, "b")
    with pytest.raises(psycopg.errors.UniqueViolation):
        trips.commit()
    assert trips.in_transaction
    trips.rollback()
    assert not trips.in_transaction
    assert notes(trips) == []


def test_an_answer_that_comes_after_one_that_failed_is_none(trips: Trips) -> None:
    trips.begin()
    note(trips, "a")
    note(trips, "a")
    later = trips.send("SELECT 1", ())
    with pytest.raises(psycopg.errors.UniqueViolation):
        later.rows()
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        later.rows()
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        trips.commit()  # the server would take it for a rollback, and say nothing
    trips.rollback()
    assert notes(trips) == []


def test_a_statement_that_was_passed_over_is_ready_the_next_time(trips: Trips) -> None:
    for _ in range(2):  # it is made ready behind the one that fails
        trips.begin()
        trips.send("SELECT 1 / 0", ())
        answer = trips.send("SELECT id FROM note WHERE number = %s", (1,))
        with pytest.raises(psycopg.errors.DivisionByZero):
            answer.rows()
        trips.rollback()
    trips.begin()
    assert trips.send("SELECT id FROM note WHERE number = %s", (1,)).rows() == []
    trips.commit()


def test_how_many_rows_were_changed_and_what_another_library_does_are_in_order(trips: Trips) -> None:
    trips.begin()
    trips.executemany("INSERT INTO note VALUES (%s)", [(f"{number:03}",) for number in range(OUTSTANDING + 50)])
    trips.execute("UPDATE note SET number = 1 WHERE id < %s", ("010",))
    assert trips.rowcount == 10
    assert trips.description is None
    trips.send("DELETE FROM note WHERE id >= %s", ("002",))
    assert trips.connection.execute("SELECT count(*) FROM note").fetchall() == [(2,)]
    note(trips, "003")
    trips.commit()
    assert notes(trips) == ["000", "001", "003"]


def test_the_name_and_the_clock_of_a_transaction_are_those_of_its_beginning(trips: Trips) -> None:
    trips.begin()
    name, began = trips.named()
    assert trips.send("SELECT pg_current_xact_id()::text, extract(epoch FROM clock_timestamp())::float8 > %s",
                      (began,)).rows() == [(name, True)]  # fmt: skip
    assert trips.named() == (name, began)
    trips.commit()


def test_percent_signs_are_given_as_the_driver_wants_them(trips: Trips) -> None:
    trips.begin()
    trips.execute("SELECT '100%'")
    assert trips.fetchall() == [("100%",)]
    trips.execute("SELECT '100%%' || %s::text", ("!",))
    assert trips.fetchall() == [("100%!",)]
    trips.rollback()


@pytest.mark.parametrize(
    ("value", "error"), [("a\0b", psycopg.DataError), (b"bytes", TypeError), ("\ud800", UnicodeEncodeError)]
)
def test_a_value_without_a_place_is_refused_before_anything_is_sent(trips: Trips, value: object, error: type) -> None:
    trips.begin()
    note(trips, "a")
    with pytest.raises(error):
        trips.send("INSERT INTO note VALUES (%s)", (value,))
    trips.commit()
    assert notes(trips) == ["a"]


def test_large_texts_go_both_ways(trips: Trips) -> None:
    text = "ü" * 3_000_000
    trips.begin()
    answers = [trips.send("SELECT %s::text", (text,)) for _ in range(3)]
    assert all(answer.rows() == [(text,)] for answer in answers)
    trips.commit()


def test_a_lost_connection_is_seen_where_an_answer_is_read(trips: Trips, postgresql_url: str) -> None:
    trips.begin()
    with psycopg.connect(postgresql_url, autocommit=True) as other:
        pid = trips.connection.info.backend_pid
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
    note(trips, "a")
    with pytest.raises(psycopg.OperationalError):
        trips.commit()
    assert trips.closed


def test_a_notification_travels_behind_its_commit(trips: Trips, postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as other:
        other.execute("LISTEN here")
        trips.connection.execute("SET synchronous_commit = local")
        trips.begin()
        note(trips, "a")
        trips.commit(("here", "told"))
        (heard,) = other.notifies(timeout=10, stop_after=1)
        assert (heard.channel, heard.payload) == ("here", "told")
    assert trips.connection.execute("SHOW synchronous_commit").fetchone() == ("local",)  # that of the notification
    assert notes(trips) == ["a"]


def test_a_notification_that_fails_undoes_no_commit(trips: Trips) -> None:
    trips.begin()
    note(trips, "a")
    trips.commit(("here", "x" * 9000))  # more than PostgreSQL takes
    assert notes(trips) == ["a"]
    trips.begin()
    note(trips, "b")
    trips.commit(("here", "told"))
    assert notes(trips) == ["a", "b"]


def test_nobody_is_notified_of_a_commit_that_fails(trips: Trips, postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as other:
        other.execute("LISTEN here")
        trips.begin()
        note(trips, "a")
        note(trips, "a")
        with pytest.raises(psycopg.errors.UniqueViolation):
            trips.commit(("here", "of nothing"))
        trips.rollback()
        trips.begin()
        note(trips, "a")
        trips.commit(("here", "of a note"))
        (heard,) = other.notifies(timeout=10, stop_after=1)
        assert heard.payload == "of a note"


def test_a_connection_that_is_ended_after_all_answers_is_lost_and_nothing_else(
    trips: Trips, postgresql_url: str
) -> None:
    pid, socket = trips.connection.info.backend_pid, trips.connection.fileno()
    trips.begin()
    answer = trips.send("SELECT %s::text", ("x" * MUCH,))  # so much that the server has it now
    assert select.select([socket], [], [], 30)[0], "it has not answered"
    with psycopg.connect(postgresql_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))  # returns when it has ended
    with pytest.raises(psycopg.OperationalError):
        trips.settle()
    assert trips.closed
    assert answer.is_there


@pytest.mark.parametrize(("count", "length"), [(1, 2 * MUCH), (150, 10)], ids=["one long", "many short"])
def test_a_process_that_stops_between_two_statements_keeps_its_locks_from_others_for_no_longer_than_it_may(
    trips: Trips, postgresql_url: str, count: int, length: int
) -> None:
    trips.connection.execute("SET idle_in_transaction_session_timeout = '100ms'")
    trips.begin()
    trips.execute("SELECT pg_advisory_xact_lock(1)")
    for number in range(count):
        note(trips, f"{number:0{length}}")  # the server has this, or the first of them, and hears nothing more
    with psycopg.connect(postgresql_url, autocommit=True) as other:
        other.execute("SET lock_timeout = '30s'")
        other.execute("SELECT pg_advisory_lock(1)")  # returns when the server has given up the one that is stopped
    with pytest.raises(psycopg.OperationalError):
        trips.settle()
    assert trips.closed


@pytest.mark.parametrize("more", [False, True])
def test_a_statement_that_fails_before_a_long_one_fails_the_commit_with_its_own_error(trips: Trips, more: bool) -> None:
    trips.begin()
    note(trips, "a")
    note(trips, "a")
    note(trips, "b" * MUCH)  # the server has begun with all three
    if more:
        note(trips, "c")
    with pytest.raises(psycopg.errors.UniqueViolation):
        trips.commit(("here", "told"))
    assert trips.in_transaction == more, "a commit that is reached ends the transaction"
    if more:
        trips.rollback()
    trips.begin()
    note(trips, "a")
    trips.commit()
    assert notes(trips) == ["a"]


@pytest.mark.parametrize("outstanding", [0, OUTSTANDING])
def test_a_transaction_is_undone_whatever_of_it_has_failed(trips: Trips, outstanding: int) -> None:
    for _ in range(2):
        trips.begin()
        note(trips, "a")
        note(trips, "a")
        while len(trips._waiting) < outstanding:  # pyright: ignore[reportPrivateUsage]
            trips.send("SELECT 1", ())
        trips.rollback()
        assert not trips.in_transaction
    assert notes(trips) == []
