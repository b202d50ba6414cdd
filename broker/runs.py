"""A run: one claimed task inside a worker, and how it is stopped. What a handler, which does the work, must do is said
here."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import cached_property
from typing import Any, Final, Literal, Protocol, TypeVar

import anyio

from .database import Database
from .errors import DatabaseClosed, DatabaseError, LeaseLost
from .queue import Held
from .rows import Claim

log = logging.getLogger("frontdesk.runs")

T = TypeVar("T")
Stop = Literal["cancel", "timeout", "drain", "lost"]
Spawn = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]

PERSIST_SECONDS: Final = 0.5


class Run:
    """One claim at work. Everything here belongs to the worker's event loop; threads may keep and read ``cancel``."""

    def __init__(self, claim: Claim, database: Database, spawn: Spawn) -> None:
        self.claim, self.database = claim, database
        self.spawn = spawn  # starts a coroutine function beside the run, in the worker's loop
        self.scope = anyio.CancelScope()
        self.stop: Stop | None = None
        self.begun = False  # a function's own code has begun; set by its handler
        self.over = False  # its claim has been ended; what still comes is ignored
        self.frees: object = None  # the slots of which one is free after its end; a claim may be in the same commit
        self.kill: Callable[[], None] | None = None  # ends by force what the run has started; set by its handler
        self.deadline: float | None = None  # in the loop's time; looked at now and then
        self._cancel: threading.Event | None = None
        self._gone: asyncio.Event | None = None
        self._closed = False
        self._afterwards: list[Callable[[], None]] = []
        self._when_asked: list[Callable[[], None]] = []

    @property
    def held(self) -> Held:
        """The claim, as the queue names it."""
        return self.claim.task_id, self.claim.epoch

    @cached_property
    def left(self) -> asyncio.Event:
        """Set when nobody waits for the run's thread any more."""
        return asyncio.Event()

    @property
    def gone(self) -> asyncio.Event:
        """Set when the run has left its slot."""
        if self._gone is None:
            self._gone = asyncio.Event()
            if self._closed:
                self._gone.set()
        return self._gone

    @property
    def cancel(self) -> threading.Event:
        """Set when the run is asked to stop."""
        if self._cancel is None:
            self._cancel = threading.Event()
            if self.stop is not None:
                self._cancel.set()
        return self._cancel

    def when_asked(self, function: Callable[[], None]) -> None:
        """Calls ``function`` when the run is asked to stop for a reason of its own: a cancel, a timeout."""
        self._when_asked.append(function)

    def when_over(self, function: Callable[[], None]) -> None:
        """Calls ``function`` when the run has left its slot."""
        self._afterwards.append(function)

    def close(self) -> None:
        """The run has left its slot."""
        self._closed = True
        if self._gone is not None:
            self._gone.set()
        for function in self._afterwards:
            function()

    def ask(self, stop: Stop) -> bool:
        """Stops the run; whether this was the first time. A lost lease wins over everything: nothing may be written any
        more. A run that is over is left to its last write."""
        first = self.stop is None
        if first or stop == "lost":
            self.stop = stop
        if first:
            if self._cancel is not None:
                self._cancel.set()
            if not self.over:
                self.scope.cancel()
            if stop in ("cancel", "timeout"):
                for function in self._when_asked:
                    function()
        return first

    async def persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Awaits ``attempt()``, again and again while the database cannot do it: a full disk must not cost a result.

        It ends when the lease is lost or the worker leaves. Raises LeaseLost, a DatabaseError.
        """
        while True:
            try:
                return await attempt()
            except DatabaseClosed:
                raise
            except DatabaseError as error:
                if self.stop == "lost":
                    raise LeaseLost(*self.held) from error
                if self.left.is_set():
                    raise
                log.warning("%s cannot be written, trying again: %s", self.claim.task_id, error)
            with anyio.move_on_after(PERSIST_SECONDS):
                await self.left.wait()


def stop_late(runs: Iterable[Run], now: float) -> None:
    """Asks runs to stop that are past their deadline."""
    for run in runs:
        if run.deadline is not None and run.deadline <= now:
            run.ask("timeout")


class Handler(Protocol):
    """Runs tasks of one kind."""

    async def run(self, run: Run) -> None:
        """Does the work and ends the claim: finish, park, or retry. It may be cancelled at every await; then it must
        not end the claim."""
        ...

    async def cancelled(self, run: Run, *, abandoned: bool) -> None:
        """Ends the claim of a run that was cancelled or (``run.stop``) took too long: after it has stopped, or
        (``abandoned``) when it does not stop."""
        ...

    async def failed(self, run: Run, error: Exception) -> None:
        """Ends the claim after `run` raised something that it should have dealt with."""
        ...
