"""Running a blocking function beside the event loop: it can be left behind, and the bound on threads still holds.

anyio runs the thread. It would free the place of an abandoned one at once; then nothing would bound them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from anyio import CapacityLimiter, WouldBlock
from anyio.to_thread import current_default_thread_limiter, run_sync

R = TypeVar("R")


class Place:
    """One place of a limiter: taken once, given back once, whoever is last with it."""

    def __init__(self, limiter: CapacityLimiter) -> None:
        self._limiter = limiter
        self._held: list[object] = []
        self.lent = False  # to a thread: that gives it back

    async def take(self) -> None:
        """Waits for the place."""
        try:
            self._limiter.acquire_on_behalf_of_nowait(self)
        except WouldBlock:
            await self._limiter.acquire_on_behalf_of(self)
        self._held.append(self)

    @property
    def is_taken(self) -> bool:
        return bool(self._held)

    def give_back(self) -> None:
        """Frees the place; nothing the second time."""
        if _taken(self._held):
            self._limiter.release_on_behalf_of(self)


async def in_thread(
    function: Callable[[], R], limiter: CapacityLimiter | None = None, *, place: Place | None = None
) -> R:
    """Run ``function`` in a thread and return its result. A cancellation returns at once; nothing can stop the thread.

    ``limiter`` (by default, the event loop's) bounds the threads: an abandoned one counts until it has really ended.
    ``place`` is a place that the caller has taken already; it is given back here. A function that is given up before
    its thread has begun is never run.
    """
    place = place or Place(current_default_thread_limiter() if limiter is None else limiter)
    if not place.is_taken:
        await place.take()
    place.lent = True
    loop = asyncio.get_running_loop()
    token = object()
    begin = [token]  # taken by whoever is first: the thread that begins, or the caller that gives up before
    end = [token]  # taken by whoever is first: the thread that ends, or the caller that leaves it; the second frees

    def run() -> R:
        begin.pop()
        try:
            return function()
        finally:
            if not _taken(end):
                with suppress(RuntimeError):  # the loop is closed: nobody waits for the place
                    loop.call_soon_threadsafe(place.give_back)

    try:
        result = await run_sync(run, abandon_on_cancel=True, limiter=CapacityLimiter(1))
    except BaseException:
        if _taken(begin) or not _taken(end):
            place.give_back()
        raise
    place.give_back()
    return result


def _taken(token: list[object]) -> bool:
    """Take ``token`` if it is still there. ``list.pop`` is atomic, so of two threads exactly one gets it."""
    try:
        token.pop()
    except IndexError:
        return False
    return True
