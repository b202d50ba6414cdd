"""Two servers that are restarted one after the other while many talk to them: nothing is lost, and no official client
sees anything that it does not get over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
from openai import AsyncOpenAI
from openai.lib.responses_websocket import AsyncResponsesWebSocketSession, ResponsesWebSocketLimits
from openai.types.websocket_reconnection import ReconnectingEvent, ReconnectingOverrides

from frontdesk.server.client import Client
from frontdesk.tests.chaos.desks import Servers, answer
from frontdesk.tests.chaos.relay import Relay, relay
from frontdesk.tests.chaos.scale import PATIENCE, scaled
from frontdesk.tests.wire_record import TERMINAL

CONVERSATIONS = scaled(18, 200)
RESTARTS = scaled(2, 10)  # each of both servers in turn
KINDS = ("ours", "connection", "session")
LIMITS = ResponsesWebSocketLimits(
    max_lanes=8, max_events_per_lane=2_000, max_events=20_000, max_bytes_per_lane=20_000_000, max_bytes=100_000_000
)


@pytest.fixture
def servers(postgresql_url: str) -> Iterator[Servers]:
    found = Servers(postgresql_url, 2)
    yield found
    found.stop()


class Talker:
    """A person with a client, who asks one thing after the other until it is over."""

    def __init__(self, between: Relay, name: str, over: anyio.Event) -> None:
        self._between, self._name, self._over = between, name, over
        self.asked = 0

    def _questions(self) -> Iterator[str]:
        while not self._over.is_set() or self.asked == 0:
            self.asked += 1
            yield f"{('say', 'look', 'file')[self.asked % 3]} {self._name}.{self.asked}"

    async def ours(self) -> None:
        async with Client(self._between.url, patience=PATIENCE) as client:
            for text in self._questions():
                assert (await client.ask(text)).text == answer(text)

    async def connection(self) -> None:
        """OpenAI's connection, which comes back by itself; it resumes as its hook says."""
        async with self._official() as official, official.responses.connect(**self._coming_back) as found:

            async def create(message: Any) -> None:
                await found.send(message)

            for text in self._questions():
                assert await self._ask(text, create, found.recv) == answer(text)

    async def session(self) -> None:
        """OpenAI's session with lanes over such a connection."""
        async with (
            self._official() as official,
            official.responses.connect(**self._coming_back) as found,
            AsyncResponsesWebSocketSession(found, limits=LIMITS) as session,
        ):

            async def create(message: Any) -> None:
                while True:
                    try:
                        await session.default.send(message)
                        return
                    except RuntimeError:  # it is reconnecting, and says so
                        await anyio.sleep(0.01)

            for text in self._questions():
                assert await self._ask(text, create, session.default.recv) == answer(text)

    def _official(self) -> AsyncOpenAI:
        self._seen: dict[str, str] = {}
        self._back = asyncio.Event()
        return AsyncOpenAI(base_url=f"{self._between.url}/v1", api_key="any", max_retries=0)

    @property
    def _coming_back(self) -> Any:
        return {"on_reconnecting": self._resume, "initial_delay": 0.05, "max_delay": 0.5, "max_retries": 1_000}

    def _resume(self, event: ReconnectingEvent) -> ReconnectingOverrides:
        self._back.set()
        return {"extra_query": dict(self._seen)}

    def _create(self, text: str) -> Any:
        about = {"conversation": self._seen["conversation"]} if self._seen else {}
        return {
            "model": "house",
            "input": text,
            "metadata": {"frontdesk:input_id": _input_id(self._name, text)},
            **about,
        }

    def _take(self, event: Any, text: str) -> str | None:
        """What is answered to this question, when this event says it."""
        if getattr(event, "cursor", None) and event.type != "frontdesk:subscribed":
            self._seen.update(conversation=event.conversation, after=event.cursor)
        if event.type == "error":  # what a server that stops says: it is asked again when we are back
            assert event.error.code == "draining", event
        if event.type not in TERMINAL or event.response.metadata.get("frontdesk:input_id") != _input_id(
            self._name, text
        ):
            return None
        assert event.response.status == "completed", event.response
        return str(event.response.output_text)

    async def _ask(
        self, text: str, create: Callable[[Any], Awaitable[None]], recv: Callable[[], Awaitable[Any]]
    ) -> str:
        """Asks, and asks again under the same name on each new connection; the first answer that comes."""
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                while True:
                    self._back.clear()
                    await create(self._create(text))
                    await self._back.wait()

            group.start_soon(ask)
            answers: list[str] = []
            while not answers:
                found = self._take(await recv(), text)
                answers += [] if found is None else [found]
            group.cancel_scope.cancel()
        return answers[0]


def _input_id(name: str, text: str) -> str:
    return f"{name}-{text.replace(' ', '-')}"


async def test_a_rolling_restart_loses_nothing_and_everybody_gets_over_it(servers: Servers) -> None:
    over = anyio.Event()
    talkers: list[Talker] = []
    with anyio.fail_after(PATIENCE * 2):
        async with relay(servers.ports) as between, anyio.create_task_group() as group:
            for number in range(CONVERSATIONS):
                talkers.append(Talker(between, f"{number}", over))
                group.start_soon(getattr(talkers[-1], KINDS[number % len(KINDS)]))
            for restart in range(2 * RESTARTS):
                await anyio.to_thread.run_sync(servers.restart, restart % 2)
            over.set()
    questions = sum(talker.asked for talker in talkers)
    print(f"{2 * RESTARTS} restarts under {CONVERSATIONS} conversations, {questions} questions, all answered")
