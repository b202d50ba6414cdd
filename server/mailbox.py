"""What a connection's reader and its senders stand before: asyncio's Queue and Event, as far as uvicorn's protocol asks
them, in a tenth of the memory. Every idle connection has one of each, and asyncio's take 3.7 KiB. One event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, Literal, TypeVar

from .pause import Pause

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Things in the order in which they came, for one reader. What may be put in is bounded by who puts it in."""

    __slots__ = ("_held", "_pause")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._held: deque[T] | None = None  # there while something is in it
        self._pause = Pause(loop)

    def empty(self) -> bool:
        return not self._held

    def put_nowait(self, thing: T) -> None:
        if self._held is None:
            self._held = deque()
        self._held.append(thing)
        self._pause.wake()

    async def get(self) -> T:
        """Takes the oldest thing out, as soon as there is one. A reader that is cancelled has taken nothing."""
        while self._held is None:
            await self._pause.wait()
        thing = self._held.popleft()
        if not self._held:
            self._held = None
        return thing


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
