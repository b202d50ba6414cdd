"""The heartbeat: renews the leases of a worker's runs, from a thread, so that a tool which blocks its own thread loses nothing.

It renews only while the runs' event loop is alive: a loop that has not ticked for a whole lease is stuck, and its tasks are for others.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from .database import Database
from .errors import DatabaseError
from .queue import renew
from .rows import Claim

log = logging.getLogger("frontdesk.heartbeat")


class Heartbeat:
    """Renews every claim that was added, at a third of the lease."""

    def __init__(self, database: Database, lease: float, told: Callable[[set[str], set[str]], None]) -> None:
        self._database, self._lease, self._told = database, lease, told
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        self._stop = threading.Event()
        self._ticked = time.monotonic()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ticked = time.monotonic()
        self._thread = threading.Thread(target=self._beat, name="frontdesk-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def add(self, claim: Claim) -> None:
        with self._lock:
            self._held[claim.task_id] = claim.epoch

    def remove(self, claim: Claim) -> None:
        with self._lock:
            self._held.pop(claim.task_id, None)

    def _tick(self) -> None:
        self._ticked = time.monotonic()

    def _beat(self) -> None:
        while not self._stop.wait(self._lease / 3):
            if not self._ask(self._tick):
                return
            if time.monotonic() - self._ticked > self._lease:
                log.error(
                    "the worker's event loop has been blocked for %.0f s; its leases are not renewed", self._lease
                )
                continue
            with self._lock:
                held = list(self._held.items())
            if not held:
                continue
            try:
                lost, cancels = self._database.write_blocking(renew, held, self._lease)
            except DatabaseError as error:
                log.error("renewing %d leases failed, trying again: %s", len(held), error)
                continue
            if lost or cancels:
                self._ask(lambda lost=lost, cancels=cancels: self._told(lost, cancels))

    def _ask(self, function: Callable[[], None]) -> bool:
        """Calls a function in the worker's loop; False when the loop has ended."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            return False
        return True
