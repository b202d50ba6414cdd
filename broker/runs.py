"""A run: one claimed task inside a worker, and how it is stopped. Handlers do the work; what a handler must do is said here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

import anyio

from .database import Database
from .rows import Claim

Stop = Literal["cancel", "drain", "lost"]


class Run:
    """One claim at work. Everything here belongs to the worker's event loop, except ``cancel``, which threads read."""

    def __init__(
        self, claim: Claim, database: Database, spawn: Callable[[Callable[[], Awaitable[None]]], None]
    ) -> None:
        self.claim, self.database = claim, database
        self.spawn = spawn  # starts a coroutine function beside the run, in the worker's task group
        self.cancel = threading.Event()
        self.left = asyncio.Event()  # set when nobody waits for the run's thread any more
        self.scope = anyio.CancelScope()
        self.stop: Stop | None = None
        self.over = False  # its claim has been ended; what still comes is ignored
        self._afterwards: list[Callable[[], None]] = []

    def when_over(self, function: Callable[[], None]) -> None:
        """Calls ``function`` when the run has left its slot."""
        self._afterwards.append(function)

    def close(self) -> None:
        """The run has left its slot."""
        for function in self._afterwards:
            function()

    def ask(self, stop: Stop) -> bool:
        """Stops the run; whether this was the first time. A lost lease wins over everything: nothing may be written any more."""
        first = self.stop is None
        if first or stop == "lost":
            self.stop = stop
        if first:
            self.cancel.set()
            self.scope.cancel()
        return first


class Handler(Protocol):
    """Runs tasks of one kind."""

    async def run(self, run: Run) -> None:
        """Does the work and ends the claim: finish, park, or retry. It may be cancelled at every await; then it must not end the claim."""
        ...

    async def cancelled(self, run: Run, *, abandoned: bool) -> None:
        """Ends the claim as cancelled: after the run has stopped, or (``abandoned``) when it does not stop."""
        ...

    async def failed(self, run: Run, error: Exception) -> None:
        """Ends the claim after `run` raised something that it should have dealt with."""
        ...
