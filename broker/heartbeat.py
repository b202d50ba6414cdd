"""The heartbeat: renews the leases of a worker's runs, from a thread, so that a tool which blocks its own thread loses
nothing.

It renews only while the runs' event loop is alive: a loop that has not ticked for a whole lease is stuck, and its tasks
are for others.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from .database import Database
from .errors import DatabaseClosed, DatabaseError
from .queue import Held, renew

log = logging.getLogger("frontdesk.heartbeat")

Told = Callable[[set[Held], set[Held]], None]


class Heartbeat:
    """Renews every claim that was added, at a third of the lease; ``told`` is called in the loop with the claims that
    are lost, and those that are to be cancelled."""

    def __init__(self, database: Database, lease: float, told: Told) -> None:
        self._database, self._lease, self._told = database, lease, told
        self._lock = threading.Lock()
        self._held: set[Held] = set()
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

    def add(self, held: Held) -> None:
        with self._lock:
            self._held.add(held)

    def remove(self, held: Held) -> None:
        with self._lock:
            self._held.discard(held)

    def _tick(self) -> None:
        self._ticked = time.monotonic()

    def _beat(self) -> None:
        while not self._stop.wait(self._lease / 3):
            if not self._ask(self._tick):
                return
            if time.monotonic() - self._ticked > self._lease:
                log.error("the worker's event loop has been blocked for %g s; leases are not renewed", self._lease)
                continue
            try:
                self._renew()
            except DatabaseClosed:
                return
            except DatabaseError as error:
                log.error("renewing leases failed, trying again: %s", error)
            except Exception:
                log.exception("renewing leases failed, trying again")

    def _renew(self) -> None:
        with self._lock:
            held = list(self._held)
        if not held:
            return
        lost, cancels = self._database.write_blocking(renew, held, self._lease)
        if lost or cancels:
            self._ask(self._told, lost, cancels)

    def _ask(self, function: Callable[..., None], *args: set[Held]) -> bool:
        """Calls a function in the worker's loop; False when the loop has ended."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            return False
        return True
