"""``create_task`` to ``task.finished`` by hand: ``websockets`` and the queue by hand, and nothing else. A floor.

    python -m frontdesk.bench.roundtrip_floor DATABASE      prints its address; a SIGTERM ends it

A message files a task and is answered with the event that says so; the task is claimed in process, does nothing, and
its end is sent as the next event. No model, no turn, no history, no subscription: one socket, one conversation.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from . import handmade

SLOTS = 16


class Server:
    """Who waits for which conversation, and the slots that run tasks."""

    def __init__(self, group: handmade.GroupCommit) -> None:
        self._group, self._ready = group, asyncio.Event()
        self._sockets: dict[str, ServerConnection] = {}

    async def talk(self, socket: ServerConnection) -> None:
        conversation = await self._group.call(handmade.open_conversation)
        self._sockets[conversation] = socket
        with suppress(ConnectionClosed):
            async for text in socket:
                title = json.loads(text)["input"]
                arguments = json.dumps({"number": title})
                _, event = await self._group.call(handmade.create, conversation, "noop", title, arguments)
                self._ready.set()
                await socket.send(event)

    async def slot(self, owner: str) -> None:
        while True:
            self._ready.clear()
            claimed = await self._group.call(handmade.claim, owner)
            if claimed is None:
                await self._ready.wait()
                continue
            event = await self._group.call(handmade.finish, claimed, claimed.arguments)
            with suppress(ConnectionClosed):
                await self._sockets[claimed.conversation_id].send(event)


async def main(database: Path) -> None:
    group = handmade.GroupCommit(database)
    server = Server(group)
    slots = [asyncio.create_task(server.slot(f"slot {number}")) for number in range(SLOTS)]
    async with serve(server.talk, "127.0.0.1", 0, compression=None) as listening:
        host, port = next(iter(listening.sockets)).getsockname()[:2]
        print(f"served at http://{host}:{port}", flush=True)
        await asyncio.gather(*slots)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
