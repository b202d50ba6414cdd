"""The writer's thread: it takes all waiting functions at once, runs them in one transaction, and commits the group.

A function that raises is undone alone. Most raise before they have written anything (a refusal, a lost lease), and then
there is nothing to undo; when one has written, the group is run again with a savepoint for each function, and so are
the next groups, in case more of that kind comes. When the whole transaction is lost (disk full, connection gone,
deadlock) its functions are run again, one by one, each in a transaction of its own, so that one cannot take its
neighbours down. Callers resume after the commit.

Where each statement is a trip to a server, a transaction holds one function, or the waiting calls of it that can be run
as one.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from .calls import Call, deliver
from .calls_waiting import Waiting
from .connection import Connection
from .engine import Engine, Neighbours
from .errors import DatabaseClosed, DatabaseUnreachable
from .failpoints import Failpoint
from .measures import Measures
from .merging import many_form, settled
from .posts import gathered
from .standing import Standing, tried
from .transactions import CommitUnknown, TransactionLost, Transactions, Written
from .wakeups import Hint, Hub

log = logging.getLogger("frontdesk.writer")

GROUP_SECONDS: Final = 0.005
CAREFUL_GROUPS: Final = 50  # that are run with savepoints after one that would have needed them
REPEATS: Final = 8  # of a function that other transactions stop
REPEAT_PAUSE: Final = 0.01


class Writer:
    """Owns the connection that writes."""

    def __init__(self, engine: Engine, hub: Hub, measures: Measures, failpoint: Failpoint | None) -> None:
        self._engine, self._hub, self._measures, self._failpoint = engine, hub, measures, failpoint
        self._begun = 0.0  # the transaction that is under way
        self.standing = Standing()
        self.neighbours: Neighbours | None = None  # other processes, who are told of each commit
        self._waiting = Waiting()
        self.submit: Callable[[Call[Any]], None] = self._waiting.put  # in line, or DatabaseClosed, DatabaseOverloaded
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

    def undo(self, call: Call[Any]) -> None:
        """Nobody received the call's result: what it took is given back."""
        if call.error is None and call.give_back is not None:
            try:
                self.submit(Call(call.give_back, (call.result,), first=True))
            except DatabaseClosed:
                log.warning("a claim was not given back because the database is closed; its lease will end it")

    def stop(self) -> None:
        """Ends the thread after what is waiting has been written. It may be called again."""
        self._closing.set()
        self._waiting.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._transactions.close()

    def _run(self) -> None:
        answered = 0
        while self._waiting.wait(answered):
            with gathered():
                answered = self._group()

    def _group(self) -> int:
        """One transaction with as many waiting functions as fit; then their callers are told. How many there were."""
        calls = self._waiting.take()
        if not calls:
            return 0
        self._begun = time.monotonic()
        try:
            if self._engine.group == 1:
                self._as_one(calls)
            else:
                self._together(calls)
        except BaseException as error:  # a mistake of ours: whoever waits must know, and the thread must go on
            log.exception("the writer met an error that it does not know")
            for call in calls:
                call.failed(error)
        deliver(calls, self.undo)
        return len(calls)

    def _together(self, calls: list[Call[Any]]) -> None:
        """Runs ``calls``, and those that wait behind them (added to the list), in one transaction."""
        try:
            connection = self._transactions.begin()
        except Exception as error:
            self._transactions.roll_back()
            for call in calls:
                call.failed(self._engine.translate(error), error)
            return
        claims: list[Call[Any]] = []
        try:
            try:
                self._fill(connection, calls)
            except Written:
                connection = self._carefully(calls)
            claims += self.standing.taken(calls, connection.hints)
            for claim in claims:
                self._in_savepoint(connection, claim)
            self._commit(connection, [*calls, *claims])
        except Exception as error:
            self._transactions.roll_back()
            log.info("a transaction of %d functions was lost, running them one by one: %s", len(calls), error)
            tried(claims)
            for call in list(calls):
                calls += self._alone(call)
        calls += claims

    def _fill(self, connection: Connection, calls: list[Call[Any]]) -> None:
        """Runs functions in the transaction until none is waiting, or it is full. Raises TransactionLost, Written."""
        until = time.monotonic() + GROUP_SECONDS
        run = self._in_savepoint if self._careful else self._without_savepoint
        batch = list(calls)
        while True:
            for call in self._merged(connection, batch) if len(batch) > 1 and not self._careful else batch:
                run(connection, call)
            if len(calls) >= self._engine.group or time.monotonic() > until:
                break
            batch = self._waiting.take()
            if not batch:
                break
            calls += batch
        self._careful = max(0, self._careful - 1)

    def _merged(self, connection: Connection, calls: list[Call[Any]]) -> list[Call[Any]]:
        """Runs calls of one function as one; those that must be run by themselves. Raises TransactionLost, Written."""
        many = many_form(calls[0].function)
        assert many is not None
        kept = len(connection.hints)
        connection.renewed()
        try:
            outcomes = many(connection, [(call.args, call.kwargs) for call in calls])
        except BaseException as error:
            if not self._transactions.going_on or self._engine.may_be_repeated(error):
                raise TransactionLost from error
            if connection.written:
                raise Written from error
            del connection.hints[kept:]
            return list(calls)
        return [
            one for one, came in zip(calls, outcomes, strict=True) if not settled(one, came, self._engine.translate)
        ]

    def _carefully(self, calls: list[Call[Any]]) -> Connection:
        """Runs the functions again, in a new transaction, each in a savepoint."""
        self._careful = CAREFUL_GROUPS
        self._transactions.roll_back()
        connection = self._transactions.begin()
        for call in calls:
            self._in_savepoint(connection, call)
        return connection

    def _without_savepoint(self, connection: Connection, call: Call[Any]) -> None:
        """Runs a function that must not fail after it has written. Raises Written when it does."""
        kept = len(connection.hints)
        connection.renewed()
        try:
            call.result = call.function(connection, *call.args, **call.kwargs)
        except BaseException as error:
            if not self._transactions.going_on or self._engine.may_be_repeated(error):
                raise TransactionLost from error
            if connection.written:
                raise Written from error
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

    def _as_one(self, calls: list[Call[Any]]) -> None:
        """Runs calls of one function in one transaction, and one by one what cannot be run so. ``calls`` gets the
        claims that were made with them."""
        left = list(calls)
        if many_form(calls[0].function) is not None:  # for one it is the shorter way too
            claims: list[Call[Any]] = []
            try:
                connection = self._transactions.begin()
                left = self._merged(connection, calls)
                done = [call for call in calls if call not in left]
                claims += self.standing.taken(done, connection.hints)
                self._commit_with(connection, done, claims)
            except Exception as error:
                self._transactions.roll_back()
                if isinstance(error, CommitUnknown):
                    for call in calls:
                        call.failed(error.error)
                    left = []
                else:
                    log.info("%d calls could not be run as one, running them one by one: %s", len(calls), error)
                    left = list(calls)
            calls += claims
        for call in left:
            calls += self._alone(call)

    def _alone(self, call: Call[Any]) -> list[Call[Any]]:
        """Runs one function in a transaction of its own, again where that can help; the claims that came with it."""
        claims: list[Call[Any]] = []
        for again in range(REPEATS):
            call.error, call.result, taken = None, None, list[Call[Any]]()
            try:
                connection = self._transactions.begin()
                call.result = call.function(connection, *call.args, **call.kwargs)
                claims += (taken := self.standing.taken([call], connection.hints))  # each once: it may be what fails
                self._commit_with(connection, [call], taken)
                break
            except BaseException as error:
                lost = isinstance(error, TransactionLost) or self._transactions.lost
                self._transactions.roll_back()
                if unknown := isinstance(error, CommitUnknown):
                    error = error.error
                call.failed(self._engine.translate(error), error)
                if lost:
                    if again == REPEATS - 1 or not self._transactions.reconnected():
                        break
                elif unknown or not (taken or self._engine.may_be_repeated(error)):
                    break
                else:
                    time.sleep(random.uniform(0, REPEAT_PAUSE))  # whoever was in the way is at its end
        return claims

    def _commit_with(self, connection: Connection, calls: list[Call[Any]], claims: list[Call[Any]]) -> None:
        """Runs claims in the transaction and commits it. When it fails, nothing has been claimed. Raises CommitUnknown
        when that cannot be known."""
        if not calls:
            return self._transactions.roll_back()  # nothing was written
        try:
            for claim in claims:
                claim.result = claim.function(connection, *claim.args, **claim.kwargs)
            self._commit(connection, [*calls, *claims])
        except DatabaseUnreachable as error:
            for claim in claims:
                claim.failed(error)
            raise CommitUnknown(error) from error
        except Exception:
            tried(claims)
            raise

    def _commit(self, connection: Connection, calls: list[Call[Any]]) -> None:
        """Commits, then wakes who listens. Raises TransactionLost when the connection is gone and nothing was kept."""
        names = [call.name for call in calls if call.error is None] if self._failpoint else []
        if self._failpoint:
            self._transactions.settle()
            self._failpoint.reached("before", names)
        told = self.neighbours and self.neighbours.told_with(connection.hints)
        self._transactions.commit(told)
        self._measures.took("commit", time.monotonic() - self._begun)
        self._measures.count("written", by=len(calls))
        if self._failpoint:
            self._failpoint.reached("after", names)
        if connection.hints or self._transactions.others:
            self._publish(connection.hints, told=told is not None)

    def _publish(self, hints: list[Hint], *, told: bool) -> None:
        """Wakes who listens, elsewhere too unless they were ``told``. Whatever fails must not have it run again."""
        try:
            self._hub.publish(hints)
            if self._transactions.others:
                self._hub.publish_everything()
            if self.neighbours is not None and not told:
                self.neighbours.tell(hints)
        except Exception:
            log.exception("listeners were not woken; they find what was committed when they look")
