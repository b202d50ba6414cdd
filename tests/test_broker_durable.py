"""Durable calls of task functions, with a real worker: waiting unwinds, waking runs again from the top, and what was
recorded is returned and not done again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from frontdesk.broker.database import Database
from frontdesk.broker.durable import records
from frontdesk.tasks.context import TaskContext
from frontdesk.tasks.errors import Retry, ToolError
from frontdesk.tasks.registry import task
from frontdesk.tests.invariants import broken
from frontdesk.tests.works import PATIENCE, Stop, Works, happened


@pytest.fixture
def desk(sqlite_url: str) -> Iterator[Works]:
    database = Database.open(sqlite_url, durable=False)
    found = Works(database)
    yield found
    for one in found.workers:
        one.stop_blocking(0.0)
    assert broken(found.store) == []
    database.close()


@task(idempotent=True)
async def double(number: int) -> int:
    if number < 0:
        raise ToolError("negative")
    return number * 2


async def test_a_function_goes_on_where_it_was_however_often_it_is_run_again(desk: Works) -> None:
    steps: list[str] = []
    tops: list[int] = []

    def noted(name: str, value: int) -> int:
        steps.append(name)
        return value

    @task(idempotent=True)
    async def whole(context: TaskContext[Any], start: int) -> dict[str, Any]:
        tops.append(start)
        first = await context.step("first", lambda: noted("first", start + 1))
        handles = [await context.create(double, number=first + n) for n in range(3)]
        outcomes = await context.wait(*handles)
        await context.sleep(0.01)

        async def last() -> int:
            return noted("last", sum(one.unwrap() for one in outcomes))

        total = await context.step("last", last)
        colour = await context.ask("Which colour?")
        return {"total": total, "colour": colour, "labels": [one.label for one in handles]}

    desk.work(double, whole, task_slots=1)
    task_id = desk.file(whole, {"start": 1})
    row = await desk.until(task_id, lambda row: row["question"] is not None)
    assert row["question"] == "Which colour?"
    desk.store.answer(task_id, "blue")
    row = await desk.ended(task_id)
    assert row["result"] == '{"total":18,"colour":"blue","labels":["T2","T3","T4"]}'
    assert steps == ["first", "last"]
    assert (len(tops), row["attempt"], row["epoch"]) == (4, 1, 4)
    children = [one for one in desk.store.tasks() if one["parent_id"] == task_id]
    assert [(one["announce"], one["status"]) for one in children] == [("none", "succeeded")] * 3
    assert desk.store.see(records, task_id) == []


async def test_five_levels_of_waiting_end_on_one_slot(desk: Works) -> None:
    @task(idempotent=True)
    async def deeper(context: TaskContext[Any], level: int) -> int:
        if level == 0:
            return 1
        handles = [await context.create(deeper, level=level - 1) for _ in range(2)]
        return sum(one.unwrap() for one in await context.wait(*handles))

    desk.work(deeper, task_slots=1)
    assert (await desk.run(deeper, level=5))["result"] == "32"


@pytest.mark.parametrize("until", ["any", 2])
async def test_a_wait_ends_when_enough_have_ended_and_says_how_each_stands(desk: Works, until: Any) -> None:
    stop = Stop()

    @task
    def blocked() -> None:
        stop.wait()

    @task(idempotent=True)
    async def parent(context: TaskContext[Any]) -> list[tuple[str, Any, Any]]:
        handles = [
            await context.create(blocked),
            await context.create(double, number=-1),
            await context.create(double, number=4),
        ]
        outcomes = await context.wait(*handles, until=until)
        assert [one.id for one in outcomes] == [one.id for one in handles]
        return [(one.status, one.result, one.error) for one in outcomes]

    desk.work(double, blocked, parent)
    row = await desk.run(parent)
    assert '["succeeded",8,null]' in row["result"] or until == "any"
    assert '["running",null,null]' in row["result"] or '["queued",null,null]' in row["result"]
    stop.go.set()
    for one in desk.store.tasks():
        await desk.ended(one["id"])


async def test_a_child_that_no_worker_of_the_desk_runs_is_filed_with_a_warning(
    desk: Works, caplog: pytest.LogCaptureFixture
) -> None:
    """Perhaps another desk's worker on the same database runs it: it waits."""

    @task(idempotent=True)
    async def parent(context: TaskContext[Any]) -> str:
        return (await context.create(double, number=1)).id

    desk.work(parent)
    row = await desk.run(parent)
    assert desk.store.row(row["result"].strip('"'))["status"] == "queued"
    assert "parent creates a task double, which no worker of this desk runs" in caplog.text


async def test_the_result_of_a_child_that_failed_is_an_error_for_its_parent(desk: Works) -> None:
    @task(idempotent=True)
    async def parent(context: TaskContext[Any]) -> int:
        (outcome,) = await context.wait(await context.create(double, number=-1))
        return int(outcome.unwrap())

    desk.work(double, parent)
    row = await desk.run(parent)
    assert (row["status"], row["error"]) == ("failed", "T2 failed: negative")


@pytest.mark.parametrize("groups", ["asyncio", "anyio"])
async def test_waiting_inside_the_functions_own_task_group_parks_it(desk: Works, groups: str) -> None:
    @task(idempotent=True)
    async def parent(context: TaskContext[Any], groups: str) -> int:
        total = 0
        handle = await context.create(double, number=4)

        async def add() -> None:
            nonlocal total
            (outcome,) = await context.wait(handle)
            total += outcome.unwrap()

        if groups == "asyncio":
            async with asyncio.TaskGroup() as group:
                group.create_task(add())
                group.create_task(asyncio.sleep(PATIENCE if total == 0 and context.attempt == 0 else 0))
        else:
            async with anyio.create_task_group() as other:
                other.start_soon(add)
        return total

    desk.work(double, parent)
    row = await desk.run(parent, groups=groups)
    assert (row["status"], row["result"], row["attempt"]) == ("succeeded", "8", 1)


