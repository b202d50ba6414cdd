"""Embedded queues on SQLite: one no-op job, 50 in flight, every commit synchronous. One subject per process.

    python -m frontdesk.bench.queues frontdesk|handmade|huey [--quick]

What is measured is said in `queue_driver`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import handmade
from .figures import Column, Goal, Table
from .hits import Hits, now
from .queue_driver import CALLERS, Peer, hits_in, measured
from .queue_frontdesk import Frontdesk, settle
from .rounds import Benchmark, Subject, show, unavailable

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
                Column("drain", "drain/s"),
                Column("drain", "× by hand", HANDMADE),
                Column("drain", "× huey", HUEY),
                Column("mixed", "mixed/s"),
                Column("mixed", "× by hand", HANDMADE),
                Column("mixed", "× huey", HUEY),
                Column("cpu", "CPU µs/job drained"),
                Column("start_p50", "filed → first line, p50 ms"),
                Column("start_p99", "p99 ms"),
            ),
        ),
    ),
    (
        Goal("Drain beside the queue by hand", FRONTDESK, HANDMADE, "drain", 0.5, at_least=True),
        Goal("Drain beside huey", FRONTDESK, HUEY, "drain", 5.0, at_least=True),
        Goal("Mixed load beside huey", FRONTDESK, HUEY, "mixed", 8.0, at_least=True),
        Goal("Filed → first line, p50, beside the queue by hand", FRONTDESK, HANDMADE, "start_p50", 1.3),
    ),
    "By hand: `bench/handmade.py`, the same rows in the same commits without options, recovery or a second engine. "
    "huey: its own defaults (synchronous=FULL too), ten threads, its pause between polls cut to 10 ms; it removes a "
    "job before it runs it and keeps no record, so a job of a killed worker is lost.",
)


class Handmade:
    """The queue by hand: as many callers as slots, each claims one task, runs it, finishes it."""

    def __init__(self, path: Path, hits: Hits) -> None:
        self._path, self._hits = path, hits
        self._conversations: list[str] = []
        self._ready = asyncio.Event()
        self._slots: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        self._group = handmade.GroupCommit(self._path)
        for _ in range(CALLERS):
            self._conversations.append(await self._group.call(handmade.open_conversation))

    async def enqueue(self, caller: int) -> None:
        arguments = json.dumps({"filed": now()})
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

    async def settled(self) -> bool:
        return await settle(self._path, "SELECT count(*) FROM task WHERE status IN ('queued', 'running')")

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

    async def open(self) -> None:
        """It is open."""

    async def enqueue(self, caller: int) -> None:
        self._job(now())

    async def start(self) -> None:
        self._consumer = self._huey.create_consumer(
            workers=10, initial_delay=0.01, backoff=1.0, max_delay=0.01, periodic=False
        )
        self._consumer.start()

    async def stop(self) -> None:
        await asyncio.to_thread(self._consumer.stop, True)

    async def settled(self) -> bool:
        """A job is gone before it begins."""
        return True

    async def close(self) -> None:
        self._huey.storage.close()


def frontdesk(path: Path, hits: Hits) -> Peer:
    return Frontdesk(f"sqlite:///{path}", hits)


MADE: dict[str, Callable[[Path, Hits], Peer]] = {"frontdesk": frontdesk, "handmade": Handmade, "huey": Huey}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=list(MADE))
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.peer == "huey" and importlib.util.find_spec("huey") is None:
        unavailable("huey is not installed; `make bench` installs it")
        return
    tasks, probes = (QUICK_TASKS, QUICK_PROBES) if given.quick else (TASKS, PROBES)
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder:
        hits = hits_in(folder)
        peer = MADE[given.peer](Path(folder) / "queue.db", hits)
        show(asyncio.run(measured(peer, hits, tasks=tasks, probes=probes)))


if __name__ == "__main__":
    main()
