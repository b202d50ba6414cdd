"""The wall clock of a machine jumps by an hour: nothing expires early or late, in this process or in one that starts
afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from frontdesk.broker import clock, leases
from frontdesk.broker.database import Database
from frontdesk.tasks import request
from frontdesk.tasks.context import TaskContext
from frontdesk.tasks.errors import Retry
from frontdesk.tasks.registry import task
from frontdesk.tests.invariants import broken
from frontdesk.tests.works import Stop, Works, happened, until

HOUR = 3600.0
LEASE = 0.6
SOON = 0.5


class WallClock:
    """The module ``time``, with a wall clock that is wrong."""

    def __init__(self) -> None:
        self.wrong = 0.0

    def time(self) -> float:
        return time.time() + self.wrong

    def time_ns(self) -> int:
        return time.time_ns() + int(self.wrong * 1e9)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    found = WallClock()
    for module in (clock, request):
        monkeypatch.setattr(module, "time", found)
    return found


@pytest.fixture
def desk(opened: Callable[..., Database]) -> Iterator[Works]:
    found = Works(opened())
    yield found
    for one in found.workers:
        one.stop_blocking(0.0)
    assert broken(found.store) == []


@task
async def nap(context: TaskContext[Any], seconds: float) -> str:
    await context.sleep(seconds)
    return "slept"


@task
async def soon() -> str:
    return "soon"


@task
async def second_try(context: TaskContext[Any]) -> str:
    if context.attempt == 1:
        raise Retry(SOON)
    return "again"


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_jump_of_the_wall_clock_expires_nothing_early_or_late(
    desk: Works, opened: Callable[..., Database], wall: WallClock, hours: int
) -> None:
    stop = Stop()

    @task(idempotent=True)
    def working() -> str:
        stop.wait()
        return "worked"

    desk.work(working, nap, soon, second_try, lease=LEASE)
    running = desk.file(working)
    await happened(stop.here)
    far = [desk.file(soon, delay=HOUR / 2), desk.file(nap, {"seconds": HOUR / 2})]
    await desk.reached(far[1], "waiting")
    filed = time.monotonic()
    near = [desk.file(soon, delay=SOON), desk.file(nap, {"seconds": SOON}), desk.file(second_try)]
    wall.wrong = hours * HOUR
    lease = desk.store.row(running)["lease_until"]
    newcomer = opened()  # a process that starts after the jump
    assert newcomer.write_blocking(leases.recover) == 0
    newcomer.write_blocking(leases.sweep)  # of those that are near one may be due by now
    assert [desk.store.status(one) for one in far] == ["queued", "waiting"]
    assert desk.store.row(running)["epoch"] == 1
    for one in near:
        assert (await desk.ended(one))["status"] == "succeeded"
        assert time.monotonic() - filed >= SOON, "early"
    await until(lambda: desk.store.row(running)["lease_until"] > lease + 2 * LEASE)
    assert newcomer.write_blocking(leases.sweep) == 0
    assert [desk.store.status(one) for one in far] == ["queued", "waiting"]
    assert desk.store.row(running)["epoch"] == 1
    stop.go.set()
    row = await desk.ended(running)
    assert (row["result"], row["attempt"]) == ('"worked"', 1)
    assert abs(row["finished_at"] - time.time() - hours * HOUR) < HOUR / 2, "what people are shown is the wall clock"