async def test_a_synchronous_function_makes_durable_calls_through_its_context(desk: Works) -> None:
    steps: list[int] = []

    @task(idempotent=True)
    def parent(context: TaskContext[Any]) -> int:
        context.call(context.step, "once", lambda: steps.append(1))
        handle = context.call(context.create, double, number=4)
        context.call(context.sleep, 0.01)
        (outcome,) = context.call(context.wait, handle)
        return int(outcome.unwrap())

    desk.work(double, parent)
    row = await desk.run(parent)
    assert (row["status"], row["result"], steps) == ("succeeded", "8", [1])


async def test_waiting_for_nothing_goes_on_at_once(desk: Works) -> None:
    @task(idempotent=True)
    async def parent(context: TaskContext[Any]) -> list[Any]:
        await context.sleep(0.0)
        return [*await context.wait()]

    desk.work(parent)
    assert (await desk.run(parent))["result"] == "[]"


async def test_calls_in_another_order_than_recorded_hold_the_task(desk: Works) -> None:
    runs: list[int] = []

    @task(idempotent=True)
    async def fickle(context: TaskContext[Any]) -> None:
        runs.append(1)
        await context.step("one" if len(runs) == 1 else "two", lambda: None)
        await context.sleep(0.0)

    desk.work(fickle)
    row = await desk.run(fickle)
    assert (row["status"], row["error_kind"]) == ("held", "ReplayMismatch")
    assert "recorded as step('one') but the function now calls step('two')" in row["error"]


async def test_a_finished_step_is_kept_when_the_function_is_tried_again(desk: Works) -> None:
    steps: list[int] = []

    @task(idempotent=True)
    async def fussy(context: TaskContext[Any]) -> int:
        await context.step("once", lambda: steps.append(1))
        if context.attempt == 1:
            raise Retry(0.0)
        return len(steps)

    desk.work(fussy)
    row = await desk.run(fussy)
    assert (row["status"], row["result"], row["attempt"]) == ("succeeded", "1", 2)


async def test_a_step_is_recorded_as_json_from_the_first_time(desk: Works) -> None:
    """What it returns is the same in the run that makes it and in every later one."""

    @task(idempotent=True)
    async def typed(context: TaskContext[Any]) -> Any:
        value: Any = await context.step("tuple", lambda: (1, {"a": {2}}))
        await context.sleep(0.0)
        return [type(value).__name__, value]

    @task
    async def odd(context: TaskContext[Any]) -> None:
        await context.step("thread", threading.current_thread)

    desk.work(typed, odd)
    assert (await desk.run(typed))["result"] == '["list",[1,{"a":[2]}]]'
    row = await desk.run(odd)
    assert (row["status"], row["error_kind"]) == ("failed", "NotSerializable")


@pytest.mark.parametrize("call", ["sleep", "wait", "ask"])
async def test_a_task_that_is_cancelled_as_it_goes_to_sleep_does_not_wake_later(desk: Works, call: str) -> None:
    stop = Stop()
    calls: dict[str, Callable[[TaskContext[Any], Any], Any]] = {
        "sleep": lambda context, handle: context.sleep(3600),
        "wait": lambda context, handle: context.wait(handle),
        "ask": lambda context, handle: context.ask("Which?"),
    }

    @task(idempotent=True)
    async def sleepy(context: TaskContext[Any]) -> None:
        handle = await context.create(double, number=1)
        await asyncio.to_thread(stop.wait)
        with anyio.CancelScope(shield=True):
            await calls[call](context, handle)

    desk.work(sleepy)  # nobody runs the child
    task_id = desk.file(sleepy)
    await happened(stop.here)
    desk.store.cancel(task_id)
    stop.go.set()
    row = await desk.ended(task_id)
    assert row["status"] == "cancelled"


async def test_a_parked_task_is_cancelled_at_once_and_its_children_with_it(desk: Works) -> None:
    @task(idempotent=True)
    async def parent(context: TaskContext[Any]) -> None:
        await context.wait(await context.create(double, number=1))

    desk.work(parent)  # nobody runs the child
    task_id = desk.file(parent)
    await desk.reached(task_id, "waiting")
    desk.store.cancel(task_id)
    assert {one["status"] for one in desk.store.tasks()} == {"cancelled"}


async def test_a_lost_lease_is_not_an_error_that_a_function_can_end_with(desk: Works) -> None:
    """Its claim is taken away while it works; what it does then is rejected, and its new run goes on from the
    records."""
    stop = Stop()
    steps: list[str] = []

    @task(idempotent=True)
    async def work(context: TaskContext[Any]) -> str:
        await context.step("first", lambda: steps.append("first"))
        if context.attempt == 1:
            await asyncio.to_thread(stop.wait)
        await context.step("second", lambda: steps.append("second"))
        return f"attempt {context.attempt}"

    desk.work(work)
    task_id = desk.file(work)
    await happened(stop.here)
    desk.store.expire_task(task_id, epoch=1)
    await desk.until(task_id, lambda row: row["epoch"] == 2)
    stop.go.set()
    row = await desk.ended(task_id)
    assert (row["status"], row["result"], row["attempt"]) == ("succeeded", '"attempt 2"', 2)
    assert steps.count("first") == 1
