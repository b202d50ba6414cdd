"""The limits of the protocol at their own sizes: what they let through, and what is said one beyond them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from frontdesk.broker.connection import Connection
from frontdesk.broker.conversations import create_conversation
from frontdesk.broker.database import Database
from frontdesk.server.limits import Limits
from frontdesk.server.service import Service
from frontdesk.tests.fakes.hand_worker import HandWorker
from frontdesk.tests.fakes.served import Client, client, served

LANES, SUBSCRIPTIONS, BAD, SIZE, DEPTH = 256, 1_000, 500, 16 * 1024 * 1024, 64


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[HandWorker]:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    yield HandWorker(database)
    database.close()


@pytest.fixture
async def socket(hand: HandWorker) -> AsyncGenerator[Client]:
    service = Service(hand.desk, hand.database, drain_seconds=0.0)
    async with served(service) as address, client(address, max_size=None) as found:
        yield found


def make_conversations(conn: Connection, count: int) -> list[str]:
    return [create_conversation(conn, tenant="", desk="front") for _ in range(count)]


def code_of(error: dict[str, Any]) -> tuple[int, str]:
    return error["status"], error["error"]["code"]


def test_what_is_not_set_is_as_the_protocol_has_it() -> None:
    limits = Limits()
    assert (limits.message_bytes, limits.depth, limits.inbox) == (SIZE, DEPTH, 64)
    assert (limits.lanes, limits.subscriptions, limits.bad_messages) == (LANES, SUBSCRIPTIONS, BAD)
    assert (limits.ping_seconds, limits.ping_timeout) == (20.0, 20.0)


async def test_256_lanes_are_used_at_once_and_one_more_when_one_is_free(socket: Client, hand: HandWorker) -> None:
    for number in range(LANES + 1):
        await socket.create(stream_id=f"lane-{number}")
    error = await socket.until("error")
    assert (*code_of(error), error["stream_id"]) == (429, "rate_limit_exceeded", f"lane-{LANES}")
    await socket.create(stream_id="lane-0")  # no further lane
    first = await hand.answer("well")
    ended = await socket.until("response.completed")
    assert (ended["response_id"], ended["stream_id"]) == (first.response_id, "lane-0")
    await hand.answer("well")
    await socket.until("response.completed")
    await socket.create(stream_id=f"lane-{LANES}")
    await socket.taken()
    assert len([one for one in socket.events if one["type"] == "error"]) == 1


async def test_1000_conversations_are_followed_and_no_more(socket: Client, hand: HandWorker) -> None:
    conversations = await hand.database.write(make_conversations, SUBSCRIPTIONS + 1)
    for one in conversations:
        await socket.send("frontdesk:subscribe", conversation=one)
    error = await socket.until("error")
    assert (*code_of(error), error["stream_id"]) == (429, "rate_limit_exceeded", f"frontdesk.{conversations[-1]}")
    assert sum(one["type"] == "frontdesk:subscribed" for one in socket.events) == SUBSCRIPTIONS
    await socket.send("frontdesk:unsubscribe", conversation=conversations[0])
    await socket.send("frontdesk:subscribe", conversation=conversations[-1])
    await socket.until("frontdesk:subscribed", lambda event: event["conversation"] == conversations[-1])
    for one in (conversations[1], conversations[-1]):
        await hand.note(one, "heard")
        assert (await socket.until("frontdesk:note"))["conversation"] == one


async def test_500_bad_messages_in_a_row_end_the_connection_and_499_do_not(socket: Client) -> None:
    for _ in range(BAD - 1):
        await socket.socket.send("bad")
    await socket.create()
    for _ in range(BAD):
        await socket.socket.send("bad")
    assert await socket.closed() == (1008, "500 bad messages in a row")
    assert sum(one["type"] == "error" for one in socket.events) == 2 * BAD - 1


async def test_a_message_of_16_mib_is_taken_and_one_byte_more_is_not(socket: Client, hand: HandWorker) -> None:
    empty = json.dumps({"type": "response.create", "input": ""})
    await socket.socket.send(empty[:-2] + "x" * (SIZE - len(empty)) + empty[-2:])
    await socket.taken()
    turn = await hand.answer("well")
    assert (await socket.until("response.completed"))["response_id"] == turn.response_id
    with suppress(ConnectionClosed):  # it may be closed before all of it is sent
        await socket.socket.send(empty[:-2] + "x" * (SIZE - len(empty) + 1) + empty[-2:])
    assert (await socket.closed())[0] == 1009


async def test_json_64_deep_is_taken_and_65_are_not(socket: Client, hand: HandWorker) -> None:
    for depth, good in ((DEPTH, True), (DEPTH + 1, False)):
        inner = '{"a":' * (depth - 1) + "1" + "}" * (depth - 1)
        await socket.socket.send(f'{{"type":"response.create","input":"x","reasoning":{inner}}}')
        if good:
            await socket.taken()
            await hand.answer("well")
            await socket.until("response.completed")
        else:
            assert code_of(await socket.until("error")) == (400, "invalid_json")
