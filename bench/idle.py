"""WebSockets that do nothing, or little, beside a bare server's: memory, messages, one event for a thousand clients.

    python -m frontdesk.bench.idle frontdesk|bare [--quick]

The bare server is ``bench/echo_floor.py``. Its client sends a message and gets it back; Frontdesk's sends a message
that is decoded, checked and answered (as one that it may not send, which needs no database), and one that is answered
out of the database (a subscription). An event for a thousand clients is committed to the log, on disk, and sent to all
who have subscribed to the conversation; the bare server sends a client's message to all others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeAlias

from .figures import Column, Figures, Goal, Table
from .processor import processor_seconds, resident
from .raw_client import Expected, RawClient, crowd, frame, leave
from .rounds import Benchmark, Subject, show
from .server_process import Serving, serving

FRONTDESK, BARE = "Frontdesk", "bare uvicorn + websockets"
MODULE = "frontdesk.bench.idle"
TALKING, FANNED = 100, 1_000
IDLE, WARM = 5_000, 200
SETTLE_SECONDS = 1.0  # for a server to come to rest

BENCHMARK = Benchmark(
    "idle",
    (Subject(BARE, MODULE, ("bare",)), Subject(FRONTDESK, MODULE, ("frontdesk",))),
    (
        Table(
            "WebSockets beside a bare server's",
            (BARE, FRONTDESK),
            (
                Column("idle", "KiB per idle connection (5,000)"),
                Column("idle", "× bare", BARE),
                Column("messages", "messages/s, 100 connections"),
                Column("messages", "× bare", BARE),
                Column("fan_out", "one event to 1,000, ms"),
                Column("fan_out", "× bare", BARE),
                Column("fan_out_cpu", "its server CPU ms"),
                Column("subscribed", "answers from the database/s"),
            ),
        ),
    ),
    (
        Goal("Memory per idle connection", FRONTDESK, BARE, "idle", 1.25),
        Goal("Memory per idle connection", FRONTDESK, "", "idle", 30.0, unit="KiB"),
        Goal("Messages/s with our envelope", FRONTDESK, BARE, "messages", 0.8, at_least=True),
        Goal("One event to 1,000 subscribers", FRONTDESK, BARE, "fan_out", 1.3),
    ),
    "The bare server is `bench/echo_floor.py`, which neither parses nor checks what it sends back. Both run on the "
    "loop that uvicorn chooses: uvloop's, since that is installed for a peer.",
)

Start: TypeAlias = Callable[[], object]
PADDING = "x" * 60
REFUSED = json.dumps({"type": "response.create", "model": "pacing", "input": PADDING, "truncation": "some", "n": 1})
EVENT = json.dumps({"type": "frontdesk:note", "conversation": "conv_" + "0" * 32, "text": "x" * 120})


async def memory(address: str, path: str, pid: int, number: int) -> float:
    """KiB that one connection more costs the server."""
    warm = await crowd(address, path, WARM if number > WARM else 5, lambda client, payload: None)
    await asyncio.sleep(SETTLE_SECONDS)
    before = resident(pid)
    idle = await crowd(address, path, number, lambda client, payload: None)
    await asyncio.sleep(SETTLE_SECONDS)
    found = (resident(pid) - before) / number
    leave([*warm, *idle])
    return found


async def messages(address: str, path: str, message: str, seconds: float, number: int) -> float:
    """Answers per second; each client sends its next message when it has the answer to the last one."""
    count, raw = 0, frame(message.encode())

    def answered(client: RawClient, payload: bytes) -> None:
        nonlocal count
        count += 1
        client.transport.write(raw)

    clients = await crowd(address, path, number, answered)
    for client in clients:
        client.transport.write(raw)
    await asyncio.sleep(seconds / 4)  # warms up
    count, began = 0, time.perf_counter()
    await asyncio.sleep(seconds)
    found = count / (time.perf_counter() - began)
    leave(clients)
    return found


async def fan_out(
    expected: Expected, number: int, times: int, pid: int, start: Start, finish: Start = lambda: None
) -> Figures:
    """Milliseconds from ``start`` until each client has it, and of the server's processor. ``start`` must not wait for
    the server: these clients would read nothing meanwhile. ``finish`` comes after each time, uncounted.
    """
    took: list[float] = []
    used = processor_seconds(pid)
    for _ in range(times):
        took.append(await expected.more(number, start))
        finish()
    used = processor_seconds(pid) - used
    return {"fan_out": median(took) * 1e3, "fan_out_cpu": used / times * 1e3}


async def of_bare(server: Serving, *, quick: bool) -> Figures:
    found: dict[str, float] = {"idle": await memory(server.address, "/", server.pid, 20 if quick else IDLE)}
    seconds, talking = (0.1, 5) if quick else (4.0, TALKING)
    found["messages"] = await messages(server.address, "/", REFUSED, seconds, talking)
    expected, number = Expected(), 10 if quick else FANNED
    clients = await crowd(server.address, "/", number + 1, expected)
    raw = frame(b"F" + EVENT.encode())
    await asyncio.sleep(0 if quick else SETTLE_SECONDS)
    found |= await fan_out(expected, number, 3 if quick else 40, server.pid, lambda: clients[0].transport.write(raw))
    leave(clients)
    return found


async def of_frontdesk(server: Serving, *, quick: bool) -> Figures:
    path = "/v1/responses"
    found: dict[str, float] = {"idle": await memory(server.address, path, server.pid, 20 if quick else IDLE)}
    seconds, talking = (0.1, 5) if quick else (4.0, TALKING)
    found["messages"] = await messages(server.address, path, REFUSED, seconds, talking)
    conversation: str = server.ask("conversation")["conversation"]
    subscribe = json.dumps({"type": "frontdesk:subscribe", "conversation": conversation})
    found["subscribed"] = await messages(server.address, path, subscribe, seconds, talking)
    expected, number = Expected(), 10 if quick else FANNED
    clients = await crowd(server.address, path, number, expected)

    def subscribe_all() -> None:
        for client in clients:
            client.say({"type": "frontdesk:subscribe", "conversation": conversation})

    await expected.more(number, subscribe_all)
    await asyncio.sleep(0 if quick else SETTLE_SECONDS)

    def append() -> None:
        server.tell("append", conversation=conversation, text=EVENT)

    found |= await fan_out(expected, number, 3 if quick else 40, server.pid, append, server.heard)
    leave(clients)
    return found


def measured(kind: str, folder: Path, *, quick: bool) -> Figures:
    bare = ["-m", "frontdesk.bench.echo_floor"]
    with serving(bare if kind == "bare" else ["-m", "frontdesk.bench.watched", str(folder / "idle.db")], folder) as one:
        return asyncio.run((of_bare if kind == "bare" else of_frontdesk)(one, quick=quick))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["frontdesk", "bare"])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder:
        show(measured(given.kind, Path(folder), quick=given.quick))


if __name__ == "__main__":
    main()
