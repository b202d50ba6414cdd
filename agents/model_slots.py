"""How many model calls run at once: in this process, and for each tenant. Whoever has to wait is served in turn.

Thread-safe: a desk's worker and `Desk.run` have event loops of their own.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..tasks.errors import InvalidOption


@dataclass(eq=False, slots=True)
class _Waiter:
    tenant: str
    loop: asyncio.AbstractEventLoop
    come: asyncio.Event
    has_slot: bool = False


class ModelSlots:
    """Slots for model calls; None: no bound. A call waits for its turn, and holds up nobody whose own bound is free.

    Raises:
        InvalidOption: a bound below one.
    """

    def __init__(self, most: int | None = None, per_tenant: int | None = None) -> None:
        for name, value in (("model_calls_at_once", most), ("model_calls_per_tenant", per_tenant)):
            if value is not None and value < 1:
                raise InvalidOption(f"{name} is one or more, not {value!r}")
        self.most, self.per_tenant = most, per_tenant
        self._lock = threading.Lock()
        self._used: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []

    @asynccontextmanager
    async def one(self, tenant: str) -> AsyncGenerator[None, None]:
        """A slot for as long as the context is open."""
        if self.most is None and self.per_tenant is None:
            yield
            return
        await self._take(tenant)
        try:
            yield
        finally:
            with self._lock:
                self._give(tenant)

    async def _take(self, tenant: str) -> None:
        with self._lock:
            if self._is_free(tenant):
                self._used[tenant] += 1
                return
            waiter = _Waiter(tenant, asyncio.get_running_loop(), asyncio.Event())
            self._waiting.append(waiter)
        try:
            await waiter.come.wait()
        except BaseException:
            with self._lock:
                if waiter.has_slot:
                    self._give(tenant)
                else:
                    self._waiting.remove(waiter)
            raise

    def _is_free(self, tenant: str) -> bool:
        if self.per_tenant is not None and self._used[tenant] >= self.per_tenant:
            return False
        return self.most is None or self._used.total() < self.most

    def _give(self, tenant: str) -> None:
        """Gives a slot back, to those who have waited longest and may have it."""
        self._used[tenant] -= 1
        if not self._used[tenant]:
            del self._used[tenant]
        for waiter in [*self._waiting]:
            if self._is_free(waiter.tenant):
                self._waiting.remove(waiter)
                self._used[waiter.tenant] += 1
                waiter.has_slot = True
                try:
                    waiter.loop.call_soon_threadsafe(waiter.come.set)
                except RuntimeError:  # its event loop was closed: nobody is there to use it
                    self._used[waiter.tenant] -= 1
