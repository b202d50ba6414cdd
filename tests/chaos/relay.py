"""What stands between clients and servers: it takes each connection to one of the servers that listen, and may cut it
off in the middle of anything, as networks do: both sides see a reset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count


class Relay:
    """Listens on a port of its own. ``cut_after`` says after how many bytes from the server a new connection is cut
    off; None: it is not."""

    def __init__(self, ports: list[int], cut_after: Callable[[], int | None]) -> None:
        self._ports, self._cut_after = ports, cut_after
        self._turns = count()
        self._open: set[asyncio.StreamWriter] = set()
        self.connections = self.cuts = 0
        self.url = ""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""
        self.connections += 1
        left = self._cut_after()
        try:
            to_server = await self._connect()
        except OSError:  # none of them listens now
            writer.transport.abort()
            return
        server_reader, server_writer = to_server
        self._open.add(server_writer)
        up = asyncio.create_task(_copy(reader, server_writer))
        try:
            while data := await server_reader.read(65_536 if left is None else min(left, 4_096)):
                writer.write(data)
                await writer.drain()
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        self.cuts += 1
                        break
        except OSError:
            pass
        finally:
            writer.transport.abort()
            server_writer.transport.abort()
            self._open.discard(server_writer)
            up.cancel()
            await asyncio.wait([up])

    def stop(self) -> None:
        """Cuts everything off."""
        for writer in self._open:
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        first = next(self._turns)
        for number in range(len(self._ports)):
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self._ports[(first + number) % len(self._ports)])
        raise ConnectionRefusedError


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


def never() -> None:
    """A relay with this cuts nothing off."""
    return


@asynccontextmanager
async def relay(ports: list[int], cut_after: Callable[[], int | None] = never) -> AsyncGenerator[Relay]:
    found = Relay(ports, cut_after)
    server = await asyncio.start_server(found.carry, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        found.stop()
        await server.wait_closed()
