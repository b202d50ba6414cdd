"""The one write path: every change is a function of a connection, run on the writer's thread, committed with its neighbours.

``await database.write(fn, *args)`` returns what ``fn(connection, *args)`` returned, after the commit that holds it. What is not here: any statement,
any table. An awaiting caller may be cancelled; the function then still runs, or never does: ``give_back`` says what to do with a result that nobody receives.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from .connection import Connection
from .engine import Engine, engine_of
from .errors import DatabaseClosed
from .failpoints import Failpoint
from .schema import prepare
from .wakeups import Hub
from .writer import Call, Writer

log = logging.getLogger("frontdesk.database")

T = TypeVar("T")
P = ParamSpec("P")

READERS: Final = 3


class Database:
    """An open database. Use ``Database.open``; call ``close`` when done. Methods may be called from any thread or loop."""

    def __init__(self, engine: Engine, *, failpoint: str | None = None) -> None:
        self.engine = engine
        self.hub = Hub()
        self._writer = Writer(engine, self.hub, Failpoint(failpoint) if failpoint else None)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="frontdesk-read")
        self._local = threading.local()
        self._open_readers: list[Any] = []
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def open(
        cls, url: str, *, durable: bool = True, exclusive: bool | None = None, failpoint: str | None = None
    ) -> Database:
        """Opens the database, creating or checking its schema. It blocks for as long as that takes (milliseconds, usually).

        ``durable=False`` is for tests and throw-away desks. Raises a DatabaseError that says what to do.
        """
        database = cls(engine_of(url, durable=durable, exclusive=exclusive), failpoint=failpoint)
        try:
            database._writer.start(prepare)
        except BaseException:
            database.close()
            raise
        return database

    async def write(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs ``function(connection, …)`` in a transaction and returns its result once it is committed.

        Raises what the function raised (its changes are rolled back, its neighbours' are not), a DatabaseError, or DatabaseOverloaded when
        too many writes are waiting.
        """
        return await self._ask(Call(function, args, kwargs))

    async def write_first(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As ``write``, before everything that is waiting and never refused: for what frees others (renew, cancel, finish)."""
        return await self._ask(Call(function, args, kwargs, first=True))

    async def take(
        self,
        give_back: Callable[[Connection, T], object],
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As ``write``, for a function that takes something: when the caller was cancelled meanwhile, ``give_back`` undoes it."""
        return await self._ask(Call(function, args, kwargs, give_back=give_back))

    async def _ask(self, call: Call[T]) -> T:
        loop = asyncio.get_running_loop()
        call.future = loop.create_future()
        call.loop = loop
        self._writer.submit(call)
        return await call.future

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
        if self._closed:
            raise DatabaseClosed
        run = asyncio.get_running_loop().run_in_executor
        return await run(self._readers, lambda: self.read_blocking(function, *args, **kwargs))

    def read_blocking(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As ``read``, on the calling thread."""
        raw = self._reader()
        cursor = self.engine.cursor(raw)
        try:
            self.engine.begin(raw, write=False)
            return function(Connection(self.engine, cursor), *args, **kwargs)
        except Exception as error:
            translated = self.engine.translate(error)
            if translated is error:
                raise
            self._local.raw = None  # a connection that failed is not used again
            raise translated from error
        finally:
            try:
                raw.rollback()
            except Exception:  # the connection is gone; the next read opens another
                self._local.raw = None

    def _reader(self) -> Any:
        raw = getattr(self._local, "raw", None)
        if raw is None:
            with self._lock:
                if self._closed:
                    raise DatabaseClosed
                raw = self._local.raw = self.engine.open_reader()
                self._open_readers.append(raw)
        return raw

    def close(self) -> None:
        """Finishes the writes that are waiting, then closes everything. It may be called again."""
        if self._closed:
            return
        self._closed = True
        self._writer.stop()
        self._readers.shutdown(wait=True)
        with self._lock:
            for raw in self._open_readers:
                raw.close()
            self._open_readers.clear()
        self.engine.release()
