"""Telling webhooks that tasks have ended: the part of a worker that sends. It holds no slot of the worker, and a slow
receiver holds nobody up but those that wait for one of the few sends at once.

A delivery is sent at least once: a worker that is killed before it has written what became of one leaves it to the
next.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from . import deliveries
from .clock import wall
from .database import Database
from .deliveries import Claimed
from .errors import DatabaseClosed
from .outcomes import Answer, outcome_of
from .signatures import Signer

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger("frontdesk.webhooks")

SENDS: Final = 8  # at once
TIMEOUT: Final = 10.0
LEASE: Final = 30.0
READ_BYTES: Final = 1024  # of an answer that says why it is none
LAST_SECONDS: Final = 1.0  # for giving back what was not sent
UNSIGNED: Final = (
    "not sent, because there is no secret to sign it with: set FRONTDESK_WEBHOOK_SECRET where the worker runs, start "
    "it again and run the task anew"
)


class Sender:
    """Sends what is due, until it is told to stop; run it once. Without a ``secret`` nothing is sent, and each delivery
    is recorded as failed.

    ``timeout``: seconds for one whole attempt; ``lease``: after which others may send what this worker has not. Raises
    InvalidOption for text that is no secret.
    """

    def __init__(
        self,
        database: Database,
        secret: str = "",
        *,
        sends: int = SENDS,
        timeout: float = TIMEOUT,
        lease: float = LEASE,
        poll: float = 0.5,
    ) -> None:
        self._database, self._signer = database, Signer(secret)
        self._free, self._timeout, self._lease, self._poll = sends, timeout, lease, poll
        self._client: httpx2.AsyncClient | None = None
        self._news = asyncio.Event()  # a send has ended while more were waiting, or the worker drains
        self._more = False  # as many were due as there were free sends
        self._ended = asyncio.Event()

    async def drained(self) -> None:
        """Returns when nothing is being sent any more and nothing will be."""
        await self._ended.wait()

    async def run(self, until: asyncio.Event) -> None:
        """Sends until the event is set, then ends what has begun; cancelled, it gives that back."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._hear, until)
                while not until.is_set():
                    self._news.clear()
                    self._more = self._free <= 0 or await self._start_due(group)
                    with anyio.move_on_after(None if self._more else self._poll):
                        await self._news.wait()
        finally:
            self._ended.set()
            if self._client is not None:
                with anyio.move_on_after(LAST_SECONDS, shield=True), suppress(Exception):
                    await self._client.aclose()

    async def _hear(self, until: asyncio.Event) -> None:
        await until.wait()
        self._news.set()

    async def _start_due(self, group: TaskGroup) -> bool:
        """Starts what is due, as far as sends are free; whether they all were needed."""
        free = self._free
        try:
            if not await self._database.read(deliveries.is_due):
                return False
            if self._signer and self._client is None:
                self._client = await anyio.to_thread.run_sync(_new_client)
            claimed = await self._database.take(
                deliveries.give_back_deliveries, deliveries.claim_deliveries, free, self._lease
            )
        except DatabaseClosed:
            return False
        except Exception as error:
            log.error("webhooks cannot be looked for, trying again: %s", error)
            return False
        for one in claimed:
            self._free -= 1
            group.start_soon(self._deliver, one)
        return self._free <= 0

    async def _deliver(self, claimed: Claimed) -> None:
        settled = False
        try:
            answer = await self._attempt(claimed)
            outcome = outcome_of(claimed.attempt, answer, wall())
            if outcome.status == "failed":
                log.warning("the webhook %s (%s) has failed: %s", claimed.url, claimed.id, outcome.error)
            await self._database.write_first(deliveries.settle_delivery, claimed, outcome)
            settled = True
        except Exception as error:
            log.error("what became of %s is not written, it is sent again: %s", claimed.id, error)
            settled = True  # its lease ends
        finally:
            self._free += 1
            if self._more:
                self._news.set()
            if not settled:
                with anyio.move_on_after(LAST_SECONDS, shield=True), suppress(Exception):
                    await self._database.write_first(deliveries.give_back_deliveries, [claimed])

    async def _attempt(self, claimed: Claimed) -> Answer:
        """One request. Whatever goes wrong with a receiver is an answer too."""
        if self._client is None:
            return Answer(None, UNSIGNED, useless=True)
        headers = {
            "content-type": "application/json",
            "user-agent": "Frontdesk",
            "accept-encoding": "identity",
            **self._signer.headers(claimed.id, claimed.body, wall()),
        }
        try:
            with anyio.fail_after(self._timeout):
                async with self._client.stream(
                    "POST", claimed.url, content=claimed.body.encode(), headers=headers
                ) as response:
                    said = "" if response.is_success else await _beginning(response)
                    return Answer(response.status_code, said, response.headers.get("retry-after", ""))
        except TimeoutError:
            return Answer(None, f"no answer within {self._timeout:g} seconds")
        except Exception as error:
            return Answer(None, f"no connection: {error!s} ({type(error).__name__})")


async def _beginning(response: httpx2.Response) -> str:
    """The first words of an answer; the rest of it is not received."""
    read = b""
    async for chunk in response.aiter_raw(READ_BYTES):
        read += chunk
        if len(read) >= READ_BYTES:
            break
    return read[:READ_BYTES].decode(errors="replace")


def _new_client() -> httpx2.AsyncClient:
    """It takes a third of a second, and is needed where there are webhooks."""
    import httpx2

    return httpx2.AsyncClient(timeout=None, follow_redirects=False)
