"""A client's bytes mean the same whether a message comes whole, which is read at once, or in any other pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, cast
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from frontdesk.server import websocket
from frontdesk.server.websocket import AbortableWebSocket, whole_text

LIMIT = 80_000
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def sent(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    """As a client sends it."""
    return Frame(opcode, data, fin).serialize(mask=True)


class Wire(asyncio.Transport):
    """Remembers what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def turns() -> None:
    """Some of the loop: as many as the application needs to take what there is."""
    for _ in range(20):
        await asyncio.sleep(0)


async def heard(chunks: Sequence[bytes], *, at_once: bool) -> tuple[list[Any], bytes]:
    """What the application and the client are told when these bytes come, read by read."""
    told: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            told.append(message)
            if message["type"] == "websocket.disconnect":
                return

    def taken(text: str) -> bool:
        if text.startswith("!"):
            told.append(text)
        return text.startswith("!")

    config = Config(cast(Any, app), ws_per_message_deflate=False, ws_max_size=LIMIT, log_config=None, lifespan="off")
    config.load()
    wire, protocol = Wire(), AbortableWebSocket(config, ServerState(), {})
    protocol.connection_made(wire)
    protocol.data_received(HANDSHAKE)
    await turns()
    protocol.at_once = taken if at_once else None
    handshake = len(wire.written)
    for chunk in chunks:
        if not wire.closing:
            protocol.data_received(chunk)
            await turns()
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)
    return told, wire.written[handshake:]


texts = st.one_of(
    st.text(max_size=10),
    st.sampled_from(["!", "!x", "y" * 125, "y" * 126, "!" + "z" * 300, "y" * 65_535, "y" * 70_000]),
)
frames = st.one_of(
    texts.map(lambda text: sent(Opcode.TEXT, text.encode())),
    texts.map(lambda text: sent(Opcode.TEXT, text.encode(), fin=False) + sent(Opcode.CONT, b"more")),
    st.binary(max_size=10).map(lambda data: sent(Opcode.BINARY, data)),
    st.sampled_from(
        [
            sent(Opcode.PING, b"p"), sent(Opcode.PONG, b"p"), sent(Opcode.TEXT, b"\xff"), sent(Opcode.CONT, b"x"),
            sent(Opcode.TEXT, b"a", fin=False), sent(Opcode.CLOSE, b"\x03\xe8"), sent(Opcode.TEXT, b"y" * 80_001),
            Frame(Opcode.TEXT, b"not masked").serialize(mask=False), b"\x81",
        ]
    ),
)  # fmt: skip


def pieces(said: Sequence[bytes], cuts: Sequence[int]) -> Iterator[bytes]:
    """The frames, each as a read of its own, but cut and joined here and there."""
    held = b""
    for place, frame in enumerate(said):
        cut = cuts[place % len(cuts)] if cuts else 0
        head, tail = frame[: cut % (len(frame) + 1)], frame[cut % (len(frame) + 1) :]
        if cut == 1_000:
            held += frame
            continue
        yield from (one for one in (held + head, tail) if one)
        held = b""
    yield held


@given(st.lists(frames, max_size=8), st.lists(st.sampled_from([0, 0, 0, 1, 3, 7, 1_000]), max_size=8), st.booleans())
def test_a_message_that_comes_whole_is_what_the_parser_finds(said: list[bytes], cuts: list[int], at_once: bool) -> None:
    chunks = list(pieces(said, cuts))
    found = asyncio.run(heard(chunks, at_once=at_once))
    with patch.object(websocket, "whole_text", return_value=None):
        expected = asyncio.run(heard(chunks, at_once=at_once))
    assert expected == found


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535])
def test_a_short_message_is_read_whole(size: int) -> None:
    data = sent(Opcode.TEXT, b"x" * size)
    assert whole_text(data, LIMIT) == b"x" * size
    assert whole_text(data, size) is not None
    assert whole_text(data, size - 1) is None, "it is over the limit"
    assert whole_text(data[:-1], LIMIT) is None
    assert whole_text(data + b"\x81", LIMIT) is None, "another one has begun"


def test_the_parser_is_not_asked_about_it() -> None:
    with patch.object(websocket, "whole_text", wraps=whole_text) as asked:
        told, _ = asyncio.run(
            heard([sent(Opcode.TEXT, b"a"), sent(Opcode.PING, b""), sent(Opcode.TEXT, b"b")], at_once=True)
        )
    assert [one.get("text") for one in told] == ["a", "b", None]
    assert asked.call_count == 3, "between messages each read is looked at"
