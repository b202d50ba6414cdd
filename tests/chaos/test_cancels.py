"""Tasks that are cancelled at any moment: queued, running, waiting, just ending. Each ends once, and soon."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio

from frontdesk.broker import cancel
from frontdesk.broker.database import READERS, Database
from frontdesk.tasks.context import TaskContext
from frontdesk.tasks.registry import TaskFunction, task
from frontdesk.tasks.states import TERMINAL
from frontdesk.tests.chaos.history import History
from frontdesk.tests.chaos.scale import SEED, chance, scaled
from frontdesk.tests.invariants import broken
from frontdesk.tests.store import Store
from frontdesk.tests.works import Works

CANCELS = scaled(60, 1_000)
BOUND = 30.0  # seconds until a task that heeds its cancel must have ended; milliseconds are usual
AT_ONCE = 20


@task(idempotent=True)
async def quick() -> str:
    """Ends at once: a cancel meets it queued, at its end, or too late."""
    return "quick"


@task(idempotent=True)
async def working(context: TaskContext[Any], seconds: float) -> str:
    """Works for a while, with durable steps."""
    for number in range(10):
        await context.step(f"{number}", lambda: None)
        await context.progress(number / 10)
        await anyio.sleep(seconds / 10)
    return "worked"


@task(idempotent=True)
def threaded(context: TaskContext[Any]) -> str:
    """Works in a thread until it is told to stop."""
    heeds = threading.Event()
    for _ in range(200):
        if context.cancelled:
            return "stopped"
        heeds.wait(0.005)
    return "worked"


@task(idempotent=True)
async def sleeping(context: TaskContext[Any], seconds: float) -> str:
    """Is parked most of the time."""
    await context.sleep(seconds)
    return "slept"


@task(idempotent=True)
async def asking(context: TaskContext[Any]) -> str:
    """Waits for an answer that never comes."""
    return str(await context.ask("Really?"))


@task(idempotent=True)
async def parent(context: TaskContext[Any], seconds: float) -> str:
    """Waits for children of all kinds."""
    children = [
        await context.create(quick),
        await context.create(working, seconds=seconds),
        await context.create(sleeping, seconds=seconds),
    ]
    outcomes = await context.wait(*children)
    return " ".join(one.status for one in outcomes)


FUNCTIONS: tuple[TaskFunction[..., Any], ...] = (quick, working, threaded, sleeping, asking, parent)


def arguments(function: TaskFunction[..., Any], dice: random.Random) -> dict[str, Any]:
    return {"seconds": dice.uniform(0, 0.2)} if function in (working, sleeping, parent) else {}


async def test_a_cancel_at_any_moment_ends_its_task_once_and_soon(
    opened: Callable[..., Database], store: Store, history: History
) -> None:
    dice = chance(f"{CANCELS} cancels")
    desk = Works(opened())
    connections = history.connections()
    desk.work(*FUNCTIONS, task_slots=8)
    ends: Counter[tuple[str, str]] = Counter()
    seconds: list[float] = []

    async def one(function: TaskFunction[..., Any], given: dict[str, Any], moment: float) -> None:
        task_id = desk.file(function, given, announce="note")
        await anyio.sleep(moment)
        before = await desk.database.write_first(cancel.cancel_task, task_id, "")
        asked = time.monotonic()
        with anyio.fail_after(BOUND):
            row = await desk.ended(task_id)
        seconds.append(time.monotonic() - asked)
        assert row["status"] == "cancelled" or row["status"] == "succeeded", f"seed {SEED}: {row}"
        if function is asking:
            assert row["status"] == "cancelled", f"seed {SEED}: {row}"
        ends[before["status"], row["status"]] += 1

    for _ in range(0, CANCELS, AT_ONCE):
        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                function = dice.choice(FUNCTIONS)
                group.start_soon(one, function, arguments(function, dice), dice.uniform(0, 0.15))
    with anyio.fail_after(BOUND):
        while any(row["status"] not in TERMINAL for row in store.tasks()):  # noqa: ASYNC110 - children, unwatched
            await asyncio.sleep(0.02)
    desk.workers[0].stop_blocking(1.0)
    assert history.twice() == [], f"seed {SEED}"
    assert broken(store) == [], f"seed {SEED}"
    assert history.busy() == 0, "no connection was left in the middle of something"
    assert history.connections() <= connections + 4 * READERS, "two databases read, on SQLite with two files each"
    assert sum(ends.values()) >= CANCELS
    ordered = sorted(seconds)
    print(f"ended after {ordered[len(ordered) // 2]:.3f} s (median), {ordered[int(len(ordered) * 0.99)]:.3f} s (p99)")
    print(f"from what was found to how it ended: {dict(ends)}")
