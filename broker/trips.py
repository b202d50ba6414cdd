"""The connection to PostgreSQL that writes: statements go together, and are waited for only where an answer is needed.

A statement whose answer nobody reads travels with the next one, and the commit with the last of them, so a transaction
costs a few trips, and the server works while the next statement is made. This is libpq's pipeline mode, by way of
``psycopg.pq``: a statement costs a quarter of what a cursor of psycopg's does.

What fails fails where its answer is first waited for, at the latest at the commit, which then has done nothing: after a
failed statement the server passes over everything up to the next synchronisation, and from there on refuses everything
until the transaction is ended.

Nothing reaches the server without a synchronisation behind it. Else it would wait for the rest without any timeout, and
a process that is stopped at that moment would keep its locks from the others for as long as it is.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import select
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, TransactionStatus

PREPARED: Final = 1000  # statements that a connection keeps ready, at most
OUTSTANDING: Final = 200  # statements that are sent before their answers are read
MUCH: Final = 1000  # bytes with which the server may as well begin; less goes with what follows
GATHERED: Final = 8000  # bytes at most that are: libpq sends from 8192 on
AROUND: Final = 100  # bytes of the protocol around one statement
FLOAT: Final = 701  # the type's number; all else is given as text, whose type the statement says
BEGIN: Final = "BEGIN"
NAME: Final = "SELECT pg_current_xact_id()::text, extract(epoch FROM clock_timestamp())::float8"
# A transaction of its own, for which nobody waits for a disk: what it tells of has been committed.
TELL: Final = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)"

log = logging.getLogger("frontdesk.writer")

Told: TypeAlias = tuple[str, str]  # a notification: its channel and its payload
Key: TypeAlias = tuple[str, tuple[int, ...]]  # a statement's text and the types of its values


class Answer:
    """What a statement that was sent is answered: wait for it by ``rows``."""

    __slots__ = ("_result", "_trips", "prepares")

    def __init__(self, trips: Trips, prepares: Key | None = None) -> None:
        self._trips, self.prepares = trips, prepares
        self._result: Any = None

    def came(self, result: Any) -> None:
        self._result = result

    @property
    def is_there(self) -> bool:
        """Whether the answer has come."""
        return self._result is not None

    def result(self) -> Any:
        """libpq's result. Raises psycopg.Error, for any statement that was sent up to here and failed."""
        if self._result is None:
            self._trips.settle()
        if self._result is None:
            raise psycopg.errors.InFailedSqlTransaction("this statement came after one that failed")
        return self._result

    def rows(self) -> list[Any]:
        """Every row. Raises as `result`."""
        return self._trips.read(self.result())


