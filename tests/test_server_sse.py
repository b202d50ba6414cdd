"""Answers that take their time over HTTP: slow clients, clients that leave, and servers that drain. The worker is moved
by hand."""

from __future__ import annotations

import json
import socket as sockets
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import sqlalchemy as sa
from anyio.abc import ByteStream, SocketStream

from frontdesk.broker import turns
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.statements import Statement, table
from frontdesk.broker.tables import LogRow
from frontdesk.server.limits import Limits
from frontdesk.server.response_log import ResponseLog
from frontdesk.server.service import Service
from frontdesk.tests.fakes.hand_worker import HandTurn, HandWorker
from frontdesk.tests.fakes.served import PATIENCE, served

BIG = "x" * 200_000
STATES = Statement(sa.select(turns.turn.c.status).order_by(turns.turn.c.created_at))
FORGET = Statement(sa.delete(table(LogRow)))
HEAD = "POST /v1/responses HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n{more}\r\n"


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[HandWorker]:
    database = Database.open(f"sqlite:///{tmp_path}/desk.db", durable=False)
    yield HandWorker(database)
    database.close()


class Reader:
    """An HTTP client by hand: ``head`` once, then ``events`` of a stream, at the test's pace."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.received = b""

    async def read(self) -> bool:
        with anyio.fail_after(PATIENCE):
            try:
                self.received += await self.stream.receive(65_536)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return False
        return True

    async def status(self) -> int:
        while b"\r\n\r\n" not in self.received:
            assert await self.read(), "the server said nothing"
        return int(self.received.split()[1])

    async def event(self, kind: str) -> dict[str, Any]:
        """The next event of this type; what was before it is dropped."""
        while True:
            while (start := self.received.find(b"event: " + kind.encode())) < 0 or b"\n\n" not in self.received[start:]:
                assert await self.read(), f"the stream ended before {kind}"
            data, _, self.received = self.received[start:].partition(b"\n\n")
            found: dict[str, Any] = json.loads(data.partition(b"data: ")[2].replace(b"\r\n", b""))
            return found

    async def text(self, wanted: str) -> None:
        while wanted.encode() not in self.received:
            assert await self.read(), f"it ended before {wanted}"


@asynccontextmanager
async def asked(address: str, *, deaf: bool = False, headers: str = "", **body: Any) -> AsyncGenerator[Reader]:
    """A request that creates a response; ``deaf``: its socket takes little."""
    host, port = address.removeprefix("http://").split(":")
    raw = sockets.socket()
    if deaf:
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    raw.connect((host, int(port)))
    raw.setblocking(False)
    content = json.dumps({"model": "front", "input": "hello", **body}).encode()
    async with await SocketStream.from_socket(raw) as stream:
        await stream.send(HEAD.format(host=f"{host}:{port}", length=len(content), more=headers).encode() + content)
        yield Reader(stream)


async def begun(hand: HandWorker) -> HandTurn:
    """The next turn, as soon as it has been asked for."""
    ready = anyio.Event()
    listening = hand.database.hub.listen("ready", "turn", ready.set)
    turn = await hand.claim()
    if turn is None:
        with anyio.fail_after(PATIENCE):
            await ready.wait()
        turn = await hand.begin()
    listening.stop()
    return turn


def ended(conn: Connection) -> list[str]:
    """The states of all responses, the oldest first."""
    return [str(row[0]) for row in conn.all(STATES)]


def forget_events(conn: Connection) -> None:
    """What retention does in the end."""
    conn.run(FORGET)


async def until_alone(service: Service, connections: int = 0) -> None:
    with anyio.fail_after(PATIENCE):
        while service.connections > connections:
            await service.left.wait()


async def test_a_stream_that_is_not_read_is_cut_off_and_its_response_goes_on(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(stall_seconds=0.5))
    async with served(service) as address:
        async with asked(address, deaf=True, stream=True) as slow, asked(address, stream=True) as other:
            assert await slow.status() == await other.status() == 200
            both = [await hand.begin(), await hand.begin()]
            for turn in both:
                for _ in range(40):
                    await turn.say(BIG)
            await until_alone(service, 1)
            for turn in both:
                await turn.end()
            assert (await other.event("response.completed"))["response"]["status"] == "completed"
        found = await hand.database.read(ended)
        assert found == ["completed", "completed"]


async def test_a_stream_that_is_far_behind_is_cut_off_before_it_stalls(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(stall_seconds=3_600, lag_events=100))
    async with served(service) as address, asked(address, deaf=True, stream=True) as slow:
        assert await slow.status() == 200
        turn = await hand.begin()
        for _ in range(60):
            await turn.say(BIG, *["small"] * 10)
        await until_alone(service)


async def test_under_another_server_a_stream_that_is_not_read_is_let_go_as_well(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(stall_seconds=0.3), drain_seconds=0.0)
    async with served(service, plain=True) as address, asked(address, deaf=True, stream=True) as slow:
        assert await slow.status() == 200
        turn = await hand.begin()
        for _ in range(60):
            await turn.say(BIG)
        await until_alone(service)
        await slow.stream.aclose()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_has_gone_is_forgotten_at_once(hand: HandWorker, stream: bool) -> None:
    service = Service(hand.desk, hand.database)
    async with served(service) as address:
        async with asked(address, stream=stream):
            turn = await begun(hand)
            assert service.connections == 1
        await until_alone(service)
        await turn.end()
        assert await hand.database.read(ended) == ["completed"]


async def test_a_silent_stream_says_that_it_is_still_there(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(ping_seconds=0.05))
    async with served(service) as address, asked(address, stream=True) as reader:
        await reader.text(": still here\n\n")
        turn = await hand.begin()
        while reader.received.count(b": still here\n\n") < 3:
            assert await reader.read()
        await turn.end()
        await reader.event("response.completed")


async def test_a_drain_ends_streams_after_a_whole_event_and_refuses_new_ones(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, drain_seconds=0.2)
    async with served(service) as address:
        async with asked(address, stream=True) as reader:
            await reader.status()
            turn = await hand.begin()
            await turn.say("one")
            await reader.event("response.output_text.delta")
            async with anyio.create_task_group() as group:
                group.start_soon(service.drain)
                await anyio.lowlevel.checkpoint()
                async with asked(address, stream=True) as refused:
                    assert await refused.status() == 503
                    assert b"retry-after: 1" in refused.received
                    assert b"connection: close" in refused.received, "or it would be asked again, and no other server"
                    await refused.text('"code":"draining"')
                await reader.text("\r\n0\r\n\r\n")  # a whole answer
        await until_alone(service)


@pytest.mark.parametrize(("headers", "status"), [("", 200), ("idempotency-key: once\r\n", 503)])
async def test_a_drain_answers_who_waits_for_a_whole_response(hand: HandWorker, headers: str, status: int) -> None:
    """One that can be sent again is told to; one that would enter twice is given what there is."""
    service = Service(hand.desk, hand.database, drain_seconds=0.0)
    async with served(service) as address, asked(address, headers=headers) as reader:
        turn = await begun(hand)
        await service.drain()
        assert await reader.status() == status
        while not reader.received.endswith(b"}"):
            assert await reader.read()
        body = json.loads(reader.received.partition(b"\r\n\r\n")[2])
        assert body["error"]["code"] == "draining" if headers else body["status"] == "in_progress"
        if not headers:
            assert body["id"] == turn.response_id


async def test_a_tenants_streams_are_connections_too(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database, limits=Limits(connections=1))
    async with served(service) as address, asked(address, stream=True) as first:
        assert await first.status() == 200
        async with asked(address, stream=True) as second:
            assert await second.status() == 429


async def test_the_end_of_a_response_is_told_when_the_log_does_not_hold_it_any_more(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database)
    async with served(service) as address:
        async with asked(address, stream=True) as first:
            turn = await begun(hand)
            await turn.end()
            await first.event("response.completed")
        await hand.database.write(forget_events)
        host, port = address.removeprefix("http://").split(":")
        stream = await anyio.connect_tcp(host, int(port))
        async with stream:
            path = f"/v1/responses/{turn.response_id}?stream=true"
            await stream.send(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            event = await Reader(stream).event("response.completed")
        assert (event["response"]["id"], event["response"]["status"]) == (turn.response_id, "completed")


async def test_a_log_is_read_in_pieces_whatever_it_holds(hand: HandWorker) -> None:
    service = Service(hand.desk, hand.database)
    async with served(service) as address, asked(address, background=True):
        turn = await begun(hand)
        for _ in range(20):
            await turn.say(*["y" * 9_000] * 10)
        await turn.end()
    followed = ResponseLog(hand.database, starting_after=2)
    followed.follow(turn.conversation_id, turn.response_id, 0)
    found: list[str] = []
    while not followed.ended:
        piece = await followed.batch()
        assert sum(map(len, piece)) < 2 * 65_536, "what is not asked for is not held"
        found += piece
    followed.stop()
    numbers = [json.loads(text)["sequence_number"] for text in found]
    assert numbers == [*range(3, 202)]
