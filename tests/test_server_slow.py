"""A client that does not read harms no one: it is cut off, and everybody else goes on meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.exceptions import ConnectionClosed

from frontdesk.agents import deletion
from frontdesk.broker.database import Database
from frontdesk.broker.errors import DatabaseLocked
from frontdesk.server.limits import Limits
from frontdesk.server.records import resumed
from frontdesk.server.service import Service
from frontdesk.tests.fakes.hand_worker import HandWorker
from frontdesk.tests.fakes.served import PATIENCE, client, deaf, served

BIG = "x" * 200_000


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[HandWorker]:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    yield HandWorker(database)
    database.close()


async def conversation_of(address: str, hand: HandWorker) -> str:
    async with client(address) as socket:
        await socket.create()
        await socket.taken()
        return (await hand.answer()).conversation_id


async def until_alone(service: Service, connections: int = 0) -> None:
    """Until only so many connections are left."""
    with anyio.fail_after(PATIENCE):
        while service.connections > connections:
            await service.left.wait()


async def test_a_client_that_never_reads_is_cut_off_and_the_others_go_on(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(stall_seconds=0.5))
    async with served(service) as address:
        conversation = await conversation_of(address, hand)
        query = f"?conversation={conversation}&after=0"
        async with deaf(address, query), client(address, query) as reader:
            await reader.until("frontdesk:subscribed")
            for number in range(60):
                await hand.note(conversation, f"{number} {BIG}")
            await reader.until("frontdesk:note", lambda event: event["text"].startswith("59 "))
            await until_alone(service, 1)
        async with client(address, query) as again:
            await again.until("frontdesk:note", lambda event: event["text"].startswith("59 "))
            cursors = [int(event["cursor"]) for event in again.events[1:]]
            assert cursors == [*range(1, 63)], "it resumes, and nothing is missing"


async def test_a_client_that_falls_too_far_behind_is_cut_off_before_it_has_stalled(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(stall_seconds=3_600, lag_events=100))
    async with served(service) as address:
        conversation = await conversation_of(address, hand)
        async with deaf(address, f"?conversation={conversation}"):
            for _ in range(60):
                await hand.note(conversation, BIG, *["small"] * 10)
            await until_alone(service)


async def test_a_long_replay_to_a_slow_client_is_no_lag(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(stall_seconds=3_600, lag_events=5))
    async with served(service) as address:
        conversation = await conversation_of(address, hand)
        for number in range(60):
            await hand.note(conversation, f"{number} {BIG}")
        async with deaf(address, f"?conversation={conversation}&after=0") as slow:
            await anyio.sleep(1.5)  # not a wait for anything: the client is slow, longer than the writer looks
            await slow.until("frontdesk:note", lambda event: event["text"].startswith("59 "))


async def test_what_is_deleted_before_a_slow_client_has_read_it_holds_no_lane(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(stall_seconds=3_600))
    async with served(service) as address, deaf(address) as slow:
        await slow.create(stream_id="a")
        await slow.taken()
        turn = await hand.begin()
        for _ in range(60):  # more than sockets and memory hold
            await turn.say(BIG)
        await turn.end()
        async with client(address) as reader:
            await reader.send("frontdesk:subscribe", conversation=turn.conversation_id, after="0")
            await reader.until("response.completed")
        await hand.database.write(deletion.delete_response, turn.response_id, "")
        code, reason = await slow.closed()
        assert (code, "was deleted" in str(reason)) == (1013, True), "else it would wait there for ever"


async def test_a_client_that_floods_with_errors_and_does_not_read_is_cut_off(hand: HandWorker) -> None:
    limits = Limits(stall_seconds=3_600, outbox=50, bad_messages=1_000_000)
    service = Service(hand.desk, hand.database, limits=limits)
    async with served(service) as address, deaf(address) as flood:
        with suppress(ConnectionClosed):
            while True:
                await flood.socket.send('{"type":"' + "x" * 60 + '"}')
        await until_alone(service)


async def test_a_client_that_answers_no_ping_is_gone_even_when_it_does_not_read(hand: HandWorker) -> None:
    limits = Limits(stall_seconds=3_600, ping_seconds=0.3, ping_timeout=0.3)
    service = Service(hand.desk, hand.database, limits=limits)
    async with served(service) as address:
        conversation = await conversation_of(address, hand)
        for _ in range(60):
            await hand.note(conversation, BIG)
        async with deaf(address, f"?conversation={conversation}&after=0"):
            await until_alone(service)


async def test_under_another_server_a_client_that_never_reads_is_let_go_as_well(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(stall_seconds=0.3), drain_seconds=0.0)
    async with served(service, plain=True) as address:
        conversation = await conversation_of(address, hand)
        for _ in range(60):
            await hand.note(conversation, BIG)
        async with deaf(address, f"?conversation={conversation}&after=0") as slow:
            await until_alone(service)
            slow.socket.transport.abort()


async def test_under_another_server_bad_messages_end_the_connection(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(bad_messages=3), drain_seconds=0.0)
    async with served(service, plain=True) as address, client(address) as socket:
        for _ in range(3):
            await socket.socket.send("bad")
        assert await socket.closed() == (1008, "3 bad messages in a row")


class Stumbling(Database):
    """A database whose log cannot be read the first few times."""

    failures = 0

    async def read(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        if function is resumed and self.failures:
            self.failures -= 1
            raise DatabaseLocked("desk.db")
        return await super().read(function, *args, **kwargs)


async def test_a_log_that_cannot_be_read_now_is_read_later(tmp_path: Path) -> None:
    database = Stumbling.open(f"sqlite:///{tmp_path}/stumbling.db", durable=False)
    assert isinstance(database, Stumbling)
    hand = HandWorker(database)
    try:
        async with served(Service(hand.desk, database)) as address:
            conversation = await conversation_of(address, hand)
            database.failures = 1
            async with client(address, f"?conversation={conversation}&after=0") as socket:
                await socket.until("response.completed")
                assert database.failures == 0
    finally:
        database.close()


async def test_when_the_database_is_closed_the_connection_ends_with_1012(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/closing.db", durable=False)
    hand = HandWorker(database)
    async with served(Service(hand.desk, database, drain_seconds=0.0)) as address:
        conversation = await conversation_of(address, hand)
        await hand.note(conversation, *["x"] * 20_000)
        await hand.note(conversation, *["x"] * 20_000)
        async with client(address, f"?conversation={conversation}&after=0") as socket:
            await socket.until("frontdesk:note")
            database.hub.publish_everything()  # what is in memory may have holes: the log has to be read
            database.close()
            database.hub.publish_everything()
            assert (await socket.closed())[0] == 1012


async def test_the_server_ends_though_a_client_does_not_read(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(stall_seconds=3_600), drain_seconds=0.1)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            following, over = anyio.Event(), anyio.Event()

            async def stay(address: str, conversation: str) -> None:
                async with deaf(address, f"?conversation={conversation}&after=0") as slow:
                    await slow.until("frontdesk:subscribed")
                    following.set()
                    await over.wait()

            async with served(service) as address:
                conversation = await conversation_of(address, hand)
                for _ in range(60):
                    await hand.note(conversation, BIG)
                group.start_soon(stay, address, conversation)
                await following.wait()
            over.set()
    assert service.connections == 0
