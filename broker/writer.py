"""The writer's thread: it takes all waiting functions at once, runs each in a savepoint, and commits the group.

A function that raises is rolled back alone. When the whole transaction is lost (disk full, connection gone, deadlock)
its functions are run again, one by one, each in a transaction of its own, so that one cannot take its neighbours down.
Callers resume after the commit.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from .calls import Call, deliver
from .connection import Connection
from .engine import Begun, Engine
from .errors import DatabaseClosed, DatabaseOverloaded, DatabaseUnreachable
from .failpoints import Failpoint
from .wakeups import Hint, Hub

log = logging.getLogger("frontdesk.writer")

WAITING_LIMIT: Final = 20_000
GROUP_SECONDS: Final = 0.005
REPEATS: Final = 5  # of a function that other transactions stop
RECONNECT_SECONDS: Final = 10.0  # how long a function waits for a lost connection to come back
RECONNECT_PAUSE: Final = 0.1


class Writer:
    """Owns the connection that writes."""

    def __init__(self, engine: Engine, hub: Hub, failpoint: Failpoint | None) -> None:
        self._engine, self._hub, self._failpoint = engine, hub, failpoint
        self.tell: Callable[[list[Hint]], None] | None = None  # other processes, after each commit
        self._lock = threading.Condition()
        self._first: deque[Call[Any]] = deque()
        self._rest: deque[Call[Any]] = deque()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._raw: Any = None
        self._begun = Begun()
        self._lost_since: float | None = None

    def start(self, prepare: Callable[[Connection, Engine], None]) -> None:
        """Connects, brings the schema up to date with ``prepare``, then starts the thread. Raises a DatabaseError."""
        call: Call[None] = Call(prepare, (self._engine,))
        self._raw = self._engine.open_writer()
        self._alone(call)
        if call.error is not None:
            raise call.error
        self._thread = threading.Thread(target=self._run, name="frontdesk-write", daemon=True)
        self._thread.start()

    def submit(self, call: Call[Any]) -> None:
        """Puts the call in line. Raises DatabaseClosed or DatabaseOverloaded."""
        with self._lock:
            if self._closing.is_set():
                raise DatabaseClosed
            if call.first:
                self._first.append(call)
            elif len(self._rest) >= WAITING_LIMIT:
                raise DatabaseOverloaded(len(self._rest))
            else:
                self._rest.append(call)
            self._lock.notify()

    def undo(self, call: Call[Any]) -> None:
        """Nobody received the call's result: what it took is given back."""
        if call.error is None and call.give_back is not None:
            try:
                self.submit(Call(call.give_back, (call.result,), first=True))
            except DatabaseClosed:
                log.warning("a claim was not given back because the database is closed; its lease will end it")

    def stop(self) -> None:
        """Ends the thread after what is waiting has been written. It may be called again."""
        with self._lock:
            self._closing.set()
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
                    if self._closing.is_set():
                        return
                    self._lock.wait()
            self._group()

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
        """One transaction with as many waiting functions as fit; then their callers are told."""
        first = self._next()
        if first is None:
            return
        calls = [first]
        try:
            if self._engine.group == 1:
                self._alone(first)
            else:
                self._together(calls)
        except BaseException as error:  # a mistake of ours: whoever waits must know, and the thread must go on
            log.exception("the writer met an error that it does not know")
            for call in calls:
                call.failed(error)
        deliver(calls, self.undo)

    def _together(self, calls: list[Call[Any]]) -> None:
        """Runs ``calls``, and those that wait behind them (added to the list), in one transaction."""
        try:
            connection = self._begin()
        except Exception as error:
            self._roll_back()
            calls[0].failed(self._engine.translate(error), error)
            return
        try:
            self._fill(connection, calls)
            self._commit(connection, calls)
        except Exception as error:
            self._roll_back()
            log.info("a transaction of %d functions was lost, running them one by one: %s", len(calls), error)
            for call in calls:
                self._alone(call)

    def _fill(self, connection: Connection, calls: list[Call[Any]]) -> None:
        """Runs functions in the transaction until none is waiting, or it is full. Raises TransactionLost."""
        until = time.monotonic() + GROUP_SECONDS
        waiting: Call[Any] | None = calls[0]
        while waiting is not None:
            self._in_savepoint(connection, waiting)
            if len(calls) >= self._engine.group or time.monotonic() > until:
                return
            waiting = self._next()
            if waiting is not None:
                calls.append(waiting)

    def _in_savepoint(self, connection: Connection, call: Call[Any]) -> None:
        kept = len(connection.hints)
        connection.renewed()
        connection.script("SAVEPOINT f")
        try:
            call.result = call.function(connection, *call.args, **call.kwargs)
        except BaseException as error:
            if not self._engine.in_transaction(self._raw) or self._engine.may_be_repeated(error):
                raise TransactionLost from error
            connection.script("ROLLBACK TO f")
            del connection.hints[kept:]
            call.failed(self._engine.translate(error), error)
        connection.script("RELEASE f")

    def _alone(self, call: Call[Any]) -> None:
        """Runs one function in a transaction of its own, again where that can help."""
        for again in range(REPEATS):
            call.error, call.result = None, None
            try:
                connection = self._begin()
                call.result = call.function(connection, *call.args, **call.kwargs)
                self._commit(connection, [call])
                return
            except BaseException as error:
                lost = isinstance(error, TransactionLost) or self._raw is None or self._engine.is_lost(self._raw)
                self._roll_back()
                call.failed(self._engine.translate(error), error)
                if lost:
                    if again == REPEATS - 1 or not self._reconnected():
                        return
                elif not self._engine.may_be_repeated(error):
                    return

    def _begin(self) -> Connection:
        if self._raw is None:
            self._raw = self._engine.open_writer()
        cursor = self._engine.cursor(self._raw)
        self._begun = self._engine.begin(self._raw, cursor, write=True)
        self._lost_since = None
        return Connection(self._engine, cursor, self._begun.now)

    def _commit(self, connection: Connection, calls: list[Call[Any]]) -> None:
        """Commits, then wakes who listens. Raises TransactionLost when the connection is gone and nothing was kept."""
        names: list[str] = []
        if self._failpoint:
            names = [call.name for call in calls if call.error is None]
            self._failpoint.reached("before", names)
        try:
            self._raw.commit()
        except Exception as error:
            if not self._engine.is_lost(self._raw) or self._begun.mark is None:
                raise
            if not self._was_committed(self._begun.mark):
                raise TransactionLost from error
        if self._failpoint:
            self._failpoint.reached("after", names)
        if connection.hints or self._begun.others:
            self._publish(connection.hints)

    def _was_committed(self, mark: str) -> bool:
        """What became of a commit whose answer was lost: asked of the database, as soon as it can be reached again.

        Raises DatabaseUnreachable when it cannot, or does not know yet; then the function must not be run again.
        """
        self._roll_back()
        while self._reconnected():
            try:
                decided = self._engine.was_committed(self._raw, mark)
            except Exception as error:
                log.warning("what became of a commit could not be asked: %s", error)
                self._roll_back()
                continue
            if decided is not None:
                return decided
        raise DatabaseUnreachable(
            self._engine.name, "the connection was lost at a commit, whether it was kept is unknown"
        )

    def _reconnected(self) -> bool:
        """Tries to connect again, with pauses, until the database has been away for too long; whether it is
        connected."""
        while not self._closing.is_set():
            now = time.monotonic()
            self._lost_since = self._lost_since or now
            if now - self._lost_since >= RECONNECT_SECONDS:
                return False
            self._closing.wait(RECONNECT_PAUSE)
            try:
                if self._raw is None:
                    self._raw = self._engine.open_writer()
            except Exception as error:
                log.warning("the database is away, trying again: %s", error)
            else:
                return True
        return False

    def _publish(self, hints: list[Hint]) -> None:
        """Wakes who listens. It is committed: whatever fails here must not have it run again."""
        try:
            self._hub.publish(hints)
            if self._begun.others:
                self._hub.publish_everything()
            if self.tell is not None:
                self.tell(hints)
        except Exception:
            log.exception("listeners were not woken; they find what was committed when they look")

    def _roll_back(self) -> None:
        if self._raw is None:
            return
        try:
            if self._engine.is_lost(self._raw):
                self._raw.close()
                self._raw = None
            elif self._engine.in_transaction(self._raw):
                self._raw.rollback()
        except Exception as error:
            log.warning("rolling back failed, the connection is opened again: %s", error)
            self._raw.close()
            self._raw = None


class TransactionLost(Exception):
    """The group's transaction is gone, with everything in it."""
