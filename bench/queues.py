"""Embedded queues on SQLite: one no-op job, 50 in flight, every commit synchronous. One subject per process.

    python -m frontdesk.bench.queues frontdesk|handmade|huey [--quick]

``enqueue``: jobs filed per second by 50 callers, while no worker runs. ``drain``: a worker with 50 slots is started
then; from the first line of the first job to the commit of the last, and ``cpu`` is the process's time for each.
``start_p50``: an idle warm worker, one job every 20 ms, from the call that files it to its first line.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import logging
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from frontdesk.broker import conversations, queue
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.functions import FunctionRuns
from frontdesk.broker.worker import Worker
from frontdesk.tasks import task

from . import handmade
from .figures import Column, Figures, Goal, Table, quantile
from .rounds import Benchmark, Subject, show, unavailable

CALLERS = 50
TASKS, QUICK_TASKS = 5_000, 60
PROBES, QUICK_PROBES = 150, 3
FRONTDESK, HANDMADE, HUEY = "Frontdesk", "by hand", "huey"

MODULE = "frontdesk.bench.queues"

BENCHMARK = Benchmark(
    "queues",
    (
        Subject(HANDMADE, MODULE, ("handmade",)),
        Subject(FRONTDESK, MODULE, ("frontdesk",)),
        Subject(HUEY, MODULE, ("huey",)),
    ),
    (
        Table(
            "Embedded queue on SQLite, synchronous=FULL, 50 in flight",
            (HANDMADE, FRONTDESK, HUEY),
            (
                Column("enqueue", "enqueue/s"),
                Column("enqueue", "× by hand", HANDMADE),
                Column("drain", "drain/s"),
                Column("drain", "× by hand", HANDMADE),
                Column("drain", "× huey", HUEY),
                Column("cpu", "CPU µs/job drained"),
                Column("start_p50", "filed → first line, p50 ms"),
                Column("start_p99", "p99 ms"),
            ),
        ),
    ),
    (
        Goal("Drain beside the queue by hand", FRONTDESK, HANDMADE, "drain", 0.30, at_least=True),
        Goal("Drain beside huey", FRONTDESK, HUEY, "drain", 3.0, at_least=True),
    ),
    "By hand: `bench/handmade.py`, the same rows in the same commits without options, recovery or a second engine. "
    "huey: its own defaults, ten threads, its pause between polls cut to 10 ms; it removes a job before it runs it and "
    "keeps no record, so a job of a killed worker is lost.",
)


class Hits:
    """What the jobs report: when each was filed and when it began."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []
        self._target, self._reached = 0, threading.Event()

    def expect(self, jobs: int) -> None:
        self.times.clear()
        self._target = jobs
        self._reached.clear()

    def hit(self, filed: float) -> None:
        self.times.append((filed, time.perf_counter()))
        if len(self.times) == self._target:
            self._reached.set()

    async def reached(self) -> None:
        """Returns when all have begun. Raises TimeoutError."""
        if not await asyncio.to_thread(self._reached.wait, 120.0):
            raise TimeoutError(f"{len(self.times)} of {self._target} jobs have begun")


class Peer(Protocol):
    """A queue under test."""

    async def enqueue(self, caller: int) -> None: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def settled(self) -> None:
        """Returns when every job that has begun is finished for good."""
        ...

    async def close(self) -> None: ...


async def settle(path: Path, live: str) -> None:
    """Waits until no row of ``live`` (a count) is left."""
    with sqlite3.connect(path) as raw:
        while raw.execute(live).fetchone()[0]:  # noqa: ASYNC110 - a database has no event for it
            await asyncio.sleep(0.001)
    raw.close()


def open_conversation(conn: Connection) -> str:
    """A new conversation's id."""
    return conversations.create_conversation(conn, tenant="", desk="bench")


class Frontdesk:
    """The real database, the real worker."""

    def __init__(self, path: Path, hits: Hits) -> None:
        @task
        async def noop(filed: float) -> None:
            """Does nothing."""
            hits.hit(filed)

        self._path, self._task = path, noop
        self._database = Database.open(f"sqlite:///{path}")
        self._worker: Worker | None = None
        self._conversations: list[str] = []

    async def enqueue(self, caller: int) -> None:
        while len(self._conversations) < CALLERS:
            self._conversations.append(await self._database.write(open_conversation))
        request = self._task.request({"filed": time.perf_counter()})
        origin = queue.Origin(conversation_id=self._conversations[caller])
        await self._database.write(lambda conn: queue.enqueue(conn, request, origin))

    async def start(self) -> None:
        functions = FunctionRuns({"noop": self._task}, lambda: None)
        self._worker = Worker(self._database, {}, {"noop": functions}, task_slots=CALLERS)
        self._worker.start()

    async def stop(self) -> None:
        if self._worker is not None:
            await self._worker.stop()

    async def settled(self) -> None:
        await settle(
            self._path,
            "SELECT count(*) FROM frontdesk_task WHERE kind = 'function' AND status IN ('queued', 'running')",
        )

    async def close(self) -> None:
        self._database.close()


