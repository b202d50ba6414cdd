"""What it costs that there is much already: a claim beside a million finished tasks, a worker before a long queue.

    python -m frontdesk.bench.growth claim sqlite|postgresql FINISHED [--quick]
    python -m frontdesk.bench.growth memory QUEUED [--quick]

``claim`` is the time of one claim (its statements and events, not its commit), in microseconds; the finished tasks are
copies of one that has really run, with all their index entries. ``memory`` is the most that a worker's process has ever
held while it ran its first thousand tasks of a queue that is so long, in MiB.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sqlite3
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from frontdesk.broker import queue, rows
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.tasks.request import TaskRequest
from frontdesk.tasks.states import Action

from .figures import Column, Figures, Goal, Table, quantile
from .postgresql_server import postgresql
from .queue_driver import hits_in
from .queue_frontdesk import MODULE as WORKER
from .queue_frontdesk import open_conversation
from .rounds import Benchmark, Subject, show
from .worker_process import WorkerProcesses

MODULE = "frontdesk.bench.growth"
CLAIMS, QUICK_CLAIMS = 400, 5
MANY = 1_000_000
SHORT, LONG, RUN = 1_000, 100_000, 1_000
EMPTY_SQLITE, FULL_SQLITE = "SQLite, nothing else", "SQLite, 1,000,000 finished"
EMPTY_PG, FULL_PG = "PostgreSQL, nothing else", "PostgreSQL, 1,000,000 finished"
SHORT_QUEUE, LONG_QUEUE = "1,000 queued", "100,000 queued"
NOOP = TaskRequest(name="noop", arguments={"filed": 0.0})

BENCHMARK = Benchmark(
    "growth",
    (
        Subject(EMPTY_SQLITE, MODULE, ("claim", "sqlite", "0")),
        Subject(FULL_SQLITE, MODULE, ("claim", "sqlite", str(MANY))),
        Subject(EMPTY_PG, MODULE, ("claim", "postgresql", "0")),
        Subject(FULL_PG, MODULE, ("claim", "postgresql", str(MANY))),
        Subject(SHORT_QUEUE, MODULE, ("memory", str(SHORT))),
        Subject(LONG_QUEUE, MODULE, ("memory", str(LONG))),
    ),
    (
        Table(
            "A claim beside finished tasks",
            (EMPTY_SQLITE, FULL_SQLITE),
            (Column("claim", "µs/claim"), Column("claim", "× nothing else", EMPTY_SQLITE)),
        ),
        Table(
            "The same on PostgreSQL",
            (EMPTY_PG, FULL_PG),
            (Column("claim", "µs/claim"), Column("claim", "× nothing else", EMPTY_PG)),
        ),
        Table(
            "A worker before a queue (SQLite), its first 1,000 tasks",
            (SHORT_QUEUE, LONG_QUEUE),
            (Column("memory", "MiB"), Column("memory", "× the short queue", SHORT_QUEUE)),
        ),
    ),
    (
        Goal("A claim beside a million finished tasks, SQLite", FULL_SQLITE, EMPTY_SQLITE, "claim", 1.10),
        Goal("A claim beside a million finished tasks, PostgreSQL", FULL_PG, EMPTY_PG, "claim", 1.10),
        Goal("A worker's memory before a queue a hundred times as long", LONG_QUEUE, SHORT_QUEUE, "memory", 1.05),
    ),
)


@contextmanager
def database_url(engine: str) -> Generator[str]:
    """The URL of an empty database of this engine."""
    if engine == "postgresql":
        with postgresql() as url:
            yield url
    else:
        with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder:
            yield f"sqlite:///{folder}/queue.db"


def copies(dialect: str) -> str:
    """INSERT that copies the one finished task as often as it is told, with ids, times and labels of their own."""
    own = {
        "id": "'task_copy_' || series.n",
        "label": "'C' || series.n",
        "created_at": "created_at + series.n * 0.001",
        "finished_at": "finished_at + series.n * 0.001",
    }
    columns = ", ".join(rows.COLUMNS)
    values = ", ".join(own.get(name, name) for name in rows.COLUMNS)
    series = "(SELECT generate_series AS n FROM generate_series(1, %s))"
    if dialect == "sqlite":
        series = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ?) SELECT n FROM s)"
    return f"INSERT INTO frontdesk_task ({columns}) SELECT {values} FROM frontdesk_task CROSS JOIN {series} AS series"


def load(url: str, finished: int) -> None:
    """Runs one task, and copies it so often."""
    database = Database.open(url, durable=False)

    def one(conn: Connection) -> None:
        origin = queue.Origin(conversation_id=open_conversation(conn))
        queue.enqueue(conn, NOOP, origin)
        (claim,) = queue.claim(conn, "task", ["noop"], "bench", 30.0, 1)
        queue.finish(conn, claim, Action.SUCCEED, result="null")

    database.write_blocking(one)
    database.close()
    if not finished:
        return
    where = " WHERE kind = 'function'"
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
            raw.execute(copies("sqlite") + where, (finished,))
        raw.close()
        return
    import psycopg
    from psycopg import sql

    with psycopg.connect(url, autocommit=True) as server:
        server.execute(sql.SQL(copies("postgresql") + where), (finished,))  # pyright: ignore[reportArgumentType] # our own
        server.execute("VACUUM (ANALYZE) frontdesk_task")  # what autovacuum would have done


def claim_times(url: str, claims: int) -> list[float]:
    """Microseconds of single claims, in transactions of a hundred."""
    database = Database.open(url, durable=False)
    times: list[float] = []

    def file_all(conn: Connection) -> None:
        of = [queue.Origin(conversation_id=open_conversation(conn)) for _ in range(20)]
        for number in range(2 * claims):
            queue.enqueue(conn, NOOP, of[number % len(of)])

    def claim_some(conn: Connection) -> None:
        for _ in range(min(100, claims)):
            began = time.perf_counter()
            queue.claim(conn, "task", ["noop"], "bench", 30.0, 1)
            times.append((time.perf_counter() - began) * 1e6)

    database.write_blocking(file_all)
    while len(times) < claims:
        database.write_blocking(claim_some)
    database.close()
    return times


def status_of(pid: int) -> str:
    """What Linux says of a process."""
    return Path(f"/proc/{pid}/status").read_text("utf-8")


async def memory(queued: int, run: int) -> Figures:
    """The high-water mark of a worker's process that has run so many of them."""
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder:
        url = f"sqlite:///{folder}/queue.db"
        database = Database.open(url, durable=False)

        def file_some(conn: Connection, conversation: str, number: int) -> None:
            for _ in range(number):
                queue.enqueue(conn, NOOP, queue.Origin(conversation_id=conversation))

        conversation = await database.write(open_conversation)
        for first in range(0, queued, 1_000):
            await database.write(file_some, conversation, min(1_000, queued - first))
        database.close()
        hits = hits_in(folder)
        worker = WorkerProcesses(WORKER, [url, str(hits.path)], 1)
        await worker.start()
        try:
            await hits.reached(min(run, queued))
            status = status_of(worker.pids[0])
        finally:
            await worker.stop()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return {"memory": int(found[1]) / 1024}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["claim", "memory"])
    parser.add_argument("about", nargs="+")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    about: list[Any] = given.about
    if given.what == "memory":
        queued = int(about[0])
        show(asyncio.run(memory(queued // 100 if given.quick else queued, 10 if given.quick else RUN)))
        return
    with database_url(about[0]) as url:
        load(url, int(about[1]) // (10_000 if given.quick else 1))
        times = claim_times(url, QUICK_CLAIMS if given.quick else CLAIMS)
    show({"claim": quantile(times, 0.5)})


if __name__ == "__main__":
    main()
