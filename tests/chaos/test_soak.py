"""A server under load for a long time: everything is answered, and its memory does not grow with what it has done.

``make soak SECONDS=3600`` is the long form; the slope of the memory is printed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from frontdesk.tests.chaos.scale import LONG, SOAK_SECONDS, scaled
from frontdesk.tests.playback.caller import Caller
from frontdesk.tests.playback.process import ServerProcess

SECONDS = scaled(1.5, SOAK_SECONDS)
CALLERS = scaled(2, 4)
TURNS = 5  # of a conversation
SAMPLE_SECONDS = scaled(0.1, max(0.5, SOAK_SECONDS / 1_000))
MEGABYTE = 1 << 20
GROWTH = 300.0  # MB at most, from the end of the warm-up on: what leaks with every turn passes it in an hour


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    found = ServerProcess(tmp_path)
    found.start()
    yield found
    found.stop()


def memory(pid: int) -> int:
    """Bytes of a process's own memory; what it maps from files is not counted."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("this system does not say how much memory a process has")


class Soak:
    """Callers that talk for so many seconds, and what was seen meanwhile."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._until = time.monotonic() + SECONDS
        self.turns = 0
        self.tasks = 0
        self.samples: list[tuple[float, int]] = []

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    async def run(self) -> None:
        async with anyio.create_task_group() as group:
            for number in range(CALLERS):
                group.start_soon(self._talk, number)
            group.start_soon(self._sample)

    async def _talk(self, number: int) -> None:
        conversations = 0
        while not self.is_over:
            conversations += 1
            async with Caller(self._server) as caller:
                for turn in range(TURNS):
                    await self._turn(caller, f"soak-{number}-{conversations}-{turn}", filed=2 * turn)

    async def _turn(self, caller: Caller, name: str, *, filed: int) -> None:
        """One turn, with a tool and two tasks."""
        calls = [_filed("double", number=4), _filed("second_try"), ["note", {"text": name}]]
        answer = await caller.say(name, [calls, f"said {name}"])
        assert answer["status"] == "completed", answer
        await caller.until(
            lambda: [bool(one["finished_at"]) for one in caller.tasks().values()] == [True] * (filed + 2)
        )
        assert {one["status"] for one in caller.tasks().values()} == {"succeeded"}
        self.turns += 1
        self.tasks += 2

    async def _sample(self) -> None:
        began = time.monotonic()
        while not self.is_over:
            self.samples.append((time.monotonic() - began, memory(self._server.pid)))
            await anyio.sleep(SAMPLE_SECONDS)


def _filed(name: str, **arguments: Any) -> list[Any]:
    return ["create_task", {"task": {"name": name, "arguments": arguments}, "title": None, "again": True}]


async def test_a_server_under_load_answers_everything_and_its_memory_stays(server: ServerProcess) -> None:
    async with Caller(server) as first:
        await first.say("warm", ["up"])
    soak = Soak(server)
    await soak.run()
    assert soak.turns > 0
    settled = soak.samples[len(soak.samples) // 3 :]  # what is made once, is made in the first third
    times, sizes = [at for at, _ in settled], [size / MEGABYTE for _, size in settled]
    slope, _ = statistics.linear_regression(times, sizes)
    a_turn = slope * MEGABYTE * SECONDS / soak.turns
    print(f"\n{SECONDS:g} s, {soak.turns} turns, {soak.tasks} tasks")
    print(f"memory from {sizes[0]:.1f} to {sizes[-1]:.1f} MB, at most {max(sizes):.1f} MB")
    print(f"slope {slope * 3600:.1f} MB/h, {a_turn:.0f} bytes a turn")
    if LONG:
        assert sizes[-1] - sizes[0] < GROWTH
