"""Queues on PostgreSQL: one no-op job, 50 in flight, every commit synchronous, the worker a process of its own.

    python -m frontdesk.bench.postgresql frontdesk|raw|pgqueuer|procrastinate|saq [--quick]

What is measured is said in `queue_driver`; each subject has a new server.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import tempfile

from . import postgresql_floor
from .figures import Column, Figures, Goal, Table
from .postgresql_peers import PEERS
from .postgresql_server import postgresql
from .queue_driver import hits_in, measured
from .queue_frontdesk import Frontdesk
from .rounds import Benchmark, Subject, show, unavailable

TASKS = {"frontdesk": 3_000, "raw": 30_000, "pgqueuer": 3_000, "procrastinate": 600, "saq": 600}
QUICK_TASKS, QUICK_RAW = 50, 200
PROBES, QUICK_PROBES = 100, 2
FRONTDESK, RAW, PGQUEUER, PROCRASTINATE, SAQ = "Frontdesk", "asyncpg by hand", "pgqueuer", "procrastinate", "saq"
MODULE = "frontdesk.bench.postgresql"

BENCHMARK = Benchmark(
    "postgresql",
    (
        Subject(RAW, MODULE, ("raw",)),
        Subject(FRONTDESK, MODULE, ("frontdesk",)),
        Subject(PGQUEUER, MODULE, ("pgqueuer",)),
        Subject(PROCRASTINATE, MODULE, ("procrastinate",)),
        Subject(SAQ, MODULE, ("saq",)),
    ),
    (
        Table(
            "Queue on PostgreSQL 18, its defaults, 50 in flight, one worker process",
            (RAW, FRONTDESK, PGQUEUER, PROCRASTINATE, SAQ),
            (
                Column("enqueue", "enqueue/s"),
                Column("drain", "drain/s"),
                Column("drain", "× by hand", RAW),
                Column("drain", "× pgqueuer", PGQUEUER),
                Column("mixed", "mixed/s"),
                Column("mixed", "× pgqueuer", PGQUEUER),
                Column("start_p50", "filed → first line, p50 ms"),
                Column("start_p99", "p99 ms"),
            ),
        ),
    ),
    (
        Goal("Drain beside pgqueuer", FRONTDESK, PGQUEUER, "drain", 1.0, at_least=True),
        Goal("Drain beside asyncpg by hand in batches of 100", FRONTDESK, RAW, "drain", 0.15, at_least=True),
        Goal("Mixed load beside procrastinate", FRONTDESK, PROCRASTINATE, "mixed", 3.0, at_least=True),
        Goal("Mixed load beside saq", FRONTDESK, SAQ, "mixed", 3.0, at_least=True),
        Goal("Mixed load beside pgqueuer", FRONTDESK, PGQUEUER, "mixed", 3.0, at_least=True),
        Goal("Filed → first line, p50, beside pgqueuer", FRONTDESK, PGQUEUER, "start_p50", 1.0),
    ),
    "By hand: `bench/postgresql_floor.py`, a hundred rows in each statement, nothing but insert, claim and complete. "
    "The others: their own defaults; pgqueuer's worker on uvloop and procrastinate deleting what has succeeded, as "
    "their command lines and documentation have it.",
)


async def measure(subject: str, url: str, *, quick: bool) -> Figures:
    if subject == "raw":
        return await postgresql_floor.measured(url, QUICK_RAW if quick else TASKS[subject])
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder:
        hits = hits_in(folder)
        peer = Frontdesk(url, hits, processes=1) if subject == "frontdesk" else PEERS[subject](url, hits)
        tasks, probes = (QUICK_TASKS, QUICK_PROBES) if quick else (TASKS[subject], PROBES)
        return await measured(peer, hits, tasks=tasks, probes=probes)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("subject", choices=list(TASKS))
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    needed = {"frontdesk": (), "raw": ("asyncpg",), **{name: peer.packages for name, peer in PEERS.items()}}
    for package in needed[given.subject]:
        if importlib.util.find_spec(package) is None:
            unavailable(f"{package} is not installed; `make bench` installs it")
            return
    with postgresql() as url:
        show(asyncio.run(measure(given.subject, url, quick=given.quick)))


if __name__ == "__main__":
    main()
