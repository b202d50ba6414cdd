"""The least that a WebSocket server on the same libraries can be: one route of starlette, uvicorn. A floor.

    python -m frontdesk.bench.echo_floor      prints its address; a SIGTERM ends it

It sends each message back; one that begins with F goes to every other client. uvicorn's defaults are kept (its
protocol for ``websockets``, pings every 20 s), without its log.
"""

from __future__ import annotations

import resource
import socket

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from .raw_client import FILES

BACKLOG = 2_048


class Echo:
    """Who is connected."""

    def __init__(self) -> None:
        self._clients: set[WebSocket] = set()

    async def serve(self, client: WebSocket) -> None:
        await client.accept()
        self._clients.add(client)
        try:
            while True:
                text = await client.receive_text()
                if text[0] != "F":
                    await client.send_text(text)
                    continue
                for other in list(self._clients):
                    if other is not client:
                        await other.send_text(text)
        except WebSocketDisconnect:
            pass
        finally:
            self._clients.discard(client)


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, FILES), hard))
    listening = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    host, port = listening.getsockname()[:2]
    app = Starlette(routes=[WebSocketRoute("/", Echo().serve)])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    print(f"served at http://{host}:{port}", flush=True)
    server.run([listening])


if __name__ == "__main__":
    main()
