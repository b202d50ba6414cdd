"""What it costs that a turn is kept: the same turn in memory, and as it ships, accepted, claimed and written.

    python -m frontdesk.bench.kept frontdesk [--quick]

The model takes no time and runs in process. ``memory_*`` is the loop alone; ``kept_*`` is from the acceptance of the
input to the event that ends the response, with a database on disk and a worker; ``sync`` is a bare commit of one row.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

from frontdesk.agents.conversation import accept_create
from frontdesk.agents.entries import user_message
from frontdesk.broker.connection import Connection
from frontdesk.broker.database import Database
from frontdesk.broker.inbox import Accepted, NewCreate
from frontdesk.broker.wakeups import Listening

from . import desk
from .figures import Column, Figures, Table, quantile
from .rounds import Benchmark, Subject, show
from .turns import QUESTION, at_once, by_loop
from .wal import written

CONVERSATIONS = 50
SECONDS = 2.5

MODULE = "frontdesk.bench.kept"

BENCHMARK = Benchmark(
    "kept",
    (Subject("Frontdesk", MODULE, ("frontdesk",)),),
    (
        Table(
            "What keeping a turn costs: two requests to a model, one tool call, 20 deltas",
            ("Frontdesk",),
            (
                Column("memory_wall", "in memory, ms/turn"),
                Column("kept_wall", "kept, ms/turn"),
                Column("added", "added ms"),
                Column("commits", "commits/turn"),
                Column("pages", "pages/turn"),
                Column("sync", "one bare commit, ms"),
                Column("memory_cpu", "in memory, CPU ms/turn"),
                Column("kept_cpu", "kept, CPU ms/turn at 50"),
                Column("kept_rate", "turns/s at 50"),
            ),
        ),
    ),
    about="Every turn is the first of a conversation of its own.",
)


class Asking:
    """Asks the served desk, as the server would, and waits for the end of the response."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def turn(self) -> str:
        """One conversation with one turn."""
        new = NewCreate(tenant="", desk=desk.adding.name, input=[user_message(QUESTION)], request={})
        hub, woken, loop = self._database.hub, asyncio.Event(), asyncio.get_running_loop()

        def accept(conn: Connection) -> tuple[Accepted, Listening]:
            """It listens from within the commit: the turn may be over before its caller is told of it."""
            found = accept_create(conn, new)
            return found, hub.listen("events", found.conversation_id, woken.set, loop=loop, start=found.cursor)

        accepted, listening = await self._database.write(accept)
        conversation, cursor = accepted.conversation_id, accepted.cursor
        try:
            while True:
                rows = hub.recent(conversation, cursor) or []
                for row in rows:
                    cursor = row.first + row.count - 1
                    if '"type":"response.completed"' in row.body:
                        return desk.ANSWER if desk.ANSWER in row.body else row.body
                woken.clear()
                await woken.wait()
        finally:
            listening.stop()


def bare_commit(folder: Path, commits: int) -> float:
    """Milliseconds of one commit of one row, synchronous as ours are."""
    with sqlite3.connect(folder / "bare.db", isolation_level=None) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("CREATE TABLE one (number INTEGER PRIMARY KEY)")
        times: list[float] = []
        for number in range(commits):
            began = time.perf_counter()
            raw.execute("INSERT INTO one VALUES (?)", (number,))
            times.append((time.perf_counter() - began) * 1e3)
    raw.close()
    return quantile(times, 0.5)


async def measured(folder: Path, *, quick: bool) -> Figures:
    conversations, seconds = (3, 0.02) if quick else (CONVERSATIONS, SECONDS)
    found = {"sync": bare_commit(folder, 10 if quick else 300)}
    in_memory = by_loop(desk.adding)
    await at_once(in_memory, 1, seconds / 5)
    found["memory_cpu"], _, times = await at_once(in_memory, 1, seconds)
    found["memory_wall"] = quantile(times, 0.5)
    path = folder / "kept.db"
    database = Database.open(f"sqlite:///{path}")
    worker = desk.adding.worker(database, turns=conversations)
    worker.start()
    try:
        turn = Asking(database).turn
        await turn()
        before, turns = written(path), 3 if quick else 10
        for _ in range(turns):
            await turn()
        spent = written(path) - before
        found["commits"], found["pages"] = spent.commits / turns, spent.pages / turns
        await at_once(turn, conversations, seconds / 5)
        _, _, times = await at_once(turn, 1, seconds)
        found["kept_wall"] = quantile(times, 0.5)
        found["added"] = found["kept_wall"] - found["memory_wall"]
        found["kept_cpu"], found["kept_rate"], _ = await at_once(turn, conversations, seconds)
    finally:
        await worker.stop(1.0)
        database.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["frontdesk"])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder:
        show(asyncio.run(measured(Path(folder), quick=given.quick)))


if __name__ == "__main__":
    main()
