"""``create_task`` over a WebSocket until ``task.finished`` comes back: a real server process, and a client.

    python -m frontdesk.bench.roundtrip frontdesk|handmade [--quick]

Frontdesk is ``frontdesk serve`` with its worker inside and a model that takes no time. A message starts a turn, the
turn calls ``create_task``, the task runs, its end is announced, and the desk answers the announcement in a turn of its
own: that is what it does for its users, so it is measured. The next message is sent when all of that is over.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect

from .figures import Column, Figures, Goal, Table, quantile
from .processor import processor_seconds
from .rounds import Benchmark, Subject, show
from .server_process import PROGRAM, serving
from .wal import written

SOCKETS = 50
FRONTDESK, HANDMADE = "Frontdesk", "by hand"
STAGES = {
    "response.created": "created",
    "frontdesk:task.created": "filed",
    "frontdesk:task.updated": "running",
    "frontdesk:task.finished": "finished",
    "response.completed": "answered",
    "task.created": "filed",
    "task.updated": "running",
    "task.finished": "finished",
}

MODULE = "frontdesk.bench.roundtrip"

BENCHMARK = Benchmark(
    "roundtrip",
    (Subject(HANDMADE, MODULE, ("handmade",)), Subject(FRONTDESK, MODULE, ("frontdesk",))),
    (
        Table(
            "create_task over a socket → task.finished",
            (HANDMADE, FRONTDESK),
            (
                Column("finished_p50", "1 socket, p50 ms"),
                Column("finished_p50", "× by hand", HANDMADE),
                Column("finished_p99", "p99 ms"),
                Column("rate", "tasks/s, 50 sockets"),
                Column("rate", "× by hand", HANDMADE),
                Column("finished_p50_many", "p50 ms at 50"),
                Column("cpu", "server CPU ms per task at 50"),
            ),
        ),
        Table(
            "Where the time goes: 1 socket, median ms after the message was sent",
            (HANDMADE, FRONTDESK),
            (
                Column("at_created", "turn begins"),
                Column("at_filed", "task filed"),
                Column("at_running", "task runs"),
                Column("at_finished", "task finished"),
                Column("at_answered", "turn answered"),
                Column("commits", "commits per message, all in all"),
                Column("pages", "pages written"),
            ),
        ),
    ),
    (
        Goal("Message to finished, p50", FRONTDESK, HANDMADE, "finished_p50", 2.0),
        Goal("Tasks/s, 50 sockets", FRONTDESK, HANDMADE, "rate", 0.5, at_least=True),
    ),
    "By hand: `bench/roundtrip_floor.py`, without model, turn, history or subscription: three commits and two events. "
    "Frontdesk runs two turns for each task (the person's, and the one that the task's notice starts).",
)


class Talker(Protocol):
    """One socket's conversation."""

    async def once(self, number: int, seen: dict[str, float]) -> None:
        """Sends a message; ``seen`` gets when each event came first. Returns when all that it caused is over."""
        ...


class WithFrontdesk:
    """Speaks the protocol: creates, and is subscribed to its conversation."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._conversation = socket, ""

    async def once(self, number: int, seen: dict[str, float]) -> None:
        if not self._conversation:
            await self._join()
        await self._create(str(number), conversation=self._conversation)
        announced = finished = answered = False
        while not (announced and finished and answered):
            event = await self._next()
            kind = event["type"]
            seen.setdefault(kind, time.perf_counter())
            if kind == "frontdesk:task.finished":
                finished = finished or event["task"]["title"] == str(number)
            elif kind == "response.completed":
                said = [part["text"] for item in event["response"]["output"] for part in item.get("content") or ()]
                announced = announced or "announced" in said
                answered = answered or "stream_id" not in event

    async def _join(self) -> None:
        await self._create("hello")
        while (event := await self._next())["type"] != "response.completed":
            pass
        self._conversation = event["conversation"]
        await self._send("frontdesk:subscribe", conversation=self._conversation)
        while (await self._next())["type"] != "frontdesk:subscribed":
            pass

    async def _create(self, text: str, **fields: Any) -> None:
        await self._send("response.create", model="filing", input=text, **fields)

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"type": kind, **fields}))

    async def _next(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(await self._socket.recv())
        if event["type"] in ("error", "response.failed"):
            raise RuntimeError(f"the server said {event}")
        return event


class ByHand:
    """Speaks to the floor."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def once(self, number: int, seen: dict[str, float]) -> None:
        await self._socket.send(json.dumps({"input": str(number)}))
        for _ in range(2):  # a task this short may be finished before it is said to be filed
            event = json.loads(await self._socket.recv())
            seen[event["type"]] = time.perf_counter()


