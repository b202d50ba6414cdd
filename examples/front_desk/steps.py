"""Long work in short steps: how a job reports progress, stays cancellable and keeps the event loop free.

A job is a generator. It does a bounded piece of work, yields how far it is, and is asked for the next piece;
``run_steps`` asks for each piece in a thread. A cancel therefore takes effect between two pieces. What the work is
stands in the modules of the jobs.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from anyio import to_thread

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: ``fraction`` from 0 to 1, and what it is at."""

    fraction: float
    message: str


Steps: TypeAlias = Generator[Progress, None, R]


@dataclass(slots=True)
class Pace:
    """Says when a job should come up for air: true once every ``seconds``. Zero is always, which tests use."""

    seconds: float = 0.25
    clock: Callable[[], float] = time.monotonic
    _last: float = 0.0

    def __post_init__(self) -> None:
        self._last = self.clock()

    def due(self) -> bool:
        """Whether it is time to yield. Call it after each bounded piece of work; it costs less than a microsecond."""
        now = self.clock()
        if now - self._last < self.seconds:
            return False
        self._last = now
        return True


@dataclass(frozen=True, slots=True)
class _Finished(Generic[R]):
    value: R


def _advance(steps: Steps[R]) -> Progress | _Finished[R]:
    try:
        return next(steps)
    except StopIteration as stop:  # must not cross the thread as an exception
        return _Finished(stop.value)


async def run_steps(steps: Steps[R], report: Callable[[float, str], Awaitable[None]]) -> R:
    """Runs a job to its end, each step in a thread, and awaits ``report(fraction, message)`` between steps."""
    try:
        while True:
            step = await to_thread.run_sync(_advance, steps)
            if isinstance(step, _Finished):
                return step.value
            await report(step.fraction, step.message)
    finally:
        with suppress(
            ValueError
        ):  # still inside a step, if the wait for its thread was broken off: it ends with that step
            steps.close()


def run_now(steps: Steps[R]) -> R:
    """Runs a job to its end in this thread, for scripts and tests that need no progress."""
    while not isinstance(step := _advance(steps), _Finished):
        pass
    return step.value
