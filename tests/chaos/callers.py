"""People who talk to a desk with the official Python client, each in one of the ways that it offers, or with our own
client. They go on after a server has ended in order, with what their client gives them for that; any other error is a
failure.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import anyio
from openai import AsyncOpenAI
from openai.types.responses import Response
from openai.types.websocket_reconnection import ReconnectingEvent, ReconnectingOverrides
from websockets.exceptions import ConnectionClosed

from frontdesk.server.client import Client
from frontdesk.tests.chaos.desks import answer
from frontdesk.tests.chaos.scale import PATIENCE
from frontdesk.tests.wire_record import TERMINAL

KEY: Final = "Idempotency-Key"


@dataclass
class Tally:
    """What all of them together have lived through."""

    answered: int = 0
    slowest: float = 0.0  # seconds from a question to the end of its answer
    ways: Counter[str] = field(default_factory=Counter[str])
    _more: anyio.Event = field(default_factory=anyio.Event)

    def add(self, seconds: float) -> None:
        self.answered += 1
        self.slowest = max(self.slowest, seconds)
        self._more.set()
        self._more = anyio.Event()

    async def until(self, answered: int) -> None:
        while self.answered < answered:
            await self._more.wait()


class Person(ABC):
    """One person in one conversation. ``asked`` holds what was said, in order."""

    way: ClassVar[str]

    def __init__(self, number: int, client: AsyncOpenAI, address: str, tally: Tally) -> None:
        self.name, self.client, self.address, self.tally = f"{self.way}{number}", client, address, tally
        self.conversation: str | None = None
        self.asked: list[str] = []

    async def say(self, what: str) -> None:
        """Says it and gets its answer, whole."""
        text = f"{what} {self.name} {len(self.asked)}"
        self.asked.append(text)
        begun = time.monotonic()
        found = await self.ask(text, f"{self.name}/{len(self.asked)}")
        *halves, whole = found
        assert whole == answer(text), f"{text!r} was answered with {found!r}"
        assert all(answer(text).startswith(one) for one in halves), f"{text!r} was answered with {found!r}"
        self.tally.add(time.monotonic() - begun)

    @abstractmethod
    async def ask(self, text: str, key: str) -> list[str]:
        """The answer to a text, which has a name of its own; before it, what was begun and had to be given back."""

    async def open(self) -> None:  # noqa: B027 - most have nothing to do
        """Comes in; called once, before the first question."""

    async def close(self) -> None:  # noqa: B027
        """Leaves."""

    def went_on(self, how: str) -> None:
        """It has done something because a server has ended."""
        self.tally.ways[f"{self.way}: {how}"] += 1

    def question(self, text: str, key: str) -> Any:
        """Options of ``responses.create``."""
        where = {} if self.conversation is None else {"conversation": self.conversation}
        return {"model": "house", "input": text, "extra_headers": {KEY: key}, **where}

    def told(self, response: Any) -> list[str]:
        """What a response says, which has to be complete; one of its messages is."""
        assert response.status == "completed", response
        self.conversation = response.conversation.id
        messages = [item for item in response.output if item.type == "message"]
        self.tally.ways["given back in the middle of a message"] += len(messages) - 1
        assert [one.status for one in messages] == ["incomplete"] * (len(messages) - 1) + ["completed"], messages
        return [one.content[0].text for one in messages]


class Whole(Person):
    """Asks and waits for the whole answer."""

    way = "whole"

    async def ask(self, text: str, key: str) -> list[str]:
        return self.told(await self.client.responses.create(**self.question(text, key)))


class Streaming(Person):
    """Has the answer streamed. A stream that ends too early is gone on with behind its last event."""

    way = "stream"

    async def ask(self, text: str, key: str) -> list[str]:
        found, last = "", -1
        while True:
            stream: Any = await (
                self.client.responses.retrieve(found, stream=True, starting_after=last)
                if found
                else self.client.responses.create(**self.question(text, key), stream=True)
            )
            async with stream:
                async for event in stream:
                    assert event.sequence_number > last, f"{event} after {last}"
                    last, found = event.sequence_number, found or event.response.id
                    if event.type in TERMINAL:
                        return self.told(event.response)
            self.went_on("goes on with a stream" if found else "asks again, nothing had come")


class Polling(Person):
    """Has the answer made in the background, and looks for it again and again."""

    way = "poll"

    async def ask(self, text: str, key: str) -> list[str]:
        create: Any = self.client.responses.create
        response: Any = await create(**self.question(text, key), background=True)
        while response.status in ("queued", "in_progress"):
            await anyio.sleep(0.1)  # as a client does
            response = await self.client.responses.retrieve(response.id)
        return self.told(response)


class Background(Person):
    """Has the answer made in the background, and streams it from its beginning."""

    way = "background"

    async def ask(self, text: str, key: str) -> list[str]:
        create: Any = self.client.responses.create
        response: Any = await create(**self.question(text, key), background=True)
        last = -1
        while True:
            after: Any = {} if last < 0 else {"starting_after": last}
            stream: Any = await self.client.responses.retrieve(response.id, stream=True, **after)
            async with stream:
                async for event in stream:
                    assert event.sequence_number > last, f"{event} after {last}"
                    last = event.sequence_number
                    if event.type in TERMINAL:
                        return self.told(event.response)
            self.went_on("goes on with a stream")


class Chatting(Person):
    """Knows Chat Completions only, and resends the dialog each time."""

    way = "chat"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._dialog: list[Any] = []

    async def ask(self, text: str, key: str) -> list[str]:
        self._dialog.append({"role": "user", "content": text})
        raw = await self.client.chat.completions.with_raw_response.create(
            model="house", messages=self._dialog, extra_headers={KEY: key}
        )
        said = str(raw.parse().choices[0].message.content)
        self._dialog.append({"role": "assistant", "content": said})
        found = raw.headers["frontdesk-conversation"]
        assert self.conversation in (None, found), "another conversation than before"
        self.conversation = found
        return said.split("\n\n")


class Connected(Person):
    """Keeps a WebSocket, reads it all the time, and resumes behind the last event that it has seen."""

    way = "websocket"

    async def open(self) -> None:
        self.conversation = (await self.client.conversations.create()).id
        self._seen = {"conversation": self.conversation, "after": "0"}
        self._question: Any = None  # that is not answered
        self._answer: asyncio.Future[Any]
        slowly: Any = {"open_timeout": PATIENCE, "ping_interval": None}  # the machine may be busy
        self._connection = await self.client.responses.connect(
            on_reconnecting=self._resume, websocket_connection_options=slowly
        ).enter()
        self._reading = asyncio.create_task(self._read())

    async def close(self) -> None:
        await self._connection.close()
        await self._reading

    def _resume(self, event: ReconnectingEvent) -> ReconnectingOverrides:
        self.went_on(f"connects again after {event.close_code}")
        return {"extra_query": dict(self._seen)}

    async def ask(self, text: str, key: str) -> list[str]:
        self._question = {
            "model": "house", "input": text, "conversation": self.conversation,
            "metadata": {"frontdesk:input_id": key},
        }  # fmt: skip
        self._answer = asyncio.get_running_loop().create_future()
        await self._send()
        await asyncio.wait({self._answer, self._reading}, return_when=asyncio.FIRST_COMPLETED)
        assert self._answer.done(), f"the connection has ended: {self._reading}"
        return self.told(await self._answer)

    async def _send(self) -> None:
        with suppress(ConnectionClosed):  # it is sent again when the connection is back
            await self._connection.response.create(**self._question)

    async def _read(self) -> None:
        connection: Any = self._connection
        async for event in connection:
            raw: dict[str, Any] = event.to_dict()
            if event.type == "error":
                assert raw["error"]["code"] == "draining", raw
                self.went_on("is refused by a server that drains")
            if event.type == "frontdesk:subscribed":  # it is back
                if self._question is not None:
                    await self._send()
            elif "cursor" in raw:
                self._seen["after"] = str(max(int(raw["cursor"]), int(self._seen["after"])))
            if event.type in TERMINAL and self._question is not None:
                key = self._question["metadata"]["frontdesk:input_id"]
                if raw["response"]["metadata"].get("frontdesk:input_id") == key:
                    self._question = None
                    self._answer.set_result(event.response)


class Own(Person):
    """Uses our own client."""

    way = "own"

    async def open(self) -> None:
        self._desk = await Client(self.address, patience=PATIENCE).__aenter__()

    async def close(self) -> None:
        await self._desk.__aexit__()

    async def ask(self, text: str, key: str) -> list[str]:
        reply = await self._desk.ask(text)
        self.conversation = self._desk.conversation
        assert reply.text == answer(text), reply
        return self.told(Response.model_validate(reply.response))


WAYS: Final[tuple[type[Person], ...]] = (Whole, Streaming, Polling, Background, Chatting, Connected, Own)
