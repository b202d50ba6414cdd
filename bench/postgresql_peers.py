"""Other queues on PostgreSQL, each as its documentation says, with fifty jobs at once and a worker of its own.

    python -m frontdesk.bench.postgresql_peers pgqueuer|procrastinate|saq DATABASE HITS      a worker, until it ends

They are imported by name: none of them is needed for anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from .hits import Hits, now
from .queue_driver import CALLERS
from .worker_process import WorkerProcesses

MODULE = "frontdesk.bench.postgresql_peers"
CONNECTIONS = {"min_size": 4, "max_size": 20}


class Server:
    """What the three have in common: a database, and a worker beside this process."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]

    def __init__(self, url: str, hits: Hits) -> None:
        self.url, self.hits = url, hits
        self._worker = WorkerProcesses(MODULE, [self.name, url, str(hits.path)], 1)

    async def start(self) -> None:
        await self._worker.start()

    async def stop(self) -> None:
        await self._worker.stop()

    async def settled(self) -> bool:
        return False


class PgQueuer(Server):
    """pgqueuer over asyncpg; its worker on uvloop, as its own command line runs it."""

    name, packages = "pgqueuer", ("pgqueuer", "asyncpg", "uvloop")

    async def open(self) -> None:
        drivers: Any = importlib.import_module("pgqueuer.adapters.drivers.asyncpg")
        queries: Any = importlib.import_module("pgqueuer.queries")
        self._pool: Any = await importlib.import_module("asyncpg").create_pool(self.url, **CONNECTIONS)
        self._queries = queries.Queries(drivers.AsyncpgPoolDriver(self._pool))
        await self._queries.install()

    async def enqueue(self, caller: int) -> None:
        await self._queries.enqueue("noop", repr(now()).encode(), 0)

    async def close(self) -> None:
        await self.stop()
        await self._pool.close()

    def work(self) -> None:
        importlib.import_module("uvloop").run(self._work())

    async def _work(self) -> None:
        pool: Any = await importlib.import_module("asyncpg").create_pool(self.url, **CONNECTIONS)
        made: Any = importlib.import_module("pgqueuer").PgQueuer.from_asyncpg_pool(pool)

        async def noop(job: Any) -> None:
            self.hits.hit(float(job.payload))

        made.entrypoint("noop")(noop)
        await made.run(batch_size=CALLERS, dequeue_timeout=timedelta(seconds=5))


class Procrastinate(Server):
    """procrastinate over psycopg."""

    name, packages = "procrastinate", ("procrastinate",)

    def _app(self) -> tuple[Any, Any]:
        module: Any = importlib.import_module("procrastinate")
        app = module.App(connector=module.PsycopgConnector(conninfo=self.url, **CONNECTIONS))

        async def noop(filed: float) -> None:
            self.hits.hit(filed)

        return app, app.task(name="noop", queue="bench")(noop)

    async def open(self) -> None:
        self._opened, self._noop = self._app()
        await self._opened.open_async()
        await self._opened.schema_manager.apply_schema_async()

    async def enqueue(self, caller: int) -> None:
        await self._noop.defer_async(filed=now())

    async def close(self) -> None:
        await self.stop()
        await self._opened.close_async()

    def work(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        app, _ = self._app()
        async with app.open_async():
            await app.run_worker_async(queues=["bench"], concurrency=CALLERS, delete_jobs="successful")


class Saq(Server):
    """saq's queue on PostgreSQL."""

    name, packages = "saq", ("saq", "psycopg_pool")

    def _queue(self) -> Any:
        return importlib.import_module("saq").Queue.from_url(self.url, **CONNECTIONS)

    async def open(self) -> None:
        self._filed_in = self._queue()
        await self._filed_in.connect()

    async def enqueue(self, caller: int) -> None:
        await self._filed_in.enqueue("noop", filed=now(), ttl=60)

    async def close(self) -> None:
        await self.stop()
        await self._filed_in.disconnect()

    def work(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        async def noop(_: Any, *, filed: float) -> None:
            self.hits.hit(filed)

        queue = self._queue()
        await queue.connect()
        await importlib.import_module("saq").Worker(queue, functions=[("noop", noop)], concurrency=CALLERS).start()


PEERS: dict[str, type[PgQueuer] | type[Procrastinate] | type[Saq]] = {
    one.name: one for one in (PgQueuer, Procrastinate, Saq)
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=list(PEERS))
    parser.add_argument("database")
    parser.add_argument("hits", type=Path)
    given = parser.parse_args()
    PEERS[given.peer](given.database, Hits(given.hits)).work()


if __name__ == "__main__":
    main()
