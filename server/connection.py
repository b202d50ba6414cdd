"""One WebSocket connection: it reads what the client says, commits it, and goes back to reading.

The reader awaits neither a run nor the writer; what it has to say to the client goes into the writer's bounded queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, TypeAlias, cast

import anyio
from starlette.types import Receive, Send

from ..broker.errors import DatabaseError
from . import outgoing
from .checks import JSON, LANE
from .errors import Draining, InvalidRequest, RateLimited, SteerFailed, WireError, returned, told
from .follow import Follows
from .jsontext import decode, glimpse
from .protocol import Answer, Cancel, Create, Lane, Message, Steer, Subscribe, Unsubscribe, read
from .rates import check_rate
from .session import Session
from .websocket import Transport
from .writer import Writer

log = logging.getLogger("frontdesk.connection")

BAD: Final = frozenset({400, 404, 413})  # what counts towards being closed for bad messages
KEEP_SECONDS: Final = 120.0  # after which conversations that are not stored are kept for longer
LAST_SECONDS: Final = 2.0  # for doing so when the connection has ended
PASSING: Final = frozenset({409, 429, 503})  # errors after which a chain may still be continued

Understood: TypeAlias = tuple[Message | WireError, JSON]


class _Over(Exception):
    """The writer has ended, and with it the connection."""


class Connection:
    """Serves one accepted WebSocket. ``transport`` is there when the server is uvicorn with our protocol."""

    def __init__(self, session: Session, receive: Receive, send: Send, transport: Transport | None = None) -> None:
        self._session, self._limits, self._receive = session, session.limits, receive
        self._follows = Follows()
        self._beside: list[asyncio.Task[None]] = []
        self._group: asyncio.TaskGroup
        self._writer = Writer(session, self._follows, send, transport)
        self._measures = session.database.measures
        self._draining = self._over = self._keeping = False
        self._waits = False  # for the client's next message
        self._bad = 0  # messages, in a row
        self._read_already: Understood | None = None  # what the next message in line was found to be
        self._transport = transport

    async def run(self, subscriptions: Sequence[Subscribe] = ()) -> None:
        """Returns when the connection has ended, whoever ended it: after a failure of our own code it is closed with
        1011."""
        try:
            async with asyncio.TaskGroup() as self._group:  # an idle connection takes 2 KiB less of it than of anyio's
                self._beside.append(self._group.create_task(self._write()))
                for subscription in subscriptions:
                    await self._handle(subscription)
                if self._transport is not None:
                    self._transport.at_once = self._take_at_once
                await self._read()
                for one in self._beside:
                    one.cancel()
        except* _Over:
            pass
        except* Exception as errors:
            log.error("a connection failed in our own code", exc_info=errors)
            await self._writer.part(1011, "the server has failed; connect again and resume")
        finally:
            if self._transport is not None:
                self._transport.at_once = None
            self._writer.stop()
            with anyio.move_on_after(LAST_SECONDS, shield=True), suppress(DatabaseError):
                await self._session.keep_chains()  # their ten minutes begin now

    async def _write(self) -> None:
        await self._writer.run()
        raise _Over

    async def _keep_chains(self) -> None:
        """Keeps what is not stored for as long as the connection is there."""
        while True:
            await anyio.sleep(KEEP_SECONDS)
            with suppress(DatabaseError):
                await self._session.keep_chains()

    def drain(self, seconds: float) -> None:
        """Takes no new input from now on, and tells the client when it will be closed."""
        self._draining = True
        self._writer.say(outgoing.draining(seconds))

    def end(self) -> None:
        """Takes nothing more, and closes: the client may not be here any longer."""
        self._over = True
        self._writer.close(1008, "your token is not valid any more")

    # --- reading

    async def _read(self) -> None:
        while True:
            self._waits = True
            received = await self._receive()
            self._waits = False
            if received["type"] == "websocket.disconnect":
                return
            if not self._is_closing():
                found = self._read_already or self._understood(received.get("text"))
                self._read_already = None
                self._judge(await self._take(*found))

    def _is_closing(self) -> bool:
        return self._over or self._bad >= self._limits.bad_messages

    def _judge(self, is_fit: bool) -> None:
        """Counts bad messages; after too many in a row the connection is closed."""
        self._bad = 0 if is_fit else self._bad + 1
        if self._bad >= self._limits.bad_messages:
            self._writer.close(1008, f"{self._bad} bad messages in a row")

    def _take_at_once(self, text: str) -> bool:
        """Refuses a message for which nothing has to be awaited, as soon as it comes; another one is left to the
        reader, who comes next.
        """
        if not self._waits or self._is_closing():
            return False
        try:
            message, source = self._understood(text)
            if not isinstance(message, WireError) or isinstance(message, SteerFailed) or self._session.chains:
                self._read_already = message, source
                return False
            self._judge(self._refuse(message, source))
        except Exception:  # ours: the reader meets it again, and ends the connection with it
            return False
        return True

    def _understood(self, text: str | None) -> Understood:
        """What a message is, or why it is none; and its JSON, as far as it has any."""
        source: JSON = {}
        try:
            if text is None:
                raise InvalidRequest("this is a binary message; send JSON as text")
            check_rate(self._session.rate, self._limits)
            source = decode(text, self._limits)
            return read(source), source
        except RateLimited as problem:
            return problem, glimpse(text or "", self._limits)  # whoever waits on its lane is to hear of it
        except WireError as problem:
            return problem, source

    def _refuse(self, problem: WireError, source: JSON) -> bool:
        """Says what is wrong with a message; whether it was fit to be dealt with."""
        self._tell(problem, *_return_address(source))
        return problem.status not in BAD

    async def _take(self, message: Message | WireError, source: JSON) -> bool:
        """Deals with one message; whether it was fit to be dealt with."""
        if isinstance(message, SteerFailed):
            await self._return(message)
            return False
        if isinstance(message, WireError):
            is_fit = self._refuse(message, source)
            await self._fail_chain(source.get("previous_response_id"), message)
            return is_fit
        self._measures.count("message", str(source["type"]))
        return await self._handle(message)

    async def _handle(self, message: Message) -> bool:
        """Carries a valid message out; what goes wrong is told to the client. Whether it was fit to be dealt with."""
        try:
            await self._carry_out(message)
        except Exception as error:
            problem = told(error)
            if isinstance(message, Steer):
                failed = returned(error, previous_response_id=message.previous_response_id, input=message.given)
                await self._return(failed, message.input_id)
            else:
                self._tell(problem, *_address(message))
            if isinstance(message, Create):
                await self._fail_chain(message.previous_response_id, problem)
            return problem.status not in BAD
        return True

    def _tell(self, problem: WireError, lane: Lane, input_id: str | None) -> None:
        self._measures.count("error", problem.code)
        self._writer.say(outgoing.error(problem, lane, input_id))

    async def _return(self, failed: SteerFailed, input_id: str | None = None) -> None:
        self._measures.count("error", failed.code)
        target = failed.previous_response_id
        number = await self._session.next_number(target)
        self._writer.say(outgoing.steer_failed(failed, self._follows.lane(target), input_id, number))

    async def _fail_chain(self, previous_response_id: object, problem: WireError) -> None:
        """A continuation that failed drops a chain that is not stored."""
        if isinstance(previous_response_id, str) and problem.status not in PASSING:
            with suppress(DatabaseError):
                await self._session.drop_chain(previous_response_id)

    # --- carrying out

    async def _carry_out(self, message: Message) -> None:
        match message:
            case Create():
                await self._create(message)
            case Steer():
                await self._steer(message)
            case Cancel():
                await self._session.cancel(message)
            case Subscribe():
                await self._subscribe(message)
            case Unsubscribe():
                self._follows.unsubscribe(message.conversation)
                self._writer.forget(message.conversation)
            case Answer():
                await self._session.answer(message)

    async def _create(self, message: Create) -> None:
        self._check_room()
        if message.lane not in self._follows.lanes and len(self._follows.lanes) >= self._limits.lanes:
            raise RateLimited(f"{self._limits.lanes} lanes of this connection are in use; wait until one is free")
        self._follows.ask()
        try:
            found = await self._session.create(message, self._writer.listen)
            if self._session.chains and not self._keeping:
                self._keeping = True
                self._beside.append(self._group.create_task(self._keep_chains()))
            if found.position and not found.repeated:
                self._writer.say(outgoing.accepted(found, message.lane))
            self._follows.create(
                found.conversation_id, found.response_id, message.lane, found.cursor, repeated=found.repeated
            )
        finally:
            self._follows.answer()
            self._writer.answered()

    async def _steer(self, message: Steer) -> None:
        self._check_room()
        target = message.previous_response_id
        self._follows.ask()
        try:
            found = await self._session.steer(message, self._writer.listen)
            lane = self._follows.lane(target)
            self._writer.say(outgoing.steer_accepted(found, target, lane, message.input_id))
            self._follows.steer(found.conversation_id, target, found.response_id, found.cursor, repeated=found.repeated)
        finally:
            self._follows.answer()
            self._writer.answered()

    def _check_room(self) -> None:
        if self._draining:
            raise Draining
        if self._follows.unfinished >= self._limits.responses:
            raise RateLimited(f"{self._limits.responses:,} responses of this connection are unfinished; wait for some")

    async def _subscribe(self, message: Subscribe) -> None:
        conversation = message.conversation
        known = self._follows.is_subscribed(conversation)
        if not known and self._follows.subscriptions >= self._limits.subscriptions:
            raise RateLimited(f"this connection has {self._limits.subscriptions:,} subscriptions; end some first")
        self._writer.listen(conversation)  # before the cursor is read: nothing committed from here on is missed
        try:
            last = await self._session.last_cursor(message)
        except BaseException:
            self._writer.forget(conversation)
            raise
        after = last if message.after is None else message.after
        self._writer.say(outgoing.subscribed(conversation, after))
        if message.after is not None or not known:
            self._follows.subscribe(conversation, after, last)
            self._writer.listen(conversation)  # again: an own response that has ended meanwhile has let go of it
            self._writer.look()


def _address(message: Message) -> tuple[Lane, str | None]:
    """Where the error of a message goes: its lane, and the input id that it had."""
    match message:
        case Create():
            return message.lane, message.input_id
        case Subscribe():
            return outgoing.lane_of(message.conversation), None
        case _:
            return None, None


def _return_address(source: JSON) -> tuple[Lane, str | None]:
    """The same for a message that is not valid, as far as these fields of it are."""
    lane, metadata = source.get("stream_id"), source.get("metadata")
    input_id = cast(JSON, metadata).get("frontdesk:input_id") if isinstance(metadata, dict) else None
    return (
        lane if isinstance(lane, str) and LANE.fullmatch(lane) else None,
        input_id if isinstance(input_id, str) else None,
    )
