"""What a connection's reader and its senders stand before: asyncio's Queue and Event, as far as uvicorn's protocol asks
them, in a tenth of the memory. Every idle connection has one of each, and asyncio's take 3.7 KiB. One event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, Literal, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Things in the order in which they came. What may be put in is bounded by who puts it in."""

    __slots__ = ("_held", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: deque[T] | None = None  # there while something is in it
        self._waiting: list[asyncio.Future[None]] = []  # one, as a rule

    def empty(self) -> bool:
        return self._held is None

    def put_nowait(self, thing: T) -> None:
        if self._held is None:
            self._held = deque()
        self._held.append(thing)
        self._wake()

    async def get(self) -> T:
        """Takes the oldest thing out, as soon as there is one. Who is cancelled has taken nothing."""
        while self._held is None:
            await self._wait()
        thing = self._held.popleft()
        if not self._held:
            self._held = None
        return thing

    async def _wait(self) -> None:
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif self._held is not None:  # woken for what another one can take now
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return


class Gate:
    """Open at first. Whoever waits before it while it is closed goes on when it has been opened, even if it is closed
    again at once.
    """

    __slots__ = ("_is_open", "_opened")

    def __init__(self) -> None:
        self._is_open = True
        self._opened: asyncio.Event | None = None  # there while somebody waits

    def set(self) -> None:
        self._is_open = True
        if self._opened is not None:
            self._opened.set()
            self._opened = None

    def clear(self) -> None:
        self._is_open = False

    def is_set(self) -> bool:
        return self._is_open

    async def wait(self) -> Literal[True]:
        if not self._is_open:
            if self._opened is None:
                self._opened = asyncio.Event()
            await self._opened.wait()
        return True
