"""What a worker clears away beside its work: the event log beyond what is kept, conversations whose time is over, and
what tenants used long ago.

Each commit is small, and between two of them others have their turn. Every worker goes round all conversations from a
place of its own, so it does not matter how long one lives, or how many there are.
"""

from __future__ import annotations

import asyncio
import logging

import anyio

from ..broker import usage
from ..broker.database import Database
from ..broker.errors import DatabaseClosed, DatabaseError
from ..broker.retention import Keep, overdue, shorten_log
from ..tasks.request import new_id
from . import removal

log = logging.getLogger("frontdesk.clearing")

PERIOD = 5.0  # seconds between two looks
PAUSE = 0.02  # seconds between two commits


class Clearing:
    """Clears a database according to ``keep`` until the worker drains."""

    def __init__(self, database: Database, keep: Keep | None = None, *, period: float = PERIOD) -> None:
        self._database, self._keep, self._period = database, keep or Keep(), period
        self._place = new_id("conv")  # somewhere among all ids
        self._tenant = usage.FIRST_TENANT

    async def run(self, draining: asyncio.Event) -> None:
        """Returns when the database is closed, or ``draining`` is set."""
        while not draining.is_set():
            try:
                await self.look(draining)
            except DatabaseClosed:
                return
            except DatabaseError as error:
                log.warning("clearing away failed, this is done again later: %s", error)
            except Exception:
                log.exception("clearing away failed, this is done again later")
            with anyio.move_on_after(self._period):
                await draining.wait()

    async def look(self, draining: asyncio.Event) -> None:
        """Looks once, at some conversations, and clears what is due of them."""
        for one in await self._database.read(removal.expired):
            while await self._database.write(removal.remove_conversation, one) and not await _paused(draining):
                pass
        due, self._place = await self._database.read(overdue, self._keep, self._place)
        for one in due:
            while await self._database.write(shorten_log, one, self._keep) and not await _paused(draining):
                pass
        old, self._tenant = await self._database.read(usage.outdated, self._tenant)
        for one in old:
            while await self._database.write(usage.prune, one) and not await _paused(draining):
                pass


async def _paused(draining: asyncio.Event) -> bool:
    """Lets others have their turn; whether the worker drains."""
    with anyio.move_on_after(PAUSE):
        await draining.wait()
    return draining.is_set()
