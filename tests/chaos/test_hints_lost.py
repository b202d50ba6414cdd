"""Every notification is lost: nobody is ever woken, within a process or between two. All is done by polling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from frontdesk.broker import cancel
from frontdesk.broker.database import Database
from frontdesk.broker.functions import FunctionRuns
from frontdesk.broker.wakeups import Hub
from frontdesk.broker.worker import Worker
from frontdesk.tasks.context import TaskContext
from frontdesk.tasks.registry import task
from frontdesk.tasks.states import TERMINAL
from frontdesk.tests.chaos import works
from frontdesk.tests.chaos.scale import PATIENCE, scaled
from frontdesk.tests.invariants import broken
from frontdesk.tests.works import POLL, Works, until

COUNT = scaled(10, 200)


@pytest.fixture
def deaf(opened: Callable[..., Database], monkeypatch: pytest.MonkeyPatch) -> Iterator[Works]:
    """Two databases, whose hints reach nobody: one files, the other one works."""

    def lost(_: Hub, woken: Any) -> None:
        """What was to be called is not."""

    monkeypatch.setattr(Hub, "_call", lost)
    found = Works(opened())
    yield found
    for one in found.workers:
        one.stop_blocking(0.0)
    assert broken(found.store) == []


@task
async def endless(context: TaskContext[Path]) -> None:
    """Runs until it is cancelled."""
    works.note(context.dependencies, "endless", context.task_id[-12:])
    await anyio.sleep_forever()


@task(idempotent=True)
async def asking(context: TaskContext[Any]) -> str:
    return f"answered {await context.ask('Really?')}"


async def test_everything_is_done_although_nobody_is_woken(
    deaf: Works, opened: Callable[..., Database], tmp_path: Path
) -> None:
    functions = [works.family, works.again, works.once, endless, asking]
    runs = FunctionRuns({one.name: one for one in functions}, lambda: tmp_path)
    worker = Worker(opened(), {}, dict.fromkeys([one.name for one in functions], runs), poll=POLL)
    worker.start()
    deaf.workers.append(worker)
    store = deaf.store
    plain = [deaf.file(function, {"number": number}) for number in range(COUNT) for function in functions[:3]]
    endless_ones = [deaf.file(endless) for _ in range(2)]
    question = deaf.file(asking)
    late = deaf.file(works.once, {"number": 0}, delay=0.3)
    await until(lambda: works.noted(tmp_path, "endless") == 2, seconds=PATIENCE)
    for one in endless_ones:
        store.do(cancel.cancel_task, one, "")
    await until(lambda: store.row(question)["question"] is not None, seconds=PATIENCE)
    store.answer(question, "yes")
    await until(lambda: all(row["status"] in TERMINAL for row in store.tasks()), seconds=PATIENCE)
    assert {store.status(one) for one in [*plain, question, late]} == {"succeeded"}
    assert {store.status(one) for one in endless_ones} == {"cancelled"}
