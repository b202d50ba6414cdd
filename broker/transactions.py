"""The writer's connection: begins and ends its transactions, and opens it again when it was lost.

What became of a commit whose answer was lost is asked of the database. Which functions are run is decided elsewhere.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from typing import Any, Final

from .connection import Connection
from .engine import Begun, Engine
from .errors import DatabaseUnreachable

log = logging.getLogger("frontdesk.writer")

RECONNECT_SECONDS: Final = 10.0  # how long a function waits for a lost connection to come back
RECONNECT_PAUSES: Final = (0.05, 0.1, 0.2, 0.4)  # seconds; from then on the last one


class TransactionLost(Exception):
    """The transaction is gone, with everything in it."""


class Written(Exception):
    """A function raised after it had written, and there is no savepoint to go back to."""


class CommitUnknown(Exception):
    """Whether a transaction was kept cannot be known."""

    def __init__(self, error: DatabaseUnreachable) -> None:
        super().__init__(str(error))
        self.error = error


class Transactions:
    """One transaction after the other on one connection, all from one thread. ``closing`` ends attempts to connect."""

    def __init__(self, engine: Engine, closing: threading.Event) -> None:
        self._engine, self._closing = engine, closing
        self._raw: Any = None
        self._begun = Begun()
        self._estimates: dict[Any, Any] = {}
        self._lost_since: float | None = None

    @property
    def others(self) -> bool:
        """Whether another process has committed since the transaction before this one."""
        return self._begun.others

    @property
    def going_on(self) -> bool:
        """Whether the transaction is still there; the database may have rolled it back by itself."""
        return self._raw is not None and self._engine.in_transaction(self._raw)

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._raw is None or self._engine.is_lost(self._raw)

    def open(self) -> None:
        """Connects. Raises a DatabaseError."""
        if self._raw is None:
            self._raw = self._engine.open_writer()

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()
            self._raw = None

    def begin(self) -> Connection:
        """What functions of one transaction are given."""
        self.open()
        cursor = self._engine.cursor(self._raw)
        self._begun = self._engine.begin(self._raw, cursor, write=True)
        self._lost_since = None
        return Connection(self._engine, cursor, self._estimates)

    def settle(self) -> None:
        """Returns when everything has been run but the commit. Raises what that raises."""
        self._engine.settle(self._raw)

    def commit(self, told: Any = None) -> None:
        """Commits, and tells others of it where they are told by the database (`Neighbours.told_with`).

        Raises TransactionLost when the connection is gone and nothing was kept, DatabaseUnreachable when that cannot
        be known."""
        mark = None if self._begun.mark is None else self._begun.mark()  # known before the commit is on its way
        try:
            self._raw.commit() if told is None else self._raw.commit(told)
        except Exception as error:
            if not self._engine.is_lost(self._raw) or mark is None:
                raise
            if not self._was_committed(mark):
                raise TransactionLost from error

    def roll_back(self) -> None:
        """Ends what there is of a transaction; it never raises."""
        if self._raw is None:
            return
        try:
            if self._engine.is_lost(self._raw):
                self.close()
            elif self._engine.in_transaction(self._raw):
                self._raw.rollback()
        except Exception as error:
            log.warning("rolling back failed, the connection is opened again: %s", error)
            self.close()

    def _was_committed(self, mark: str) -> bool:
        """What became of a commit whose answer was lost: asked of the database, as soon as it can be reached again.

        Raises DatabaseUnreachable when it cannot, or does not know yet; then the function must not be run again.
        """
        self.roll_back()
        while self.reconnected():
            try:
                decided = self._engine.was_committed(self._raw, mark)
            except Exception as error:
                log.warning("what became of a commit could not be asked: %s", error)
                self.roll_back()
                continue
            if decided is not None:
                return decided
        raise DatabaseUnreachable(
            self._engine.name, "the connection was lost at a commit, whether it was kept is unknown"
        )

    def reconnected(self) -> bool:
        """Tries to connect again, with pauses, until the database has been away for too long; whether it is
        connected."""
        for tried in itertools.count():
            if self._closing.is_set():
                return False
            now = time.monotonic()
            self._lost_since = self._lost_since or now
            if now - self._lost_since >= RECONNECT_SECONDS:
                return False
            pause = RECONNECT_PAUSES[min(tried, len(RECONNECT_PAUSES) - 1)]
            self._closing.wait(pause)
            try:
                self.open()
            except Exception as error:
                log.warning("%s; trying again every %g s, for %g s in all", error, pause, RECONNECT_SECONDS)
            else:
                return True
        raise AssertionError("counting does not end")
