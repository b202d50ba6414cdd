"""The writer's thread: it takes all waiting functions at once, runs each in a savepoint, and commits the group.

A function that raises is rolled back alone. When the whole transaction is lost (disk full, connection gone, deadlock) its functions are run again, one
by one, each in a transaction of its own, so that one cannot take its neighbours down. Callers resume after the commit.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

from .connection import Connection
from .engine import Engine
from .errors import DatabaseClosed, DatabaseOverloaded
from .failpoints import Failpoint
from .wakeups import Hub

log = logging.getLogger("frontdesk.writer")

T = TypeVar("T")

WAITING_LIMIT: Final = 20_000
GROUP_SECONDS: Final = 0.005
REPEATS: Final = 5


class Call(Generic[T]):
    """One function that waits for the writer, and who is to be told."""

    __slots__ = ("args", "error", "first", "function", "future", "give_back", "kwargs", "loop", "result", "waiting")

    def __init__(
        self,
        function: Callable[..., T],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        first: bool = False,
        give_back: Callable[[Connection, T], object] | None = None,
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs or {}
        self.first, self.give_back = first, give_back
        self.future: asyncio.Future[T] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.waiting: Future[T] | None = None
        self.result: Any = None
        self.error: Exception | None = None

    def abandoned(self) -> bool:
        """Whether the caller has gone before the function began."""
        return self.future is not None and self.future.cancelled()


class Writer:
    """Owns the connection that writes."""

    def __init__(self, engine: Engine, hub: Hub, failpoint: Failpoint | None) -> None:
        self._engine, self._hub, self._failpoint = engine, hub, failpoint
        self._lock = threading.Condition()
        self._first: deque[Call[Any]] = deque()
        self._rest: deque[Call[Any]] = deque()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._raw: Any = None

    def start(self, prepare: Callable[[Connection, Engine], None]) -> None:
        """Connects, brings the schema up to date with ``prepare``, then starts the thread."""
        self._raw = self._engine.open_writer()
        try:
            self._engine.begin(self._raw, write=True)
            prepare(Connection(self._engine, self._engine.cursor(self._raw)), self._engine)
            self._raw.commit()
        except Exception as error:
            self._raw.rollback()
            raise self._engine.translate(error) from error
        self._thread = threading.Thread(target=self._run, name="frontdesk-write", daemon=True)
        self._thread.start()

    def submit(self, call: Call[Any]) -> None:
        """Puts the call in line. Raises DatabaseClosed or DatabaseOverloaded."""
        with self._lock:
            if self._closing:
                raise DatabaseClosed
            if call.first:
                self._first.append(call)
            elif len(self._rest) >= WAITING_LIMIT:
                raise DatabaseOverloaded(len(self._rest))
            else:
                self._rest.append(call)
            self._lock.notify()

    def stop(self) -> None:
        """Ends the thread after what is waiting has been written."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        if self._raw is not None:
            self._raw.close()
            self._raw = None

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._first and not self._rest:
                    if self._closing:
                        return
                    self._lock.wait()
            try:
                self._group()
            except Exception:  # nothing of the group was kept and its callers know; the thread must go on
                log.exception("the writer met an error that it does not know")

    def _next(self) -> Call[Any] | None:
        """The next call in line; without a lock, because only this thread takes."""
        while True:
            line = self._first or self._rest
            if not line:
                return None
            call = line.popleft()
            if not call.abandoned():
                return call

    def _group(self) -> None:
        """One transaction with as many waiting functions as fit."""
        calls: list[Call[Any]] = []
        try:
            self._connected()
            self._engine.begin(self._raw, write=True)
            connection = Connection(self._engine, self._engine.cursor(self._raw))
            until = time.monotonic() + GROUP_SECONDS
            while len(calls) < self._engine.group and (call := self._next()) is not None:
                calls.append(call)
                self._in_savepoint(connection, call)
                if time.monotonic() > until:
                    break
            self._commit(connection, calls)
        except Exception as error:
            self._roll_back()
            if not calls and (call := self._next()) is not None:
                calls.append(call)
            self._one_by_one(calls, error)
        self._deliver(calls)

    def _in_savepoint(self, connection: Connection, call: Call[Any]) -> None:
        kept = len(connection.hints)
        connection.renewed()
        connection.script("SAVEPOINT f")
        try:
            call.result = call.function(connection, *call.args, **call.kwargs)
        except Exception as error:
            if not self._engine.in_transaction(self._raw) or self._engine.may_be_repeated(error):
                raise  # the whole transaction is lost, or the function must be run again
            connection.script("ROLLBACK TO f")
            del connection.hints[kept:]
            call.error = self._engine.translate(error)
        connection.script("RELEASE f")

    def _commit(self, connection: Connection, calls: list[Call[Any]]) -> None:
        names = [call.function.__name__ for call in calls if call.error is None] if self._failpoint else []
        if self._failpoint:
            self._failpoint.reached("before", names)
        self._raw.commit()
        if self._failpoint:
            self._failpoint.reached("after", names)
        if connection.hints:
            self._hub.publish(connection.hints)

    def _one_by_one(self, calls: list[Call[Any]], error: Exception) -> None:
        """Runs the functions of a lost group again, each in its own transaction, a few times where that can help."""
        for call in calls:
            for repeat in range(REPEATS):
                call.error, call.result = None, None
                try:
                    self._connected()
                    self._engine.begin(self._raw, write=True)
                    connection = Connection(self._engine, self._engine.cursor(self._raw))
                    call.result = call.function(connection, *call.args, **call.kwargs)
                    self._commit(connection, [call])
                    break
                except Exception as failed:
                    self._roll_back()
                    call.error = self._engine.translate(failed)
                    if not self._engine.may_be_repeated(failed) or repeat == REPEATS - 1:
                        break

    def _connected(self) -> None:
        if self._raw is None or getattr(self._raw, "closed", False):
            self._raw = self._engine.open_writer()

    def _roll_back(self) -> None:
        try:
            if self._engine.in_transaction(self._raw):
                self._raw.rollback()
        except Exception:
            log.exception("rolling back failed; the connection is opened again")
            self._raw = None

    def _deliver(self, calls: list[Call[Any]]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[Call[Any]]] = {}
        for call in calls:
            if call.waiting is not None:
                if call.error is not None:
                    call.waiting.set_exception(call.error)
                else:
                    call.waiting.set_result(call.result)
            elif call.loop is not None:
                by_loop.setdefault(call.loop, []).append(call)
        for loop, of_loop in by_loop.items():
            try:
                loop.call_soon_threadsafe(self._resume, of_loop)
            except RuntimeError:  # the loop has ended
                for call in of_loop:
                    self._undo(call)

    def _resume(self, calls: list[Call[Any]]) -> None:
        for call in calls:
            future = call.future
            if future is None or future.done():
                self._undo(call)
            elif call.error is not None:
                future.set_exception(call.error)
            else:
                future.set_result(call.result)

    def _undo(self, call: Call[Any]) -> None:
        """Nobody received the result: what it took is given back."""
        if call.error is None and call.give_back is not None:
            try:
                self.submit(Call(call.give_back, (call.result,), first=True))
            except DatabaseClosed:
                log.warning("a claim was not given back because the database is closed; its lease will end it")
