"""WebSocket clients that cost little: frames in, payloads out, and nothing else. For loopback and for measuring only.

The client shares the machine with the server that is measured; a library's client would take as much of it as that.
"""

from __future__ import annotations

import asyncio
import resource
import socket as sockets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from pydantic_core import from_json, to_json

PATIENCE: Final = 60.0
FILES: Final = 20_000  # open at once
AT_ONCE: Final = 100  # that connect at the same time
KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
JSON: TypeAlias = dict[str, Any]
OnText: TypeAlias = Callable[["RawClient", bytes], None]


def frame(text: bytes, opcode: int = 1) -> bytes:
    """A message of a client, masked with zeros: that leaves it as it is."""
    size = len(text)
    if size < 126:
        return bytes((0x80 | opcode, 0x80 | size)) + b"\0\0\0\0" + text
    if size < 65_536:
        return bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big") + b"\0\0\0\0" + text
    return bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big") + b"\0\0\0\0" + text


def frames(buffer: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The whole frames in a server's bytes: opcode, payload, and where the next one begins."""
    at, end = 0, len(buffer)
    while end - at >= 2:
        opcode, size, head = buffer[at] & 0x0F, buffer[at + 1], at + 2
        if size == 126:
            size, head = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
        elif size == 127:
            size, head = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
        if head + size > end:
            return
        at = head + size
        yield opcode, buffer[head:at], at


class RawClient(asyncio.Protocol):
    """One WebSocket. ``on_text`` is called with each message; ``lost`` is set when the connection has ended."""

    def __init__(self, on_text: OnText) -> None:
        self.on_text = on_text
        self.lost = asyncio.Event()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self.opened.done():
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self._buffer = rest
            if not head.startswith(b"HTTP/1.1 101"):
                self.opened.set_exception(ConnectionError(head.decode(errors="replace")[:500]))
                return
            self.opened.set_result(None)
        done = 0
        for opcode, payload, end in frames(self._buffer):
            done = end
            if opcode == 1:
                self.on_text(self, payload)
            elif opcode == 9:
                self.transport.write(frame(payload, 10))
        if done:
            self._buffer = self._buffer[done:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError())

    def say(self, message: JSON) -> None:
        self.transport.write(frame(to_json(message)))


async def connected(address: str, path: str, on_text: OnText, *, source: str = "", small: bool = False) -> RawClient:
    """A WebSocket to ``host:port``. ``source`` is the address it comes from; ``small``: its socket takes little."""
    host, _, port = address.partition(":")
    raw = sockets.socket()
    raw.setblocking(False)
    if small:
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    if source:
        raw.bind((source, 0))
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (host, int(port)))
    _, client = await loop.create_connection(lambda: RawClient(on_text), sock=raw)
    head = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    client.transport.write(f"{head}Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    await asyncio.wait_for(client.opened, PATIENCE)
    return client


async def crowd(address: str, path: str, number: int, on_text: OnText) -> list[RawClient]:
    """So many WebSockets, from as many addresses of loopback as they need ports."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, FILES)), hard))
    found: list[RawClient] = []
    for start in range(0, number, AT_ONCE):
        some = range(start, min(number, start + AT_ONCE))
        found += await asyncio.gather(
            *(connected(address, path, on_text, source=f"127.0.0.{2 + one // 10_000}") for one in some)
        )
    return found


def leave(clients: Iterable[RawClient]) -> None:
    """Hangs up."""
    for client in clients:
        client.transport.abort()


class Expected:
    """Counts messages, and is awaited for so many of them."""

    def __init__(self) -> None:
        self.count, self._wanted = 0, 0
        self._there = asyncio.Event()
        self.at = 0.0  # when the last one that was waited for came

    def __call__(self, client: RawClient, payload: bytes) -> None:
        self.count += 1
        if self.count == self._wanted:
            self.at = time.perf_counter()
            self._there.set()

    async def more(self, number: int, begin: Callable[[], object]) -> float:
        """Seconds from ``begin`` until so many more have come."""
        self._wanted = self.count + number
        self._there.clear()
        began = time.perf_counter()
        begin()
        await asyncio.wait_for(self._there.wait(), PATIENCE)
        return self.at - began


def read(payload: bytes) -> JSON:
    """A message as an object."""
    found: JSON = from_json(payload)
    return found
