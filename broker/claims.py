"""How a worker comes by its claims: it claims as much as it has free slots, whenever something may be ready.

A claim that was made and not received (its worker was cancelled, the commit's answer was lost) is never left to its
lease: it is found again by the owner text under which it was made, and given back.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from typing import Final, NamedTuple

import anyio

from . import leases, queue
from .clock import Owner
from .database import Database
from .errors import DatabaseClosed, DatabaseError
from .rows import Claim
from .slots import Slots

log = logging.getLogger("frontdesk.claims")

STANDING: Final = 2  # claims that stand for slots


class _Standing(NamedTuple):
    """Claims that will be made when slots are free, and the owner text under which they are made."""

    owner: str
    claims: asyncio.Future[list[Claim]]


class Claims:
    """Claims of one worker. ``queues``: from which it claims tasks, None for all."""

    def __init__(
        self, database: Database, owner: Owner, *, lease: float, poll: float, queues: Collection[str] | None = None
    ) -> None:
        self._database, self._owner, self._lease, self._poll = database, owner, lease, poll
        self._queues = None if queues is None else frozenset(queues)
        self._numbers = itertools.count()
        self._unreceived: list[str] = []  # owner texts of claims that may have been made, and were not received

    async def each(self, slots: Slots, start: Callable[[Claim], None], *, until: asyncio.Event) -> None:
        """Calls ``start`` with each claim. A mistake of ours does not end this: a worker that claims nothing more would
        look as if it were alive."""
        while not until.is_set():
            try:
                async for claim in self.of(slots, until=until):
                    start(claim)
                return  # drained, or the database was closed
            except Exception:
                log.exception("claiming failed in the worker's own code, trying again in a moment")
                await anyio.sleep(self._poll)

    async def of(self, slots: Slots, *, until: asyncio.Event) -> AsyncIterator[Claim]:
        """Claims for the free slots. Whoever receives one takes a slot before it asks for the next."""
        listening = self._database.hub.listen("ready", slots.slot, slots.wake)
        names = sorted(slots.handlers)
        standing: deque[_Standing] = deque()
        look = True
        try:
            while not until.is_set():
                slots.changed.clear()
                claims = self._received(standing)
                look = look or len(standing) < STANDING  # some were answered, if with nothing
                self._stand(slots, names, standing)
                if claims:
                    look = True
                elif (wanted := slots.free) <= 0:
                    await slots.changed.wait()
                    look = True
                elif look or slots.woken:
                    slots.woken = 0
                    claims = await self._now(slots.slot, names, wanted)
                    look = len(claims) == wanted
                else:
                    claims = await self._when_ready(slots, names, wanted)
                    look = len(claims) == wanted or not claims
                for claim in claims:
                    yield claim
            for claim in self._received(standing):  # given back by whoever starts it
                yield claim
        except DatabaseClosed:
            log.info("the database was closed: nothing more is claimed")
        finally:
            listening.stop()
            self._database.forget_free(slots.freed)
            for one in standing:
                if not one.claims.cancel():
                    self._unreceived.append(one.owner)

    def _received(self, standing: deque[_Standing]) -> list[Claim]:
        """What was claimed in the commits that freed slots."""
        found: list[Claim] = []
        while standing and standing[0].claims.done():
            one = standing.popleft()
            try:
                found += one.claims.result()
            except DatabaseClosed:
                raise
            except Exception:
                log.exception("claiming failed, trying again")
                self._unreceived.append(one.owner)
        return found

    def _stand(self, slots: Slots, names: list[str], standing: deque[_Standing]) -> None:
        """Stands for the commits that will free slots. While the claims of one are on their way, the commit behind it
        takes the other."""
        while len(standing) < STANDING:
            owner = self._owner_text()
            claims = self._database.take_when_free(
                slots.freed, queue.release, queue.claim_so_many, slots.slot, names, owner, self._lease, self._queues
            )
            claims.add_done_callback(lambda _: slots.tell())
            standing.append(_Standing(owner, claims))

    async def _now(self, slot: str, names: list[str], limit: int) -> list[Claim]:
        owner = self._owner_text()
        try:
            return await self._database.take(
                queue.release, queue.claim, slot, names, owner, self._lease, limit, self._queues
            )
        except DatabaseClosed:
            raise
        except DatabaseError as error:
            log.error("claiming failed, trying again in a moment: %s", error)
        except Exception:
            log.exception("claiming failed, trying again in a moment")
        self._unreceived.append(owner)
        await anyio.sleep(self._poll)
        return []

    async def _when_ready(self, slots: Slots, names: list[str], limit: int) -> list[Claim]:
        """Waits until something is ready. What this process makes ready is claimed in the same commit; for the rest,
        and after a while in any case, there are no claims: then look.
        """
        owner = self._owner_text()
        slots.news.clear()
        standing = self._database.take_when_ready(
            slots.slot, queue.release, queue.claim, slots.slot, names, owner, self._lease, limit, self._queues
        )
        waits = True

        def told(_: object) -> None:
            if waits:  # afterwards it would wake the next wait, which would look for nothing
                slots.news.set()

        standing.add_done_callback(told)
        try:
            with anyio.move_on_after(self._poll):
                await slots.news.wait()
            if not standing.done() and self._database.withdraw(slots.slot, standing):
                return []
            claims = await standing
            slots.woken -= 1  # by the commit that holds the claims; whatever else was heard is looked for
            return claims
        except Exception:
            log.exception("claiming failed, trying again")
            self._unreceived.append(owner)
            return []
        finally:
            waits = False
            standing.cancel()

    def _owner_text(self) -> str:
        """An owner text that no other claim has."""
        return f"{self._owner.text}.{next(self._numbers)}"

    async def give_back_unreceived(self) -> None:
        """Gives back claims that were made and not received. Raises a DatabaseError."""
        if self._unreceived:
            owners = tuple(self._unreceived)
            await self._database.write(leases.release_all, owners)
            del self._unreceived[: len(owners)]
