"""Running a blocking function beside the event loop, so that a cancellation can leave it behind and the bound on
threads still holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter, run_sync

R = TypeVar("R")


async def in_thread(function: Callable[[], R], limiter: CapacityLimiter | None = None) -> R:
    """Run ``function`` in a thread and return its result. A cancellation returns at once and abandons the thread,
    which nothing can stop.

    ``limiter`` (by default, that of the event loop) bounds the threads that run: an abandoned one counts until it
    has really ended, and a function that is given up before its thread began is never run. anyio alone would free
    the place of an abandoned thread at once.
    """
    limiter = current_default_thread_limiter() if limiter is None else limiter
    place = object()
    await limiter.acquire_on_behalf_of(place)
    loop = asyncio.get_running_loop()
    start = [place]  # taken once (list.pop is atomic): by the thread that begins, or by the caller that gives up before

    def run() -> R:
        start.pop()
        try:
            return function()
        finally:
            with suppress(RuntimeError):  # the loop is closed: nobody waits for the place
                loop.call_soon_threadsafe(limiter.release_on_behalf_of, place)

    try:
        return await run_sync(run, abandon_on_cancel=True, limiter=CapacityLimiter(1))
    except BaseException:
        with suppress(IndexError):
            start.pop()
            limiter.release_on_behalf_of(place)
        raise
