"""What one client feels of the others: one that never reads while 200 stream, and steering while all slots are busy.

    python -m frontdesk.bench.crowded slow|steer [--quick]

``slow``: 200 conversations stream five words a second each; again and again a client comes, asks for all that was ever
said in all of them, and reads nothing. ``steer``: 100 turns stream ten words a second each and 100 tasks run; one turn
after the other is steered, and the time until that is said to be accepted is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from .figures import Column, Figures, Goal, Table, quantile
from .raw_client import PATIENCE, RawClient, connected, crowd, leave, read
from .rounds import Benchmark, Subject, show
from .server_process import Serving, serving
from .streams import Words

MODULE: Final = "frontdesk.bench.crowded"
SLOW, STEER = "a client that never reads", "steering"
PATH: Final = "/v1/responses"
STREAMS, RATE = 200, 5.0
BUSY, BUSY_RATE, STEERS = 100, 10.0, 400
WINDOW, WINDOWS = 8.0, 5
STALL: Final = 2.0  # seconds that a client may read nothing, here
FILL: Final = '{"type":"frontdesk:note","text":"' + "x" * 200_000 + '"}'
LONG: Final = 100_000  # words: more than it lasts

BENCHMARK = Benchmark(
    "crowded",
    (Subject(SLOW, MODULE, ("slow",)), Subject(STEER, MODULE, ("steer",))),
    (
        Table(
            "One client that never reads, 200 conversations that stream 5 words/s each",
            (SLOW,),
            (
                Column("alone", "others' p99 without it, ms"),
                Column("beside", "with it, ms"),
                Column("change", "with / without"),
                Column("grown", "server memory while it is there, MiB more"),
                Column("gone", "cut off until its connection and tasks are gone, s"),
            ),
        ),
        Table(
            "Steering while 100 turns stream 10 words/s each and 100 tasks run",
            (STEER,),
            (
                Column("p50", "accepted after, p50 ms"),
                Column("p99", "p99 ms"),
                Column("word", "words come after, p50 ms"),
                Column("word_p99", "p99 ms"),
            ),
        ),
    ),
    (
        Goal("The others' p99, with a client that never reads", SLOW, "", "change", 1.1, unit="×"),
        Goal("Server memory more than before", SLOW, "", "grown", 20.0, unit="MiB"),
        Goal("Connection and tasks of the client that was cut off are gone", SLOW, "", "gone", 2.0, unit="s"),
        Goal("Steer accepted, p99", STEER, "", "p99", 50.0, unit="ms"),
    ),
    f"The client that never reads is cut off after {STALL:g} s here (20 s by default).",
)


class Streaming:
    """Clients each of whose turns streams; by client, its conversation and the response that runs."""

    def __init__(self, server: Serving) -> None:
        self.server, self.words = server, Words()
        self.clients: list[RawClient] = []
        self.conversations: dict[RawClient, str] = {}
        self.responses: dict[RawClient, str] = {}
        self.accepted: asyncio.Future[None] | None = None

    def __call__(self, client: RawClient, payload: bytes) -> None:
        if b"output_text.delta" in payload:
            self.words(client, payload)
            return
        event = read(payload)
        kind = event["type"]
        if kind == "response.created":
            self.conversations[client], self.responses[client] = event["conversation"], event["response_id"]
        elif kind == "response.steer.accepted" and self.accepted is not None:
            self.accepted.set_result(None)
        elif kind in ("error", "response.failed", "response.steer.failed"):
            raise RuntimeError(f"the server said {event}")

    async def begin(self, number: int, text: str) -> None:
        """Returns when a word of each has come."""
        self.words.wanted = number
        self.clients = await crowd(self.server.address, PATH, number, self)
        for client in self.clients:
            client.say({"type": "response.create", "model": "pacing", "input": text})
        await asyncio.wait_for(self.words.opened.wait(), PATIENCE)

    async def status(self, what: str = "status") -> dict[str, Any]:
        return await asyncio.to_thread(self.server.ask, what)

    async def p99(self, seconds: float) -> float:
        """How late words come for so long, in ms."""
        self.words.late.clear()
        await asyncio.sleep(seconds)
        return quantile(self.words.late, 0.99)


async def deaf(streaming: Streaming) -> RawClient:
    """A client that asks for everything, from the beginning, and reads nothing any more."""
    client = await connected(streaming.server.address, PATH, lambda client, payload: None, small=True)
    client.transport.pause_reading()
    for conversation in streaming.conversations.values():
        client.say({"type": "frontdesk:subscribe", "conversation": conversation, "after": "0"})
    return client


LEFT: Final = ("connections", "coroutines", "sockets")


async def part(streaming: Streaming, client: RawClient, before: dict[str, Any]) -> tuple[float, float]:
    """Waits until nothing is left of a client that does not read: seconds since it was cut off; memory at the most.

    The whole status takes the server 1 to 2 ms, which the others feel, who are measured: it is asked for seldom, and
    not before the connection is gone.
    """
    cut: float | None = None
    most, until, what = 0.0, time.perf_counter() + PATIENCE, "clients"
    while time.perf_counter() < until:
        now = await streaming.status(what)
        most = max(most, now["resident"])
        if cut is None and now["cut_off"] > before["cut_off"]:
            cut = time.perf_counter()
        if cut is not None and now["connections"] <= before["connections"]:
            if what == "status" and all(now[one] <= before[one] for one in LEFT):
                break
            what = "status"
        await asyncio.sleep(0.05 if what == "clients" else 0.2)
    else:
        raise TimeoutError("the client that does not read is still there")
    client.transport.abort()
    return time.perf_counter() - cut, most


async def of_slow(server: Serving, *, quick: bool) -> Figures:
    streaming, seconds = Streaming(server), 1.0 if quick else WINDOW
    await streaming.begin(3 if quick else STREAMS, f"stream {RATE:g} {LONG}")
    await asyncio.sleep(0 if quick else WINDOW)
    found: dict[str, list[float]] = {"alone": [], "beside": [], "grown": [], "gone": []}
    for _ in range(1 if quick else WINDOWS):
        before = await streaming.status()
        found["alone"].append(await streaming.p99(seconds))
        client = await deaf(streaming)
        if quick:  # what fills a socket's buffers otherwise takes its time
            for _ in range(40):
                conversation = next(iter(streaming.conversations.values()))
                await asyncio.to_thread(server.ask, "append", conversation=conversation, text=FILL)
        parting = asyncio.create_task(part(streaming, client, before))
        found["beside"].append(await streaming.p99(seconds))
        gone, most = await parting
        found["gone"].append(gone)
        found["grown"].append((most - before["resident"]) / 1_024)
    leave(streaming.clients)
    change = median(with_it / without for with_it, without in zip(found["beside"], found["alone"], strict=True))
    return {**{name: median(values) for name, values in found.items()}, "change": change}


async def of_steer(server: Serving, *, quick: bool) -> Figures:
    streaming, took = Streaming(server), list[float]()
    text = f"stream {BUSY_RATE:g} {LONG}"
    await streaming.begin(3 if quick else BUSY, f"task 600 {text}")
    await asyncio.sleep(0 if quick else 3.0)
    streaming.words.late.clear()
    loop = asyncio.get_running_loop()
    for number in range(5 if quick else STEERS):
        client = streaming.clients[number % len(streaming.clients)]
        streaming.accepted, began = loop.create_future(), time.perf_counter()
        client.say(
            {"type": "response.steer", "previous_response_id": streaming.responses[client],
             "input": [{"role": "user", "content": text}]}
        )  # fmt: skip
        await asyncio.wait_for(streaming.accepted, PATIENCE)
        took.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(0.02)  # not all at once
    late = streaming.words.late
    leave(streaming.clients)
    words = {"word": quantile(late, 0.5), "word_p99": quantile(late, 0.99)}
    return {"p50": quantile(took, 0.5), "p99": quantile(took, 0.99), **words}


def measured(kind: str, folder: Path, *, quick: bool) -> Figures:
    arguments = ["-m", "frontdesk.bench.watched", str(folder / "crowded.db"), "--slots", str(2 * STREAMS)]
    stall = ["--stall", str(0.2 if quick else STALL)]
    with serving(arguments + stall, folder) as server:
        return asyncio.run((of_slow if kind == "slow" else of_steer)(server, quick=quick))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["slow", "steer"])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder:
        show(measured(given.kind, Path(folder), quick=given.quick))


if __name__ == "__main__":
    main()
