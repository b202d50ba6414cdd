"""The writer's thread: it takes all waiting functions at once, runs them in one transaction, and commits the group.

A function that raises is undone alone. Most raise before they have written anything (a refusal, a lost lease), and then
there is nothing to undo; when one has written, the group is run again with a savepoint for each function, and so are
the next groups, in case more of that kind comes. When the whole transaction is lost (disk full, connection gone,
deadlock) its functions are run again, one by one, each in a transaction of its own, so that one cannot take its
neighbours down. Callers resume after the commit.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from .calls import Call, deliver
from .connection import Connection
from .engine import Engine
from .errors import DatabaseClosed, DatabaseOverloaded
from .failpoints import Failpoint
from .measures import Measures
from .posts import gathered
from .transactions import TransactionLost, Transactions
from .wakeups import Hint, Hub, TasksReady

log = logging.getLogger("frontdesk.writer")

WAITING_LIMIT: Final = 20_000
GROUP_SECONDS: Final = 0.005
CAREFUL_GROUPS: Final = 50  # that are run with savepoints after one that would have needed them
REPEATS: Final = 8  # of a function that other transactions stop
REPEAT_PAUSE: Final = 0.01


class Writer:
    """Owns the connection that writes."""

    def __init__(self, engine: Engine, hub: Hub, measures: Measures, failpoint: Failpoint | None) -> None:
        self._engine, self._hub, self._measures, self._failpoint = engine, hub, measures, failpoint
        self._begun = 0.0  # the transaction that is under way
        self.tell: Callable[[list[Hint]], None] | None = None  # other processes, after each commit
        self._lock = threading.Condition()
        self._first: deque[Call[Any]] = deque()
        self._rest: deque[Call[Any]] = deque()
        self._standing: dict[str, Call[Any]] = {}  # by slot: who claims in the commit that makes tasks ready
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._transactions = Transactions(engine, self._closing)
        self._careful = 0

    def start(self, prepare: Callable[[Connection, Engine], None]) -> None:
        """Connects, brings the schema up to date with ``prepare``, then starts the thread. Raises a DatabaseError."""
        call: Call[None] = Call(prepare, (self._engine,))
        self._transactions.open()
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

    def stand(self, slot: str, call: Call[Any]) -> None:
        """Has the call run in the next transaction that makes tasks of this slot ready, in place of one that stood
        there. Where functions are not run together nothing comes of it.
        """
        self._standing[slot] = call

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
        self._transactions.close()

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._first and not self._rest:
                    if self._closing.is_set():
                        return
                    self._lock.wait()
            with gathered():
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
        calls, self._begun = [first], time.monotonic()
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
            connection = self._transactions.begin()
        except Exception as error:
            self._transactions.roll_back()
            calls[0].failed(self._engine.translate(error), error)
            return
        try:
            try:
                self._fill(connection, calls)
            except _Written:
                connection = self._carefully(calls)
            self._claim(connection, calls)
            self._commit(connection, calls)
        except Exception as error:
            self._transactions.roll_back()
            log.info("a transaction of %d functions was lost, running them one by one: %s", len(calls), error)
            for call in calls:
                self._alone(call)

    def _fill(self, connection: Connection, calls: list[Call[Any]]) -> None:
        """Runs functions in the transaction until none is waiting, or it is full. Raises TransactionLost, _Written."""
        until = time.monotonic() + GROUP_SECONDS
        run = self._in_savepoint if self._careful else self._without_savepoint
        self._careful = max(0, self._careful - 1)
        waiting: Call[Any] | None = calls[0]
        while waiting is not None:
            run(connection, waiting)
            if len(calls) >= self._engine.group or time.monotonic() > until:
                return
            waiting = self._next()
            if waiting is not None:
                calls.append(waiting)

    def _claim(self, connection: Connection, calls: list[Call[Any]]) -> None:
        """Runs those that stand for what this transaction has made ready. Raises TransactionLost."""
        if self._standing:
            for slot in {hint.slot for hint in connection.hints if isinstance(hint, TasksReady)}:
                call = self._standing.pop(slot, None)
                if call is not None and not call.abandoned():
                    calls.append(call)
                    self._in_savepoint(connection, call)

    def _carefully(self, calls: list[Call[Any]]) -> Connection:
        """Runs the functions again, in a new transaction, each in a savepoint."""
        self._careful = CAREFUL_GROUPS
        self._transactions.roll_back()
        connection = self._transactions.begin()
        for call in calls:
            self._in_savepoint(connection, call)
        return connection

    def _without_savepoint(self, connection: Connection, call: Call[Any]) -> None:
        """Runs a function that must not fail after it has written. Raises _Written when it does."""
        kept = len(connection.hints)
        connection.renewed()
        try:
            call.result = call.function(connection, *call.args, **call.kwargs)
        except BaseException as error:
            if not self._transactions.going_on or self._engine.may_be_repeated(error):
                raise TransactionLost from error
            if connection.written:
                raise _Written from error
            del connection.hints[kept:]
            call.failed(self._engine.translate(error), error)

    def _in_savepoint(self, connection: Connection, call: Call[Any]) -> None:
        kept = len(connection.hints)
        call.error, call.result = None, None
        connection.renewed()
        connection.script("SAVEPOINT f")
        try:
            call.result = call.function(connection, *call.args, **call.kwargs)
        except BaseException as error:
            if not self._transactions.going_on or self._engine.may_be_repeated(error):
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
                connection = self._transactions.begin()
                call.result = call.function(connection, *call.args, **call.kwargs)
                self._commit(connection, [call])
                return
            except BaseException as error:
                lost = isinstance(error, TransactionLost) or self._transactions.lost
                self._transactions.roll_back()
                call.failed(self._engine.translate(error), error)
                if lost:
                    if again == REPEATS - 1 or not self._transactions.reconnected():
                        return
                elif not self._engine.may_be_repeated(error):
                    return
                else:
                    time.sleep(random.uniform(0, REPEAT_PAUSE))  # whoever was in the way is at its end

    def _commit(self, connection: Connection, calls: list[Call[Any]]) -> None:
        """Commits, then wakes who listens. Raises TransactionLost when the connection is gone and nothing was kept."""
        names: list[str] = []
        if self._failpoint:
            names = [call.name for call in calls if call.error is None]
            self._failpoint.reached("before", names)
        self._transactions.commit()
        self._measures.took("commit", time.monotonic() - self._begun)
        self._measures.count("written", by=len(calls))
        if self._failpoint:
            self._failpoint.reached("after", names)
        if connection.hints or self._transactions.others:
            self._publish(connection.hints)

    def _publish(self, hints: list[Hint]) -> None:
        """Wakes who listens. It is committed: whatever fails here must not have it run again."""
        try:
            self._hub.publish(hints)
            if self._transactions.others:
                self._hub.publish_everything()
            if self.tell is not None:
                self.tell(hints)
        except Exception:
            log.exception("listeners were not woken; they find what was committed when they look")


class _Written(Exception):
    """A function raised after it had written, and there is no savepoint to go back to."""
