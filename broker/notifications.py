"""How processes that share a PostgreSQL database wake each other: LISTEN and NOTIFY, on one connection per process.

Notifications are sent outside every other transaction (NOTIFY takes a lock of the whole database at commit) and name
only what has changed. The first travels behind the commit that it tells of; what follows within two milliseconds is
gathered. They are hints: while the connection is down, and every few seconds at any rate, everyone looks.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import selectors
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import psycopg
from pydantic_core import from_json, to_json

from .errors import DatabaseError
from .trips import Told
from .wakeups import Hint, Hub, Key, key_of

log = logging.getLogger("frontdesk.notifications")

CHANNEL: Final = "frontdesk"
KEYS_IN_ONE: Final = 60  # a payload has less than 8000 bytes
LOOK_SECONDS: Final = 5.0  # everyone looks at least so often, should a notification have been lost
RECONNECT_SECONDS: Final = 1.0
GATHER_SECONDS: Final = 0.002  # what is committed so soon after a notification is told of with what follows


class PostgreSQLNeighbours:
    """One thread with one connection: it listens, and sends what `tell` was given. It is there only after `start`."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], hub: Hub) -> None:
        self._connect, self._hub = connect, hub
        self._me = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._to_tell: dict[Key, None] = {}
        self._gathers_until = 0.0  # on the process's clock
        self._stopping = False
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_in, False)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        raw = self._listening()
        self._thread = threading.Thread(target=self._run, args=(raw,), name="frontdesk-neighbours", daemon=True)
        self._thread.start()

    def told_with(self, hints: Iterable[Hint]) -> Told | None:
        """A notification for the writer to send behind the commit that it is about to make; None when `tell` is to be
        given the hints afterwards: in a burst they are gathered.
        """
        keys = list(dict.fromkeys(key_of(hint) for hint in hints))
        now = time.monotonic()
        with self._lock:
            if self._to_tell or now < self._gathers_until or not 0 < len(keys) <= KEYS_IN_ONE:
                return None
            self._gathers_until = now + GATHER_SECONDS
        return CHANNEL, self._payload(keys)

    def tell(self, hints: Iterable[Hint]) -> None:
        with self._lock:
            was_empty = not self._to_tell
            for hint in hints:
                self._to_tell[key_of(hint)] = None
            if was_empty:
                self._wake()

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            self._wake()
        if self._thread is not None:
            self._thread.join()
        os.close(self._wake_out)
        os.close(self._wake_in)

    def _listening(self) -> psycopg.Connection[Any]:
        """A connection that hears, and that tells without waiting for a disk: telling is a transaction too, and what it
        is about has been committed."""
        raw = self._connect()
        raw.execute(f"SET synchronous_commit = off; LISTEN {CHANNEL}")
        return raw

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it has not read the last thousands of these: it is awake
            os.write(self._wake_in, b"\0")

    def _run(self, raw: psycopg.Connection[Any] | None) -> None:
        while True:
            try:
                if raw is None:
                    raw = self._listening()
                    self._hub.publish_everything()
                self._serve(raw)
                raw.close()
                return
            except (psycopg.Error, DatabaseError) as error:
                log.warning("other processes cannot be heard, trying again: %s", " ".join(str(error).split()))
                if raw is not None:
                    raw.close()
                    raw = None
                self._hub.publish_everything()
                if self._wait(RECONNECT_SECONDS, None):
                    return

    def _serve(self, raw: psycopg.Connection[Any]) -> None:
        """Listens and sends until it is to stop. Raises psycopg.Error when the connection is lost."""
        look = time.monotonic() + LOOK_SECONDS
        while True:
            stopping = self._wait(max(min(look, self._due()) - time.monotonic(), 0.0), raw)
            if stopping or time.monotonic() >= self._due():
                self._send(raw)
            self._hear(raw)
            if stopping:
                return
            if time.monotonic() >= look:
                look = time.monotonic() + LOOK_SECONDS
                self._hub.publish_everything()

    def _wait(self, seconds: float, raw: psycopg.Connection[Any] | None) -> bool:
        """Waits for something to hear or to tell; whether it is to stop."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_out, selectors.EVENT_READ)
            if raw is not None:
                selector.register(raw.fileno(), selectors.EVENT_READ)
            ready = {key.fd for key, _ in selector.select(seconds)}
        if self._wake_out in ready:
            os.read(self._wake_out, 65_536)
        return self._stopping

    def _due(self) -> float:
        """When what was gathered is to be sent, on the process's clock."""
        with self._lock:
            return self._gathers_until if self._to_tell else math.inf

    def _send(self, raw: psycopg.Connection[Any]) -> None:
        with self._lock:
            keys = list(self._to_tell)
            self._to_tell.clear()
            self._gathers_until = time.monotonic() + GATHER_SECONDS
        for first in range(0, len(keys), KEYS_IN_ONE):
            raw.execute("SELECT pg_notify(%s, %s)", (CHANNEL, self._payload(keys[first : first + KEYS_IN_ONE])))

    def _payload(self, keys: list[Key]) -> str:
        return to_json([self._me, keys]).decode()

    def _hear(self, raw: psycopg.Connection[Any]) -> None:
        heard: dict[Key, None] = {}
        for notification in raw.notifies(timeout=0):
            sender, keys = from_json(notification.payload)
            if sender != self._me:
                heard.update(dict.fromkeys((str(kind), str(name)) for kind, name in keys))
        if heard:
            self._hub.publish_keys(heard)