class Trips:
    """A connection and its cursor in one; belongs to one thread. Transactions begin with ``begin``."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._raw, self._libpq = raw, raw.pgconn
        self._reader = Transformer(raw)
        self._can_read, self._can_write = select.poll(), select.poll()
        self._can_read.register(self._libpq.socket, select.POLLIN)
        self._can_write.register(self._libpq.socket, select.POLLIN | select.POLLOUT)
        self._numbers = itertools.count()
        self._prepared: dict[Key, bytes] = {}
        self._waiting: deque[Answer] = deque()
        self._last: Answer | None = None
        self._begun: Answer | None = None
        self._gathered = 0  # bytes that have no synchronisation behind them yet
        self._synchronising = 0  # synchronisations that the server has not answered
        self._unsent = False  # whether something could not be handed to the network yet

    # --- as a cursor

    def send(self, sql: str, values: Sequence[Any] | None = None) -> Answer:
        """Sends a statement; its answer is read later, or never. One that has ``values``, even none, is kept ready.

        Raises psycopg.DataError for a value that PostgreSQL has no place for, psycopg.OperationalError.
        """
        given = [_text(value) for value in values or ()]
        size = sum(len(value) for value in given if value is not None)
        key = sql, tuple(FLOAT if isinstance(value, float) else 0 for value in values or ())
        if len(self._waiting) >= OUTSTANDING:
            self.settle()
        if not self._waiting:
            self._libpq.enter_pipeline_mode()
        name = self._prepared.get(key)
        if name is None and values is not None and len(self._prepared) < PREPARED:
            name = self._prepared[key] = b"f%d" % next(self._numbers)
            self._waiting.append(Answer(self, key))
            self._libpq.send_prepare(name, _numbered(sql), key[1])
            self._gathered += len(sql)
        answer = self._last = Answer(self)
        self._waiting.append(answer)
        if name is None:
            self._libpq.send_query_params(sql.encode() if values is None else _numbered(sql), given, key[1])
        else:
            self._libpq.send_query_prepared(name, given)
        self._gathered += size + AROUND
        if size >= MUCH or self._gathered >= GATHERED:
            self._synchronise()
        return answer

    def execute(self, sql: str, values: Sequence[Any] | None = None) -> None:
        self.send(sql, values)

    def executemany(self, sql: str, each: Sequence[Sequence[Any]]) -> None:
        for values in each:
            self.send(sql, values)

    def fetchall(self) -> list[Any]:
        """The rows of the last statement."""
        return [] if self._last is None else self._last.rows()

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        return 0 if self._last is None else self._last.result().command_tuples or 0

    @property
    def description(self) -> Any:
        """Whether the last statement returns rows."""
        return None if self._last is None else self._last.result().nfields or None

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """psycopg's connection, for what is run by another library inside this transaction."""
        self.settle()
        return self._raw

    # --- as a connection

    def begin(self) -> None:
        """Begins a transaction; nothing is waited for."""
        self.send(BEGIN, ())
        self._begun = self.send(NAME, ())

    def named(self) -> tuple[str, float]:
        """The transaction's name and the server's clock, as it began."""
        assert self._begun is not None
        name, now = self._begun.rows()[0]
        return str(name), float(now)

    @property
    def in_transaction(self) -> bool:
        return bool(self._waiting) or self._libpq.transaction_status != TransactionStatus.IDLE

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._raw.closed

    def commit(self, told: Told | None = None) -> None:
        """Commits what was sent, and then notifies of it. Raises psycopg.Error; the connection may be gone, and what
        became of the commit unknown."""
        ended = self.send("COMMIT")
        if told is not None:
            self.send(TELL, told)
        try:
            self.settle()
        except psycopg.Error as error:
            if not ended.is_there or _undone(ended):
                raise
            log.warning("others were not notified of a commit, they find it when they look: %s", error)
        if _undone(ended):
            raise psycopg.errors.InFailedSqlTransaction("a statement had failed, and nothing was kept")

    def rollback(self) -> None:
        """Undoes what was sent. Raises psycopg.Error."""
        ended: Answer | None = None
        with contextlib.suppress(psycopg.Error):  # whatever failed is undone
            if self._waiting:
                self._synchronise()
            ended = self.send("ROLLBACK")
            self.settle()
        (ended or self.send("ROLLBACK")).result()

    def close(self) -> None:
        self._waiting.clear()
        self._raw.close()

    # --- trips

    def settle(self) -> None:
        """Waits for the answers to everything that was sent. Raises psycopg.Error for the first that failed."""
        if not self._waiting:
            return
        waiting, failed = self._waiting, None
        self._synchronise()
        while self._synchronising:
            result = self._next()
            if result is None:
                continue  # the end of a statement's results
            if result.status == ExecStatus.PIPELINE_SYNC:
                self._synchronising -= 1
                continue
            if not waiting:  # said by a server that ends the connection; that it is gone comes next
                failed = failed or result
                continue
            answer = waiting.popleft()
            if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                answer.came(result)
                continue
            if answer.prepares is not None:
                del self._prepared[answer.prepares]
            if failed is None:
                failed = result
        self._libpq.exit_pipeline_mode()
        if failed is not None:
            raise psycopg.errors.error_from_result(failed)

    def _synchronise(self) -> None:
        """Has the server run what was sent; nothing is waited for."""
        self._libpq.pipeline_sync()
        self._synchronising += 1
        self._gathered = 0
        self._unsent = bool(self._libpq.flush())

    def _next(self) -> Any:
        """libpq's next result, or None between those of two statements. Raises psycopg.OperationalError."""
        libpq = self._libpq
        while libpq.is_busy():
            (self._can_write if self._unsent else self._can_read).poll()
            libpq.consume_input()
            if self._unsent:
                self._unsent = bool(libpq.flush())
        result = libpq.get_result()
        if self._raw.closed:
            raise psycopg.OperationalError(result.get_error_message() if result else "the connection is lost")
        return result

    def read(self, result: Any) -> list[Any]:
        """The rows of a result."""
        self._reader.set_pgresult(result)
        return self._reader.load_rows(0, result.ntuples, tuple)


def _undone(ended: Answer) -> bool:
    """Whether a commit was answered with a rollback: a statement before it had failed."""
    return bool(ended.result().command_status == b"ROLLBACK")


def _numbered(sql: str) -> bytes:
    """The text as the protocol wants its parameters."""
    places = itertools.count(1)
    return re.sub("%([s%])", lambda found: "%" if found[1] == "%" else f"${next(places)}", sql).encode()


def _text(value: object) -> bytes | None:
    """A value as PostgreSQL reads it."""
    match value:
        case None:
            return None
        case str():
            if "\0" in value:
                raise psycopg.DataError("PostgreSQL text cannot contain NUL (0x00)")
            return value.encode()
        case int() | float():
            return repr(value).encode()
        case _:
            raise TypeError(f"a value is text, an integer or a float, not {type(value).__name__}")
