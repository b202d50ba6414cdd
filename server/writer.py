"""The sending half of a connection: it copies the log to the client at the client's speed.

It holds cursors, not events: what was read of the log is let go while the client does not read, and read again. Only
control messages wait in a queue, and it is bounded. Who does not read is cut off. ``follow`` decides what goes where.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import anyio
from starlette.types import Send

from ..broker.errors import DatabaseClosed, DatabaseError
from ..broker.wakeups import Events, Listening
from . import outgoing
from .follow import Follower, Follows
from .patience import LOOK_SECONDS, behind, wait_for_client
from .pause import Pause
from .reading import FIRST_ROWS, next_rows
from .ready import BURST, Ready, ready
from .records import resumed
from .session import Session
from .shared import send_shared
from .websocket import Transport

log = logging.getLogger("frontdesk.writer")

RETRY_SECONDS: Final = 1.0  # when the log cannot be read


class Gone(Exception):
    """The client is not there any more, or has been cut off."""


class Writer:
    """Sends to one client. ``say`` and ``close`` never wait; `run` returns when nothing more can be sent."""

    def __init__(self, session: Session, follows: Follows, send: Send, transport: Transport | None) -> None:
        self._session, self._follows, self._raw_send, self._transport = session, follows, send, transport
        self._database, self._limits = session.database, session.limits
        self._loop = asyncio.get_running_loop()
        self._listening: dict[str, Listening] = {}
        self._idle: set[str] = set()  # to be forgotten when no input is being accepted
        self._stopped = False
        self._control: list[str] = []
        self._closing: tuple[int, str] | None = None
        self._pause = Pause(self._loop)
        self._grew: float | None = None  # when it was heard that there is more to send
        self._sent = ("", 0)  # from where the client can resume
        self._over: Exception | None = None  # what a callback has found: `run` raises it
        self._rows = FIRST_ROWS  # to be read next

    # --- for the reader

    def say(self, text: str) -> None:
        """Sends a control message before whatever else is to be sent; a client that lets too many wait is cut off."""
        if len(self._control) >= self._limits.outbox:
            self._cut_off("too many messages wait for you to read them")
            return
        self._control.append(text)
        self._go_on()

    def close(self, code: int, reason: str) -> None:
        """Closes the connection after the control messages that wait."""
        self._closing = (code, reason)
        self._pause.wake()

    def listen(self, conversation: str, start: int | None = None) -> None:
        """Wakes the writer when this conversation's log grows. Call it before reading a cursor to start from.

        It may be called from the thread that is accepting an input: then no event of the answer is missed, though the
        log drops deltas in the very commit that ends their item. ``start``: the log's last cursor in that transaction.
        """
        if conversation in self._listening or self._stopped:
            return
        listening = self._database.hub.listen(
            "events", conversation, partial(self._grown, conversation), loop=self._loop, start=start
        )
        self._listening[conversation] = listening
        if self._stopped:  # meanwhile
            listening.stop()

    def look(self) -> None:
        """What is followed has changed."""
        self._go_on()

    def forget(self, conversation: str) -> None:
        """Stops listening to a conversation that is not followed any more."""
        if self._follows.is_asking:
            self._idle.add(conversation)  # perhaps what is being accepted belongs to it
        elif not self._follows.follows(conversation) and conversation in self._listening:
            self._listening.pop(conversation).stop()

    def answered(self) -> None:
        """An input was accepted or refused: what is followed has changed."""
        while self._idle:
            self.forget(self._idle.pop())
        self._go_on()

    def stop(self) -> None:
        """Stops listening to everything."""
        self._stopped = True
        for listening in self._listening.values():
            listening.stop()
        self._listening.clear()

    def _grown(self, conversation: str) -> None:
        if self._grew is None:
            self._grew = self._loop.time()
        self._follows.wake(conversation)
        self._go_on()

    # --- sending

    async def run(self) -> None:
        """Sends until the connection ends. Raises what has failed in our own code; call `part` then."""
        try:
            while True:
                if self._over is not None:
                    raise self._over
                await self._send_control()
                if self._closing is not None:
                    await self.part(*self._closing)
                    return
                follower = self._follows.take()
                if follower is None:
                    await self._pause.wait()
                    continue
                await self._wait_for_client(follower)
                await self._send_events(follower)
                await self._wait_for_client(follower)
                await asyncio.sleep(0)  # a send to a client that reads never pauses by itself
        except Gone:
            return
        except DatabaseClosed:
            await self.part(1012, "the server is stopping")

    async def _send_control(self) -> None:
        while self._control:
            said, self._control = self._control[:BURST], self._control[BURST:]
            await self._send(said)

    def _go_on(self) -> None:
        """Sends at once while `run` pauses and nothing has to be waited for: waking it costs as much as sending."""
        if self._pause.is_on and not self._send_at_once():  # else it looks by itself before it pauses
            self._pause.wake()

    def _send_at_once(self) -> bool:
        """Whether all that there is has been sent."""
        transport = self._transport
        if transport is None or self._closing is not None:
            return False
        try:
            if self._control and transport.is_free:
                said, self._control = self._control[:BURST], self._control[BURST:]
                transport.send_texts(said)
            while transport.is_free and not self._control and (follower := self._follows.take()) is not None:
                recent = self._database.hub.recent(follower.conversation_id, follower.position)
                if recent and send_shared(transport, self._follows, follower, recent, self._session):
                    self._has_sent(follower)
                    continue
                found = Ready(more=True) if recent is None else self._ready(follower, iter(recent))
                if found.texts:
                    transport.send_texts(found.texts)
                    self._has_sent(follower)
                if found.more:
                    self._follows.again(follower)
                    return False
                if not found.held:
                    self.forget(follower.conversation_id)
        except Exception as error:
            self._over = Gone() if isinstance(error, OSError) else error
        return transport.is_free and not self._control and self._over is None

    async def _send_events(self, follower: Follower) -> None:
        """Sends what the log holds after the follower's position, up to a burst of it, as long as the client reads."""
        left = BURST
        rows = iter(await self._read(follower))
        while True:
            found = self._ready(follower, rows)
            left -= len(found.texts)
            position = follower.position
            if found.texts:
                await self._send(found.texts, follower)
                await self._send_control()
            if found.held:
                return
            if follower.position != position:  # the client has asked for older events meanwhile
                self._follows.again(follower)
                return
            if not found.more:
                break
            if left <= 0 or self._blocked is not None:
                self._follows.again(follower)
                break
        self.forget(follower.conversation_id)

    def _ready(self, follower: Follower, rows: Iterator[Events]) -> Ready:
        found = ready(self._follows, follower, rows)
        if found.failed:
            self._session.chains.discard(follower.conversation_id)
        return found

    async def _read(self, follower: Follower) -> Sequence[Events]:
        """Rows with events after the follower's position, from memory if they are there."""
        asked = follower.position
        if (recent := self._database.hub.recent(follower.conversation_id, asked)) is not None:
            return recent
        limit, own = self._rows, frozenset(follower.streams)
        try:
            removed, rows, lost = await self._database.read(resumed, follower.conversation_id, asked, limit, own)
        except DatabaseClosed:
            raise
        except DatabaseError as error:
            self._retry_later(follower, error)
            return ()
        if follower.position != asked:
            self._follows.again(follower)
            return ()
        since = self._database.hub.recent(follower.conversation_id, asked)
        if since is not None:  # committed while the log was read, with deltas that it does not hold any more
            return since
        if lost:  # its lane would wait for ever
            self._cut_off("a response was deleted before you have read it")
            return ()
        if removed > asked and self._follows.skip(follower, removed):
            self.say(outgoing.gap(follower.conversation_id, asked, removed + 1))
            self._follows.again(follower)
            return ()
        if len(rows) == limit:
            self._follows.again(follower)
        self._rows = next_rows(rows, limit)
        return rows

    def _retry_later(self, follower: Follower, error: DatabaseError) -> None:
        log.warning("the log of %s cannot be read, trying again: %s", follower.conversation_id, error)

        def retry() -> None:
            self._follows.again(follower)
            self._pause.wake()

        asyncio.get_running_loop().call_later(RETRY_SECONDS, retry)

    async def _send(self, messages: Sequence[str], follower: Follower | None = None) -> None:
        """Sends messages, or raises Gone. The socket's own buffer is the only one."""
        try:
            if self._transport is None:
                for text in messages:
                    with anyio.fail_after(self._limits.stall_seconds):
                        await self._raw_send({"type": "websocket.send", "text": text})
            else:
                await self._wait_for_client(follower)
                self._transport.send_texts(messages)
        except (OSError, RuntimeError) as error:  # what ASGI servers raise after a disconnect, and a timeout
            raise Gone from error
        if follower is not None:
            self._has_sent(follower)

    def _has_sent(self, follower: Follower) -> None:
        if self._grew is not None:
            self._database.measures.took("lag", self._loop.time() - self._grew)
            self._grew = None
        self._sent = follower.conversation_id, follower.position

    @property
    def _blocked(self) -> Transport | None:
        """The socket, while the client does not read."""
        return self._transport if self._transport is not None and not self._transport.is_free else None

    async def _wait_for_client(self, follower: Follower | None) -> None:
        """Waits until the client reads. Raises Gone when it makes no progress, or falls too far behind."""
        if (transport := self._blocked) is None:
            return
        lag = None if follower is None else partial(behind, self._database, follower)
        if (why := await wait_for_client(transport, self._limits, lag)) is not None:
            self._cut_off(why)
            raise Gone

    def _cut_off(self, why: str) -> None:
        reason = f"{why}; resume {self._sent[0]} after {self._sent[1]}" if self._sent[0] else why
        log.info("a client is cut off: %s", reason)
        self._database.measures.count("cut_off")
        if self._transport is not None:
            self._transport.cut_off(1013, reason)
        self._closing = (1013, reason)
        self._pause.wake()

    async def part(self, code: int, reason: str) -> None:
        """Closes the connection at once."""
        if self._transport is not None:
            self._transport.cut_off(code, reason)
            return
        with suppress(OSError, RuntimeError), anyio.move_on_after(LOOK_SECONDS):
            await self._raw_send({"type": "websocket.close", "code": code, "reason": reason})
