"""A Frontdesk server that says how it is: the product's service, worker and sockets, and a pipe to ask through.

    python -m frontdesk.bench.watched DATABASE [--slots N] [--stall SECONDS]

Each line on its standard input is a JSON object: ``status``, ``conversation`` (makes one) or ``append`` (commits an
event to the log of one); its answer is a line of JSON on standard output. A SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import threading
from typing import Any, Final, TypeAlias

from frontdesk.broker.connection import Connection
from frontdesk.broker.conversations import create_conversation
from frontdesk.broker.database import Database
from frontdesk.broker.events import Event, append
from frontdesk.server.commands import share_processor
from frontdesk.server.limits import Limits
from frontdesk.server.service import Service
from frontdesk.server.serving import Server, address_of, listen

from .paced import pacing
from .processor import of_threads, resident, sockets
from .raw_client import FILES

JSON: TypeAlias = dict[str, Any]
MANY: Final = 1_000_000


class Watched:
    """Answers what is asked through the pipe."""

    def __init__(self, service: Service) -> None:
        self._service, self._database = service, service.database

    async def listen(self) -> None:
        """Until the pipe is closed."""
        lines = asyncio.StreamReader(limit=2**24)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            print(json.dumps(await self._answer(json.loads(line))), flush=True)

    async def _answer(self, asked: JSON) -> JSON:
        match asked["do"]:
            case "conversation":
                return {"conversation": await self._database.write(_conversation)}
            case "append":
                await self._database.write(append, asked["conversation"], [Event(asked["text"])])
                return {}
            case "clients":
                return self._clients()
            case _:
                return self._status()

    def _clients(self) -> JSON:
        """What is asked again and again: while the server answers this it answers nobody else."""
        return {
            "connections": self._service.connections,
            "cut_off": sum(self._database.measures.counts("cut_off").values()),
            "resident": resident(),
        }

    def _status(self) -> JSON:
        measures = self._database.measures
        return {
            **self._clients(),
            "coroutines": len(asyncio.all_tasks()),
            "sockets": sockets(),
            "threads": of_threads({one.native_id: one.name for one in threading.enumerate()}),
            "commits": sum(sum(one.counts) for one in measures.durations("commit").values()),
            "commit_seconds": sum(one.seconds for one in measures.durations("commit").values()),
            "functions": sum(measures.counts("written").values()),
        }


def _conversation(conn: Connection) -> str:
    return create_conversation(conn, tenant="", desk=pacing.name)


async def serve(server: Server, watched: Watched) -> None:
    with listen("127.0.0.1", 0) as socket:
        print(f"served at {address_of(socket)}", flush=True)
        asked = asyncio.create_task(watched.listen())
        await server.serve([socket])
        asked.cancel()


def run(database: Database, slots: int, stall: float) -> None:
    """On the loop that ``frontdesk serve`` runs on: uvicorn's choice, which is uvloop where that is installed."""
    limits = Limits(connections=MANY, bad_messages=MANY, responses=MANY, stall_seconds=stall)
    worker = pacing.worker(database, turns=slots, tasks=slots, grace=0.1)
    service = Service(pacing, database, worker=worker, limits=limits, drain_seconds=0.0, grace_seconds=0.1)
    server = Server(service)
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(serve(server, Watched(service)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--stall", type=float, default=Limits().stall_seconds)
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, FILES), hard))
    share_processor()
    database = Database.open(f"sqlite:///{given.database}")
    try:
        run(database, given.slots, given.stall)
    finally:
        database.close()


if __name__ == "__main__":
    main()
