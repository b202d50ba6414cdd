"""PostgreSQL as an engine, through synchronous psycopg 3 on our own threads, out of reach of any cancelled scope.

Cancelling a scope over an asynchronous driver leaves its backend running the query; a thread that always finishes its
transaction does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg

from .engine import BEGUN, Begun, Cursor, hide_password
from .errors import DatabaseContended, DatabaseFull, DatabaseReadOnly, DatabaseRefused, DatabaseUnreachable
from .notifications import PostgreSQLNeighbours
from .statements import DialectName
from .trips import Trips
from .wakeups import Hub

CONNECT_SECONDS: Final = 5
# A process that stops in the middle of a transaction must not keep the others waiting for its locks.
# Whatever it writes is found through an index. The planner must not read a whole table because it looked short when it
# was last counted, a million tasks ago; and then it must not think such a plan so dear that compiling it would pay.
WRITER_SETTINGS: Final = """
SET idle_in_transaction_session_timeout = '10s'; SET lock_timeout = '10s';
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off
"""
# Serialization failure, deadlock, a lock that did not come, a query that was cancelled.
CONTENDED: Final = ("40001", "40P01", "55P03", "57014")
# Said by a server that lets this user, or anybody into this database, never in; all else may pass.
REFUSALS: Final = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "is not permitted",
    "permission denied",
)
FULL: Final = "No space left on device"
# After a crash the numbers of transactions that had left no trace are given again, and then are somebody else's. A
# recovery ends with a checkpoint, which knows the first of them.
STATUS: Final = """
SELECT pg_xact_status(%(xid)s::xid8),
    to_timestamp(%(begun)s) < greatest(pg_postmaster_start_time(), checkpoint_time) AND %(xid)s::xid8 >=
    (split_part(next_xid, ':', 1)::numeric * 4294967296 + split_part(next_xid, ':', 2)::numeric)::text::xid8
FROM pg_control_checkpoint()
"""


class PostgreSQL:
    """A PostgreSQL database, version 14 or later."""

    dialect: DialectName = "postgresql"
    group = 1  # a transaction per function: locks are held as briefly as can be
    alone = False

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self.name = hide_password(url)

    def open_writer(self) -> Trips:
        raw = self.connect()
        try:
            raw.execute(WRITER_SETTINGS)
        except psycopg.Error as error:
            raw.close()
            raise self.translate(error) from error
        return Trips(raw)

    def open_reader(self) -> psycopg.Connection[Any]:
        """Statements of a read are transactions of their own: one trip each, and no snapshot is held."""
        raw = self.connect()
        try:
            raw.execute("SET default_transaction_read_only = on")
        except psycopg.Error as error:
            raw.close()
            raise self.translate(error) from error
        return raw

    def connect(self) -> psycopg.Connection[Any]:
        """A new connection, on which every statement is a transaction. Raises a DatabaseError."""
        try:
            return psycopg.connect(
                self._url, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="frontdesk"
            )
        except psycopg.Error as error:
            if _is_refused(str(error)):
                raise DatabaseRefused(self.name, _text(error)) from error
            if FULL in str(error):
                raise DatabaseFull(self.name) from error
            raise self.translate(error) from error

    def cursor(self, raw: psycopg.Connection[Any] | Trips) -> Cursor:
        return raw if isinstance(raw, Trips) else raw.cursor()

    def begin(self, raw: psycopg.Connection[Any] | Trips, cursor: Cursor, *, write: bool) -> Begun:
        if not isinstance(raw, Trips):
            return BEGUN
        raw.begin()
        return Begun(mark=lambda: "{} {!r}".format(*raw.named()))

    def in_transaction(self, raw: psycopg.Connection[Any] | Trips) -> bool:
        if isinstance(raw, Trips):
            return raw.in_transaction
        return raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE

    def settle(self, raw: psycopg.Connection[Any] | Trips) -> None:
        if isinstance(raw, Trips):
            raw.settle()

    def is_lost(self, raw: psycopg.Connection[Any] | Trips) -> bool:
        return raw.closed

    def was_committed(self, raw: Trips, mark: str) -> bool | None:
        xid, _, begun = mark.partition(" ")
        connection = raw.connection
        try:
            row = connection.execute(STATUS, {"xid": xid, "begun": float(begun)}).fetchone()
        except psycopg.errors.InvalidParameterValue:  # it is in the future: a crash has taken it back
            return False
        finally:
            connection.rollback()
        status, given_again = row or (None, False)
        if status == "committed":
            return not given_again
        return False if status == "aborted" else None

    def now(self, cursor: Cursor) -> float:
        if isinstance(cursor, Trips):
            return cursor.named()[1]
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        return float(cursor.fetchall()[0][0])

    def may_be_repeated(self, error: BaseException) -> bool:
        """A deadlock, a serialization failure, a lock that did not come, or a unique key that another transaction took
        first: the function looks again and finds the row."""
        return _state(error) in CONTENDED or isinstance(error, psycopg.errors.UniqueViolation)

    def translate(self, error: BaseException) -> BaseException:
        match error:
            case psycopg.Error() if _state(error) in CONTENDED:
                return DatabaseContended(self.name, _text(error))
            case psycopg.errors.ReadOnlySqlTransaction() | psycopg.errors.InsufficientPrivilege():
                return DatabaseReadOnly(self.name)
            case psycopg.errors.DiskFull():
                return DatabaseFull(self.name)
            case psycopg.OperationalError() | psycopg.InterfaceError():
                return DatabaseUnreachable(self.name, _text(error), passing=True)
            case _:
                return error

    def neighbours(self, hub: Hub, look: Callable[[], None]) -> PostgreSQLNeighbours:
        return PostgreSQLNeighbours(self.connect, hub)

    def release(self) -> None:
        """Nothing is held besides the connections."""


def _state(error: BaseException) -> str | None:
    return error.sqlstate if isinstance(error, psycopg.Error) else None


def _is_refused(said: str) -> bool:
    """Whether a server answered, and said no to this user or this database. (What psycopg raises for a connection that
    was not made has no SQLSTATE.)"""
    return "FATAL:" in said and any(refusal in said for refusal in REFUSALS)


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())
