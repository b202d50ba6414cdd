"""Where a coroutine stands still until it is woken; who wakes it can see that it stands. Used in one event loop."""

from __future__ import annotations

import asyncio


class Pause:
    """``wake`` ends the pause that there is; one that begins later begins anew, so look before you pause."""

    __slots__ = ("_loop", "_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._woken: asyncio.Future[None] | None = None

    @property
    def is_on(self) -> bool:
        """Whether somebody stands here who has not been woken."""
        return self._woken is not None and not self._woken.done()

    async def wait(self) -> None:
        self._woken = self._loop.create_future()
        try:
            await self._woken
        finally:
            self._woken = None

    def wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
