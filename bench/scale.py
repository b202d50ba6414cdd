"""One, two and four worker processes on one PostgreSQL server, and what they drain together.

    python -m frontdesk.bench.scale 1|2|4 [--quick]

``drain`` is from the first line of the first job to the first line of the last, while this process only waits. The
tasks belong to two thousand conversations, or (``drain_few``) to fifty: a commit that ends tasks holds the rows of
their conversations, whose events it numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile

from .figures import Column, Goal, Table
from .postgresql_server import postgresql
from .queue_driver import CALLERS, file_all, hits_in
from .queue_frontdesk import Frontdesk
from .rounds import Benchmark, Subject, show

TASKS, QUICK_TASKS = 6_000, 40
MANY, QUICK_MANY = 2_000, 60
MODULE = "frontdesk.bench.scale"
ONE, TWO, FOUR = "1 worker process", "2 worker processes", "4 worker processes"

BENCHMARK = Benchmark(
    "scale",
    (Subject(ONE, MODULE, ("1",)), Subject(TWO, MODULE, ("2",)), Subject(FOUR, MODULE, ("4",))),
    (
        Table(
            "Worker processes on PostgreSQL 18, its defaults, 50 slots each",
            (ONE, TWO, FOUR),
            (
                Column("drain", "drain/s, 2,000 conversations"),
                Column("drain", "× one process", ONE),
                Column("drain_few", "drain/s, 50 conversations"),
                Column("drain_few", "× one process", ONE),
            ),
        ),
    ),
    (
        Goal("Drain with two processes beside one", TWO, ONE, "drain", 1.2, at_least=True),
        Goal("Drain with four processes beside two", FOUR, TWO, "drain", 0.9, at_least=True),
    ),
    "It grows until the cores are full, and no further: on two cores, a worker and PostgreSQL's process for it are "
    "two. What must not happen is that more of them are in each other's way; with tasks of few conversations they are: "
    "a commit holds half of those fifty.",
)


async def drained(url: str, processes: int, conversations: int, tasks: int) -> float:
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder:
        hits = hits_in(folder)
        peer = Frontdesk(url, hits, processes=processes, conversations=conversations)
        await peer.open()
        try:
            await file_all(peer, tasks)
            await peer.start()
            begun = [begun for _, begun in await hits.reached(tasks)]
        finally:
            await peer.close()
        return tasks / (max(begun) - min(begun))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("processes", type=int)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    tasks, many = (QUICK_TASKS, QUICK_MANY) if given.quick else (TASKS, MANY)
    found: dict[str, float] = {}
    for name, conversations in {"drain": many, "drain_few": CALLERS}.items():
        with postgresql() as url:
            found[name] = asyncio.run(drained(url, given.processes, conversations, tasks))
    show(found)


if __name__ == "__main__":
    main()
