"""The one write path: every change is a function of a connection, run on the writer's thread, committed with its
neighbours.

``await database.write(fn, *args)`` returns what ``fn(connection, *args)`` returned, after the commit that holds it.
What is not here: any statement, any table. An awaiting caller may be cancelled; the function then still runs, or
never does: ``take`` says what to do with a result that nobody receives.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from .calls import Call
from .connection import Connection
from .engine import Engine, Neighbours
from .errors import DatabaseClosed
from .failpoints import Failpoint
from .measures import Measures
from .schema import prepare
from .urls import engine_of
from .wakeups import Hub
from .writer import Writer

T = TypeVar("T")
P = ParamSpec("P")

READERS: Final = 3


class Database:
    """An open database. Use ``Database.open``; call ``close`` when done. Methods may be called from any thread or
    loop."""

    def __init__(self, engine: Engine, *, failpoint: str | None = None) -> None:
        self.engine = engine
        self.hub, self.measures = Hub(), Measures()
        self._writer = Writer(engine, self.hub, self.measures, Failpoint(failpoint) if failpoint else None)
        self._neighbours: Neighbours | None = None
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="frontdesk-read")
        self._local = threading.local()
        self._open_readers: list[Any] = []
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def open(
        cls,
        url: str,
        *,
        durable: bool = True,
        exclusive: bool | None = None,
        patience: float = 5.0,
        failpoint: str | None = None,
    ) -> Database:
        """Opens the database, creating or checking its schema. It blocks for as long as that takes (milliseconds,
        usually).

        ``durable=False`` is for tests and throw-away desks. ``exclusive`` keeps other processes away from a SQLite
        file; by default, where its version is not safe for two. ``patience``: seconds to wait for another program's
        lock on it. Raises a DatabaseError that says what to do.
        """
        engine = engine_of(url, durable=durable, exclusive=exclusive, patience=patience)
        database = cls(engine, failpoint=failpoint)
        try:
            database._start()
        except BaseException:
            database.close()
            raise
        return database

    def _start(self) -> None:
        self._writer.start(prepare)
        found = self.engine.neighbours(self.hub, self._look)
        if found is not None:
            self._neighbours = found
            found.start()
            self._writer.neighbours = found

    def _look(self) -> None:
        """Has the writer begin a transaction, so that it sees whether other processes have committed."""
        try:
            self._writer.submit(Call(_nothing, first=True))
        except DatabaseClosed:
            return

    async def write(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs ``function(connection, …)`` in a transaction and returns its result once it is committed.

        Raises what the function raised (its changes are rolled back, its neighbours' are not), a DatabaseError, or
        DatabaseOverloaded when too many writes are waiting.
        """
        return await self._ask(Call(function, args, kwargs))

    async def write_first(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As ``write``, before everything that is waiting and never refused: for what frees others (renew, cancel,
        finish)."""
        return await self._ask(Call(function, args, kwargs, first=True))

    async def write_freeing(
        self,
        slots: object,
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As ``write_first``, for a function after which one of these slots is free: see `take_when_free`."""
        return await self._ask(Call(function, args, kwargs, first=True, frees=slots))

    async def take(
        self,
        give_back: Callable[[Connection, T], object],
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As ``write``, for a function that takes something: when the caller was cancelled meanwhile, ``give_back``
        undoes it."""
        return await self._ask(Call(function, args, kwargs, give_back=give_back))

    def take_when_ready(
        self,
        slot: str,
        give_back: Callable[[Connection, T], object],
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> asyncio.Future[T]:
        """As ``take``, in the very commit that makes tasks of this slot ready: it may never come to that. Cancel the
        future when it is not wanted any more; a result that came all the same is given back.
        """
        call, future = self._call(Call(function, args, kwargs, give_back=give_back))
        self._writer.standing.for_ready(slot, call)
        return future

    def withdraw(self, slot: str, future: asyncio.Future[Any]) -> bool:
        """Takes back a call of `take_when_ready`. False when it is being run: await the future."""
        return self._writer.standing.withdraw(slot, future)

    def take_when_free(
        self,
        slots: object,
        give_back: Callable[[Connection, T], object],
        function: Callable[Concatenate[Connection, int, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> asyncio.Future[T]:
        """As `take_when_ready`, in the next commit that frees some of these slots: ``function(conn, how many, …)``."""
        call, future = self._call(Call(function, args, kwargs, give_back=give_back))
        self._writer.standing.for_slots(slots, call)
        return future

    def forget_free(self, slots: object) -> None:
        """No call stands for these slots any more: `take_when_free`."""
        self._writer.standing.forget(slots)

    def _call(self, call: Call[T]) -> tuple[Call[T], asyncio.Future[T]]:
        call.loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = call.loop.create_future()
        call.future = future
        return call, future

    async def _ask(self, call: Call[T]) -> T:
        call, future = self._call(call)
        self._writer.submit(call)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # the result was there already, and nobody will see it
                self._writer.undo(call)
            raise

    def write_blocking(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As ``write_first``, from a thread that has no event loop. Never call it in an event loop's thread."""
        call: Call[T] = Call(function, args, kwargs, first=True)
        waiting: Future[T] = Future()
        call.waiting = waiting
        self._writer.submit(call)
        return waiting.result()

    async def read(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs ``function(connection, …)`` on a connection that only reads; it sees what was committed before it began.

        Read at most 500 rows at a time: a reader that stays keeps SQLite's log from being reset.
        """
        return await asyncio.wrap_future(self._submit_read(function, *args, **kwargs))

    def read_blocking(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As ``read``, from a thread that has no event loop."""
        return self._submit_read(function, *args, **kwargs).result()

    def _submit_read(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[T]:
        with self._lock:
            if self._closed:
                raise DatabaseClosed
            return self._readers.submit(self._read, lambda connection: function(connection, *args, **kwargs))

    def _read(self, function: Callable[[Connection], T]) -> T:
        """Runs on one of the readers' threads; a connection that was lost is replaced once."""
        try:
            return self._read_once(function)
        except _ReaderLost:
            try:
                return self._read_once(function)
            except _ReaderLost as again:
                raise again.error from again.__cause__

    def _read_once(self, function: Callable[[Connection], T]) -> T:
        raw = getattr(self._local, "raw", None) or self._open_reader()
        try:
            cursor = self.engine.cursor(raw)
            self.engine.begin(raw, cursor, write=False)
            found = function(Connection(self.engine, cursor))
            if self.engine.in_transaction(raw):
                raw.rollback()
        except BaseException as error:
            ours = self.engine.translate(error)
            lost = self.engine.is_lost(raw)
            if ours is not error or lost:
                self._drop_reader(raw)  # a connection that failed is not used again
            elif self.engine.in_transaction(raw):
                raw.rollback()
            if lost:
                raise _ReaderLost(ours) from error
            if ours is error:
                raise
            raise ours from error
        return found

    def _open_reader(self) -> Any:
        raw = self._local.raw = self.engine.open_reader()
        with self._lock:
            self._open_readers.append(raw)
        return raw

    def _drop_reader(self, raw: Any) -> None:
        self._local.raw = None
        with self._lock:
            self._open_readers.remove(raw)
        raw.close()

    def close(self) -> None:
        """Finishes the writes that are waiting, then closes everything. It may be called again."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._writer.stop()
        if self._neighbours is not None:
            self._neighbours.stop()
        self._readers.shutdown(wait=True)
        for raw in self._open_readers:
            raw.close()
        self._open_readers.clear()
        self.engine.release()


class _ReaderLost(Exception):
    """The connection went away; ``error`` is what to raise when another one does not help."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def _nothing(conn: Connection) -> None:
    """Writes nothing."""
