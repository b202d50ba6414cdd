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


async def in_thread(function: Callable[[], R], limiter: CapacityLimiter | None = None) -> R:
    """Run ``function`` in a thread and return its result. A cancellation returns at once; nothing can stop the thread.

    ``limiter`` (by default, the event loop's) bounds the threads: an abandoned one counts until it has really ended.
    A function that is given up before its thread has begun is never run.
    """
    limiter = current_default_thread_limiter() if limiter is None else limiter
    place = object()
    try:
        limiter.acquire_on_behalf_of_nowait(place)
    except WouldBlock:
        await limiter.acquire_on_behalf_of(place)
    loop = asyncio.get_running_loop()
    begin = [place]  # taken by whoever is first: the thread that begins, or the caller that gives up before
    end = [
        place
    ]  # taken by whoever is first: the thread that ends, or the caller that leaves it; the second frees the place

    def run() -> R:
        begin.pop()
        try:
            return function()
        finally:
            if not _taken(end):
                with suppress(RuntimeError):  # the loop is closed: nobody waits for the place
                    loop.call_soon_threadsafe(limiter.release_on_behalf_of, place)

    try:
        result = await run_sync(run, abandon_on_cancel=True, limiter=CapacityLimiter(1))
    except BaseException:
        if _taken(begin) or not _taken(end):
            limiter.release_on_behalf_of(place)
        raise
    limiter.release_on_behalf_of(place)
    return result


def _taken(token: list[object]) -> bool:
    """Take ``token`` if it is still there. ``list.pop`` is atomic, so of two threads exactly one gets it."""
    try:
        token.pop()
    except IndexError:
        return False
    return True