def command(kind: str, database: Path) -> list[str]:
    """What serves."""
    if kind == "handmade":
        return ["-m", "frontdesk.bench.roundtrip_floor", str(database)]
    return [*PROGRAM, "serve", "frontdesk.bench.desk:filing", "--port", "0", "--database", f"sqlite:///{database}"]


async def lane(address: str, kind: str, rounds: int, times: dict[str, list[float]]) -> None:
    """One socket: one message after the other. ``times`` gets milliseconds by stage."""
    async with connect(address, compression=None, proxy=None, max_size=None) as socket:
        talker: Talker = ByHand(socket) if kind == "handmade" else WithFrontdesk(socket)
        for number in range(rounds):
            seen: dict[str, float] = {}
            began = time.perf_counter()
            await talker.once(number, seen)
            if number:  # the first opens the conversation
                for event, at in seen.items():
                    if event in STAGES:
                        times[STAGES[event]].append((at - began) * 1e3)


async def commits(address: str, kind: str, database: Path, messages: int) -> Figures:
    """Commits and pages of one message: until its task is finished, and until nothing happens any more."""
    async with connect(address, compression=None, proxy=None, max_size=None) as socket:
        talker: Talker = ByHand(socket) if kind == "handmade" else WithFrontdesk(socket)
        await talker.once(0, {})
        await asyncio.sleep(0.1)  # what comes after the last event is written
        before = written(database)
        for number in range(1, messages + 1):
            await talker.once(number, {})
        await asyncio.sleep(0.1)
        found = written(database) - before
    return {"commits": found.commits / messages, "pages": found.pages / messages}


async def measured(kind: str, folder: Path, *, quick: bool) -> Figures:
    database = folder / "roundtrip.db"
    one: dict[str, list[float]] = defaultdict(list)
    many: dict[str, list[float]] = defaultdict(list)
    with serving(command(kind, database), folder) as server:
        address, pid = f"ws://{server.address}/v1/responses", server.pid
        spent = await commits(address, kind, database, 3 if quick else 8)
        await lane(address, kind, 3 if quick else 40, defaultdict(list))  # warms up
        await lane(address, kind, 4 if quick else 300, one)
        sockets, rounds = (3, 3) if quick else (SOCKETS, 24)
        used, began = processor_seconds(pid), time.perf_counter()
        await asyncio.gather(*(lane(address, kind, rounds, many) for _ in range(sockets)))
        seconds, used = time.perf_counter() - began, processor_seconds(pid) - used
    tasks = sockets * rounds
    return {
        "finished_p50": quantile(one["finished"], 0.5),
        "finished_p99": quantile(one["finished"], 0.99),
        "finished_p50_many": quantile(many["finished"], 0.5),
        "rate": tasks / seconds,
        "cpu": used / tasks * 1e3,
        **spent,
        **{f"at_{stage}": quantile(found, 0.5) for stage, found in one.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["frontdesk", "handmade"])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frontdesk-bench-") as folder:
        show(asyncio.run(measured(given.kind, Path(folder), quick=given.quick)))


if __name__ == "__main__":
    main()
