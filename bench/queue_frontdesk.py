"""Frontdesk as a queue under test: the real database, the real worker, in this process or in one of its own.

python -m frontdesk.bench.queue_frontdesk DATABASE HITS      a worker, until it is asked to end
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
import sqlite3
from pathlib import Path
from typing import Any

from frontdesk.agents.filing import file_task
from frontdesk.broker import conversations, queue
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.functions import FunctionRuns
from frontdesk.broker.worker import Worker
from frontdesk.tasks import task
from frontdesk.tasks.registry import TaskFunction

from .hits import Hits, now
from .queue_driver import CALLERS
from .worker_process import WorkerProcesses

MODULE = "frontdesk.bench.queue_frontdesk"


def noop_task(hits: Hits) -> TaskFunction[..., Any]:
    """The job."""

    @task
    async def noop(filed: float) -> None:
        """Does nothing."""
        hits.hit(filed)

    return noop


def worker_of(database: Database, hits: Hits) -> Worker:
    functions = FunctionRuns({"noop": noop_task(hits)}, lambda: None)
    return Worker(database, {}, {"noop": functions}, task_slots=CALLERS)


def open_conversation(conn: Connection) -> str:
    """A new conversation's id."""
    return conversations.create_conversation(conn, tenant="", desk="bench")


async def settle(path: Path, live: str) -> bool:
    """Waits until no row of ``live`` (a count) is left."""
    with sqlite3.connect(path) as raw:
        while raw.execute(live).fetchone()[0]:  # noqa: ASYNC110 - a database has no event for it
            await asyncio.sleep(0.001)
    raw.close()
    return True


class Frontdesk:
    """Tasks of so many conversations. ``processes``: so many workers beside this process; none: one inside."""

    def __init__(self, url: str, hits: Hits, *, processes: int = 0, conversations: int = CALLERS) -> None:
        self._wanted, self._next = conversations, itertools.count()
        self._url, self._hits = url, hits
        self._task = noop_task(hits)
        self._worker: Worker | None = None
        self._others = WorkerProcesses(MODULE, [url, str(hits.path)], processes)
        self._conversations: list[str] = []

    async def open(self) -> None:
        self._database = Database.open(self._url)
        for _ in range(self._wanted):
            self._conversations.append(await self._database.write(open_conversation))

    async def enqueue(self, caller: int) -> None:
        request = self._task.request({"filed": now()})
        number = caller if self._wanted == CALLERS else next(self._next) % self._wanted
        origin = queue.Origin(conversation_id=self._conversations[number])
        await self._database.write(file_task, request, origin)

    async def start(self) -> None:
        if self._others.wanted:
            await self._others.start()
            return
        self._worker = worker_of(self._database, self._hits)
        self._worker.start()

    async def stop(self) -> None:
        await self._others.stop()
        if self._worker is not None:
            await self._worker.stop()

    async def settled(self) -> bool:
        if not self._url.startswith("sqlite"):
            return False
        live = "SELECT count(*) FROM frontdesk_task WHERE kind = 'function' AND status IN ('queued', 'running')"
        return await settle(Path(self._url.removeprefix("sqlite:///")), live)

    async def close(self) -> None:
        await self._others.stop()
        self._database.close()


async def work(url: str, hits: Hits) -> None:
    """A worker as `frontdesk worker` runs it."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    database = Database.open(url)
    worker = worker_of(database, hits)
    worker.start()
    await asked.wait()
    await worker.stop(1.0)
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("hits", type=Path)
    given = parser.parse_args()
    asyncio.run(work(given.database, Hits(given.hits)))


if __name__ == "__main__":
    main()
