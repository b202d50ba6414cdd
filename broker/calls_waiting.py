"""The line in which calls wait for the writer: who is first, which are taken together, when the writer is woken.

Control comes before work (renew, cancel, finish before the rest), and the rest is bounded. No transaction is here.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Final

from .calls import Call
from .errors import DatabaseClosed, DatabaseOverloaded
from .merging import MERGED, many_form

WAITING_LIMIT: Final = 20_000
ECHO_SECONDS: Final = 0.002
FEW: Final = 8


class Waiting:
    """Any thread puts calls in; only the writer's thread takes them."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._first: deque[Call[Any]] = deque()
        self._rest: deque[Call[Any]] = deque()
        self._closed = False
        self._wanted = 0  # how many calls the writer waits for; 0: it is at work

    def __len__(self) -> int:
        return len(self._first) + len(self._rest)

    def put(self, call: Call[Any]) -> None:
        """Raises DatabaseClosed or DatabaseOverloaded."""
        with self._lock:
            if self._closed:
                raise DatabaseClosed
            if call.first:
                self._first.append(call)
            elif len(self._rest) >= WAITING_LIMIT:
                raise DatabaseOverloaded(len(self._rest))
            else:
                self._rest.append(call)
            if 0 < self._wanted <= len(self):
                self._lock.notify()

    def close(self) -> None:
        """Nothing more is put in."""
        with self._lock:
            self._closed = True
            self._lock.notify()

    def wait(self, answered: int) -> bool:
        """Returns when somebody waits; False when nobody ever will.

        When many callers were ``answered`` at once, most of them come back at once: to begin with the first of them
        would make two commits of what can be one, so the second is waited for, for a moment.
        """
        with self._lock:
            self._wanted = 1
            while not self:
                if self._closed:
                    return False
                self._lock.wait()
            if answered > FEW:
                self._wanted = answered // 2
                until = time.monotonic() + ECHO_SECONDS
                while len(self) < self._wanted and not self._closed and (left := until - time.monotonic()) > 0:
                    self._lock.wait(left)
            self._wanted = 0
            return True

    def take(self) -> list[Call[Any]]:
        """The next call, with those behind it that can be run as one with it; none when nobody waits."""
        first = self._next()
        if first is None:
            return []
        found = [first]
        if many_form(first.function) is not None:
            line = self._first if first.first else self._rest
            while len(found) < MERGED and line and line[0].function is first.function:
                call = line.popleft()
                if not call.abandoned():
                    found.append(call)
        return found

    def _next(self) -> Call[Any] | None:
        while True:
            line = self._first or self._rest
            if not line:
                return None
            call = line.popleft()
            if not call.abandoned():
                return call
