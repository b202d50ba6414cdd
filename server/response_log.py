"""Reads one response's events out of its conversation's log, at the speed of whoever asks for them.

It holds a cursor, never events: what is not asked for is not read. How the events reach a client is not known here.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Final

import anyio

from ..broker.database import Database
from ..broker.errors import DatabaseClosed, DatabaseError
from ..broker.events import last_cursor, read_after, texts
from ..broker.wakeups import Events, Listening
from .outgoing import TERMINAL, kind_of
from .reading import FIRST_ROWS, next_rows

log = logging.getLogger("frontdesk.server")

PIECE: Final = 65_536  # characters after which a batch ends
RETRY_SECONDS: Final = 1.0  # when the log cannot be read
_NUMBER: Final = re.compile(r'"sequence_number":(\d+)')


class ResponseLog:
    """The events of one response, in order. Give ``listen`` to what accepts an input, then call `follow`; call `stop`
    at the end.

    ``starting_after``: events up to this sequence number are left out.
    """

    def __init__(self, database: Database, *, starting_after: int = -1) -> None:
        self._database, self._number = database, starting_after
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        self._listening: dict[str, Listening] = {}
        self._stopped = False
        self._position = 0
        self._head: int | None = None  # where the log ended when the client was first waited for: older is a replay
        self._rows = FIRST_ROWS  # to be read next
        self.conversation_id = self.response_id = ""
        self.ended = False  # the terminal event has been passed
        self.last_number = starting_after  # of the last event that was passed

    def listen(self, conversation_id: str, start: int | None = None) -> None:
        """Notices from now on when this conversation's log grows; may be called from the thread that accepts an input
        (``start``: the log's last cursor in that transaction)."""
        if conversation_id in self._listening or self._stopped:
            return
        hub = self._database.hub
        listening = hub.listen("events", conversation_id, self._wake.set, loop=self._loop, start=start)
        self._listening[conversation_id] = listening
        if self._stopped:  # meanwhile
            listening.stop()

    def follow(self, conversation_id: str, response_id: str, after: int, *, live: bool = False) -> None:
        """The response's events come after this cursor of the conversation's log. ``live``: none of them is there
        yet."""
        self.listen(conversation_id)
        self.conversation_id, self.response_id = conversation_id, response_id
        self._position = after
        self._head = after if live else None
        for other in [one for one in self._listening if one != conversation_id]:  # of an acceptance that was run again
            self._listening.pop(other).stop()

    def stop(self) -> None:
        self._stopped = True
        for listening in self._listening.values():
            listening.stop()
        self._listening.clear()

    def wake(self) -> None:
        """Whoever waits for the log to grow looks up."""
        self._wake.set()

    async def grown(self, seconds: float) -> bool:
        """Waits until the log may have grown since the last `batch`; whether it has within this time."""
        with anyio.move_on_after(seconds):
            await self._wake.wait()
            return True
        return False

    async def batch(self) -> list[str]:
        """The texts of the next events, so many as make a good write; none: await `grown`. Raises DatabaseClosed."""
        self._wake.clear()
        found: list[str] = []
        size = 0
        for row in await self._read():
            if row.response_id != self.response_id:
                self._position = row.first + row.count - 1
                continue
            for cursor, text in texts(row, self._position):
                self._position = cursor
                if self._pass(text):
                    found.append(text)
                    size += len(text)
                if self.ended:
                    return found
                if size >= PIECE:
                    self._wake.set()
                    return found
        return found

    def _pass(self, text: str) -> bool:
        """Whether the event is wanted."""
        number = _NUMBER.search(text)
        if number is not None:
            self.last_number = max(self.last_number, int(number[1]))
        self.ended = kind_of(text) in TERMINAL
        return number is not None and int(number[1]) > self._number

    async def _read(self) -> Sequence[Events]:
        """Rows after the position, from memory if they are there."""
        hub, conversation_id, position = self._database.hub, self.conversation_id, self._position
        rows = hub.recent(conversation_id, position)
        if rows is not None:
            return rows
        try:
            found = await self._database.read(read_after, conversation_id, position, self._rows)
        except DatabaseClosed:
            raise
        except DatabaseError as error:
            log.warning("the log of %s cannot be read, trying again: %s", conversation_id, error)
            self._loop.call_later(RETRY_SECONDS, self._wake.set)
            return ()
        since = hub.recent(conversation_id, position)
        if since is not None:  # committed while the log was read, with deltas that it does not hold any more
            return since
        if len(found) == self._rows:
            self._wake.set()  # there may be more
        self._rows = next_rows(found, self._rows)
        return found

    async def end(self, seconds: float) -> None:
        """Reads on until the response has ended, for so long at most."""
        with anyio.move_on_after(seconds):
            while not self.ended:
                if not await self.batch() and not self.ended:
                    await self.grown(seconds)

    async def lag(self) -> int:
        """How many events that were not there when following began wait for the client."""
        try:
            last = await self._database.read(last_cursor, self.conversation_id)
        except DatabaseError:
            return 0
        if last is None:
            return 0
        if self._head is None:
            self._head = last
        return last - max(self._position, self._head)
