"""How many conversations can stream at once: more and more of them, 20 words a second each, until the words come late.

    python -m frontdesk.bench.streams [--quick]

One process serves and works (``bench/watched.py``), on SQLite on disk; the model is in it (``bench/paced.py``) and says
each word with the time. One socket for each conversation, all in a second process.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from .figures import Column, Figures, Goal, Table, quantile
from .paced import said_at
from .processor import processor_seconds
from .raw_client import RawClient, crowd, leave
from .rounds import Benchmark, Subject, show
from .server_process import Serving, serving

NAME, MODULE = "Frontdesk", "frontdesk.bench.streams"
PATH: Final = "/v1/responses"
RATE: Final = 20.0  # words a second, each conversation
LEVELS: Final = (25, 50, 100, 200, 400, 1_000)
SECONDS, BEFORE = 6.0, 3.0
LATE: Final = 1_000.0  # ms at p99: saturated

BENCHMARK = Benchmark(
    "streams",
    (Subject(NAME, MODULE),),
    (
        Table(
            "Words until the client has them, by how many conversations stream 20 a second: p50 ms",
            (NAME,),
            tuple(Column(f"p50_{level}", f"{level:,}") for level in LEVELS),
        ),
        Table("p99 ms", (NAME,), tuple(Column(f"p99_{level}", f"{level:,}") for level in LEVELS)),
        Table("Words per second that came", (NAME,), tuple(Column(f"rate_{level}", f"{level:,}") for level in LEVELS)),
        Table(
            "Processor of the server, in cores",
            (NAME,),
            tuple(Column(f"cores_{level}", f"{level:,}") for level in LEVELS),
        ),
        Table(
            "At the most: cores by thread",
            (NAME,),
            (
                Column("server", "sockets"),
                Column("worker", "turns"),
                Column("writer", "database writer"),
                Column("others", "others"),
                Column("committing", "share of the time in which a transaction is open"),
                Column("functions", "writes in one"),
            ),
        ),
    ),
    (Goal("Conversations that stream 20 words/s, p99 under 1 s", NAME, "", "sustained", 1_000, True, "at once"),),
    "Saturated is what comes near 1 first: the cores of all threads together (one Python process has one), or the "
    "share of the time in which the writer has a transaction open; most of that it waits, for the disk or for the "
    "other threads.",
)


class Words:
    """How late each word came, in ms."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.first: set[RawClient] = set()
        self.opened = asyncio.Event()
        self.wanted = 0

    def __call__(self, client: RawClient, payload: bytes) -> None:
        at = said_at(payload)
        if at is None:
            return
        self.late.append((time.perf_counter() - at) * 1e3)
        if client not in self.first:
            self.first.add(client)
            if len(self.first) == self.wanted:
                self.opened.set()


def stream(client: RawClient, rate: float, seconds: float) -> None:
    """Asks for a turn that speaks for so long."""
    text = f"stream {rate:g} {int(rate * seconds)}"
    client.say({"type": "response.create", "model": "pacing", "input": text, "store": True})


async def level(server: Serving, number: int, seconds: float, before: float) -> dict[str, Any]:
    """Figures of so many streams. They go on for longer than they are looked at."""
    words = Words()
    words.wanted = number
    clients = await crowd(server.address, PATH, number, words)
    for client in clients:
        stream(client, RATE, 600)
    try:
        await asyncio.wait_for(words.opened.wait(), 20)
    except TimeoutError:
        print(f"only {len(words.first)} of {number} streams have begun", file=sys.stderr)
    await asyncio.sleep(before)
    words.late.clear()
    earlier, used, began = (
        await asyncio.to_thread(server.ask, "status"),
        processor_seconds(server.pid),
        time.perf_counter(),
    )
    await asyncio.sleep(seconds)
    took, late = time.perf_counter() - began, words.late.copy()
    used = processor_seconds(server.pid) - used
    status = await asyncio.to_thread(server.ask, "status")
    leave(clients)
    threads = {name: (at - earlier["threads"].get(name, 0.0)) / took for name, at in status["threads"].items()}
    commits, functions, open_for = (status[one] - earlier[one] for one in ("commits", "functions", "commit_seconds"))
    return {
        "p50": quantile(late, 0.5) if late else LATE * seconds,
        "p99": quantile(late, 0.99) if late else LATE * seconds,
        "rate": len(late) / took, "cores": used / took, "threads": threads, "batch": functions / max(1, commits),
        "committing": open_for / took,
    }  # fmt: skip


def shares(threads: dict[str, float]) -> Figures:
    """Cores by what the threads are for."""
    found = {"server": 0.0, "worker": 0.0, "writer": 0.0, "others": 0.0}
    for name, cores in threads.items():
        kind = next((one for part, one in THREADS if part in name.lower()), "others")
        found[kind] += cores
    return found


THREADS: Final = (("main", "server"), ("worker", "worker"), ("write", "writer"))


async def measured(folder: Path, *, quick: bool) -> Figures:
    found: dict[str, float] = {"sustained": 0}
    levels = LEVELS[:1] if quick else LEVELS
    for number in levels:
        # a server of its own for each: what streamed before would go on, for nobody cancels it by leaving
        arguments = ["-m", "frontdesk.bench.watched", str(folder / f"{number}.db"), "--slots", str(number)]
        with serving(arguments, folder) as server:
            of = await level(server, number, *((0.3, 0.0) if quick else (SECONDS, BEFORE)))
        found |= {f"{key}_{number}": of[key] for key in ("p50", "p99", "rate", "cores")}
        print(f"{number} streams: {of}", file=sys.stderr)
        found |= {**shares(of["threads"]), "functions": of["batch"], "committing": of["committing"]}
        if of["p99"] < LATE and of["rate"] >= 0.95 * RATE * number:
            found["sustained"] = number
        elif of["p99"] > LATE:
            break
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder:
        show(asyncio.run(measured(Path(folder), quick=given.quick)))


if __name__ == "__main__":
    main()