class Handmade:
    """The queue by hand: as many callers as slots, each claims one task, runs it, finishes it."""

    def __init__(self, path: Path, hits: Hits) -> None:
        self._path, self._hits = path, hits
        self._group = handmade.GroupCommit(path)
        self._conversations: list[str] = []
        self._ready = asyncio.Event()
        self._slots: list[asyncio.Task[None]] = []

    async def enqueue(self, caller: int) -> None:
        while len(self._conversations) < CALLERS:
            self._conversations.append(await self._group.call(handmade.open_conversation))
        arguments = json.dumps({"filed": time.perf_counter()})
        await self._group.call(handmade.create, self._conversations[caller], "noop", "Noop", arguments)
        self._ready.set()

    async def start(self) -> None:
        self._slots = [asyncio.create_task(self._slot(f"slot {number}")) for number in range(CALLERS)]

    async def _slot(self, owner: str) -> None:
        while True:
            self._ready.clear()
            claimed = await self._group.call(handmade.claim, owner)
            if claimed is None:
                await self._ready.wait()
                continue
            self._hits.hit(json.loads(claimed.arguments)["filed"])
            await self._group.call(handmade.finish, claimed, "null")

    async def stop(self) -> None:
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)

    async def settled(self) -> None:
        await settle(self._path, "SELECT count(*) FROM task WHERE status IN ('queued', 'running')")

    async def close(self) -> None:
        self._group.close()


class Huey:
    """huey's own queue on SQLite, in the producer's process, as it is deployed."""

    def __init__(self, path: Path, hits: Hits) -> None:
        huey: Any = importlib.import_module("huey")
        logging.getLogger("huey").setLevel(logging.ERROR)
        self._huey = huey.SqliteHuey("bench", filename=str(path), results=False)
        self._job: Any = self._huey.task()(hits.hit)
        self._consumer: Any = None

    async def enqueue(self, caller: int) -> None:
        self._job(time.perf_counter())

    async def start(self) -> None:
        self._consumer = self._huey.create_consumer(
            workers=10, initial_delay=0.01, backoff=1.0, max_delay=0.01, periodic=False
        )
        self._consumer.start()

    async def stop(self) -> None:
        await asyncio.to_thread(self._consumer.stop, True)

    async def settled(self) -> None:
        """A job is gone before it begins."""

    async def close(self) -> None:
        self._huey.storage.close()


async def file_all(peer: Peer, jobs: int) -> float:
    """Files so many jobs from all callers; how many per second."""
    left = iter(range(jobs))

    async def call(caller: int) -> None:
        for _ in left:
            await peer.enqueue(caller)

    await peer.enqueue(0)  # makes its conversations
    began = time.perf_counter()
    await asyncio.gather(*(call(caller) for caller in range(CALLERS)))
    return jobs / (time.perf_counter() - began)


async def measured(make: Callable[[Path, Hits], Peer], path: Path, *, tasks: int, probes: int) -> Figures:
    hits = Hits()
    peer = make(path, hits)
    try:
        hits.expect(CALLERS + 1)
        await file_all(peer, CALLERS)  # warms up
        await peer.start()
        await hits.reached()
        await peer.stop()
        hits.expect(tasks + 1)
        enqueued = await file_all(peer, tasks)
        used = time.process_time()
        await peer.start()
        await hits.reached()
        await peer.settled()
        used = time.process_time() - used
        drained = tasks / (time.perf_counter() - hits.times[0][1])
        hits.expect(probes)
        for _ in range(probes):
            await peer.enqueue(0)
            await asyncio.sleep(0.02)
        await hits.reached()
        waits = [(begun - filed) * 1e3 for filed, begun in hits.times]
        await peer.stop()
    finally:
        await peer.close()
    return {
        "enqueue": enqueued,
        "drain": drained,
        "cpu": used / tasks * 1e6,
        "start_p50": quantile(waits, 0.5),
        "start_p99": quantile(waits, 0.99),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=["frontdesk", "handmade", "huey"])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.peer == "huey" and importlib.util.find_spec("huey") is None:
        unavailable("huey is not installed; `make bench` installs it")
        return
    made: dict[str, Callable[[Path, Hits], Peer]] = {"frontdesk": Frontdesk, "handmade": Handmade, "huey": Huey}
    tasks, probes = (QUICK_TASKS, QUICK_PROBES) if given.quick else (TASKS, PROBES)
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder:
        show(asyncio.run(measured(made[given.peer], Path(folder) / "queue.db", tasks=tasks, probes=probes)))


if __name__ == "__main__":
    main()
